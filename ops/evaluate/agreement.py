"""Whether a concept's outputs in two modalities belong together, told from outputs that do not."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..features.dictionary import Dictionary
from ..space import Modality
from .score import score

FEATURED = 64
"""Rivals of which mismatched pairs are made: the mean of their features needs no more."""


@dataclass(frozen=True)
class Agreement:
    """Of one concept's outputs in two modalities, in the space of one encoder.

    by: its id. independent: whether it is not the encoder that the outputs were made with; where it is, this is how
    consistent the optimiser was, and no recognition.
    percentile: of the target among its `count` rivals, by the cosine of the output that is farther from each: how few other
    targets both outputs could as well be of. .5 in the mean by chance, whatever manner the outputs share.
    cosine: of the two outputs, centred; a shared manner raises it, so it is a footnote.
    jaccard: share of the active features of either that both have; mismatched_jaccard: its mean over mismatched pairs; None without
    a dictionary, and where neither output has a feature.
    """

    modalities: tuple[Modality, Modality]
    by: str
    independent: bool
    percentile: float
    count: int
    cosine: float
    jaccard: float | None = None
    mismatched_jaccard: float | None = None


def swapped(output: Tensor, target: Tensor, others: Tensor) -> Tensor:
    """[K, D]: what an output [D] would be, had it been made for other targets.

    Its part along the target's unit direction [D] is laid along each of the others' [K, D], at the same length; the rest stays: the
    generator's manner, which all outputs of a run share, and which would make any two of them look alike. The length is kept.
    """
    along = output @ target
    moved = output + along * (others - target)
    return normalize(moved, dim=-1) * output.norm()


def agreement(
    outputs: tuple[Tensor, Tensor],
    modalities: tuple[Modality, Modality],
    target: Tensor,
    rivals: Tensor,
    by: str,
    independent: bool,
    dictionary: Dictionary | None = None,
) -> Agreement:
    """The agreement of two outputs [D], centred, of a target with this unit direction [D] in the same space.

    rivals: [K, D] unit directions of other targets (`Bank.rivals`). A run has no outputs of other targets to make mismatched pairs
    of. Each output with the other one as it would be for a rival (`swapped`) serves for features; not for the cosine: where
    both have the target in them only by a manner that they share, their cosine would still beat that of such pairs.
    ValueError for outputs that are zero or of another shape, and as `score`.
    """
    a, b = (output.detach().float().cpu() for output in outputs)
    if a.dim() != 1 or a.shape != b.shape or a.shape != target.shape or min(a.norm(), b.norm()) < 1e-9:
        shapes = f"{tuple(a.shape)} and {tuple(b.shape)}"
        raise ValueError(f"outputs have shapes {shapes}, expected two vectors like the target {tuple(target.shape)}, not zero")
    near = torch.minimum(*(torch.cat([target[None], rivals]) @ normalize(output, dim=0) for output in (a, b)))
    found = score(near[0], near[1:])
    shared = strangers = None
    if dictionary is not None:
        of_a, of_b = (dictionary.encode(output[None], modality) > 0 for output, modality in zip((a, b), modalities))
        like_a, like_b = (
            dictionary.encode(swapped(output, target, rivals[:FEATURED]), modality) > 0 for output, modality in zip((a, b), modalities)
        )
        shared = _jaccard(of_a, of_b)
        strangers = _jaccard(torch.cat([of_a.expand_as(like_b), like_a]), torch.cat([like_b, of_b.expand_as(like_a)]))
    cosine = float(torch.cosine_similarity(a, b, dim=0))
    return Agreement(modalities, by, independent, found.percentile, found.count, cosine, shared, strangers)


def _jaccard(a: Tensor, b: Tensor) -> float | None:
    """Mean over rows of the shared active features' share of both's; rows with none are left out, None when all are."""
    both, either = (a & b).sum(1), (a | b).sum(1)
    known = either > 0
    return float((both[known] / either[known]).mean()) if known.any() else None
