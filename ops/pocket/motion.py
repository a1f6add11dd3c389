"""Motion words and what they do to a picture: the clips that the pocket tower learned its verbs from."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

FRAMES = 8
MOTIONS = (
    "still",
    "rising",
    "falling",
    "spinning",
    "flickering",
    "moving left",
    "moving right",
    "growing",
    "shrinking",
    "bouncing",
    "shaking",
)


def motion(cut_outs: Tensor, kinds: list[str], rng: torch.Generator) -> Tensor:
    """Moves premultiplied RGBA [B, 4, S, S] through FRAMES frames -> [B, T, 4, S, S], one word of MOTIONS a picture."""
    b, _, size, _ = cut_outs.shape
    time = torch.linspace(0, 1, FRAMES)
    zero = torch.zeros(FRAMES)
    matrices, lights = [], []
    for kind in kinds:
        u = lambda low, high: low + (high - low) * torch.rand(1, generator=rng).item()  # noqa: E731
        x, y, angle, scale, light = zero, zero, zero, zero + u(1.0, 1.25), zero + 1
        sweep = (time - 0.5) * u(0.7, 1.3)
        if kind == "rising":
            y = sweep
        elif kind == "falling":
            y = -sweep
        elif kind == "moving left":
            x = sweep
        elif kind == "moving right":
            x = -sweep
        elif kind == "spinning":
            angle = time * u(0.6, 1.0) * 2 * math.pi * (1 if u(0, 1) < 0.5 else -1)
        elif kind == "flickering":
            pattern = torch.rand(FRAMES, generator=rng)
            light = torch.where(pattern < pattern.median() + 1e-6, u(0.0, 0.35), 1.0)
        elif kind == "growing":
            scale = 2.0 ** (1.2 - 1.7 * time)
        elif kind == "shrinking":
            scale = 2.0 ** (-0.5 + 1.7 * time)
        elif kind == "bouncing":
            y = 0.45 * (torch.sin(math.pi * (time * u(1.6, 2.4) + u(0, 0.3))).abs() - 0.5)
        elif kind == "shaking":
            x = u(0.12, 0.25) * torch.tensor([1.0, -1.0]).repeat(FRAMES // 2)
        cos, sin = angle.cos() * scale, angle.sin() * scale
        matrices.append(torch.stack([torch.stack([cos, -sin, x * scale], -1), torch.stack([sin, cos, y * scale], -1)], 1))
        lights.append(light)
    matrix = torch.cat(matrices)
    moved = cut_outs.repeat_interleave(FRAMES, 0)
    moved = F.grid_sample(moved, F.affine_grid(matrix, list(moved.shape), align_corners=False), align_corners=False)
    return (moved * torch.cat(lights)[:, None, None, None]).view(b, FRAMES, 4, size, size)
