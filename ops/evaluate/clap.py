"""CLAP as a judge of sounds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pad

from ..constants import constant
from ..encoders.protocol import Embedding
from ..encoders.text_tower import checked
from ..encoders.tower import beside
from ..signal import resample
from ..space import Modality
from ..weights import WeightsError
from .judges import NO_FINGERPRINTS, Parts, embedding, pooled, space

QUIETEST = 1e-10
"""Power below which a band counts as silent: -100 dB."""


class Clap:
    """An `Encoder` (see encoders/protocol.py) of text and sounds, in float32.

    Wu et al. 2023, "Large-scale contrastive language-audio pretraining" (arXiv 2211.06687), the unfused checkpoints. Ten seconds are
    heard: of a longer sound the middle, where the published extractor cuts at random; a shorter one is repeated as often as it
    fits, then silent. WeightsError for a fused checkpoint, and for a file of preprocessing that is not CLAP's.
    """

    model = "ClapModel"
    modalities: frozenset[Modality] = frozenset({"text", "audio"})
    fingerprints = NO_FINGERPRINTS

    def __init__(self, parts: Parts):
        from transformers.audio_utils import mel_filter_bank

        self.net, self.tokenizer, made = parts.model, parts.tokenizer, parts.preprocessing
        config = parts.model.config
        if config.audio_config.enable_fusion:
            raise WeightsError("this CLAP fuses several cuts of a sound, some of them random; expected an unfused one: laion/clap-htsat-unfused")
        try:
            self.rate, self.hop, self.window = made["sampling_rate"], made["hop_length"], made["fft_window_size"]
            self.samples = made["max_length_s"] * self.rate
            shape = self.window // 2 + 1, made["feature_size"], made["frequency_min"], made["frequency_max"]
        except KeyError as error:
            raise WeightsError(f"preprocessor_config.json lacks {error}: expected a CLAP's") from None
        with torch.inference_mode(False):
            self.filters = torch.from_numpy(mel_filter_bank(*shape, self.rate, norm="slaney", mel_scale="slaney")).float()
        # its text tower counts positions from behind the padding's own
        self.length = config.text_config.max_position_embeddings - config.text_config.pad_token_id - 1
        self.space = space("clap", self, parts.model)

    @property
    def towers(self) -> Mapping[Modality, nn.Module]:
        """None that a host may move by itself."""
        return {}

    def text(self, texts: list[str]) -> Embedding:
        """Embed B phrases; what is longer than the judge's length is cut off. ValueError for none, or for a bare string."""
        tokens = self.tokenizer(checked(texts), padding=True, truncation=True, max_length=self.length, return_tensors="pt")
        ids, mask = (beside(self.net, tokens[name]) for name in ("input_ids", "attention_mask"))
        return embedding(normalize(pooled(self.net.get_text_features(input_ids=ids, attention_mask=mask)), dim=-1), "text")

    def audio(self, wave: Tensor, rate: int) -> Embedding:
        """Embed wave [B, C, T] in -1..1 at `rate` Hz; channels are mixed down."""
        if wave.dim() != 3 or not wave.shape[1] or not wave.shape[2]:
            raise ValueError(f"wave has shape {tuple(wave.shape)}, expected [B, C, T] with a sample or more")
        mono = resample(beside(self.net, wave).float().mean(1), rate, self.rate)
        rows = self.net.get_audio_features(input_features=self.log_mel(fitted(mono, self.samples))[:, None], is_longer=None)
        return embedding(normalize(pooled(rows), dim=-1), "audio")

    def image(self, pixels: Tensor) -> Embedding:
        """Always a ValueError: it sees nothing."""
        raise ValueError("CLAP embeds no pictures: take SigLIP for a judge of them")

    def video(self, frames: Tensor, fps: float) -> Embedding:
        """Always a ValueError: it sees nothing."""
        raise ValueError("CLAP embeds no clips: take SigLIP for a judge of them")

    def log_mel(self, wave: Tensor) -> Tensor:
        """[B, frames, bands] in decibels of wave [B, T], as the published extractor makes it of such a length."""
        wave = pad(wave[:, None], (self.window // 2, self.window // 2), mode="reflect")[:, 0]
        # a product with a matrix, and not the complex transform, whose backward MPS lacks
        real, imaginary = (wave.unfold(-1, self.window, self.hop) @ constant(wave, _windowed_transform, self.window)).chunk(2, -1)
        power = real.square() + imaginary.square()
        return 10 * torch.log10((power @ self.filters.to(wave)).clamp_min(QUIETEST))


def fitted(wave: Tensor, samples: int) -> Tensor:
    """[B, samples] of wave [B, T]: its middle, or itself as often as it fits whole and then silence."""
    length = wave.shape[-1]
    if length >= samples:
        start = (length - samples) // 2
        return wave[:, start : start + samples]
    repeated = wave.repeat(1, samples // length)
    return pad(repeated, (0, samples - repeated.shape[-1]))


def _windowed_transform(window: int) -> np.ndarray:
    """[window, 2 * bins]: the real and the imaginary half of the Fourier transform under a periodic Hann window."""
    time, bins = np.arange(window), np.arange(window // 2 + 1)
    angles = 2 * np.pi * np.outer(time, bins) / window
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * time / window)
    return hann[:, None] * np.concatenate([np.cos(angles), -np.sin(angles)], axis=1)
