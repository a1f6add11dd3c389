"""What a card says of a render beside others of its concept: from other seeds, and in other media."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch

from ..concept import Concept
from ..encoders.decoded import Played, embed
from ..encoders.protocol import Embedding, Encoder
from ..features.pursuit import Pursuit
from ..generators.protocol import Generator
from ..render import Render
from ..space import Modality, SpaceMismatch
from .agreement import Agreement
from .cards import agreed
from .distractors import Bank
from .judgement import Court
from .measure import stability_of
from .stability import Stability

SAME = 1e-3
"""How far from 1 the cosine of one concept with itself may come out, evaluated twice."""


class Known(Protocol):
    """A render with the concept and the generator that it was made from."""

    render: Render
    concept: Concept
    generator: Generator


def sorted_out(own: Known, others: Mapping[str, Known]) -> tuple[list[Render], dict[Modality, Known]]:
    """(renders of other seeds, the render of each other modality); others: by the name that an error calls each by.

    ValueError for one of another space or concept, for one of the same modality that differs in more than its seed or has a seed that
    is there already, and for a second one of another modality.
    """
    seeds, media, again = {own.render.seed: "the render itself"}, {}, []
    for name, other in others.items():
        _require_same(own.concept, other.concept, name)
        made = other.render
        if made.modality != own.render.modality:
            if made.modality in media:
                raise ValueError(f"{name} is the second {made.modality} render: connect one of each other kind of medium")
            media[made.modality] = other
            continue
        mine, its = _recipe(own), _recipe(other)
        if differing := [part for part in mine | its if mine.get(part) != its.get(part)]:
            raise ValueError(f"{name} differs from the render in its {', '.join(differing)}: connect the same render from another seed")
        if made.seed in seeds:
            raise ValueError(f"{name} has the seed {made.seed}, as {seeds[made.seed]} has: connect one from another seed")
        seeds[made.seed] = name
        again.append(made)
    return again, media


def beside(
    own: Known, others: Mapping[str, Known], encoder: Encoder, court: Court | None = None
) -> tuple[tuple[Agreement, ...], Stability | None]:
    """(its agreement with each other medium, its stability over seeds; None without other seeds), for `measure.card_of`.

    encoder: what all of them were made with; its towers for text and for each modality among them are at work. Features that
    stability compares are the concept's own, else words of the vocabulary. Errors as `sorted_out`.
    """
    encoder.space.require(own.concept.space)
    again, media = sorted_out(own, others)
    found, stable = [], None
    code = own.concept.code.dictionary if own.concept.code else None
    if media:
        outputs = {known.render.modality: _embedded(known, encoder) for known in (own, *media.values())}
        every = agreed(outputs, own.concept, encoder, Bank(encoder), [court] if court else [], dictionary=code)
        found = [each for each in every if own.render.modality in each.modalities]
    if again:
        stable = stability_of([own.render, *again], own.concept, encoder, own.generator, court, code or Pursuit(encoder.space))
    return tuple(found), stable


@torch.no_grad()
def _embedded(known: Known, encoder: Encoder) -> tuple[Render, Embedding, Played]:
    played = Played.by(known.generator)
    return known.render, embed(encoder, played, known.render.media[None]), played


def _require_same(own: Concept, other: Concept, name: str) -> None:
    try:
        own.space.require(other.space)
    except SpaceMismatch as error:
        raise ValueError(f"{name}: {error}") from error
    if str(own) != str(other):
        raise ValueError(f"{name} is of '{other}', and the render of '{own}': connect renders of one concept")
    if float(own.direction @ other.direction) < 1 - SAME:
        # a file behind the expression was changed in between, or a socket of it
        raise ValueError(f"{name} is of another '{other}' than the render: what the expression names has changed; render both again")


def _recipe(known: Known) -> dict[str, Any]:
    """All that a render is made by but its seed. The candidate that was kept is the seed's, and the objective follows from the rest."""
    rest = {part: value for part, value in known.render.settings.items() if part not in ("candidate", "objective")}
    return {"track": known.render.track, "generator": known.generator.id, **rest}
