"""Reading a place in the space in words: the nearest of a vocabulary, and a phrase composed to lie as near as it can."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..concept import Concept
from ..encoders.protocol import Embedding, Encoder
from ..space import Space, finite

COMPOSED = "composed"
"""Stands for the track of a phrase, which has none."""
LONGEST = 3
BEAM = 4
NEAREST, MISSING = 48, 16


def readout(what: Tensor | Embedding | Concept, space: Space, k: int) -> list[tuple[str, float]]:
    """The k vocabulary words whose centred directions lie nearest, best first, with cosines in -1..1.

    what: a concept, an embedding of one medium, or a vector [D] in centred units.
    Raises SpaceMismatch for a concept of another space, ValueError for a zero vector, NaN, another shape or k < 1.
    """
    return space.nearest(_centred(what, space), k)


def spoken(reading: list[tuple[str, float]]) -> str:
    """The words of a reading, best first, separated by commas."""
    return ", ".join(word for word, _ in reading)


@dataclass(frozen=True)
class Composition:
    """A phrase search: the best phrase with its cosine, and per round the phrases that were kept, best first."""

    phrase: str
    score: float
    rounds: tuple[tuple[tuple[str, float], ...], ...]


@torch.no_grad()
def compose(what: Tensor | Embedding | Concept, encoder: Encoder) -> Composition:
    """The phrase of one to `LONGEST` words that the encoder's text tower puts nearest in direction, by beam search.

    The first round takes vocabulary entries. Every later one puts another entry before or behind each of the `BEAM` kept
    phrases: one of the `NEAREST` to the target, or of the `MISSING` nearest to what the phrase leaves of the target
    unsaid (the step of matching pursuit). A round that finds nothing better ends the search. Nothing is drawn at random.
    Arguments and errors as in `readout`.
    """
    space = encoder.space
    target = normalize(_centred(what, space), dim=0)
    near = [(text, score) for text, score in space.nearest(target, NEAREST) if len(text.split()) <= LONGEST]
    rounds = [tuple(near[:BEAM])]
    while True:
        kept = rounds[-1]
        directions = _directions([text for text, _ in kept], encoder)
        texts: dict[str, None] = {}
        for (text, _), direction in zip(kept, directions):
            unsaid = target - (target @ direction) * direction
            missing = space.nearest(unsaid, MISSING) if unsaid.norm() > 1e-3 else []
            said = text.split()
            for word, _ in (*near, *missing):
                more = word.split()
                if len(said) + len(more) <= LONGEST and not set(said) & set(more):
                    texts |= {f"{text} {word}": None, f"{word} {text}": None}
        if not texts:
            break
        scores = _directions(list(texts), encoder) @ target
        best = scores.topk(min(BEAM, len(texts)))
        found = tuple((list(texts)[i], score) for score, i in zip(best.values.tolist(), best.indices.tolist()))
        if found[0][1] <= kept[0][1]:
            break
        rounds.append(found)
    return Composition(*rounds[-1][0], tuple(rounds))


def _directions(texts: list[str], encoder: Encoder) -> Tensor:
    pooled = encoder.text(texts).pooled.float().cpu()
    return normalize(encoder.space.centre(pooled, "text"), dim=-1)


def _centred(what: Tensor | Embedding | Concept, space: Space) -> Tensor:
    if isinstance(what, Concept):
        space.require(what.space)
        return what.direction
    if isinstance(what, Embedding):
        if what.pooled.shape[0] != 1:
            raise ValueError(f"the embedding holds {what.pooled.shape[0]} media, expected one")
        what = space.centre(what.pooled[0], what.modality)
    return finite(what.detach().float().cpu(), "vector")
