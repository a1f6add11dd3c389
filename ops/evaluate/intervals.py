"""Confidence intervals for few repetitions: of means, of rates, and of percentiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEVEL = 0.95
FEWEST = 3
"""Repetitions from which there is an interval: of two, it would be six times as wide as they are apart."""


@dataclass(frozen=True)
class Interval:
    """An estimate with the bounds that cover the truth in `LEVEL` of all repetitions of the whole experiment."""

    estimate: float
    low: float
    high: float


def mean_interval(values: Sequence[float], level: float = LEVEL) -> Interval | None:
    """Student's t interval of the mean of independent values; None for fewer than `FEWEST`, or when none of them differ.

    ValueError for NaN or infinity.
    """
    from scipy.special import stdtrit

    n = len(values)
    if not all(map(math.isfinite, values)):
        raise ValueError(f"values {list(values)} are not all finite")
    if n < FEWEST or min(values) == max(values):
        return None
    mean = math.fsum(values) / n
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    half = float(stdtrit(n - 1, (1 + level) / 2)) * math.sqrt(variance / n)
    return Interval(mean, mean - half, mean + half)


def percentile_interval(percentiles: Sequence[float], rivals: int, level: float = LEVEL) -> Interval | None:
    """An interval for percentiles (1 + below) / (rivals + 1): Student's for the mean of their logits, taken back.

    Percentiles crowd below 1, where a symmetric interval would leave the scale; their logits are nearly normal. Half a place is
    taken off, so that the highest has a logit. None for fewer than `FEWEST`, or when none of them differ, as when all
    are at the top. ValueError for one outside 0..1, and for fewer than one rival.
    """
    if rivals < 1 or not all(0 < p <= 1 for p in percentiles):
        raise ValueError(f"percentiles {list(percentiles)} among {rivals} rivals, expected them above 0 and up to 1, and a rival or more")
    places = [p - 0.5 / (rivals + 1) for p in percentiles]
    found = mean_interval([math.log(p / (1 - p)) for p in places], level)
    return found and Interval(*(1 / (1 + math.exp(-x)) for x in (found.estimate, found.low, found.high)))


def wilson(hits: int, count: int, level: float = LEVEL) -> Interval:
    """Wilson's score interval of a rate (Wilson 1927, J. Am. Stat. Assoc. 22). ValueError unless 0 <= hits <= count > 0."""
    from scipy.special import ndtri

    if not 0 <= hits <= count or count < 1:
        raise ValueError(f"{hits} hits of {count}, expected 0 to count of them, and a count of 1 or more")
    z = float(ndtri((1 + level) / 2))
    rate = hits / count
    middle = (rate + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    # at the ends the bound is the rate itself, and rounding would leave it outside
    return Interval(rate, max(0.0, min(rate, middle - half)), min(1.0, max(rate, middle + half)))


def balanced_interval(first: tuple[int, int], second: tuple[int, int], level: float = LEVEL) -> Interval:
    """An interval for the mean of two independent rates, each (hits, count): balanced accuracy, of its two sides.

    The distances of the rates from their Wilson bounds are added in squares (MOVER: Zou and Donner 2008, Stat. Med. 27).
    """
    sides = [wilson(*side, level) for side in (first, second)]
    below, above = (math.hypot(*((getattr(s, end) - s.estimate) for s in sides)) / 2 for end in ("low", "high"))
    mean = (sides[0].estimate + sides[1].estimate) / 2
    return Interval(mean, mean - below, mean + above)
