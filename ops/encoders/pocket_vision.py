"""The pocket picture tower: a convolutional stem to 8x8 patches, five CLIP layers, 768 dimensions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .tower import VisionTower, convolutional_stem

SIZE = 128
WIDTH, LAYERS, HEADS = 256, 5, 4


def tower(frames: int = 0) -> VisionTower:
    """The picture tower, or with `frames` the clip tower: the same with temporal attention in every layer."""
    return VisionTower(convolutional_stem([3, 32, 64, 128, WIDTH], WIDTH), (SIZE // 16, SIZE // 16), WIDTH, LAYERS, HEADS, frames=frames)


def normalise(pixels: Tensor) -> Tensor:
    """Pixels [..., 3, H, W] in 0..1 to roughly zero mean and unit deviation."""
    return (pixels - 0.5) * 2.5
