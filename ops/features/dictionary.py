"""What every dictionary of named features offers: vectors in, sparse nonnegative codes out, and the atoms they weigh."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from ..space import Modality, Space


@runtime_checkable
class Dictionary(Protocol):
    """A fixed list of m features of one space.

    id: kind and fingerprint, for example `sae-1f2e3d4c5b6a`. Codes of different dictionaries never mix.
    space: where its atoms lie.
    names: m names for a person to read, unique; what cannot be named says so.
    atoms: [m, D] float32 on the CPU, unit rows, directions in centred units. A code times the atoms is the named part of
        a vector; what it leaves of the vector is the concept's residual.
    """

    id: str
    space: Space
    names: tuple[str, ...]
    atoms: Tensor

    def encode(self, x: Tensor, modality: Modality) -> Tensor:
        """Codes [N, m], nonnegative and mostly zero, of vectors [N, D] in centred units that come from one modality."""
