"""The pocket generators of pictures and clips: an autoencoder and a flow prior each, on weights that ship with the pack."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ..encoders.protocol import Encoder
from ..pocket.store import FOLDER, read
from ..space import Modality
from ..weights import fill
from . import pocket_vision
from .latent_flow import LatentFlow
from .pocket_vision import FRAMES, LATENT

FPS = 8.0
SHARED = 0.9
"""Of the variance of a clip's noise, in all frames alike (mixed noise, Ge et al. 2023, arXiv 2305.10474). A prior that has
learned little of time draws each frame a picture of its own from noise of its own."""


class PocketGenerator(LatentFlow):
    """A `Generator` (see protocol.py) of 128 px pictures, or with `frames` of clips at FPS frames a second."""

    side = 128

    def __init__(self, autoencoder: nn.Module, prior: nn.Module, encoder: Encoder, frames: int = 0):
        super().__init__(autoencoder, prior, encoder)
        self.frames = frames
        self.modality: Modality = "video" if frames else "image"
        self.latent_shape = (frames, *LATENT) if frames else LATENT
        self.fps = FPS

    def sample_noise(self, size: int, rng: torch.Generator) -> Tensor:
        """Standard normal; frames of a clip share `SHARED` of the variance."""
        own = super().sample_noise(size, rng)
        if not self.frames:
            return own
        shared = torch.randn(size, 1, *LATENT, generator=rng).to(own)
        return SHARED**0.5 * shared + (1 - SHARED) ** 0.5 * own

    def decode(self, z: Tensor, fast: bool = False) -> Tensor:
        """Pictures [B, 3, 128, 128], or clips [B, T, 3, 128, 128]; unclamped. There is one decoder: `fast` changes nothing."""
        if not self.frames:
            return self.autoencoder.decode(z)
        return self.autoencoder.decode(z.flatten(0, 1)).unflatten(0, (-1, self.frames))

    def encode(self, media: Tensor) -> Tensor:
        """The latents of pictures [B, 3, 128, 128] or clips [B, T, 3, 128, 128] in 0..1."""
        if not self.frames:
            return self.autoencoder.encode(media)
        return self.autoencoder.encode(media.flatten(0, 1)).unflatten(0, (-1, self.frames))


def load(modality: Modality, encoder: Encoder, folder: Path = FOLDER, device: str | torch.device = "cpu"):
    """The shipped generator of a modality. `encoder` reads its prompts, if there are any.

    Raises WeightsError for files that do not fit and ValueError for a modality without a generator.
    """
    if modality == "audio":
        from .pocket_audio import load as load_audio

        return load_audio(encoder, folder).to(device)
    if modality not in ("image", "video"):
        raise ValueError(f"no pocket generator makes '{modality}', expected image, audio or video")
    autoencoder = fill(pocket_vision.autoencoder(), read("autoencoder", folder)[0], "autoencoder")
    tensors = read("image_prior", folder)[0]
    frames = 0
    if modality == "video":
        frames = FRAMES
        tensors = {**tensors, **read("video_prior", folder)[0]}
    prior = fill(pocket_vision.prior(frames), tensors, f"{modality}_prior")
    return PocketGenerator(autoencoder, prior, encoder, frames).eval().to(device)
