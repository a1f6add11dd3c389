"""A latent as a sum of levels, coarse to fine, so that a descent can lay out a whole before it draws its parts.

The idea is Direct Ascent Synthesis (Fort and Whitaker, arXiv 2502.07753), there for pixels: a picture as a sum of
upsampled pictures of every resolution, all of them optimised together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import interpolate


@dataclass(frozen=True)
class Pyramid:
    """z = the sum of `levels` latents, each half as fine along the sides as the one after it, upsampled bilinearly.

    Sides are a latent's last two axes ([C, H, W], [T, C, H, W]), or the last one of [C, L] and [L]. With one level, the
    latent is itself. A level that would be coarser than one value is one value. ValueError for fewer than one level.
    """

    levels: int = 1

    def __post_init__(self) -> None:
        if self.levels < 1:
            raise ValueError(f"levels must be at least 1, not {self.levels}")

    def split(self, z: Tensor) -> list[Tensor]:
        """Levels, coarse first, whose sum is z [B, ...], bit for bit: zeros, and z itself as the finest."""
        sides = _sides(z)
        coarse = [z.new_zeros(*z.shape[: -len(sides)], *_halved(sides, k)) for k in range(self.levels - 1, 0, -1)]
        return [*coarse, z]

    def joined(self, levels: Sequence[Tensor]) -> Tensor:
        """The latent [B, ...] that levels stand for, differentiable."""
        *coarse, z = levels
        for level in coarse:
            z = z + upsampled(level, z)
        return z

    def rates(self, z: Tensor) -> list[float]:
        """Each level's share of the learning rate: 1 / sqrt(how many values of z one of its values covers).

        A step of one size for every value would move the latent by each level alike, and all of them together by
        `levels` times as much; with this, the coarse ones place and the finest still draws.
        """
        sides = _sides(z)
        return [math.sqrt(math.prod(_halved(sides, k)) / math.prod(sides)) for k in range(self.levels - 1, -1, -1)]


def upsampled(level: Tensor, like: Tensor) -> Tensor:
    """level [B, ..., h, w] or [B, ..., l] at the sides of `like`, linearly in between; constants stay constant."""
    sides = _sides(like)
    # one operator for both numbers of sides, and one that has an MPS kernel both ways: a line is a picture of height 1
    flat = level.reshape(-1, 1, *((1,) if len(sides) == 1 else ()), *level.shape[level.dim() - len(sides) :])
    size = (1, *sides) if len(sides) == 1 else sides
    return interpolate(flat, size=size, mode="bilinear", align_corners=False).view(like.shape)


def _sides(z: Tensor) -> tuple[int, ...]:
    """The sides of a batch z [B, ...]."""
    return tuple(z.shape[-2:]) if z.dim() > 3 else tuple(z.shape[-1:])


def _halved(sides: tuple[int, ...], times: int) -> tuple[int, ...]:
    return tuple(max(1, side >> times) for side in sides)

