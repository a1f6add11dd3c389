"""The independent judge of pocket renders: a plain convolutional classifier that shares nothing with the encoder.

It knows no anchor and no text: 1,644 classes, its own architecture, its own training run and draws.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIZE = 64


class Judge(nn.Module):
    """Pixels [B, 3, H, W] in 0..1 -> class logits [B, classes]; any size, averaged down to 64 px inside."""

    def __init__(self, classes: int, widths: tuple[int, ...]):
        super().__init__()
        blocks: list[nn.Module] = []
        for a, b in zip((3, *widths), widths):
            blocks += [nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
        last = widths[-1]
        self.features = nn.Sequential(*blocks, nn.Conv2d(last, last, 3, padding=1, bias=False), nn.BatchNorm2d(last), nn.ReLU())
        self.classify = nn.Linear(2 * last, classes)

    @classmethod
    def fitting(cls, tensors: Mapping[str, Tensor]) -> Judge:
        """An untrained judge of the size of a weights file."""
        kernels = [name for name, tensor in tensors.items() if name.startswith("features.") and tensor.dim() == 4]
        kernels.sort(key=lambda name: int(name.split(".")[1]))
        # the last convolution keeps the width of the one before
        return cls(len(tensors["classify.bias"]), tuple(len(tensors[name]) for name in kernels[:-1]))

    def forward(self, pixels: Tensor) -> Tensor:
        x = F.interpolate(pixels, size=(SIZE, SIZE), mode="area") if pixels.shape[-1] != SIZE else pixels
        x = self.features((x.clamp(0, 1) - 0.5) * 2)
        return self.classify(torch.cat([x.mean((2, 3)), x.amax((2, 3))], -1))
