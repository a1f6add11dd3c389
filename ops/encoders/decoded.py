"""Embedding media as a generator decodes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ..space import Modality
from .protocol import Embedding, Encoder


class Rated(Protocol):
    """The part of a Generator that says what its media are: audio has a rate in Hz, video an fps."""

    modality: Modality


@dataclass(frozen=True)
class Played:
    """What remains to be known of a generator's media when it is gone. rate: in Hz, of audio; fps: of video."""

    modality: Modality
    rate: int | None = None
    fps: float | None = None

    @classmethod
    def by(cls, generator: Rated) -> Played:
        """As a generator makes them."""
        return cls(generator.modality, getattr(generator, "rate", None), getattr(generator, "fps", None))


def embed(encoder: Encoder, generator: Rated, media: Tensor) -> Embedding:
    """The embedding of a batch of media as `generator` decodes them."""
    if generator.modality == "image":
        return encoder.image(media)
    if generator.modality == "audio":
        return encoder.audio(media, generator.rate)
    return encoder.video(media, generator.fps)
