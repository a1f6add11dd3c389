"""The tree of an expression (see expression.py): its nodes, its leaves, and how it is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from . import written
from .space import Modality
from .written import Written

MEDIA: tuple[Modality, ...] = ("image", "audio", "video")
EDITS = ("without", "erased", "scaled")


@dataclass(frozen=True)
class Phrase:
    """A word or phrase, to be embedded as text."""

    text: str


@dataclass(frozen=True)
class Name:
    """A concept given from outside under this name."""

    text: str


@dataclass(frozen=True)
class Media:
    """A file of a modality, its path as written."""

    modality: Modality
    path: str


@dataclass(frozen=True)
class Scale:
    """weight * of; never of another Scale, and the weight is never 1."""

    weight: float
    of: Node


@dataclass(frozen=True)
class Sum:
    """Two terms or more, added from the left; the first is never a Sum."""

    terms: tuple[Node, ...]


@dataclass(frozen=True)
class Slerp:
    """The great circle from a to b at t in 0..1."""

    a: Node
    b: Node
    t: float


@dataclass(frozen=True)
class Feature:
    """A dictionary's feature by its name."""

    name: str


@dataclass(frozen=True)
class Join:
    """a | b."""

    a: Node
    b: Node


@dataclass(frozen=True)
class Meet:
    """a & b."""

    a: Node
    b: Node


@dataclass(frozen=True)
class Edit:
    """One of `EDITS`: a with the features of b switched off, erased, or `factor` times as strong."""

    function: str
    a: Node
    b: Node
    factor: float | None = None


@dataclass(frozen=True)
class Coded:
    """The code, with this much of the residual, of what comes out densely, or of codes where that is `again`; never of a leaf
    with all of it, which has that code without it."""

    of: Node
    residual: float = 1.0
    again: bool = False


Node = Union[Phrase, Name, Media, Feature, Scale, Sum, Slerp, Join, Meet, Edit, Coded]
LEAVES = (Phrase, Name, Media, Feature)


def leaves(node: Node) -> list[Phrase | Name | Media | Feature]:
    """What an expression is made of, in the order written, repetitions included."""
    parts = _parts(node)
    return [leaf for part in parts for leaf in leaves(part)] if parts else [node]


def wants_codes(node: Node) -> bool:
    """Whether an expression can only be understood of codes: it holds `|`, `&`, a feature or an edit of features."""
    return isinstance(node, (Feature, Join, Meet, Edit, Coded)) or any(map(wants_codes, _parts(node)))


def _parts(node: Node) -> tuple[Node, ...]:
    match node:
        case Scale(_, of) | Coded(of):
            return (of,)
        case Sum(terms):
            return terms
        case Slerp(a, b) | Join(a, b) | Meet(a, b) | Edit(_, a, b):
            return a, b
    return ()


def to_text(node: Node) -> str:
    """The node as text, which `parse` reads back to an equal node."""
    return _written(node).text


def _written(node: Node) -> Written:
    match node:
        case Phrase(text):
            return written.phrase(text)
        case Name(text):
            return Written(text)
        case Media(modality, path):
            return written.media(modality, path)
        case Scale(weight, of):
            return written.product(weight, _written(of))
        case Sum((first, *others)):
            result = _written(first)
            for term in others:
                result = written.total(result, _written(term))
            return result
        case Slerp(a, b, t):
            return written.slerp(_written(a), _written(b), t)
        case Feature(name):
            return written.feature(name)
        case Join(a, b):
            return written.union(_written(a), _written(b))
        case Meet(a, b):
            return written.meet(_written(a), _written(b))
        case Coded(of, residual, again):
            return written.call("recoded" if again else "coded", _written(of), *(() if residual == 1 else (residual,)))
        case Edit(function, a, b, factor):
            return written.call(function, _written(a), _written(b), *(() if factor is None else (factor,)))
