"""Objectives as values: they measure, add, scale and describe themselves.

The idea of objectives that compose as values is Lucid's (tensorflow/lucid, optvis/objectives.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Measure(NamedTuple):
    """What an objective says about a batch of B subjects.

    loss: [B], to be made small, differentiable.
    metrics: name -> [B], detached; for people to read, never optimised.
    """

    loss: Tensor
    metrics: dict[str, Tensor]


@dataclass(frozen=True)
class Moment:
    """When in a run a measurement is made, and the run's randomness.

    progress: 0 at the first step, 1 at the last.
    rng: the run's one CPU generator.
    latent: [B, ...], what the media were decoded from, for terms that look at it; None where there is none.
    """

    progress: float
    rng: torch.Generator
    latent: Tensor | None = None


@dataclass(frozen=True)
class Objective:
    """A described function from a subject (media, or an `Embedding`) at a `Moment` to a `Measure`.

    `a + b` sums the losses and keeps the metrics of both; a name that both use gets a number
    ("cosine", "cosine 2"). `0.5 * a` scales the loss and leaves the metrics alone, so a term
    scaled by 0 is watched without being optimised.
    """

    description: str
    measure: Callable[[Any, Moment], Measure]

    def __call__(self, subject: Any, moment: Moment) -> Measure:
        return self.measure(subject, moment)

    def __add__(self, other: Objective) -> Objective:
        if not isinstance(other, Objective):
            return NotImplemented

        def measure(subject: Any, moment: Moment) -> Measure:
            mine, theirs = self(subject, moment), other(subject, moment)
            return Measure(mine.loss + theirs.loss, _united(mine.metrics, theirs.metrics))

        return Objective(f"{self.description} + {other.description}", measure)

    def __mul__(self, factor: float) -> Objective:
        if not isinstance(factor, Real):
            return NotImplemented

        def measure(subject: Any, moment: Moment) -> Measure:
            loss, metrics = self(subject, moment)
            return Measure(factor * loss, metrics)

        return Objective(f"{float(factor):g} * ({self.description})", measure)

    __rmul__ = __mul__


def _united(first: dict[str, Tensor], second: dict[str, Tensor]) -> dict[str, Tensor]:
    united = dict(first)
    for name, value in second.items():
        stem, count = name, 1
        while name in united:
            count += 1
            name = f"{stem} {count}"
        united[name] = value
    return united
