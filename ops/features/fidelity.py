"""How well a sparse autoencoder keeps vectors, at which sparsity: the two are only ever told together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from .sae import ROWS, SparseAutoencoder


@dataclass(frozen=True)
class Fidelity:
    """Of vectors of one modality, in centred units.

    fvu: fraction of variance unexplained, sum ||x - x'||^2 / sum ||x - mean(x)||^2; 0 is perfect, 1 as good as the mean.
    prefix_fvu: the same by the latents of each prefix alone, the last equal to `fvu`.
    centred_cosine: mean cosine of x and its reconstruction, which is 0 for an empty code.
    l0: mean number of nonzeros, l0_deviation: its standard deviation over vectors. empty: share of vectors without any.
    dead: share of latents that fire for none. count: how many vectors.
    """

    fvu: float
    prefix_fvu: tuple[float, ...]
    centred_cosine: float
    l0: float
    l0_deviation: float
    empty: float
    dead: float
    count: int


@torch.no_grad()
def fidelity(autoencoder: SparseAutoencoder, x: Tensor, threshold: Tensor) -> Fidelity:
    """Measured on vectors [N, D] coded with a threshold [m]. ValueError for fewer than two or ones that do not differ."""
    if len(x) < 2:
        raise ValueError(f"{len(x)} vectors have no variance, expected two or more")
    errors, fired = np.zeros(len(autoencoder.groups)), np.zeros(autoencoder.width, dtype=bool)
    actives, cosines = [], []
    for rows in x.split(ROWS):
        rows = rows.float()
        code = autoencoder.encode(rows, threshold)
        rest, start = rows - autoencoder.decoder_bias, 0
        for j, end in enumerate(autoencoder.groups):
            rest = rest - code[:, start:end] @ autoencoder.decoder[start:end]
            errors[j] += rest.square().sum(1).numpy().sum(dtype=np.float64)
            start = end
        cosines.append(cosine_similarity(rows, rows - rest, dim=1).numpy())
        actives.append((code > 0).sum(1).numpy())
        fired |= (code > 0).any(0).numpy()
    active = np.concatenate(actives)
    variance = sum(x[:, part].numpy().astype(np.float64).var(0).sum() for part in np.array_split(np.arange(x.shape[1]), 16) if len(part)) * len(x)
    if variance <= 1e-8 * len(x):
        raise ValueError("the vectors do not differ, so there is no variance to explain")
    shares = tuple(float(error / variance) for error in errors)
    return Fidelity(
        fvu=shares[-1],
        prefix_fvu=shares,
        centred_cosine=float(np.concatenate(cosines).mean(dtype=np.float64)),
        l0=float(active.mean()),
        l0_deviation=float(active.std()),
        empty=float((active == 0).mean()),
        dead=float(1 - fired.mean()),
        count=len(x),
    )
