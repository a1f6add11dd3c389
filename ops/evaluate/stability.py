"""What stays the same when a render is made again from other seeds."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from .intervals import Interval, percentile_interval, wilson
from .score import Score

PERSISTENCE = 0.9
"""Rank-biased overlap: of a reader who goes on to the next rank with this probability; the first ten have .86 of the weight."""
DEPTH = 10


@dataclass(frozen=True)
class Stability:
    """Of n renders of one recipe from n seeds.

    cosine: mean over pairs of their centred embeddings' cosine, by the encoder `by`. overlap: mean over pairs of the rank-biased
    overlap of their ten strongest features, 0..1; None without features.
    percentiles: a judge's, by seed; percentile: their interval, None for fewer than three or where none differ. recognised: how
    many of them are among the first five, with Wilson's interval; None without a judge.
    """

    seeds: int
    by: str
    cosine: float
    overlap: float | None = None
    percentiles: tuple[float, ...] = ()
    percentile: Interval | None = None
    recognised: Interval | None = None


def stability(
    centred: Tensor, by: str, scores: Sequence[Score] = (), features: Sequence[Sequence[Hashable]] = ()
) -> Stability:
    """The stability of n >= 2 renders: centred embeddings [n, D], a judge's score and the strongest features of each.

    ValueError for fewer than two, or where scores or features are given and are not n.
    """
    n = len(centred)
    if centred.dim() != 2 or n < 2:
        raise ValueError(f"embeddings have shape {tuple(centred.shape)}, expected [n, D] of two seeds or more")
    for name, given in (("scores", scores), ("features", features)):
        if given and len(given) != n:
            raise ValueError(f"{len(given)} {name} for {n} seeds, expected one of each")
    rows = normalize(centred.detach().float().cpu(), dim=-1)
    pairs = list(combinations(range(n), 2))
    cosine = float(torch.stack([rows[i] @ rows[j] for i, j in pairs]).mean())
    overlap = sum(rank_biased_overlap(features[i][:DEPTH], features[j][:DEPTH]) for i, j in pairs) / len(pairs) if features else None
    if not scores:
        return Stability(n, by, cosine, overlap)
    percentiles = tuple(found.percentile for found in scores)
    interval = percentile_interval(percentiles, min(found.count for found in scores))
    return Stability(n, by, cosine, overlap, percentiles, interval, wilson(sum(found.top5 for found in scores), n))


def rank_biased_overlap(a: Sequence[Hashable], b: Sequence[Hashable], p: float = PERSISTENCE) -> float:
    """How much two rankings agree, 0..1, their heads weighing most: RBO, extrapolated as if each went on as it agreed so far.

    Webber, Moffat and Zobel 2010, "A similarity measure for indefinite rankings", equation 32; rankings may differ in length.
    Two empty ones are the same. ValueError for p outside 0..1, and for a ranking that has something twice.
    """
    if not 0 < p < 1:
        raise ValueError(f"p is {p}, expected more than 0 and less than 1")
    if len(set(a)) < len(a) or len(set(b)) < len(b):
        raise ValueError("a ranking holds something twice")
    short, long = sorted((list(a), list(b)), key=len)
    s, length = len(short), len(long)
    if not s:
        return float(not length)
    shared = [len(set(short[:depth]) & set(long[:depth])) for depth in range(1, length + 1)]
    agreed = sum(x / depth * p**depth for depth, x in enumerate(shared, 1))
    # beyond the shorter one's end, it is taken to go on agreeing as it did there
    assumed = sum(shared[s - 1] * (depth - s) / (s * depth) * p**depth for depth in range(s + 1, length + 1))
    rest = ((shared[-1] - shared[s - 1]) / length + shared[s - 1] / s) * p**length
    return (1 - p) / p * (agreed + assumed) + rest
