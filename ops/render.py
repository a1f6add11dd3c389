"""One render: a concept, a generator and a track, from the seeded latent to media with its history."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from .centring import off_centre, say_once
from .concept import Concept
from .encoders.protocol import Embedding, Encoder
from .generators.protocol import Generator
from .interpret.readout import readout
from .objective.alignment import Weights, alignment
from .optimise import Schedule, Step, optimise
from .priors.flair import Flair
from .priors.none import NoPrior
from .space import Modality

Track = Literal["honest", "natural"]
TRACKS: tuple[Track, ...] = ("honest", "natural")
Reading = list[tuple[str, float]]
RESTART = 0.6
"""Noise level laid over a given starting latent: what it shows as a whole is kept, and its parts can still change."""


@dataclass(frozen=True)
class Settings:
    """How a render is made, apart from the concept and the seed.

    levels: noise levels of the prior's sweep; 0 for no prior. crops: looks at the media per step.
    weights: of the terms of the objective. words: how many a reading has.
    """

    schedule: Schedule
    levels: int
    crops: int
    weights: Weights = Weights()
    words: int = 6


@dataclass(frozen=True)
class Render:
    """What came of it.

    media: image [3, H, W] or video [T, 3, H, W] in 0..1, audio [1, T] in -1..1, on the CPU.
    latent: [1, ...] that decodes to it. cosine: of the finished media with the concept, centred.
    trajectory: each step's loss and metrics. looks: previews as media, with the step and the words read from it; the
    last is the finished media.
    """

    modality: Modality
    track: Track
    media: Tensor
    latent: Tensor
    cosine: float
    trajectory: list[dict[str, float]]
    looks: list[tuple[int, Tensor, Reading]]
    settings: dict[str, Any]
    seconds: float


def render(
    concept: Concept,
    encoder: Encoder,
    generator: Generator,
    track: Track,
    settings: Settings,
    seed: int,
    watch: Callable[[Step], None] = lambda step: None,
    start: Tensor | None = None,
) -> Render:
    """Render a concept; `watch` is shown every step.

    start: a latent [1, ...] to begin with in place of the seed's noise; a prior then begins at the noise level `RESTART`.
    Raises what `optimise` raises, and ValueError for a zero concept.
    """
    concept.space.require(encoder.space)
    if problem := off_centre(concept.space, concept.modalities | {generator.modality}):
        say_once(problem)
    began = time.monotonic()
    objective = alignment(concept, encoder, generator, settings.weights, settings.crops, seed)
    prior = Flair(generator, settings.levels, 1.0 if start is None else RESTART) if settings.levels else NoPrior()
    reader = lambda media: readout(embed(encoder, generator, media), encoder.space, settings.words)  # noqa: E731
    trajectory, looks, step = [], [], None
    for step in optimise(generator, objective, prior, settings.schedule, seed, reader, start):
        trajectory.append({"step": step.index, "loss": step.loss, **step.metrics})
        if step.preview is not None:
            looks.append((step.index, finished(step.preview, generator.modality), step.reading))
        watch(step)
    with torch.no_grad():
        media = finished(generator.decode(step.best), generator.modality)
        embedding = embed(encoder, generator, media[None].to(step.best))
    direction = encoder.space.centre(embedding.pooled, embedding.modality)[0]
    cosine = float(torch.cosine_similarity(direction, concept.direction.to(direction), dim=0))
    looks[-1] = (step.index, media, readout(embedding, encoder.space, settings.words))
    described = asdict(settings) | {"objective": objective.description, "prior": type(prior).__name__}
    seconds = time.monotonic() - began
    return Render(generator.modality, track, media, step.best, cosine, trajectory, looks, described, seconds)


@torch.no_grad()
def embed(encoder: Encoder, generator: Generator, media: Tensor) -> Embedding:
    """The embedding of a batch of media as `generator` decodes them."""
    if generator.modality == "image":
        return encoder.image(media)
    if generator.modality == "audio":
        return encoder.audio(media, generator.rate)
    return encoder.video(media, generator.fps)


def finished(media: Tensor, modality: Modality) -> Tensor:
    """The first of a batch as it is shown: pictures clamped to 0..1, sounds brought below full scale, on the CPU."""
    media = media[0].detach().float().cpu()
    if modality == "audio":
        return media / media.abs().max().clamp_min(1.0)
    return media.clamp(0, 1)
