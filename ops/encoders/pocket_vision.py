"""The pocket picture tower: a photograph-trained stem to 8x8 patches, five CLIP layers, 768 dimensions."""

from __future__ import annotations

from torch import Tensor

from .efficient_stem import EfficientStem
from .tower import VisionTower

SIZE = 128
WIDTH, LAYERS, HEADS = 256, 5, 4


def tower(frames: int = 0) -> VisionTower:
    """The picture tower, or with `frames` the clip tower: the same with temporal attention in every layer."""
    return VisionTower(EfficientStem(WIDTH), (SIZE // 16, SIZE // 16), WIDTH, LAYERS, HEADS, frames=frames)


def normalise(pixels: Tensor) -> Tensor:
    """Pixels [..., 3, H, W] in 0..1 to the range the stem was trained on."""
    return (pixels * 255 - 127) / 128
