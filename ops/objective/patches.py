"""Patch tokens against a target that has no patches: contrast with distractors, pool the best fraction."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from ..encoders.protocol import Embedding
from ..space import Space
from .pooling import best_fraction
from .value import Measure, Moment, Objective


def patches(
    direction: Tensor, distractors: Tensor, space: Space, fraction: float = 0.5, temperature: float = 0.07
) -> Objective:
    """Objective on an `Embedding`: the target must win over the distractors among the best patches.

    direction: [D], the target in the centred space. distractors: [K, D], other concepts there.
    Each dense token is moved by its modality's mean into the centred space and compared with the
    target and the distractors; each of those is pooled over its best `fraction` of tokens
    (`best_fraction`); the loss is the cross-entropy of the target among the pooled scores, in nats
    divided by log(K + 1), so that an undecided picture has 1. The metric "patches" is the target's
    pooled score less the distractors' mean, a difference of cosines. The order of tokens is of no account.

    One patch cannot win it for a picture, as it would under a plain maximum, nor must every patch
    carry the concept, as under a mean; `fraction` is how much of the frame is asked for.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must lie in (0, 1], not {fraction}")
    if distractors.ndim != 2 or not len(distractors):
        raise ValueError(f"distractors must be [K, D] with K >= 1, not {list(distractors.shape)}")
    rivals = normalize(torch.cat([direction.detach()[None], distractors.detach()]), dim=-1)

    def measure(embedding: Embedding, moment: Moment) -> Measure:
        tokens = normalize(space.centre(embedding.dense, embedding.modality), dim=-1)
        cosines = tokens @ rivals.to(tokens).T
        # What a token shares with every distractor is generic to the modality and says nothing.
        cosines = cosines - cosines[..., 1:].mean(-1, keepdim=True)
        scores = best_fraction(cosines, fraction, temperature)
        first = torch.zeros(len(scores), dtype=torch.long, device=scores.device)
        loss = cross_entropy(scores / temperature, first, reduction="none") / math.log(scores.shape[1])
        margin = scores[:, 0] - scores[:, 1:].mean(1)
        return Measure(loss, {"patches": margin.detach()})

    return Objective(f"patches among {len(rivals)} concepts", measure)


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
