"""Pictures of several things, and whether the map of one of them has its peak on it: the pointing game.

Zhang et al. 2016, "Top-down neural attention by excitation backprop" (arXiv 1608.00507). Each drawing has a part of the
frame, all parts equal and together the whole, so that a map that knows nothing of the question is right by chance: 1 in so many.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..ops.encoders.preprocessing import resize
from ..ops.interpret.attribution import Attribution
from .evaluation import TILE, held_out

HALF = TILE // 2
LAYOUTS: dict[str, tuple[tuple[int, int], ...]] = {
    "pair": ((HALF // 2, 0), (HALF // 2, HALF)),
    "four": ((0, 0), (0, HALF), (HALF, 0), (HALF, HALF)),
}
"""Where the drawings of half size stand, as (row, column) of their upper left corners: side by side, or in a grid."""


@dataclass(frozen=True)
class Composite:
    """pixels [1, 3, 128, 128] in 0..1 on white; names of its drawings by their order in `LAYOUTS`."""

    pixels: Tensor
    names: tuple[str, ...]

    def part(self, row: int, column: int, grid: tuple[int, int]) -> int:
        """Whose part of the frame a patch of a grid [h, w] lies in."""
        right = int(column >= grid[1] / 2)
        return right if len(self.names) == 2 else 2 * int(row >= grid[0] / 2) + right

    def points_at(self, found: Attribution) -> int:
        """Whose part of the frame the map's largest value lies in."""
        row, column = divmod(int(found.values.argmax()), found.values.shape[1])
        return self.part(row, column, tuple(found.values.shape))


def composites(layout: str, count: int, rng: torch.Generator) -> list[Composite]:
    """`count` of different held-out drawings each, whose names share no word."""
    pixels, names = held_out().of("style", 10_000)
    made: list[Composite] = []
    corners = LAYOUTS[layout]
    while len(made) < count:
        rows = torch.randint(len(names), (len(corners),), generator=rng).tolist()
        words = [word for row in rows for word in names[row].split()]
        if len(words) > len(set(words)):
            continue
        sheet = torch.ones(1, 3, TILE, TILE)
        for row, (top, left) in zip(rows, corners):
            sheet[0, :, top : top + HALF, left : left + HALF] = resize(pixels[row], HALF, HALF)
        made.append(Composite(sheet, tuple(names[row] for row in rows)))
    return made
