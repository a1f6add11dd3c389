"""Pictures of any size to the square a tower takes, differentiable on every device.

Resizing as two matrix products: torch's own antialiased resize has no backward on MPS, and the backward of its plain
one sums in no fixed order on CUDA.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ..constants import constant


@lru_cache(maxsize=64)
def _weights(source: int, target: int) -> Tensor:
    scale = source / target
    support = max(scale, 1.0)
    # under inference mode a cached constant would be unusable in a later backward pass
    with torch.inference_mode(False):
        centre = (torch.arange(target) + 0.5) * scale - 0.5
        distance = (torch.arange(source)[None] - centre[:, None]).abs() / support
        weights = (1 - distance).clamp_min(0)
        return weights / weights.sum(1, keepdim=True)


def resize(pixels: Tensor, height: int, width: int) -> Tensor:
    """Triangle-filtered (antialiased bilinear) resize of [..., H, W] to [..., height, width], half-pixel centres."""
    h, w = pixels.shape[-2:]
    if h != height:
        pixels = _weights(h, height).to(pixels) @ pixels
    if w != width:
        pixels = pixels @ _weights(w, width).to(pixels).T
    return pixels


def square(pixels: Tensor, size: int) -> Tensor:
    """[..., H, W] with its shorter side resized to `size`, then the middle size x size cut out."""
    h, w = pixels.shape[-2:]
    scale = size / min(h, w)
    h, w = max(size, round(h * scale)), max(size, round(w * scale))
    pixels = resize(pixels, h, w)
    top, left = (h - size) // 2, (w - size) // 2
    return pixels[..., top : top + size, left : left + size]


def resize_middle(pixels: Tensor, height: int, width: int, size: int, kernel: Callable[..., np.ndarray]) -> Tensor:
    """The middle size x size of [..., H, W] resized to height x width, half-pixel centres; only the middle is computed.

    kernel: `cubic` or `linear`. height and width are at least size; of an odd margin, round((height - size) / 2) rows are
    left out above, Python's rounding to even, as torchvision's CenterCrop does.
    """
    h, w = pixels.shape[-2:]
    rows = constant(pixels, kernel, h, height, round((height - size) / 2), size)
    columns = constant(pixels, kernel, w, width, round((width - size) / 2), size)
    return rows @ pixels @ columns.T


def cubic(source: int, target: int, first: int, count: int) -> np.ndarray:
    """Rows first to first + count of the matrix [target, source] that resizes by antialiased bicubic interpolation.

    Cubic convolution with a = -0.5 (Keys 1981), widened by the reduction where it reduces: what Pillow and
    torch.nn.functional.interpolate(mode="bicubic", antialias=True) do. Each row sums to 1.
    """
    scale = source / target
    centre = (np.arange(first, first + count) + 0.5) * scale
    x = abs(np.arange(source) + 0.5 - centre[:, None]) / max(scale, 1.0)
    inner, outer = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = np.where(x < 1, inner, np.where(x < 2, outer, 0.0))
    return weights / weights.sum(1, keepdims=True)


def linear(source: int, target: int, first: int, count: int) -> np.ndarray:
    """Rows first to first + count of the matrix [target, source] that resizes by bilinear interpolation.

    Between the two nearest samples however much it reduces: torch.nn.functional.interpolate(mode="bilinear").
    """
    place = (np.arange(first, first + count) + 0.5) * source / target - 0.5
    return np.maximum(0, 1 - abs(np.arange(source) - place.clip(0, source - 1)[:, None]))
