"""What every encoder offers: media in, an `Embedding` out, differentiable all the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from ..space import Modality, Space


@dataclass(frozen=True)
class Embedding:
    """What an encoder returns for a batch of B media.

    pooled: [B, D], L2-normalised, in the joint space.
    tokens: [B, N, W], patch tokens (no class token) of the encoder's middle layer.
    dense: [B, N, D], last-layer patch tokens projected into the joint space, L2-normalised.
    grid: how the N tokens lie: text (N,), image (h, w), audio (mel, time), video (t, h, w).
    """

    pooled: Tensor
    tokens: Tensor
    dense: Tensor
    grid: tuple[int, ...]
    modality: Modality


@runtime_checkable
class Encoder(Protocol):
    """A frozen joint encoder. Every method is differentiable from the media tensor to the embedding.

    fingerprints: of the weights of towers that can change while the space stays the same; none for the others.
    towers: what embeds each modality. Each may be on a device of its own; media are taken there from wherever they are.
    """

    space: Space
    modalities: frozenset[Modality]
    towers: Mapping[Modality, nn.Module]
    fingerprints: Mapping[Modality, str]

    def text(self, texts: list[str]) -> Embedding:
        """Embed B phrases."""

    def image(self, pixels: Tensor) -> Embedding:
        """Embed pixels [B, 3, H, W] in 0..1; any size, resized inside."""

    def audio(self, wave: Tensor, rate: int) -> Embedding:
        """Embed wave [B, C, T] in -1..1 at `rate` Hz; resampled and mixed down inside."""

    def video(self, frames: Tensor, fps: float) -> Embedding:
        """Embed frames [B, T, 3, H, W] in 0..1 at `fps` frames a second."""
