"""How often the card's intervals hold the truth, by simulation: percentiles over seeds, rates, and balanced accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from ..ops.evaluate.intervals import Interval, balanced_interval, percentile_interval, wilson

RIVALS, ENDLESS = 600, 400_000
SEEDS = (3, 5, 10)
STANDING = ((0.0, 0.5), (1.0, 0.5), (2.0, 0.5), (3.0, 0.5))
"""(mean, deviation over seeds) of how far a target stands above its rivals, in their deviations: from chance to near the top."""
RATES = (0.1, 0.3, 0.5, 0.8, 0.95)
SIDES = ((0.9, 0.7, 60), (0.97, 0.98, 70), (0.5, 0.5, 40))
"""(rate of one side, of the other, items a side) of a probe held out."""


def figures(quick: bool) -> dict[str, float]:
    """interval_coverage: mean over all that is simulated, .95 being right; interval_coverage_low: the lowest; and by kind.

    interval_absent: share of repetitions that have no interval for percentiles, as all of them are at the top; not counted.
    """
    times, rng = 500 if quick else 4000, torch.Generator().manual_seed(0)
    cells: dict[str, list[float]] = {"percentile": [], "rate": [], "balanced": []}
    absent = []
    for mean, deviation in STANDING:
        truth = float(_logits(_percentiles(mean, deviation, ENDLESS, rng)).mean())
        for n in SEEDS:
            drawn = _percentiles(mean, deviation, times * n, rng).view(times, n)
            found = [percentile_interval(row, RIVALS) for row in drawn.tolist()]
            there = [interval for interval in found if interval]
            absent.append(1 - len(there) / times)
            cells["percentile"].append(_share(there, 1 / (1 + math.exp(-truth))))
    for rate in RATES:
        for n in (5, 10, 40):
            hits = torch.rand(times, n, generator=rng).lt(rate).sum(1).tolist()
            cells["rate"].append(_share((wilson(hit, n) for hit in hits), rate))
    for one, other, n in SIDES:
        hits = [torch.rand(times, n, generator=rng).lt(rate).sum(1).tolist() for rate in (one, other)]
        found = (balanced_interval((a, n), (b, n)) for a, b in zip(*hits))
        cells["balanced"].append(_share(found, (one + other) / 2))
    every = [share for shares in cells.values() for share in shares]
    by_kind = {f"interval_coverage_{kind}": sum(shares) / len(shares) for kind, shares in cells.items()}
    return {
        "interval_coverage": sum(every) / len(every), "interval_coverage_low": min(every), **by_kind, "interval_absent": sum(absent) / len(absent),
    }  # fmt: skip


def _percentiles(mean: float, deviation: float, count: int, rng: torch.Generator) -> torch.Tensor:
    """[count] of targets that stand so far above normal rivals: how many of those are below is binomial."""
    standing = mean + deviation * torch.randn(count, generator=rng)
    below = torch.binomial(torch.full((count,), float(RIVALS)), torch.special.ndtr(standing), generator=rng)
    return (1 + below) / (RIVALS + 1)


def _logits(percentiles: torch.Tensor) -> torch.Tensor:
    return torch.logit(percentiles.double() - 0.5 / (RIVALS + 1))


def _share(intervals: Iterable[Interval], truth: float) -> float:
    held = [interval.low <= truth <= interval.high for interval in intervals]
    return sum(held) / len(held)
