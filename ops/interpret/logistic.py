"""Ridge logistic regression by Newton's method, and Platt's calibration of what it scores."""

from __future__ import annotations

import torch
from torch import Tensor

STEPS, FLAT = 100, 1e-9


def logistic(x: Tensor, target: Tensor, weight: Tensor, ridge: float) -> tuple[Tensor, float]:
    """(w [D], b) float64 that minimise sum_i weight_i * cross entropy(target_i, sigmoid(x_i @ w + b)) + ridge / 2 * |w|^2.

    x: [N, D] on the CPU. target: [N] in 0..1, soft ones too. weight: [N], positive. ridge: above 0; b is not drawn to zero.
    w lies in the span of the rows, so that Newton's steps are taken in N dimensions or fewer; a step that would not lower the
    loss is halved. ValueError for shapes that do not fit, NaN, and a ridge that is not positive.
    """
    if x.dim() != 2 or target.shape != x.shape[:1] or weight.shape != x.shape[:1] or not len(x):
        raise ValueError(f"rows {tuple(x.shape)}, targets {tuple(target.shape)} and weights {tuple(weight.shape)}, expected [N, D], [N] and [N]")
    if not (ridge > 0 and torch.isfinite(x).all() and (0 <= target).all() and (target <= 1).all() and (weight > 0).all()):
        raise ValueError("expected finite rows, targets in 0..1, and positive weights and ridge")
    rows, y, c = x.double(), target.double(), weight.double()
    u, s, vt = torch.linalg.svd(rows, full_matrices=False)
    z = torch.cat([u * s, torch.ones(len(rows), 1, dtype=torch.float64)], dim=1)
    drawn = torch.full((z.shape[1],), ridge, dtype=torch.float64)
    # the intercept is only kept from running off where nothing holds it
    drawn[-1] = FLAT
    at = torch.zeros(z.shape[1], dtype=torch.float64)

    def loss(at: Tensor) -> float:
        scores = z @ at
        return float((c * (torch.nn.functional.softplus(scores) - y * scores)).sum() + (drawn * at.square()).sum() / 2)

    now = loss(at)
    for _ in range(STEPS):
        p = torch.sigmoid(z @ at)
        gradient = z.T @ (c * (p - y)) + drawn * at
        if gradient.abs().max() < FLAT:
            break
        step = torch.linalg.solve(z.T @ ((c * p * (1 - p))[:, None] * z) + torch.diag(drawn), gradient)
        share = 1.0
        while (then := loss(at - share * step)) > now and share > 1e-10:
            share /= 2
        at, now = at - share * step, then
    return vt.T @ at[:-1], float(at[-1])


def platt(scores: Tensor, positive: Tensor) -> tuple[float, float]:
    """(slope, offset) with which sigmoid(slope * score + offset) is the probability of being positive, at even odds.

    scores: [N], held out. positive: [N] bool, some of both. Targets are drawn in from 0 and 1 by as much as the counts leave unsure
    (Platt 1999, "Probabilistic outputs for support vector machines"), so that separable scores have a finite slope.
    """
    ours, theirs = int(positive.sum()), int((~positive).sum())
    if not ours or not theirs:
        raise ValueError(f"{ours} positive and {theirs} negative scores, expected some of both")
    target = torch.where(positive, (ours + 1) / (ours + 2), 1 / (theirs + 2))
    # a score of no spread would leave the slope free
    slope, offset = logistic(scores[:, None], target, even(positive), ridge=1e-6)
    return float(slope[0]), offset


def even(positive: Tensor) -> Tensor:
    """[N] weights under which both sides count the same, N in all."""
    share = positive.double().mean()
    return torch.where(positive, 0.5 / share, 0.5 / (1 - share))
