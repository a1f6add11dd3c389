"""Whether arithmetic did what its signs say: the words that should go, come and stay, before it and after."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..concept import Concept
from ..encoders.protocol import Embedding
from ..parser import parse
from ..syntax import Coded, Edit, Feature, Join, Media, Meet, Name, Node, Phrase, Scale, Slerp, Sum, to_text
from .judgement import Court
from .score import score
from .verdict import Change, Verdict, edited, not_judged

Leaf = Phrase | Name | Media | Feature


@dataclass(frozen=True)
class EditSuccess:
    """The changes of an edit with their verdict.

    judge: id of the space that they were measured in, never the one of the edit.
    base: what they are measured against, as an expression; base_is: a render of it, or only its own embedding, which is at the
    top of its own percentile and flatters what is kept.
    left_out: parts that the judge cannot read.
    """

    verdict: Verdict
    judge: str | None = None
    base: str | None = None
    base_is: str | None = None
    changes: tuple[Change, ...] = ()
    left_out: tuple[str, ...] = ()

    def mean(self, role: str) -> float | None:
        """Mean change of percentile, -1..1, of the words of a role; None without any."""
        found = [change.change for change in self.changes if change.role == role]
        return sum(found) / len(found) if found else None


def signed(node: Node, weight: float = 1.0) -> Iterator[tuple[Leaf, float]]:
    """An expression's leaves in the order written, with the weight that each has in the whole; what has none is left out.

    Of both sides of `|` and `&` there shall be more, of what `without` and `erased` switch off less; of what `scaled` touches
    more or less as its factor is over or under 1.
    """
    match node:
        case Scale(factor, of):
            yield from signed(of, weight * factor)
        case Sum(terms):
            for term in terms:
                yield from signed(term, weight)
        case Slerp(a, b, t):
            yield from signed(a, weight * (1 - t))
            yield from signed(b, weight * t)
        case Join(a, b) | Meet(a, b):
            yield from signed(a, weight)
            yield from signed(b, weight)
        case Edit(_, a, b, factor):
            yield from signed(a, weight)
            yield from signed(b, weight * ((0.0 if factor is None else factor) - 1))
        case Coded(of, _, _):
            yield from signed(of, weight)
        case _ if weight:
            yield node, weight


def roles(expression: str) -> list[tuple[str, Leaf]]:
    """(role, leaf) of each different leaf: the first with a positive weight is what is kept, the others are added or removed.

    A leaf that stands in it several times has the sum of its weights. Nothing for an expression that edits nothing: of a single
    leaf, or without a positive one. ExpressionError for a mistake in it.
    """
    weights: dict[Leaf, float] = {}
    for leaf, weight in signed(parse(expression)):
        weights[leaf] = weights.get(leaf, 0.0) + weight
    told, kept = [], False
    for leaf, weight in weights.items():
        if abs(weight) < 1e-9:
            continue
        told.append(("removed" if weight < 0 else "added" if kept else "kept", leaf))
        kept = kept or weight > 0
    return told if kept and len(told) > 1 else []


def edit_success(
    court: Court, expression: str, seen: Embedding, base: Embedding | None = None, base_dir: str | os.PathLike | None = None
) -> EditSuccess | None:
    """What an edit did to its words in the eyes of a judge; None for an expression that edits nothing.

    seen: the render of the whole, as the judge sees it (`Court.see`). base: the same of a render, made in the same way, of what is
    kept (`roles`); without one, the embedding of that itself stands for it.
    """
    parts = roles(expression)
    if not parts:
        return None
    read: dict[Leaf, Concept] = {}
    left_out = []
    for _, leaf in parts:
        try:
            read[leaf] = court.read(leaf.name if isinstance(leaf, Feature) else to_text(leaf), base_dir)
        except ValueError as error:
            left_out.append(f"{to_text(leaf)}: {str(error).partition(chr(10))[0]}")
    first = next(leaf for role, leaf in parts if role == "kept")
    told = [(role, leaf) for role, leaf in parts if leaf in read]
    if not any(role != "kept" for role, _ in told) or (base is None and first not in read):
        return EditSuccess(not_judged("the judge cannot read " + "; ".join(left_out), "write the expression in words"), left_out=tuple(left_out))
    after = court.direction(seen)
    before = read[first].direction if base is None else court.direction(base)
    changes = tuple(Change(role, to_text(leaf), _percentile(court, read[leaf], before), _percentile(court, read[leaf], after)) for role, leaf in told)
    kind = "its own embedding" if base is None else "a render of it"
    return EditSuccess(edited(changes), court.encoder.space.id, to_text(first), kind, changes, tuple(left_out))


def _percentile(court: Court, word: Concept, direction: Tensor) -> float:
    _, rivals = court.bank.rivals(word)
    cosines = torch.cat([word.direction[None], rivals]) @ direction
    return score(cosines[0], cosines[1:]).percentile
