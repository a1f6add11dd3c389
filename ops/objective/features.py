"""The named features of a target, switched on in the looks, and those that it gave up, switched off."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear, normalize, softplus

from ..algebra import ZERO
from ..encoders.protocol import Embedding
from ..features.code import Code
from ..features.dictionary import Dictionary
from ..features.trained import TrainedSAE
from ..space import Space
from .pooling import best_fraction
from .value import Measure, Moment, Objective

SOFTNESS = 0.1
"""How far from its goal, in shares of it, a feature begins to count less."""
SHOWN = 6
"""Features that a description names."""


def features(code: Code, space: Space, fraction: float = 0.5, temperature: float = 0.07) -> Objective:
    """Objective on an `Embedding`: every feature that a target has as strong as there, and none of those it gave up.

    code: of the target. Its features go up; its leftovers and what was erased from it go down (`signed_amounts`). Each is read
    as the pre-activation p of the centred direction (`detectors`), before the gate, which has no gradient: of the pooled
    embedding, and of the dense tokens, pooled over their best `fraction` (`best_fraction`).
    With amounts s of the target at unit length, and S the greatest of them, the loss is the mean by |s| of
        SOFTNESS * softplus((1 - p / s) / SOFTNESS)   for s > 0: how much of the feature is missing, none when it is as strong
        SOFTNESS * softplus((p / S) / SOFTNESS)       for s < 0: how much of it is there
    half for the pooled embedding and half for the tokens. A feature in excess makes up for none that is missing. How long the
    target is plays no part, nor the order of tokens.
    Metrics of the pooled embedding: "features", the share 0..1 of the target's amounts that is there; if some went, "removed",
    how much of them is there, in shares of S.

    SpaceMismatch for a code of another space, ValueError for one without any feature or of length zero.
    """
    space.require(code.dictionary.space)
    signed = signed_amounts(code)
    named = signed.nonzero()[:, 0]
    if not len(named):
        raise ValueError(f"the code over '{code.dictionary.id}' has no feature, expected one that is there or was taken away")
    if (length := float(code.vector.norm())) < ZERO:
        raise ValueError(f"the code over '{code.dictionary.id}' comes out as zero, expected one with a direction")
    amounts = signed[named] / length
    rows, biases = detectors(code.dictionary, named)
    wanted, shares = amounts > 0, amounts.abs() / amounts.abs().sum()
    units = torch.where(wanted, amounts, -amounts.abs().max())

    def measure(embedding: Embedding, moment: Moment) -> Measure:
        weights, goals = shares.to(embedding.pooled), wanted.to(embedding.pooled)

        def relative(x: Tensor) -> Tensor:
            """[..., k]: pre-activations in shares of what is wanted; of what is not, negative when it is there."""
            directions = normalize(space.centre(x, embedding.modality), dim=-1)
            return linear(directions, rows.to(x), biases.to(x)) / units.to(x)

        def missing(found: Tensor) -> Tensor:
            return SOFTNESS * softplus((goals - found) / SOFTNESS) @ weights

        whole = relative(embedding.pooled)
        # a feature that was given up is to be nowhere, so it is pooled where it is strongest, like any other
        signs = 2 * goals - 1
        parts = signs * best_fraction(signs * relative(embedding.dense), fraction, temperature)
        present = whole.detach()
        metrics = {}
        if wanted.any():
            metrics["features"] = present.clamp(0, 1) @ (weights * goals) / (weights * goals).sum()
        if not wanted.all():
            metrics["removed"] = -present.clamp(max=0) @ (weights * (1 - goals)) / (weights * (1 - goals)).sum()
        return Measure((missing(whole) + missing(parts)) / 2, metrics)

    return Objective(_described(code.dictionary, named, amounts), measure)


def detectors(dictionary: Dictionary, features: Tensor) -> tuple[Tensor, Tensor]:
    """(rows [k, D], biases [k]): rows @ x + biases are the pre-activations at x [D] of the features of these indices [k].

    Those of a trained autoencoder are its encoder's; a dictionary without an encoder reads a feature along its atom.
    """
    if isinstance(dictionary, TrainedSAE):
        trained = dictionary.autoencoder
        rows = trained.encoder[features]
        return rows, trained.encoder_bias[features] - rows @ trained.decoder_bias
    rows = dictionary.atoms[features]
    return rows, rows.new_zeros(len(rows))


def signed_amounts(code: Code) -> Tensor:
    """[m]: what a code has of each feature, less what was taken away beyond that, less what was erased.

    `Code.erased` keeps what it projected off as a source, a combination of the erased atoms: they are found again by
    orthogonal matching pursuit (Pati et al. 1993) and count when nothing of it remains, so that no other residual is mistaken
    for one.
    """
    signed = code.amounts[0] - code.amounts[1]
    for source, weight, residual in zip(code.sources, code.weights[0], code.residuals if code.residuals is not None else ()):
        if source.startswith("erased ") and weight > 0:
            for feature, amount in _combined_of(residual, code.dictionary.atoms).items():
                if code.amounts[0, feature] == 0:
                    signed[feature] -= weight * abs(amount)
    return signed


def _combined_of(vector: Tensor, atoms: Tensor) -> dict[int, float]:
    """Which few atoms [m, D] a vector [D] is an exact combination of, with their amounts; {} if it is not."""
    chosen: list[int] = []
    rest = vector
    while len(chosen) < len(vector) // 4:
        chosen.append(int((atoms @ rest).abs().argmax()))
        amounts = torch.linalg.lstsq(atoms[chosen].T, vector[:, None]).solution[:, 0]
        rest = vector - amounts @ atoms[chosen]
        if rest.norm() <= 1e-4 * vector.norm():
            return {feature: amount for feature, amount in zip(chosen, amounts.tolist()) if abs(amount) > 1e-3 * float(amounts.abs().max())}
    return {}


def _described(dictionary: Dictionary, named: Tensor, amounts: Tensor) -> str:
    def listed(sign: int) -> str:
        order = [int(i) for i in (sign * amounts).argsort(descending=True, stable=True) if sign * amounts[i] > 0]
        return ", ".join(dictionary.names[named[i]] for i in order[:SHOWN]) + (f" and {len(order) - SHOWN} more" if len(order) > SHOWN else "")

    return "; ".join(f"{what} {names}" for what, names in (("features", listed(1)), ("without", listed(-1))) if names)
