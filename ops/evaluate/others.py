"""What a card says of a render beside others of its concept: from other seeds, and in other media."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import torch

from ..concept import Concept
from ..encoders.decoded import Played, embed
from ..encoders.protocol import Encoder
from ..generators.protocol import Generator
from ..render import Render
from ..space import SpaceMismatch
from .card import Card
from .cards import cards_of
from .distractors import Bank
from .judgement import Court
from .measure import card_of

SAME = 1e-3
"""How far from 1 the cosine of one concept with itself may come out, evaluated twice."""


class Known(Protocol):
    """A render with the concept and the generator that it was made from."""

    render: Render
    concept: Concept
    generator: Generator


def sorted_out(own: Known, others: Mapping[str, Known]) -> tuple[list[Known], list[Known]]:
    """(those of other seeds, those of other modalities); others: by the name that an error calls each by.

    ValueError for one of another space, concept or track, for one of the same modality that differs in more than its seed or has a
    seed that is there already, and for a second one of another modality.
    """
    names, again, media = {own.render.seed: "the render itself"}, [], {}
    for name, other in others.items():
        _require_same(own.concept, other.concept, name)
        made = other.render
        if made.track != own.render.track:
            raise ValueError(f"{name} is {made.track}, and the render {own.render.track}: connect renders of one track")
        if made.modality != own.render.modality:
            if made.modality in media:
                raise ValueError(f"{name} is the second {made.modality} render: connect one of each other kind of medium")
            media[made.modality] = other
            continue
        mine, its = _recipe(own), _recipe(other)
        if differing := [part for part in mine | its if mine.get(part) != its.get(part)]:
            raise ValueError(f"{name} differs from the render in its {', '.join(differing)}: connect the same render from another seed")
        if made.seed in names:
            raise ValueError(f"{name} has the seed {made.seed}, as {names[made.seed]} has: connect one from another seed")
        names[made.seed] = name
        again.append(other)
    return again, list(media.values())


@torch.no_grad()
def card_beside(
    own: Known, others: Mapping[str, Known], encoder: Encoder, bank: Bank, court: Court | None = None, base: Render | None = None
) -> Card:  # fmt: skip
    """The card of a render with its stability over seeds, where there are others, and its agreement with each other medium.

    encoder: what all of them were made with; its towers for each modality among them are at work. bank: of its space. base: as `card_of`,
    whose errors come too. Errors else as `sorted_out`.
    """
    encoder.space.require(own.concept.space)
    again, media = sorted_out(own, others)
    outputs = [(known.render, embed(encoder, known.generator, known.render.media[None]), Played.by(known.generator)) for known in (own, *again, *media)]
    code = own.concept.code.dictionary if own.concept.code else None
    card = cards_of(outputs, own.concept, encoder, bank, [court] if court else [], dictionary=code)[0]
    return card if base is None else replace(card, edit=card_of(own.render, own.concept, own.generator, court, base).edit)


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
    return {"generator": known.generator.id, **rest}
