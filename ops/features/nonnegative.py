"""Nonnegative least squares on few atoms, and the nonnegative lasso on many; both take a batch of vectors at once."""

from __future__ import annotations

import torch
from torch import Tensor

STEPS = 500
"""Most steps of the lasso."""
STILL = 1e-5
"""The lasso ends when no weight moves by more than this in a step: every code is then its penalty's to three digits."""


def nnls(gram: Tensor, target: Tensor, start: Tensor | None = None) -> Tensor:
    """The w >= 0 that minimises w G w / 2 - w b, for each of N problems: the active set method, exact where it ends.

    gram: [N, k, k], the inner products of k unit atoms. Zeros in a row and its column stand for an atom that is not there.
    target: [N, k], the inner products of the atoms with a vector about 1 long.
    start: [N, k], a solution on some of the atoms, which saves the passes that lead there; 0 by default.
    Returns [N, k]. Source: Lawson and Hanson 1974, "Solving Least Squares Problems", chapter 23; warm start as in Bro and
    de Jong 1997, "A fast non-negativity-constrained least squares algorithm".
    """
    w = torch.zeros_like(target) if start is None else start
    passive, zero = w > 0, torch.zeros_like(target)
    identity = torch.eye(target.shape[1], device=target.device, dtype=target.dtype)
    tiny = 10 * torch.finfo(target.dtype).eps
    # each pass lets an atom in or puts some out; 3k passes are the book's bound, reached when rounding goes in circles
    for _ in range(3 * target.shape[1]):
        system = torch.where(passive[:, :, None] & passive[:, None, :], gram, identity)
        free = torch.linalg.solve_ex(system, torch.where(passive, target, zero)[..., None])[0][..., 0]
        below = passive & (free <= tiny)
        blocked = below.any(1, keepdim=True)
        # as far toward the unconstrained minimum as no weight turns negative
        share = torch.where(below, w / (w - free).clamp_min(tiny), 1.0).amin(1, keepdim=True)
        w = torch.where(passive, w + share * (free - w), zero)
        passive = passive & ~(blocked & (w <= tiny))
        w = torch.where(passive, w, zero)
        gain = torch.where(passive | blocked, zero, target - (gram @ w[..., None])[..., 0])
        best = gain.argmax(1, keepdim=True)
        wanted = gain.gather(1, best) > tiny
        if not (blocked | wanted).any():
            break
        passive = passive.scatter(1, best, passive.gather(1, best) | wanted)
    return w.clamp_min(0)


def lasso(x: Tensor, atoms: Tensor, penalty: float) -> Tensor:
    """The w >= 0 that minimises |x - w A|^2 / 2 + penalty * sum(w), row by row, by accelerated proximal gradient.

    x: [N, D], rows about 1 long. atoms: A, [m, D] unit rows. penalty: positive; at the minimum no atom's product with the
    residual exceeds it. SpLiCE's lambda is twice this penalty.
    Returns [N, m]. Source: Beck and Teboulle 2009 (FISTA), restarted as in O'Donoghue and Candes 2015.
    """
    correlation, step = x @ atoms.T, 1 / _curvature(atoms)
    w = ahead = torch.zeros_like(correlation)
    momentum = x.new_ones(len(x), 1)
    for _ in range(STEPS):
        after = (ahead + step * (correlation - (ahead @ atoms) @ atoms.T - penalty)).clamp_min(0)
        moved = after - w
        # where the momentum points uphill it starts anew
        momentum = torch.where(((ahead - after) * moved).sum(1, keepdim=True) > 0, 1.0, momentum)
        longer = (1 + (1 + 4 * momentum.square()).sqrt()) / 2
        ahead = after + (momentum - 1) / longer * moved
        w, momentum = after, longer
        if moved.abs().max() < STILL:
            break
    return w


def _curvature(atoms: Tensor) -> Tensor:
    """An upper bound of the largest eigenvalue of S = A^T A, at most D^(1/64) times it (1.11 for 768): tr(S^64)^(1/64).

    The power method would be cheaper, but it comes from below, and a step that is too long makes the descent diverge.
    """
    power, logarithm = atoms.T @ atoms, atoms.new_zeros(())
    for i in range(7):
        trace = power.trace()
        logarithm = logarithm + trace.log() / 2**i
        power = (power / trace) @ (power / trace)
    return logarithm.exp()
