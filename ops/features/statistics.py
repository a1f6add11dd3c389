"""What each latent does on vectors of one modality: how often it fires, how strongly, and for what most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..space import finite
from .sae import ROWS, SparseAutoencoder

TOP = 8
"""Examples kept of each latent."""


@dataclass(frozen=True, eq=False)
class Statistics:
    """Of m latents on one modality.

    rate: [m] share of vectors each fires for, 0..1. mean: [m] mean activation where it fires, 0 where it never does.
    maximum: [m] largest activation. examples: captions of the vectors it fires for most strongly, strongest first, at most
    `TOP`, none for a latent that does not fire. count: how many vectors were seen.
    """

    rate: Tensor
    mean: Tensor
    maximum: Tensor
    examples: tuple[tuple[str, ...], ...]
    count: int

    def __post_init__(self) -> None:
        width = len(self.examples)
        for name in ("rate", "mean", "maximum"):
            part = finite(getattr(self, name), name)
            if tuple(part.shape) != (width,) or part.min() < 0:
                raise ValueError(f"{name} has shape {tuple(part.shape)} and least value {part.min():.3g}, expected ({width},) and nonnegative")
        if self.rate.max() > 1 or self.count < 1:
            raise ValueError(f"rate {self.rate.max():.3g} and count {self.count} are not of vectors, expected at most 1 and at least 1")


@torch.no_grad()
def statistics(autoencoder: SparseAutoencoder, threshold: Tensor, x: Tensor, captions: Sequence[str]) -> Statistics:
    """Gathered over centred vectors [N, D] with one caption each. ValueError when there are none, or not a caption each."""
    if not len(x) or len(captions) != len(x):
        raise ValueError(f"{len(x)} vectors and {len(captions)} captions, expected one caption a vector, and one vector or more")
    width = autoencoder.width
    fires, total = np.zeros(width), np.zeros(width)
    # kept for good, so nothing may be born under a host's inference mode
    with torch.inference_mode(False):
        best, where = torch.zeros(width, 0), torch.zeros(width, 0, dtype=torch.int64)
        for start in range(0, len(x), ROWS):
            code = autoencoder.encode(x[start : start + ROWS].float(), threshold)
            fires += (code > 0).sum(0).numpy()
            total += code.sum(0).numpy()
            found = code.T.topk(min(TOP, len(code)), dim=1)
            best, where = torch.cat([best, found.values], 1), torch.cat([where, found.indices + start], 1)
            best, kept = best.sort(dim=1, descending=True, stable=True)
            best, where = best[:, :TOP], where.gather(1, kept)[:, :TOP]
        examples = tuple(
            tuple(captions[i] for i, strength in zip(*row) if strength > 0) for row in zip(where.tolist(), best.tolist())
        )
        mean = torch.from_numpy((total / np.maximum(fires, 1)).astype(np.float32))
        return Statistics(torch.from_numpy((fires / len(x)).astype(np.float32)), mean, best[:, 0].clone(), examples, len(x))
