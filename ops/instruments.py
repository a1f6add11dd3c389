"""Numbers that say whether a render can be believed, and sentences for those that say that it cannot."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .concept import Concept
from .encoders.decoded import embed
from .encoders.protocol import Embedding, Encoder
from .generators.protocol import Generator
from .signal import RATE
from .space import Modality, Space
from .spectrum import slope
from .wear import worn

CLIPPED = 0.05
"""How far, as a share of the range, a value must lie beyond it to count. The pocket's decoder overshoots white grounds: of
24 held-out pictures, 4 % of the values lie beyond by 0.01, .1 % (one in twenty pictures: .4 %) by this; of noise, 8 %."""
MATCHED = 0.05
"""A cosine below which there is no match for a share of it to mean anything."""
NATURAL_NORM = (0.6, 1.15)
NATURAL_SLOPE = (-4.0, -1.5)
TRIP = 0.15
"""What those pictures have, one in twenty beyond at either side: norm .65 to 1.03, slope -3.6 to -2.9, round trip .05 to .11
(noise: .29). Photographs have a slope near -2."""


@dataclass(frozen=True)
class Judge:
    """An encoder that a render was not optimised with, and the same target in its own space.

    SpaceMismatch for a concept of another space, ValueError for a space without a vocabulary: there is nothing that the target
    could stand out from.
    """

    encoder: Encoder
    concept: Concept

    def __post_init__(self) -> None:
        self.concept.space.require(self.encoder.space)
        if self.encoder.space.vocabulary is None:
            raise ValueError(f"the judge's space '{self.encoder.space.id}' has no vocabulary, expected one for the target to stand out from")

    def require_apart(self, encoder: Encoder, modality: Modality) -> None:
        """ValueError for a judge of the same encoder, which would measure nothing, and for one that cannot see the medium."""
        encoder.space.require_judge(self.encoder.space)
        if modality not in self.encoder.modalities:
            raise ValueError(f"the judge '{self.encoder.space.id}' embeds {', '.join(sorted(self.encoder.modalities))}, and the medium is {modality}")


@dataclass(frozen=True)
class Instruments:
    """Readings of one render; None for what cannot be measured there.

    robust: cosine with the target when worn (see `worn`), -1..1. robust_drop: the share of the cosine that is lost by it;
    None where there was no match to lose. held_out_gap: how much better the render does with the encoder that it was
    optimised with than with another one; each is in standard deviations of that encoder's cosines of the render with its
    vocabulary's words. clipped: share of values beyond the medium's range by more than `CLIPPED`, 0..1.
    norm: |z| / sqrt(d). round_trip: |E(D(z)) - z| / |z|, of generators that encode. leakage: cosine with the target of what
    the prior makes alone from the same seed, as a share of the render's, 0 or more; of renders with a prior.
    slope: of the spectrum (see `slope`). alarms: a sentence for each number that is out of bounds; the bounds are rules of
    thumb, see `alarms`.
    """

    robust: float
    robust_drop: float | None
    held_out_gap: float | None
    clipped: float
    norm: float
    round_trip: float | None
    leakage: float | None
    slope: float | None
    alarms: tuple[str, ...] = ()


@torch.no_grad()
def measure(
    latent: Tensor, concept: Concept, encoder: Encoder, generator: Generator, judge: Judge | None = None, alone: float | None = None
) -> Instruments:
    """Read one render: latent [1, ...], rendered for `concept` with `encoder`.

    judge: another encoder with the target in its space. alone: the cosine of what the prior makes without an objective.
    ValueError for a judge that says nothing here (`Judge.require_apart`).
    """
    modality = generator.modality
    raw = generator.decode(latent)
    media = fitted(raw, modality)
    direction = concept.direction
    clean, robust = (float(cosines(x, direction, encoder, generator)) for x in (media, weathered(media, generator)))
    gap = None
    if judge is not None:
        judge.require_apart(encoder, modality)
        gap = standing(media, concept, encoder, generator) - standing(media, judge.concept, judge.encoder, generator)
    trip = float((generator.encode(media) - latent).norm() / latent.norm()) if hasattr(generator, "encode") else None
    read = Instruments(
        robust=robust,
        robust_drop=(clean - robust) / clean if clean > MATCHED else None,
        held_out_gap=gap,
        clipped=clipped(raw, modality),
        norm=float(latent.square().mean().sqrt()),
        round_trip=trip,
        leakage=max(alone, 0.0) / clean if alone is not None and clean > MATCHED else None,
        slope=slope(media[0], modality),
    )
    return Instruments(**{**vars(read), "alarms": alarms(read, modality)})


def alarms(read: Instruments, modality: Modality) -> tuple[str, ...]:
    """What is out of bounds, a sentence each."""
    told = []
    if read.robust_drop is not None and read.robust_drop > 0.3:
        told.append(f"A slight blur and crop takes {read.robust_drop:.0%} of the match away: part of it may be a pattern that only the encoder sees.")
    if read.clipped > 0.02:
        done = "the whole was made quieter" if modality == "audio" else "they were cut off"
        told.append(f"{read.clipped:.0%} of the values lie beyond the range: {done}.")
    if read.leakage is not None and read.leakage > 0.5:
        told.append(f"The prior alone reaches {read.leakage:.0%} of the match: much of what is seen may be its own and not the target's.")
    # What a sound's latent and spectrum are like depends on the sound: of sounds that the pocket's prior makes of "bell",
    # "rain" and "dog", norms run from .8 to 1.9, round trips through the recovered phase from .05 to .5, slopes from -.2 to 2.
    if modality == "audio":
        return tuple(told)
    low, high = NATURAL_NORM
    if not low <= read.norm <= high:
        told.append(f"The latent's values have a root mean square of {read.norm:.2f}: {'over-smooth' if read.norm < low else 'overdriven'}.")
    if read.round_trip is not None and read.round_trip > TRIP:
        told.append(f"Encoded again, the latent is off by {read.round_trip:.0%}: it is not one that real media have.")
    low, high = NATURAL_SLOPE
    if read.slope is not None and not low <= read.slope <= high:
        told.append(f"The spectrum falls with slope {read.slope:.1f}: {'static' if read.slope > high else 'too smooth'}.")
    return tuple(told)


def bounds(modality: Modality) -> tuple[float, float]:
    """The range of a medium's values."""
    return (-1.0, 1.0) if modality == "audio" else (0.0, 1.0)


