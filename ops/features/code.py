"""A concept's code: how much of each named feature, and per source what the features leave of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from .. import algebra
from ..grad import thawed
from ..space import Modality, finite
from .dictionary import Dictionary

LEFTOVER = 0.25
"""What leftovers count in the vector. Of 822 edits of pocket pictures and 822 of their names, each by two words
(`benchmarks/edits.py`), .57 and .65 succeed at 0, .58 and .65 at a quarter, .55 and .66 at a half, and .44 and .67 at 1, where the
difference is no longer truncated; each at the best weight of its own."""

Pair = Callable[[Tensor, Tensor], Tensor]


class DictionaryMismatch(ValueError):
    """Codes over two different dictionaries were brought together. left, right: their ids."""

    def __init__(self, left: str, right: str):
        super().__init__(f"codes of different dictionaries do not mix: '{left}' and '{right}'; decompose both with one dictionary")
        self.left, self.right = left, right


@dataclass(frozen=True, eq=False)
class Code:
    """Amounts of named features, with the residual of every source they were read from. Immutable.

    amounts: [2, m] float32, nonnegative: what is there, and what is taken away beyond that (leftovers).
    sources: S names of what was decomposed; weights: [2, S], as `amounts`, of residuals [S, D].

    A residual is what the dictionary cannot say of its source: x - code @ atoms. It is kept by source and weighed like a
    feature that only this source has, so that decoding gives x back, and the laws of `algebra` hold for the whole. No edit
    computes it anew: that would undo the edit.
    """

    dictionary: Dictionary
    amounts: Tensor
    sources: tuple[str, ...] = ()
    weights: Tensor = field(default_factory=lambda: torch.zeros(2, 0))
    residuals: Tensor | None = None

    def __post_init__(self):
        # kept for good, so nothing that was born under a host's inference mode may stay in it
        for name in ("amounts", "weights", "residuals"):
            if (tensor := getattr(self, name)) is not None:
                object.__setattr__(self, name, thawed(tensor))

    @classmethod
    def of(cls, vector: Tensor, modality: Modality, source: str, dictionary: Dictionary, residual: float = 1.0) -> Code:
        """The code of a vector [D] in centred units that comes from one modality; `source` is its name, `residual` the weight
        of what the dictionary cannot say of it."""
        amounts = dictionary.encode(vector[None], modality)[0]
        digest = hashlib.sha256(vector.contiguous().numpy()).hexdigest()[:8]
        pair = torch.stack([amounts, torch.zeros_like(amounts)])
        if not residual:
            return cls(dictionary, pair)
        left = vector - amounts @ dictionary.atoms
        return cls(dictionary, pair, (f"{source} {digest}",), torch.tensor([[residual], [0.0]]), left[None])

    @classmethod
    def single(cls, index: int, dictionary: Dictionary) -> Code:
        """One feature, once, without a residual."""
        amounts = torch.zeros(2, len(dictionary.names))
        amounts[0, index] = 1
        return cls(dictionary, amounts)

    @property
    def vector(self) -> Tensor:
        """[D] in centred units: what is there, decoded, less `LEFTOVER` of what was taken away beyond it."""
        return self._decoded(0) - LEFTOVER * self._decoded(1)

    @property
    def linear(self) -> Tensor:
        """[D] in centred units: with leftovers in full, so that it is what dense arithmetic would have come to."""
        return self._decoded(0) - self._decoded(1)

    @property
    def leftovers(self) -> Tensor:
        """[D] in centred units: what was taken away beyond what was there, decoded."""
        return self._decoded(1)

    def shared(self, other: Code) -> Tensor:
        """Indices of the features that another has, and has in at least the same proportion to its strongest: those that are
        more the other's than this one's. fur has a little of dog in it; that does not make dog a feature of fur."""
        self._require(other)
        mine, theirs = (side.amounts[0] / side.amounts[0].max().clamp_min(torch.finfo(torch.float32).tiny) for side in (self, other))
        # a multiple of a code has its proportions but for rounding
        return ((theirs > 0) & (theirs >= (1 - 1e-5) * mine)).nonzero()[:, 0]

    @property
    def active(self) -> Tensor:
        """Indices of the features that are there, the strongest first."""
        return self._ordered(0)

    def features(self, count: int | None = None) -> list[tuple[str, float]]:
        """(name, amount) of what is there, the strongest first."""
        return self._listed(0, count)

    def taken(self, count: int | None = None) -> list[tuple[str, float]]:
        """(name, amount) of the leftovers, the strongest first."""
        return self._listed(1, count)

    def combined(self, other: Code, law: Pair) -> Code:
        """`law` of both, on features and on sources alike. DictionaryMismatch for codes of two dictionaries."""
        self._require(other)
        sources = tuple(dict.fromkeys((*self.sources, *other.sources)))
        weights = law(self._weights_of(sources), other._weights_of(sources))
        found = dict(zip(other.sources, other.residuals if other.residuals is not None else ()))
        found |= dict(zip(self.sources, self.residuals if self.residuals is not None else ()))
        kept = [i for i in range(len(sources)) if weights[:, i].any()]
        residuals = torch.stack([found[sources[i]] for i in kept]) if kept else None
        return Code(self.dictionary, law(self.amounts, other.amounts), tuple(sources[i] for i in kept), weights[:, kept], residuals)

    def weighed(self, weight: float) -> Code:
        """weight times the code; a negative weight exchanges what is there and what is taken away."""
        return replace(self, amounts=algebra.weighed(self.amounts, weight), weights=algebra.weighed(self.weights, weight))

    def scaled(self, features: Tensor, factor: float) -> Code:
        """The features of these indices `factor` times as strong; 0 switches them off, leftovers too."""
        amounts = self.amounts.clone()
        amounts[:, features] *= factor
        return replace(self, amounts=amounts)

    def leak(self, features: Tensor) -> Tensor:
        """How much the decoded vector still points along these features' atoms: [len(features)], in centred units.

        A feature that is switched off leaves something behind: other atoms and the residual lie partly along its own.
        """
        return self.dictionary.atoms[features] @ self.vector

    def erased(self, features: Tensor) -> Code:
        """Without these features, and with what leaks along their atoms projected off: their `leak` is zero after it."""
        dropped = self.scaled(features, 0.0)
        atoms = self.dictionary.atoms[features]
        along = torch.linalg.pinv(atoms @ atoms.T) @ (atoms @ dropped.vector)
        correction = -(along @ atoms)
        name = f"erased {hashlib.sha256(correction.numpy()).hexdigest()[:8]}"
        one = Code(self.dictionary, torch.zeros_like(self.amounts), (name,), torch.tensor([[1.0], [0.0]]), correction[None])
        # row by row: settling what is there with what is taken away would move the vector
        return dropped.combined(one, lambda a, b: algebra.mixed(a, b, 1.0, 1.0))

    def tensors(self) -> dict[str, Tensor]:
        """What `restored` reads back: amounts as (row, feature) places and values, weights, residuals."""
        places = self.amounts.nonzero()
        kept = {"code.places": places, "code.amounts": self.amounts[tuple(places.T)], "code.weights": self.weights}
        return kept if self.residuals is None else {**kept, "code.residuals": self.residuals}

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor], sources: Sequence[str], dictionary: Dictionary) -> Code:
        """The code that `tensors` wrote. KeyError, IndexError, RuntimeError or ValueError for what is no code."""
        width, dimension = dictionary.atoms.shape
        places, values, weights = (tensors[f"code.{name}"] for name in ("places", "amounts", "weights"))
        residuals = tensors.get("code.residuals")
        shapes = (tuple(places.shape), tuple(values.shape), tuple(weights.shape), None if residuals is None else tuple(residuals.shape))
        if shapes != ((len(values), 2), (len(values),), (2, len(sources)), (len(sources), dimension) if sources else None):
            raise ValueError(f"a code of {width} features and {len(sources)} sources in tensors of shapes {shapes}")
        for tensor in filter(lambda tensor: tensor is not None, (values, weights, residuals)):
            finite(tensor, "the code")
        if (values < 0).any() or (weights < 0).any():
            raise ValueError("the code has negative amounts")
        amounts = torch.zeros(2, width)
        amounts[tuple(places.T)] = values.float()
        return cls(dictionary, amounts, tuple(sources), weights.float(), None if residuals is None else residuals.float())

    def _require(self, other: Code) -> None:
        if other.dictionary.id != self.dictionary.id:
            raise DictionaryMismatch(self.dictionary.id, other.dictionary.id)

    def _ordered(self, row: int) -> Tensor:
        order = self.amounts[row].argsort(descending=True, stable=True)
        return order[: int((self.amounts[row] > 0).sum())]

    def _listed(self, row: int, count: int | None) -> list[tuple[str, float]]:
        return [(self.dictionary.names[i], float(self.amounts[row, i])) for i in self._ordered(row)[:count].tolist()]

    def _decoded(self, row: int) -> Tensor:
        # a code is mostly zero, and a dictionary may have twenty thousand atoms
        active = self.amounts[row].nonzero()[:, 0]
        vector = self.amounts[row, active] @ self.dictionary.atoms[active]
        return vector if self.residuals is None else vector + self.weights[row] @ self.residuals

    def _weights_of(self, sources: tuple[str, ...]) -> Tensor:
        """[2, len(sources)] weights in this order; 0 for a source that it lacks."""
        at = {source: i for i, source in enumerate(self.sources)}
        found = torch.zeros(2, len(sources))
        for i, source in enumerate(sources):
            if source in at:
                found[:, i] = self.weights[:, at[source]]
        return found
