"""The objective of a render: media whose looks lie at a concept, as a whole and patch by patch."""

from __future__ import annotations

import torch
from torch import Tensor

from ..encoders.protocol import Encoder
from .patches import distractors, patches
from .pooled import pooled
from .value import Objective
from .views import Rated, views

RIVALS = 64


def alignment(
    direction: Tensor, encoder: Encoder, generator: Rated, crops: int, patch_weight: float, seed: int
) -> Objective:
    """Objective on media: pooled + patch_weight * patches, averaged over `crops` looks.

    direction: [D] in the centred space. The distractors are words of the space's vocabulary, drawn with `seed`.
    ValueError when the space has no vocabulary to draw them from.
    """
    space = encoder.space
    if space.vocabulary is None:
        raise ValueError(f"space '{space.id}' has no vocabulary to draw distractors from")
    rng = torch.Generator("cpu").manual_seed(seed)
    rivals = distractors(direction, space.word_directions, RIVALS, rng)
    return views(pooled(direction, space) + patch_weight * patches(direction, rivals, space), encoder, generator, crops)
