"""The pocket picture and clip generators: sizes and shapes of their autoencoder and flow prior."""

from __future__ import annotations

from .autoencoder import Autoencoder
from .flow import FlowTransformer

LATENT = (8, 16, 16)
FRAMES = 8


def autoencoder() -> Autoencoder:
    """Pictures [B, 3, 128, 128] in 0..1 <-> latents [B, 8, 16, 16]."""
    return Autoencoder(3, LATENT[0])


def prior(frames: int = 0) -> FlowTransformer:
    """The flow prior of pictures, or with `frames` of clips: the same with temporal attention."""
    return FlowTransformer(LATENT[0], LATENT[1:], outer=144, inner=288, depth=5, frames=frames)
