"""The pocket sound generator: a log-mel autoencoder, a flow prior on its latents, and a wave by phase recovery."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from .. import signal
from ..encoders.pocket_audio import normalise, restore
from ..encoders.protocol import Encoder
from ..pocket.store import FOLDER, read
from ..space import Modality
from ..weights import fill
from .autoencoder import Autoencoder
from .flow import FlowTransformer
from .latent_flow import LatentFlow

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


class PocketAudioGenerator(LatentFlow):
    """A `Generator` (see protocol.py) of 2.048 s sounds at 16 kHz."""

    modality: Modality = "audio"
    latent_shape = LATENT
    rate = signal.RATE
    samples = signal.SAMPLES

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


def load(encoder: Encoder, folder: Path = FOLDER) -> PocketAudioGenerator:
    """The shipped sound generator. Raises WeightsError for files that do not fit."""
    tensors = read("audio_generator", folder)[0]
    part = lambda name: {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}  # noqa: E731
    coder = fill(autoencoder(), part("autoencoder"), "audio_generator autoencoder")
    flow = fill(prior(), part("prior"), "audio_generator prior")
    return PocketAudioGenerator(coder, flow, encoder).eval()
