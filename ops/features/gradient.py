"""The gradient of the prefix-Matryoshka BatchTopK loss, worked out on the few latents that are active.

Only the pre-activations of a batch are a dense product. All else has k nonzeros a row, and is a sum of rows by an index list
(`embedding_bag`), which costs a hundredth of the dense products that autograd would make of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, linear

from .sae import SparseAutoencoder

REVIVED = 64
"""Dead latents a row that explain what the living left over."""
AUXILIARY = 1 / 32
"""Weight of that loss (Gao et al. 2024, "Scaling and evaluating sparse autoencoders", arXiv 2406.04093)."""


@dataclass(frozen=True, eq=False)
class Gradient:
    """loss: squared error, summed over D, averaged over rows and prefixes; without the auxiliary term.
    encoder [m, D], encoder_bias [m], decoder [m, D]: gradients of the loss with the auxiliary term. fired: [m] bool.
    """

    loss: float
    encoder: Tensor
    encoder_bias: Tensor
    decoder: Tensor
    fired: np.ndarray


def batch_top_k(pre: Tensor, k: int) -> np.ndarray:
    """Flat places, rising, of the k * B largest positive entries of pre-activations [B, m] in float32 or bfloat16.

    Of entries equal to the smallest kept, as many as there is room for, spread over the batch.
    Source: Bussmann et al. 2024, "BatchTopK Sparse Autoencoders" (arXiv 2412.06410).
    """
    # positive floats are ordered as their bits are, negative ones have negative bits; numpy selects on those in a pass or two
    bits = pre.view(torch.int16 if pre.dtype == torch.bfloat16 else torch.int32).numpy().ravel()
    count = min(k * len(pre), len(bits))
    lowest = max(np.partition(bits, len(bits) - count)[len(bits) - count], 1)
    places = np.flatnonzero(bits >= lowest)
    if surplus := max(0, len(places) - count):
        tied = np.flatnonzero(bits[places] == lowest)
        places = np.delete(places, tied[np.linspace(0, len(tied) - 1, surplus).astype(np.int64)])
    return places


@torch.no_grad()
def gradient(autoencoder: SparseAutoencoder, x: Tensor, k: int, dead: np.ndarray, half: bool = False) -> Gradient:
    """Of mean_j ||x - prefix_j||^2 + AUXILIARY * (what dead latents leave of the whole's error, in shares of its variance).

    x: [B, D] float32, centred; the autoencoder's decoder bias is taken as zero. dead: indices of the dead latents, each row
    is offered its `REVIVED` largest. half: compute pre-activations in bfloat16.
    """
    batch, width, groups = len(x), autoencoder.width, autoencoder.groups
    cast = torch.bfloat16 if half else torch.float32
    pre = linear(*(tensor.to(cast) for tensor in (x, autoencoder.encoder, autoencoder.encoder_bias)))
    places = batch_top_k(pre, k)
    row, latent = np.divmod(places, width)
    value = pre.view(-1)[torch.from_numpy(places)].float()
    fired = np.zeros(width, dtype=bool)
    fired[latent] = True
    # one block of rows for each group, and one for the dead: a nonzero is decoded into its own block
    block = np.searchsorted(groups, latent, side="right").astype(np.uint8)
    order = np.argsort(block, kind="stable")
    row, latent, block, value = row[order], latent[order], block[order], value[torch.from_numpy(order)]
    if len(dead):
        offered, which = pre[:, torch.from_numpy(dead)].float().topk(min(REVIVED, len(dead)), sorted=False)
        where, column = np.nonzero(offered.numpy() > 0)
        row, block = np.concatenate([row, where]), np.concatenate([block, np.full(len(where), len(groups), np.uint8)])
        latent = np.concatenate([latent, dead[which.numpy()[where, column]]])
        value = torch.cat([value, offered[torch.from_numpy(where), torch.from_numpy(column)]])
    stacked = block.astype(np.int64) * batch + row
    bags = torch.from_numpy(_offsets(stacked, (len(groups) + bool(len(dead))) * batch))
    with torch.enable_grad():
        value.requires_grad_()
        decoded = _sums(torch.from_numpy(latent), autoencoder.decoder, bags, value)
    loss, outward = _errors(x, decoded.detach().view(-1, batch, x.shape[1]), len(groups))
    outward = outward.flatten(0, 1)
    inward = torch.autograd.grad(decoded, value, outward)[0]
    value = value.detach()
    # by latents, for what each latent's rows receive; numpy sorts sixteen bits by radix
    order = np.argsort(latent.astype(np.min_scalar_type(width)), kind="stable")
    bags, turned = torch.from_numpy(_offsets(latent, width)), torch.from_numpy(order)
    return Gradient(
        loss,
        _sums(torch.from_numpy(row[order]), x, bags, inward[turned]),
        torch.from_numpy(np.bincount(latent, inward.numpy(), width)).float(),
        _sums(torch.from_numpy(stacked[order]), outward, bags, value[turned]),
        fired,
    )


def _errors(x: Tensor, blocks: Tensor, groups: int) -> tuple[float, Tensor]:
    """(loss, its gradient by the decoded blocks [G or G + 1, B, D]), in their place."""
    rest, loss = x, 0.0
    for j in range(groups):
        rest = torch.sub(rest, blocks[j], out=blocks[j])
        loss += float(rest.flatten().dot(rest.flatten())) / (len(x) * groups)
    if len(blocks) > groups:
        spread = (rest - rest.mean(0)).square().sum() / len(x)
        # the auxiliary loss is of the dead: what the living left is a constant to it
        blocks[groups] = (rest - blocks[groups]) * (-2 * AUXILIARY / (len(x) * spread.clamp_min(1e-12)))
    # an early group is part of every later prefix
    for j in range(groups - 2, -1, -1):
        blocks[j] += blocks[j + 1]
    blocks[:groups] *= -2 / (len(x) * groups)
    return loss, blocks


def _sums(index: Tensor, rows: Tensor, bags: Tensor, weights: Tensor) -> Tensor:
    return embedding_bag(index, rows, bags, mode="sum", per_sample_weights=weights, include_last_offset=True)


def _offsets(sorted_or_not: np.ndarray, count: int) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.bincount(sorted_or_not, minlength=count))])
