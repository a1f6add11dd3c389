"""How near the pooled embedding lies to a concept."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import normalize

from ..encoders.protocol import Embedding
from ..space import Space
from .value import Measure, Moment, Objective


def pooled(direction: Tensor, space: Space) -> Objective:
    """Objective on an `Embedding`: 1 - cos(centred pooled embedding, direction).

    direction: [D] in the centred space, of any length but zero.
    The loss lies in 0..2; the metric "cosine" is the cosine itself, in -1..1.
    """
    target = normalize(direction.detach(), dim=-1)

    def measure(embedding: Embedding, moment: Moment) -> Measure:
        centred = normalize(space.centre(embedding.pooled, embedding.modality), dim=-1)
        cosine = centred @ target.to(centred)
        return Measure(1 - cosine, {"cosine": cosine.detach()})

    return Objective("pooled cosine", measure)
