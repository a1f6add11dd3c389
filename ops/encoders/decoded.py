"""Embedding media as a generator decodes them."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from ..space import Modality
from .protocol import Embedding, Encoder


class Rated(Protocol):
    """The part of a Generator that says what its media are: audio has a rate in Hz, video an fps."""

    modality: Modality


def embed(encoder: Encoder, generator: Rated, media: Tensor) -> Embedding:
    """The embedding of a batch of media as `generator` decodes them."""
    if generator.modality == "image":
        return encoder.image(media)
    if generator.modality == "audio":
        return encoder.audio(media, generator.rate)
    return encoder.video(media, generator.fps)
