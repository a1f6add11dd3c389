"""What a concept is made of: its leaves with their weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .space import Modality

Operands = tuple["Operand", ...]


@dataclass(frozen=True, eq=False)
class Operand:
    """One leaf of a concept: a phrase, image, sound or clip with its signed weight in the result.

    tokens [N, W], dense [N, D], grid: the leaf's own patch tokens, as in `Embedding`, so that an objective can align
    with the parts of a picture or a sound and not only with its pooled vector.
    """

    written: str
    modality: Modality
    weight: float
    tokens: Tensor
    dense: Tensor
    grid: tuple[int, ...]

    def same_leaf(self, other: Operand) -> bool:
        """Whether both are the same phrase or file with the same content, whatever their weights."""
        return (self.written, self.modality) == (other.written, other.modality) and torch.equal(self.dense, other.dense)


def weighted(operands: Operands, weight: float) -> Operands:
    """The leaves `weight` times as heavy; 0 drops out."""
    scaled = (replace(operand, weight=operand.weight * weight) for operand in operands)
    return tuple(operand for operand in scaled if operand.weight != 0)


def added(mine: Operands, theirs: Operands) -> Operands:
    """Leaves of both with the sum of their weights; what cancels drops out."""
    return _merged(mine, theirs, _settled)


def either(mine: Operands, theirs: Operands) -> Operands:
    """Leaves of both; one that both have weighs what the heavier does."""
    return _merged(mine, theirs, lambda a, b: max(a, b, key=abs))


def _settled(a: float, b: float) -> float:
    # 0.1 + 0.2 - 0.3 leaves a rounding error, not an operand.
    return 0.0 if abs(a + b) <= 1e-12 * abs(b) else a + b


def _merged(mine: Operands, theirs: Operands, law: Callable[[float, float], float]) -> Operands:
    """Leaves of both with `law` of their weights, where a leaf that one side lacks weighs 0; 0 drops out."""
    kept, rest = [], list(theirs)
    for leaf in mine:
        twin = next((other for other in rest if other.same_leaf(leaf)), None)
        if twin:
            rest.remove(twin)
        kept.append(replace(leaf, weight=law(leaf.weight, twin.weight if twin else 0.0)))
    kept += [replace(leaf, weight=law(0.0, leaf.weight)) for leaf in rest]
    return tuple(leaf for leaf in kept if leaf.weight != 0)
