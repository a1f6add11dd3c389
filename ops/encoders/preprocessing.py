"""Pictures of any size to the square a tower takes, differentiable on every device.

Antialiased resizing as two matrix products, because torch's own antialiased resize has no backward on MPS.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


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
