"""What a whole look is nearest to, among other concepts, rather than how near it is."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn.functional import normalize

from ..encoders.protocol import Embedding
from ..space import Space
from .rivals import among, undecided
from .value import Measure, Moment, Objective


def contrast(direction: Tensor, distractors: Tensor, space: Space, temperature: float = 0.05) -> Objective:
    """Objective on an `Embedding`: cross-entropy of the target among distractors for the centred pooled embedding.

    direction: [D], the target in the centred space. distractors: [K, D], other concepts there. The cosines with all K + 1,
    divided by `temperature`, are a classifier's logits; the loss is in nats divided by log(K + 1), so that an undecided look
    has 1. The metric "contrast" is the probability of the target, 0..1.

    What a look shares with every concept does not tell here, as it does in a cosine, and no more is asked once the target wins.
    ValueError for distractors of another shape or a temperature that is not positive.
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be positive, not {temperature}")
    rivals = among(direction, distractors)

    def measure(embedding: Embedding, moment: Moment) -> Measure:
        looks = normalize(space.centre(embedding.pooled, embedding.modality), dim=-1)
        logits = looks @ rivals.to(looks).T / temperature
        return Measure(undecided(logits), {"contrast": logits.detach().softmax(-1)[:, 0]})

    return Objective(f"contrast among {len(rivals)} concepts", measure)
