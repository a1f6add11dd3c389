"""A target among other concepts: which they are, and how far it is from winning."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize


def among(direction: Tensor, distractors: Tensor) -> Tensor:
    """[K + 1, D], unit: the target [D] first, then its distractors [K, D]. ValueError for distractors of another shape."""
    if distractors.ndim != 2 or not len(distractors):
        raise ValueError(f"distractors must be [K, D] with K >= 1, not {list(distractors.shape)}")
    return normalize(torch.cat([direction.detach()[None], distractors.detach()]), dim=-1)


def undecided(logits: Tensor) -> Tensor:
    """Cross-entropy [B] of the first of K + 1 logits [B, K + 1], in nats divided by log(K + 1): 1 for equal ones, 0 when it wins."""
    first = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    return cross_entropy(logits, first, reduction="none") / math.log(logits.shape[1])


def distractors(direction: Tensor, bank: Tensor, count: int, rng: torch.Generator, ceiling: float = 0.35) -> Tensor:
    """`count` random rows of bank [V, D] whose cosine with direction [D] is below `ceiling`; fewer if the bank has fewer.

    Near synonyms would be told to go away together with the target, hence the ceiling. The bank's
    rows are unit vectors in the centred space. ValueError if nothing in it lies below the ceiling.
    """
    allowed = torch.nonzero(bank.cpu().float() @ normalize(direction.detach().cpu().float(), dim=-1) < ceiling)[:, 0]
    if not len(allowed):
        raise ValueError(f"no row of the bank [{len(bank)}] has a cosine below {ceiling} with the target: a wider bank is needed")
    picked = allowed[torch.randperm(len(allowed), generator=rng)[:count]]
    return bank[picked.to(bank.device)]
