"""What tells whether features are any good, a number at a time. `card.py` brings them together."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

UNIMODAL = 0.95
"""The share of a feature's firing, every modality counted the same, from which on it is of one modality."""
FOUND_AGAIN = 0.7
"""The cosine from which on an atom of one seed counts as found again by another."""


FEATURES = 256
"""Features taken at once where that needs double precision."""


def dead(rates: Tensor) -> Tensor:
    """Which of m features fire nowhere [m] bool, by their firing rates [M, m] in M modalities."""
    return (rates <= 0).all(0)


def unimodal(rates: Tensor) -> Tensor:
    """Which of m features fire in one modality only, up to a remainder (`UNIMODAL`) [m] bool, by their firing rates [M, m]
    in M >= 2 modalities. Dead ones are not.

    Dictionaries of mixed modalities fall apart into such features when the gap between the clouds is left in the data
    (Kaushik et al., arXiv 2601.20028). ValueError for a single modality.
    """
    if len(rates) < 2:
        raise ValueError("features of a single modality are all of that one, expected firing rates of two or more")
    return rates.amax(0) >= UNIMODAL * rates.sum(0).clamp_min(torch.finfo(rates.dtype).tiny)


def jaccard(a: Tensor, b: Tensor, same: Tensor | None = None) -> tuple[float, float]:
    """How much of their active features the members of P pairs share, and those of strangers: mean |A and B| / |A or B|.

    a, b: [P, m] bool, which features are active in each member.
    same: [P, P] bool, which a belongs to which b beside its own (two media of one caption); none by default.
    Returns (of the pairs, of all other combinations), the second NaN when there is none. Two empty codes share nothing: 0.
    """
    _alike(a, b, "a and b")
    a, b = a.float(), b.float()
    both = a @ b.T
    shared = both / (a.sum(1)[:, None] + b.sum(1)[None] - both).clamp_min(1)
    strangers = ~torch.eye(len(a), dtype=torch.bool)
    if same is not None:
        strangers &= ~same
    return float(shared.diagonal().mean()), float(shared[strangers].mean())


def monosemanticity(codes: Tensor, embeddings: Tensor) -> Tensor:
    """How alike the items are that a feature fires for [m]: the mean cosine over pairs of items, weighted by the product of
    their activations; NaN for features that fire fewer than twice.

    codes: [N, m], nonnegative. embeddings: [N, D] unit rows, in which likeness is measured.
    MS_j = sum_{n<k} a_nj a_kj cos(E_n, E_k) / sum_{n<k} a_nj a_kj, a being the activations less their minimum (Pach et al.
    2025, arXiv 2504.02821, whose further division by the range cancels). As E is of unit length it is, with s = sum_n,
    MS_j = (|s a_nj E_n|^2 - s a_nj^2) / ((s a_nj)^2 - s a_nj^2), which takes one matrix product.
    """
    if len(codes) != len(embeddings):
        raise ValueError(f"{len(codes)} codes and {len(embeddings)} embeddings, expected as many")
    # where one activation outweighs the rest, both differences are what rounding leaves: hence in double precision
    e = embeddings.numpy().astype(np.float64)
    length, scores = np.square(e).sum(1), []
    for part in (codes - codes.amin(0)).split(FEATURES, dim=1):
        a = part.numpy().astype(np.float64)
        square = np.square(a)
        with np.errstate(divide="ignore", invalid="ignore"):
            score = (np.square(a.T @ e).sum(1) - length @ square) / (np.square(a.sum(0)) - square.sum(0))
        scores.append(np.where((a > 0).sum(0) < 2, np.nan, score))
    return torch.from_numpy(np.concatenate(scores).astype(np.float32))


def mean_pair_cosine(embeddings: Tensor) -> float:
    """Mean cosine over all pairs of different rows of [N, D], N >= 2, unit rows: the `monosemanticity` of a feature that
    fires for everything alike."""
    count, total = len(embeddings), embeddings.numpy().sum(0, dtype=np.float64)
    return float((np.square(total).sum() - count) / (count * (count - 1)))


def matched(a: Tensor, b: Tensor) -> Tensor:
    """The cosine of each of m atoms in a [m, D] with its partner in b [n, D], n >= m, partners being dealt one to one so that
    the sum of cosines is greatest (Hungarian method): how much of a dictionary another seed finds again."""
    from scipy.optimize import linear_sum_assignment

    if len(a) > len(b) or a.shape[1] != b.shape[1]:
        raise ValueError(f"atoms of shapes {tuple(a.shape)} and {tuple(b.shape)}, expected as many or more in the second")
    cosines = normalize(a, dim=1) @ normalize(b, dim=1).T
    rows, columns = linear_sum_assignment(cosines.numpy(), maximize=True)
    return cosines[torch.from_numpy(rows), torch.from_numpy(columns)]


def _alike(a: Tensor, b: Tensor, names: str) -> None:
    if a.shape != b.shape or a.ndim != 2 or not len(a):
        raise ValueError(f"{names} have shapes {tuple(a.shape)} and {tuple(b.shape)}, expected the same [N, D] with N of 1 or more")
