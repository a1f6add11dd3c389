"""Arithmetic on dense vectors [..., D] in centred units, and on codes. Nothing is normalised on the way: only slerp leaves
the linear world, and it works on unit directions.

A code here is a pair of nonnegative rows [2, m]: how much of each feature is there, and how much is taken away beyond
that (its leftovers). A code is settled when no feature is in both rows; `union` and `mixed` keep the two apart, so that a feature
can be there and resisted at once, until a sum that brings more of it settles it."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

ZERO = 1e-6
"""Length, in centred units (an ordinary concept is about 1 long), under which a vector has no direction: what float32
rounding leaves of a difference that should be nothing."""


def add(a: Tensor, b: Tensor) -> Tensor:
    """a + b."""
    return a + b


def scale(a: Tensor, weight: float) -> Tensor:
    """weight * a. Raises ValueError for a weight that is not finite."""
    return a * _finite_weight(weight)


def lerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """(1 - t) * a + t * b, exact at both ends; t in 0..1, ValueError outside."""
    _fraction(t)
    return (1 - t) * a + t * b


def union(a: Tensor, b: Tensor) -> Tensor:
    """What is in either of two codes, as much as in the one that has more: the larger of each amount."""
    return torch.maximum(a, b)


def meet(a: Tensor, b: Tensor) -> Tensor:
    """What two codes have in common: the smaller of each amount."""
    return torch.minimum(a, b)


def negated(a: Tensor) -> Tensor:
    """The code with what is there and what is taken away exchanged."""
    return a.flip(0)


def summed(a: Tensor, b: Tensor) -> Tensor:
    """a + b of two codes, settled where both have a feature: what is taken away is set against what is there, and the rest stays
    in its row. A feature that only one side has stays as it is, settled or not.

    Of settled codes, summed(a, negated(b)) is therefore the truncated difference relu(a - b) in its first row, and in its second
    the leftovers that make (a - b) + b = a. Of others the sum is commutative, but not associative.
    """
    total = a + b
    return torch.where((a > 0).any(0) & (b > 0).any(0), total - total.amin(0), total)


def weighed(a: Tensor, weight: float) -> Tensor:
    """weight * a of a code; a negative weight exchanges its rows. ValueError for a weight that is not finite."""
    return a * _finite_weight(weight) if weight >= 0 else negated(a) * -_finite_weight(weight)


def mixed(a: Tensor, b: Tensor, wa: float, wb: float) -> Tensor:
    """wa * a + wb * b of two codes row by row, for weights of 0 and more: nothing cancels, so what it decodes to is linear."""
    return wa * a + wb * b


def direction(a: Tensor) -> Tensor:
    """The unit vector along a [..., D]. Raises ValueError when a vector is shorter than `ZERO`."""
    if (a.norm(dim=-1) < ZERO).any():
        raise ValueError("a zero vector has no direction")
    return normalize(a, dim=-1)


def slerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """The unit vector a fraction t of the way along the great circle from direction(a) [D] to direction(b) [D].

    Exact at both ends; t in 0..1. Raises ValueError outside that range, for a zero vector, and for opposite
    directions, between which no one great circle is shortest. Source: Shoemake 1985, "Animating rotation with
    quaternion curves".
    """
    u, v = direction(a), direction(b)
    wu, wv = slerp_weights(u, v, t)
    if t in (0, 1):
        return v if t else u
    return normalize(wu * u + wv * v, dim=-1)


def slerp_weights(u: Tensor, v: Tensor, t: float) -> tuple[float, float]:
    """The weights with which unit vectors u and v [D] add up to slerp(u, v, t). Errors as in `slerp`."""
    _fraction(t)
    # The arc cosine of u @ v loses half its digits for near vectors; this form does not (Kahan).
    apart, together = float((u - v).norm()), float((u + v).norm())
    if together < 1e-4:
        raise ValueError("slerp between opposite directions has no single path; add a third concept to one of them")
    angle = 2 * math.atan2(apart, together)
    if angle < 1e-4:
        return 1 - t, t
    return math.sin((1 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)


def _fraction(t: float) -> None:
    if not 0 <= t <= 1:
        raise ValueError(f"t is {t}, expected 0..1")


def _finite_weight(weight: float) -> float:
    if not math.isfinite(weight):
        raise ValueError(f"weight is {weight}, expected a finite number")
    return weight
