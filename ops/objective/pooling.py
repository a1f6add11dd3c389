"""Many scores of tokens brought to one: a log-mean-exp over the best fraction."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def best_fraction(scores: Tensor, fraction: float, temperature: float) -> Tensor:
    """Scores [B, N, K] of N tokens to [B, K]: temperature * log mean exp(score / temperature) over the best of each K.

    fraction: in (0, 1], of the N tokens, at least one; ValueError outside. The result lies between the mean of the best
    and the maximum, one and the same for equal scores; the order of tokens is of no account.

    One token cannot win it for all, as it would under a plain maximum, nor must every token agree, as under a mean.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must lie in (0, 1], not {fraction}")
    kept = max(1, round(fraction * scores.shape[1]))
    best = scores.topk(kept, dim=1).values
    return temperature * (torch.logsumexp(best / temperature, dim=1) - math.log(kept))
