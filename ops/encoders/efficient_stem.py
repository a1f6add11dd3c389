"""EfficientNet-Lite0's first five stages as a patch embedding: stride 16, 112 channels, learned on photographs.

Architecture: Tan & Le 2019 (arXiv 1905.11946) without squeeze-and-excitation and with ReLU6, as Google's "lite" models.
Batch norms are folded into the convolutions: what ships is convolutions with biases only.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

# expansion, kernel, stride, channels out, repeats
STAGES = ((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3))
CHANNELS = STAGES[-1][3]


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME pads an even-sized input: the odd row and column come last."""

    def __init__(self, a: int, b: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__(a, b, kernel, stride, padding=(kernel - 1) // 2 if stride == 1 else 0, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride[0] == 2:
            total = self.kernel_size[0] - 2
            x = F.pad(x, (total // 2, total - total // 2) * 2)
        return super().forward(x)


class InvertedResidual(nn.Module):
    def __init__(self, a: int, b: int, expansion: int, kernel: int, stride: int):
        super().__init__()
        wide = a * expansion
        self.expand = SameConv(a, wide, 1) if expansion > 1 else None
        self.depthwise = SameConv(wide, wide, kernel, stride, groups=wide)
        self.project = SameConv(wide, b, 1)
        self.skip = stride == 1 and a == b

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.expand(x)) if self.expand is not None else x
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.skip else y


class EfficientStem(nn.Module):
    """Pixels [B, 3, H, W], (pixel - 127/255) * 255/128, sides multiples of 16 -> [B, width, H/16, W/16]."""

    def __init__(self, width: int):
        super().__init__()
        self.stem = SameConv(3, 32, 3, 2)
        blocks, a = [], 32
        for expansion, kernel, stride, b, repeats in STAGES:
            for i in range(repeats):
                blocks.append(InvertedResidual(a, b, expansion, kernel, stride if i == 0 else 1))
                a = b
        self.blocks = nn.ModuleList(blocks)
        self.out = nn.Conv2d(CHANNELS, width, 1)

    def features(self, x: Tensor, stop: int | None = None) -> Tensor:
        """[B, 112, H/16, W/16], before the projection to the tower's width; with `stop`, after that many blocks."""
        x = F.relu6(self.stem(x))
        for block in self.blocks[:stop]:
            x = block(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.features(x))
