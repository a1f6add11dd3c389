"""Patch tokens against a target that has no patches: contrast with distractors, pool the best fraction."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import normalize

from ..encoders.protocol import Embedding
from ..space import Space
from .pooling import best_fraction
from .rivals import among, undecided
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
    rivals = among(direction, distractors)

    def measure(embedding: Embedding, moment: Moment) -> Measure:
        tokens = normalize(space.centre(embedding.dense, embedding.modality), dim=-1)
        cosines = tokens @ rivals.to(tokens).T
        # What a token shares with every distractor is generic to the modality and says nothing.
        cosines = cosines - cosines[..., 1:].mean(-1, keepdim=True)
        scores = best_fraction(cosines, fraction, temperature)
        margin = scores[:, 0] - scores[:, 1:].mean(1)
        return Measure(undecided(scores / temperature), {"patches": margin.detach()})

    return Objective(f"patches among {len(rivals)} concepts", measure)
