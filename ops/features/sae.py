"""A sparse autoencoder with an ordered dictionary: short prefixes of its latents already reconstruct, coarse before fine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from ..space import finite

ANY = "any"
"""Among thresholds by modality, the one for modalities that were not calibrated."""
ROWS = 2048
"""Vectors whose dense pre-activations are held at once: 25 MB for 3072 latents."""


class SparseAutoencoder(nn.Module):
    """A frozen autoencoder of m latents, in centred units of dimension D.

    pre = (x - decoder_bias) @ encoder.T + encoder_bias
    code = relu(pre) where pre > threshold, else 0
    reconstruction = decoder_bias + code @ decoder

    encoder [m, D], encoder_bias [m], decoder [m, D] of unit rows, decoder_bias [D]; float32 on the CPU, no gradient.
    groups: ends of the prefixes it was trained on, rising, the last is m. A batch is coded with the k * B largest
        pre-activations in training and with calibrated thresholds ever after.

    Source: Bussmann, Nabeshima, Karvonen, Nanda 2025, "Learning Multi-Level Features with Matryoshka Sparse Autoencoders"
    (arXiv 2503.17547). Raises ValueError for parts that do not fit each other, NaN, and decoder rows that are not unit.
    """

    def __init__(self, encoder: Tensor, encoder_bias: Tensor, decoder: Tensor, decoder_bias: Tensor, groups: Sequence[int]):
        super().__init__()
        width, dimension = decoder.shape if decoder.dim() == 2 else (0, 0)
        parts = {"encoder": encoder, "encoder_bias": encoder_bias, "decoder": decoder, "decoder_bias": decoder_bias}
        shapes = {"encoder": (width, dimension), "encoder_bias": (width,), "decoder": (width, dimension), "decoder_bias": (dimension,)}
        # kept for good, so nothing may be born under a host's inference mode
        with torch.inference_mode(False), torch.no_grad():
            for name, part in parts.items():
                if not width or tuple(part.shape) != shapes[name]:
                    beside = f"beside a decoder of shape {tuple(decoder.shape)}"
                    raise ValueError(f"{name} has shape {tuple(part.shape)}, expected {shapes[name]} {beside}")
                kept = finite(part.detach(), name).to("cpu", torch.float32, copy=True).contiguous()
                self.register_parameter(name, nn.Parameter(kept, requires_grad=False))
            if (off := float((self.decoder.norm(dim=1) - 1).abs().max())) > 1e-4:
                raise ValueError(f"decoder rows are up to {off:.3g} off unit length; fold their lengths into the encoder")
        self.groups = tuple(int(end) for end in groups)
        if list(self.groups) != sorted(set(self.groups)) or not self.groups or self.groups[0] < 1 or self.groups[-1] != width:
            raise ValueError(f"groups {self.groups} are not rising prefix ends, the last of them {width}")

    @classmethod
    def seeded(cls, dimension: int, width: int, groups: Sequence[int], rng: torch.Generator) -> SparseAutoencoder:
        """An untrained one: random unit decoder rows, the encoder equal to the decoder, no biases."""
        rows = normalize(torch.randn(width, dimension, generator=rng), dim=1)
        return cls(rows, torch.zeros(width), rows, torch.zeros(dimension), groups)

    @property
    def width(self) -> int:
        """m, the number of latents."""
        return len(self.decoder)

    @property
    def dimension(self) -> int:
        """D."""
        return self.decoder.shape[1]

    def pre_activation(self, x: Tensor) -> Tensor:
        """[..., m] of vectors [..., D], signed and dense. Differentiable in x: attribute features here and never behind the
        gate, whose jump carries no gradient."""
        return linear(x - self.decoder_bias, self.encoder, self.encoder_bias)

    def encode(self, x: Tensor, threshold: Tensor) -> Tensor:
        """Codes [..., m] of vectors [..., D]: nonnegative, zero where the pre-activation is not above the threshold [m]."""
        pre = self.pre_activation(x)
        return pre.relu() * (pre > threshold)

    def decode(self, code: Tensor, prefix: int | None = None) -> Tensor:
        """Vectors [..., D] of codes [..., m], by all latents or only the first `prefix` (0..m, ValueError outside)."""
        if prefix is None:
            prefix = self.width
        if not 0 <= prefix <= self.width:
            raise ValueError(f"prefix is {prefix}, expected 0..{self.width}")
        return self.decoder_bias + code[..., :prefix] @ self.decoder[:prefix]

    def rounded(self) -> SparseAutoencoder:
        """What a file in half precision gives back: both matrices rounded, decoder rows made unit again.

        Rounding twice changes nothing in 48 dimensions or more; in fewer, one row in ten thousand that is made unit stays off
        its rounding for ever.
        """
        rows = self.decoder
        for _ in range(8):
            kept = rows.half()
            rows = normalize(kept.float(), dim=1)
            # making a row unit can move a number to the next step of half precision
            if torch.equal(rows.half(), kept):
                break
        return SparseAutoencoder(self.encoder.half(), self.encoder_bias, rows, self.decoder_bias, self.groups)


@torch.no_grad()
def calibrated_threshold(autoencoder: SparseAutoencoder, x: Tensor, k: int) -> Tensor:
    """The threshold [m], one number for all latents and not below 0, with which codes of x [N, D] have k nonzeros on average.

    Exact: the (k * N + 1)-th largest pre-activation, found by selection. A smaller L0 comes out only where fewer are
    positive, and a larger one never. Raises ValueError without vectors or for k outside 1..m-1.
    """
    if not len(x) or not 1 <= k < autoencoder.width:
        raise ValueError(f"{len(x)} vectors and k {k}, expected one vector or more and k in 1..{autoencoder.width - 1}")
    with torch.inference_mode(False):
        # where every part keeps at least its share, the whole keeps at least its own: the number sought is not below that
        found = min(_largest(part.numpy().ravel(), k * len(part) + 1) for part in _parts(autoencoder, x))
        if len(x) > ROWS:
            kept = np.concatenate([values[values >= found] for values in (part.numpy().ravel() for part in _parts(autoencoder, x))])
            found = _largest(kept, k * len(x) + 1)
        return torch.full((autoencoder.width,), max(0.0, float(found)))


def _parts(autoencoder: SparseAutoencoder, x: Tensor) -> Iterator[Tensor]:
    return (autoencoder.pre_activation(rows.float()) for rows in x.split(ROWS))


def _largest(values: np.ndarray, rank: int) -> np.floating:
    at = len(values) - rank
    return np.partition(values, at)[at]