def fitted(media: Tensor, modality: Modality) -> Tensor:
    """Media [B, ...] brought into their range, as they are shown: pictures and clips cut off, sounds made quieter as a whole."""
    if modality == "audio":
        return media / media.abs().amax((-2, -1), keepdim=True).clamp_min(1.0)
    return media.clamp(*bounds(modality))


def weathered(media: Tensor, generator: Generator) -> Tensor:
    """Media [B, ...] as `generator` decodes them, worn (see wear.py)."""
    return worn(media, generator.modality, getattr(generator, "rate", RATE))


def clipped(media: Tensor, modality: Modality) -> float:
    """Share of values further beyond the medium's range than `CLIPPED` of it, 0..1."""
    low, high = bounds(modality)
    margin = CLIPPED * (high - low)
    return float(((media < low - margin) | (media > high + margin)).float().mean())


def cosines(media: Tensor, direction: Tensor, encoder: Encoder, generator: Generator) -> Tensor:
    """[B]: of media [B, ...] with a centred direction [D]."""
    return likeness(embed(encoder, generator, media), direction, encoder.space)


def likeness(embedding: Embedding, direction: Tensor, space: Space) -> Tensor:
    """[B]: cosines of an embedding, once centred, with a centred direction [D] of its space."""
    centred = space.centre(embedding.pooled, embedding.modality)
    return torch.cosine_similarity(centred, direction.to(centred)[None], dim=-1)


def standing(media: Tensor, concept: Concept, encoder: Encoder, generator: Generator) -> float:
    """How far above an encoder's words the target stands out in one medium [1, ...], in standard deviations of theirs."""
    embedding = embed(encoder, generator, media)
    centred = torch.nn.functional.normalize(encoder.space.centre(embedding.pooled, embedding.modality)[0].float().cpu(), dim=-1)
    words = encoder.space.word_directions.float().cpu() @ centred
    target = torch.nn.functional.normalize(concept.direction.float().cpu(), dim=-1) @ centred
    return float((target - words.mean()) / words.std())
