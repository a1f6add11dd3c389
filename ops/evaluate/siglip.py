"""SigLIP and SigLIP2 with a fixed picture size, as a judge of pictures and clips."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..encoders.preprocessing import cubic, resize, resize_middle
from ..encoders.protocol import Embedding
from ..encoders.text_tower import checked
from ..encoders.tower import beside
from ..space import Modality
from ..weights import WeightsError
from .judges import NO_FINGERPRINTS, Parts, embedding, pooled, space

FRAMES = 8
BILINEAR, BICUBIC = 2, 3
"""Pillow's numbers for its filters, which preprocessor_config.json has."""


class Siglip:
    """An `Encoder` (see encoders/protocol.py) of text, pictures and clips, in float32.

    Zhai et al. 2023 (arXiv 2303.15343) and Tschannen et al. 2025 (arXiv 2502.14786). Its texts are lower-cased and padded to the
    length it was trained with, its pictures squeezed to its square whatever their shape, as in its training.
    WeightsError for another filter than it was published with.
    """

    model = "SiglipModel"
    modalities: frozenset[Modality] = frozenset({"text", "image", "video"})
    fingerprints = NO_FINGERPRINTS

    def __init__(self, parts: Parts):
        made = parts.preprocessing
        self.net, self.tokenizer, self.filter = parts.model, parts.tokenizer, made.get("resample", BICUBIC)
        if self.filter not in (BILINEAR, BICUBIC):
            raise WeightsError(f"the judge's pictures are resized by Pillow's filter {self.filter}, expected {BILINEAR} or {BICUBIC}")
        with torch.inference_mode(False):
            self.mean, self.deviation = (torch.tensor(made.get(name, [0.5] * 3)).view(3, 1, 1) for name in ("image_mean", "image_std"))
        self.side = parts.model.config.vision_config.image_size
        self.length = parts.model.config.text_config.max_position_embeddings
        self.space = space("siglip", self, parts.model)

    @property
    def towers(self) -> Mapping[Modality, nn.Module]:
        """None that a host may move by itself: pictures and clips share one."""
        return {}

    def text(self, texts: list[str]) -> Embedding:
        """Embed B phrases; what is longer than the judge's length is cut off. ValueError for none, or for a bare string."""
        lower = [text.lower() for text in checked(texts)]
        # it learned with padding on the right and without a mask, and pools at the last place; not every tokenizer file says so
        tokens = self.tokenizer(
            lower, padding="max_length", padding_side="right", truncation=True, max_length=self.length, return_tensors="pt"
        )  # fmt: skip
        rows = self.net.get_text_features(input_ids=beside(self.net, tokens["input_ids"]))
        return embedding(normalize(pooled(rows), dim=-1), "text")

    def image(self, pixels: Tensor) -> Embedding:
        """Embed pixels [B, 3, H, W] in 0..1, of any size."""
        if pixels.dim() != 4 or pixels.shape[1] != 3:
            raise ValueError(f"pixels have shape {tuple(pixels.shape)}, expected [B, 3, H, W]")
        return embedding(self._seen(pixels), "image")

    def video(self, frames: Tensor, fps: float) -> Embedding:
        """Embed frames [B, T, 3, H, W] in 0..1: the mean of up to eight of them, evenly spread, whatever `fps`."""
        if frames.dim() != 5 or frames.shape[2] != 3 or not frames.shape[1]:
            raise ValueError(f"frames have shape {tuple(frames.shape)}, expected [B, T, 3, H, W]")
        batch, count = frames.shape[:2]
        chosen = sorted({round(i * (count - 1) / (FRAMES - 1)) for i in range(FRAMES)})
        rows = self._seen(frames[:, chosen].flatten(0, 1)).view(batch, len(chosen), -1)
        return embedding(normalize(rows.mean(1), dim=-1), "video")

    def audio(self, wave: Tensor, rate: int) -> Embedding:
        """Always a ValueError: it hears nothing."""
        raise ValueError("SigLIP embeds no sounds: take CLAP for a judge of them")

    def _seen(self, pixels: Tensor) -> Tensor:
        pixels = beside(self.net, pixels).float()
        if self.filter == BICUBIC:
            # a cubic kernel overshoots, which the eight bits of a resized picture cannot
            pixels = resize_middle(pixels, self.side, self.side, self.side, cubic).clamp(0, 1)
        else:
            pixels = resize(pixels, self.side, self.side)
        rows = self.net.get_image_features(pixel_values=(pixels - self.mean.to(pixels)) / self.deviation.to(pixels))
        return normalize(pooled(rows), dim=-1)
