"""What an attribution map explains: one number read off an embedding, along a concept or along a named feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..concept import Concept
from ..features.dictionary import Dictionary
from ..features.trained import TrainedSAE
from ..features.sae import ANY
from ..grad import thawed
from ..objective.features import detectors
from ..space import Modality, Space


@dataclass(frozen=True, eq=False)
class Detector:
    """row @ x + bias of a centred embedding x, or of its direction where `cosine`.

    name: for a person to read. space: what x is centred in. row: [D]. threshold: the value above which a feature counts as
    on, None where there is no gate. The gate itself is never attributed: its jump carries no gradient, and no number of nodes
    makes integrated gradients across it complete.
    """

    name: str
    space: Space
    row: Tensor
    bias: float = 0.0
    cosine: bool = False
    threshold: float | None = None

    def __post_init__(self) -> None:
        if tuple(self.row.shape) != (self.space.dimension,):
            raise ValueError(f"the row of '{self.name}' has shape {tuple(self.row.shape)}, expected ({self.space.dimension},)")
        # kept for good, it must not be born under a host's inference mode
        object.__setattr__(self, "row", thawed(self.row))

    def __call__(self, pooled: Tensor, modality: Modality) -> Tensor:
        """[B] of pooled embeddings [B, D] of one modality; differentiable."""
        centred = self.space.centre(pooled, modality)
        return (normalize(centred, dim=-1) if self.cosine else centred) @ self.row.to(pooled) + self.bias


def concept_detector(concept: Concept) -> Detector:
    """The cosine with a concept's direction, -1..1. ValueError for a concept that comes out as zero."""
    return Detector(str(concept), concept.space, concept.direction, cosine=True)


def feature_detectors(dictionary: Dictionary, features: Sequence[int], modality: Modality) -> list[Detector]:
    """The pre-activations of features (indices 0..m-1) in media of one modality, in the dictionary's centred units.

    A trained autoencoder's are its encoder's, with its calibrated thresholds; a dictionary without an encoder reads a
    feature along its atom. ValueError for an index that the dictionary does not have.
    """
    if outside := [j for j in features if not 0 <= j < len(dictionary.names)]:
        raise ValueError(f"feature {outside[0]} was asked for, '{dictionary.id}' has features 0 to {len(dictionary.names) - 1}")
    with torch.inference_mode(False), torch.no_grad():
        rows, biases = detectors(dictionary, torch.tensor(list(features), dtype=torch.long))
    thresholds: list[float | None] = [None] * len(features)
    if isinstance(dictionary, TrainedSAE):
        calibrated = dictionary.thresholds.get(modality, dictionary.thresholds[ANY])
        thresholds = [float(calibrated[j]) for j in features]
    return [
        Detector(dictionary.names[j], dictionary.space, row, bias, threshold=threshold)
        for j, row, bias, threshold in zip(features, rows, biases.tolist(), thresholds)
    ]
