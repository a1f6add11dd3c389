"""The pocket sound generator: a log-mel autoencoder, a flow prior on its latents, and a wave by phase recovery."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from .. import signal
from ..encoders.pocket import PocketEncoder
from ..encoders.pocket_audio import normalise, restore
from ..pocket.store import FOLDER, fill, read
from ..space import Modality
from .autoencoder import Autoencoder
from .flow import FlowTransformer, along, x0_from_velocity

LATENT = (8, 8, 16)
ITERATIONS, FAST_ITERATIONS = 32, 8
LOUDEST = 3.0
"""Natural-log mel power a decoded bin may reach: what a full-scale chord fills; above it exp would run away."""


def autoencoder() -> Autoencoder:
    """Normalised log-mels [B, 1, 64, 128] <-> latents [B, 8, 8, 16]."""
    return Autoencoder(1, LATENT[0], (24, 48, 96))


def prior() -> FlowTransformer:
    """The flow prior of sounds."""
    return FlowTransformer(LATENT[0], LATENT[1:], outer=112, inner=192, depth=4, heads=4)


class PocketAudioGenerator(nn.Module):
    """A `Generator` (see protocol.py) of 2.048 s sounds at 16 kHz."""

    modality: Modality = "audio"
    latent_shape = LATENT
    rate = signal.RATE

    def __init__(self, autoencoder: nn.Module, prior: nn.Module, encoder: PocketEncoder):
        super().__init__()
        self.autoencoder, self.prior = autoencoder, prior
        # held in a tuple: the encoder is a neighbour, not a part whose weights this module owns
        self._encoder = (encoder,)

    @property
    def device(self) -> torch.device:
        return next(self.prior.parameters()).device

    def start(self, size: int, seed: int) -> Tensor:
        """Standard normal latents [size, *LATENT], the same for a seed on every device."""
        rng = torch.Generator().manual_seed(seed)
        return torch.randn(size, *LATENT, generator=rng).to(self.device)

    def log_mels(self, z: Tensor) -> Tensor:
        """The natural log-mels [B, 64, 128] a latent stands for, before any phase."""
        return restore(self.autoencoder.decode(z))[:, 0].clamp_max(LOUDEST)

    def decode(self, z: Tensor, fast: bool = False) -> Tensor:
        """Waves [B, 1, 32768] at `rate`, unclamped; `fast` spends a quarter of the Griffin-Lim iterations.

        The gradient holds the recovered phase fixed (see `signal.invert`).
        """
        return signal.invert(self.log_mels(z), FAST_ITERATIONS if fast else ITERATIONS)[:, None]

    def encode(self, media: Tensor) -> Tensor:
        """The latents of waves [B, 1, 32768] at `rate`."""
        return self.autoencoder.encode(normalise(signal.log_mel(media)))

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
        """The prior's clean latent from x_t [B, *LATENT] at times t [B]; cond [1, 768] or [B, 768]."""
        if lora:
            raise ValueError("lora=True, but no LoRA is attached to this generator")
        v = self.prior(x_t, t, cond.expand(len(x_t), -1))
        return x0_from_velocity(x_t, v, t)

    @torch.no_grad()
    def sample(self, cond: Tensor, size: int, seed: int, steps: int = 24, guidance: float = 3.0) -> Tensor:
        """Latents [size, *LATENT] drawn from the prior by Euler steps from t = 1 to 0, with classifier-free guidance."""
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


def load(encoder: PocketEncoder, folder: Path = FOLDER) -> PocketAudioGenerator:
    """The shipped sound generator, on the encoder's device. Raises WeightsError for files that do not fit."""
    tensors = read("audio_generator", folder)[0]
    part = lambda name: {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}  # noqa: E731
    coder = fill(autoencoder(), part("autoencoder"), "audio_generator autoencoder")
    flow = fill(prior(), part("prior"), "audio_generator prior")
    return PocketAudioGenerator(coder, flow, encoder).eval().to(next(encoder.parameters()).device)
