"""Named codes without training: a vector as a sum of few words of its space's vocabulary, with nonnegative weights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..space import Modality, Space, finite
from .nonnegative import lasso, nnls

Method = Literal["pursuit", "lasso"]
ROWS = 256
"""Vectors coded at once: with 20 thousand words their correlations take 20 MB."""


@dataclass(frozen=True, eq=False)
class Pursuit:
    """The `Dictionary` (see dictionary.py) whose features are the words of a space's vocabulary.

    space: its vocabulary is embedded when a code is first asked for. ValueError when it has none.
    most: words a code has at most.
    tolerance: in 0..1. A word is taken while its inner product with what the code leaves of a vector exceeds this share of
        the vector's length. Measured on the pocket space, taking a word as right when it is among the hundredth of the
        vocabulary nearest the caption: of 1000 pictures .2 takes 1.7 words, .47 of them right, where .1 takes 15.7, .07 of
        them right; of 1000 phrases 2.4, .95 right, where .1 takes 4.9, .58 right. No word comes near a picture or a sound
        of nothing the vocabulary knows, and its code is then empty: all of it is residual.
    method: `pursuit` takes the best word, refits all weights by nonnegative least squares, and repeats (nonnegative
        orthogonal matching pursuit). `lasso` finds all words at once with `tolerance` for penalty, then refits the weights
        of the `most` heaviest without it; slower by far, and at equal length of codes less exact.

    No two active words are near synonyms, though a vocabulary is full of them (cat, cats): what is left of a vector is at
    right angles to every word in its code, so a word close to one of them has nothing to add. On the pocket space .002 of
    the codes hold two words with a cosine above .7.
    Sources: Pati et al. 1993, "Orthogonal matching pursuit"; Bruckstein et al. 2008 for the nonnegative one; Bhalla et al.
    2024, "SpLiCE", for the lasso over a vocabulary.
    """

    space: Space
    most: int = 16
    tolerance: float = 0.2
    method: Method = "pursuit"

    def __post_init__(self):
        if self.space.vocabulary is None or not len(self.space.vocabulary):
            raise ValueError(f"space '{self.space.id}' has no vocabulary to name features with")
        if self.most < 1:
            raise ValueError(f"most is {self.most}, expected at least 1 word")
        if not 0 < self.tolerance < 1:
            raise ValueError(f"tolerance is {self.tolerance}, expected more than 0 and less than 1")
        if self.method not in get_args(Method):
            raise ValueError(f"unknown method '{self.method}', expected one of {', '.join(get_args(Method))}")

    @cached_property
    def id(self) -> str:
        """`words-` and a fingerprint of space and words: however it finds its codes, they mean the same."""
        return "words-" + hashlib.sha256("\n".join([self.space.id, *self.names]).encode()).hexdigest()[:12]

    @property
    def names(self) -> tuple[str, ...]:
        return self.space.vocabulary.words

    @property
    def atoms(self) -> Tensor:
        return self.space.word_directions

    @torch.no_grad()
    def encode(self, x: Tensor, modality: Modality) -> Tensor:
        """Codes [N, V] on the device of the vectors x [N, D]: nonnegative, at most `most` of a row not zero.

        A vector s times as long has a code s times as large, a word's own direction has that word alone, and zero has none.
        `modality` plays no part: centring has already done what there is to do. Raises ValueError for another shape or NaN.
        """
        if x.dim() != 2 or x.shape[1] != self.space.dimension:
            raise ValueError(f"vectors have shape {tuple(x.shape)}, expected (N, {self.space.dimension}) for space '{self.space.id}'")
        x = finite(x.detach().float(), "vectors")
        atoms = self.atoms.to(x.device)
        code = self._pursued if self.method == "pursuit" else self._shrunk
        if not len(x):
            return x.new_zeros(0, len(atoms))
        return torch.cat([code(rows, atoms) for rows in normalize(x, dim=1).split(ROWS)]) * x.norm(dim=1, keepdim=True)

    def _pursued(self, x: Tensor, atoms: Tensor) -> Tensor:
        chosen = torch.zeros(len(x), self.most, dtype=torch.long, device=x.device)
        active = x.new_zeros(len(x), self.most, x.shape[1])
        weights, residual = x.new_zeros(len(x), self.most), x
        for i in range(self.most):
            found = (residual @ atoms.T).max(1)
            wanted = found.values > self.tolerance
            if not wanted.any():
                break
            chosen[:, i] = found.indices
            # rows that are done go on with atoms of zero, which get no weight
            active[:, i] = atoms[found.indices] * wanted[:, None]
            weights = _refitted(x, active, weights)
            residual = x - (weights[:, None] @ active)[:, 0]
        return x.new_zeros(len(x), len(atoms)).scatter_add(1, chosen, weights)

    def _shrunk(self, x: Tensor, atoms: Tensor) -> Tensor:
        heaviest = lasso(x, atoms, self.tolerance).topk(min(self.most, len(atoms)), dim=1)
        active = atoms[heaviest.indices] * (heaviest.values > 0)[..., None]
        return x.new_zeros(len(x), len(atoms)).scatter(1, heaviest.indices, _refitted(x, active))


def _refitted(x: Tensor, active: Tensor, start: Tensor | None = None) -> Tensor:
    """The nonnegative weights [N, k] of the active atoms [N, k, D] that leave least of x [N, D]."""
    return nnls(active @ active.mT, (active @ x[..., None])[..., 0], start)
