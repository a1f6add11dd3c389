"""Patch tokens against operands that have some of their own: what matters in them has to be found in the looks, wherever it lies."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..encoders.protocol import Embedding
from ..operands import Operand, Operands
from ..space import Modality, Space
from .value import Measure, Moment, Objective

VISUAL: frozenset[Modality] = frozenset(("image", "video"))
"""Modalities whose towers share their middle layers."""
SHARPNESS = 0.05
"""Temperature, in cosines, of which tokens of an operand serve the target."""
REPULSION, MARGIN = 0.25, 0.1
"""Weight of what looks share with negative operands, and the cosine by which positive ones should lie nearer."""
OUTLIER = 2.0
"""Tokens with more than this times the median norm are registers: the tower keeps notes on the whole there, and no patch
(Darcet et al. 2024, arXiv 2309.16588; Jiang et al. 2025, arXiv 2506.08010)."""


class Bank(NamedTuple):
    """tokens [M, W], unit, and what they weigh [M], 1 in sum."""

    tokens: Tensor
    weights: Tensor


def fitting(operands: Operands, modality: Modality) -> Operands:
    """The operands whose tokens compare with those of a medium: of its own modality; pictures and clips fit each other."""
    family = VISUAL if modality in VISUAL else {modality}
    return tuple(operand for operand in operands if operand.modality in family)


def transport(operands: Operands, direction: Tensor, space: Space) -> Objective:
    """Objective on an `Embedding`: relaxed earth mover's distance to the positive operands' tokens, away from the negative.

    operands: that fit the medium (`fitting`), one of them at least with a positive weight. direction: [D], the target in
    the centred space. Of an operand's tokens those count that lie at the target: weight softmax(cos(dense, target) / SHARPNESS)
    times the operand's own, so that a computed target does not bring along what else is in its pictures.

    Costs are 1 - cosine of middle-layer tokens. With G the look's tokens and B the bank
        loss = max(mean_i min_j cost(G_i, B_j), sum_j b_j min_i cost(G_i, B_j))
             + r * relu(mean_i max_j cos(G_i, N_j) - mean_i max_j cos(G_i, B_j) + MARGIN)
    where N are the tokens of a negative operand, averaged over these by their weights, and r is REPULSION times their share
    of the positive weight, at most 1. The distance lies in 0..2 and is 0 for equal sets; both ways, so that neither one
    perfect patch nor half of the content suffices. Places are free: the order of tokens is of no account.
    The metric "transport" is 1 less the distance.

    Source: Kolkin, Salavon, Shakhnarovich 2019, "Style Transfer by Relaxed Optimal Transport and Self-Similarity" (STROTSS,
    arXiv 1904.12785), for the distance.
    ValueError without a positive operand; when looks have tokens of another width than an operand.
    """
    near, away = ([operand for operand in operands if operand.weight * sign > 0] for sign in (1, -1))
    if not near:
        raise ValueError(f"none of {len(operands)} operands has a positive weight, expected one or more to move towards")
    bank = _bank(near, direction, space)
    shares = [abs(operand.weight) / sum(abs(other.weight) for other in away) for operand in away]
    repelled = [(share, _tokens_of(operand)) for share, operand in zip(shares, away)]
    repulsion = REPULSION * min(1.0, sum(abs(operand.weight) for operand in away) / sum(operand.weight for operand in near))

    def measure(embedding: Embedding, moment: Moment) -> Measure:
        if embedding.tokens.shape[-1] != bank.tokens.shape[-1]:
            raise ValueError(
                f"looks have tokens of width {embedding.tokens.shape[-1]}, {_names(near)} of width {bank.tokens.shape[-1]}: "
                f"their towers differ; use an operand of modality '{embedding.modality}', or a weight of patches of 0"
            )
        tokens, kept = _unit(embedding.tokens), ~registers(embedding.tokens)
        cosines = tokens @ bank.tokens.to(tokens).T
        distance = relaxed_distance(1 - cosines, kept, bank.weights.to(tokens))
        loss = distance
        if repelled:
            theirs = sum(share * _mean(_nearest(tokens, other), kept) for share, other in repelled)
            loss = loss + repulsion * (theirs - _mean(cosines.amax(2), kept) + MARGIN).relu()
        return Measure(loss, {"transport": 1 - distance.detach()})

    return Objective(f"transport to {_names(near)}" + (f" away from {_names(away)}" if away else ""), measure)


def relaxed_distance(costs: Tensor, kept: Tensor, weights: Tensor) -> Tensor:
    """[B], the greater of: the mean over the kept rows of costs [B, N, M] of their least; the mean of the columns' least, by
    weights [M] of sum 1. kept: [B, N] bool, at least one of each B."""
    there = _mean(costs.amin(2), kept)
    back = costs.masked_fill(~kept[..., None], torch.inf).amin(1) @ weights
    return torch.maximum(there, back)


def registers(tokens: Tensor) -> Tensor:
    """[..., N] bool: which of tokens [..., N, W] have a norm out of the ordinary; never more than half."""
    norms = tokens.detach().float().norm(dim=-1)
    return norms > OUTLIER * norms.median(-1, keepdim=True).values


def _bank(operands: list[Operand], direction: Tensor, space: Space) -> Bank:
    total = sum(operand.weight for operand in operands)
    target = normalize(direction.detach().cpu(), dim=-1)
    weights = []
    for operand in operands:
        cosines = normalize(space.centre(operand.dense, operand.modality), dim=-1) @ target.to(operand.dense)
        serving = (cosines / SHARPNESS)[~registers(operand.tokens)].softmax(0)
        weights.append(operand.weight / total * serving)
    return Bank(torch.cat([_tokens_of(operand) for operand in operands]), torch.cat(weights))


def _tokens_of(operand: Operand) -> Tensor:
    return _unit(operand.tokens)[~registers(operand.tokens)]


def _unit(tokens: Tensor) -> Tensor:
    # a tower may run in half precision, in which small differences of cosines are lost
    return normalize(tokens.to(torch.promote_types(tokens.dtype, torch.float32)), dim=-1)


def _nearest(tokens: Tensor, others: Tensor) -> Tensor:
    return (tokens @ others.to(tokens).T).amax(2)


def _mean(rows: Tensor, kept: Tensor) -> Tensor:
    return (rows * kept).sum(1) / kept.sum(1)


def _names(operands: list[Operand]) -> str:
    return ", ".join(operand.written for operand in operands)
