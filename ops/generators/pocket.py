"""The pocket generators of pictures and clips: an autoencoder and a flow prior each, on weights that ship with the pack."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ..encoders.pocket import PocketEncoder
from ..pocket.store import FOLDER, fill, read
from ..space import Modality
from . import pocket_vision
from .flow import along, x0_from_velocity
from .pocket_vision import FRAMES, LATENT

FPS = 8.0


class PocketGenerator(nn.Module):
    """A `Generator` (see protocol.py) of 128 px pictures, or with `frames` of clips at FPS frames a second."""

    def __init__(self, autoencoder: nn.Module, prior: nn.Module, encoder: PocketEncoder, frames: int = 0):
        super().__init__()
        self.autoencoder, self.prior, self.frames = autoencoder, prior, frames
        self.modality: Modality = "video" if frames else "image"
        self.latent_shape = (frames, *LATENT) if frames else LATENT
        self.fps = FPS
        # held in a tuple: the encoder is a neighbour, not a part whose weights this module owns
        self._encoder = (encoder,)

    @property
    def device(self) -> torch.device:
        return next(self.prior.parameters()).device

    def start(self, size: int, seed: int) -> Tensor:
        """Standard normal latents [size, *latent_shape], the same for a seed on every device."""
        rng = torch.Generator().manual_seed(seed)
        return torch.randn(size, *self.latent_shape, generator=rng).to(self.device)

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

    def noise(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Rectified flow: alpha = 1 - t, sigma = t."""
        return 1 - t, t

    def condition(self, prompt: str | None) -> Tensor:
        """Condition rows [1, 768]: the prompt's text embedding, or NaN throughout, which the prior reads as no prompt."""
        if prompt is None:
            return torch.full((1, 768), torch.nan, device=self.device)
        with torch.no_grad():
            return self._encoder[0].text([prompt]).pooled

    def predict_x0(self, x_t: Tensor, t: Tensor, cond: Tensor, lora: bool = False) -> Tensor:
        """The prior's clean latent from x_t [B, ...] at times t [B]; cond [1, 768] or [B, 768]."""
        if lora:
            raise ValueError("lora=True, but no LoRA is attached to this generator")
        v = self.prior(x_t, t, cond.expand(len(x_t), -1))
        return x0_from_velocity(x_t, v, t)

    @torch.no_grad()
    def sample(self, cond: Tensor, size: int, seed: int, steps: int = 24, guidance: float = 3.0) -> Tensor:
        """Latents [size, ...] drawn from the prior by Euler steps from t = 1 to 0, with classifier-free guidance."""
        z = self.start(size, seed)
        null = self.condition(None)
        grid = torch.linspace(1, 0, steps + 1, device=self.device)
        for now, after in zip(grid, grid[1:]):
            t = now.expand(size)
            x0 = self.predict_x0(z, t, cond)
            if guidance != 1 and not cond.isnan().any():
                free = self.predict_x0(z, t, null)
                x0 = free + guidance * (x0 - free)
            eps = (z - along(1 - t, z) * x0) / along(t, z)
            z = along((1 - after).expand(size), z) * x0 + along(after.expand(size), z) * eps
        return z


def load(modality: Modality, encoder: PocketEncoder, folder: Path = FOLDER):
    """The shipped generator of a modality, on the encoder's device.

    Raises WeightsError for files that do not fit and ValueError for a modality without a generator.
    """
    device = next(encoder.parameters()).device
    if modality == "audio":
        from .pocket_audio import load as load_audio

        return load_audio(encoder, folder)
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
