"""The objective of a render: media whose looks lie at a concept, as a whole, patch by patch and feature by feature."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch

from ..concept import Concept
from ..encoders.decoded import Rated
from ..encoders.protocol import Encoder
from ..operands import Operands
from ..space import Modality
from .contrast import contrast
from .features import features, signed_amounts
from .patches import patches
from .pooled import pooled
from .regularisers import norm_shell, spectrum, total_variation
from .rivals import distractors
from .transport import fitting, transport
from .value import Objective
from .views import Framing, views

RIVALS = 64


@dataclass(frozen=True)
class Weights:
    """How much each term of a render's objective counts: numbers of 0 or more, ValueError otherwise.

    pooled: the cosine of the whole (`pooled`). patches: what the parts show (`transport`, `patches`). features: the target's
    named ones (`features`). contrast: what the whole is nearest to (`contrast`). total_variation, spectrum: of the media;
    norm: of the latent (`regularisers`).
    """

    pooled: float = 1.0
    patches: float = 0.5
    features: float = 0.0
    contrast: float = 0.0
    total_variation: float = 0.0
    spectrum: float = 0.0
    norm: float = 0.0

    def __post_init__(self) -> None:
        for name, weight in asdict(self).items():
            if not 0 <= weight < math.inf:
                raise ValueError(f"weight of {name} is {weight}, expected a number of 0 or more")


def alignment(
    concept: Concept, encoder: Encoder, generator: Rated, weights: Weights, crops: int, seed: int, framing: Framing | None = None
) -> Objective:
    """Objective on media: the weighted terms that the concept allows, those on embeddings averaged over `crops` looks.

    patches: with operands that fit the medium (`fitting`) and pull towards themselves, the transport of their tokens; the
    share of the weight that other operands have, and all of it without any, is the contrast of dense tokens. features: for a
    concept whose code has some. A term of weight 0 is not computed, but for the pooled cosine: it is always in the metrics, as
    "cosine". framing: how looks are drawn, see `views`. The distractors are words of the space's vocabulary, drawn with `seed`.

    SpaceMismatch for a concept of another space. ValueError for a zero concept, and when the space has no vocabulary to draw
    distractors from and a term wants them.
    """
    space = encoder.space
    concept.space.require(space)
    # what the terms keep is saved for backward passes, so it must not be born under a host's inference mode
    with torch.inference_mode(False), torch.no_grad():
        direction = concept.direction
        share = _share(concept.operands, generator.modality)
        by_tokens, by_contrast = weights.patches * share, weights.patches * (1 - share)
        of_looks = weights.pooled * pooled(direction, space)
        if by_tokens:
            of_looks += by_tokens * transport(fitting(concept.operands, generator.modality), direction, space)
        if by_contrast or weights.contrast:
            if space.vocabulary is None:
                raise ValueError(f"space '{space.id}' has no vocabulary to draw distractors from")
            rivals = distractors(direction, space.word_directions, RIVALS, torch.Generator("cpu").manual_seed(seed))
            if by_contrast:
                of_looks += by_contrast * patches(direction, rivals, space)
            if weights.contrast:
                of_looks += weights.contrast * contrast(direction, rivals, space)
        if weights.features and concept.code is not None and signed_amounts(concept.code).any():
            of_looks += weights.features * features(concept.code, space)
        objective = views(of_looks, encoder, generator, crops, framing)
        if weights.total_variation:
            objective += weights.total_variation * total_variation(generator.modality)
        if weights.spectrum:
            objective += weights.spectrum * spectrum(generator.modality)
        if weights.norm:
            objective += weights.norm * norm_shell()
        return objective


def _share(operands: Operands, modality: Modality) -> float:
    """How much of what operands pull towards themselves is by those that fit a medium, 0..1."""
    pulls = tuple(operand for operand in operands if operand.weight > 0)
    fit = sum(operand.weight for operand in fitting(pulls, modality))
    return fit / sum(operand.weight for operand in pulls) if fit else 0.0
