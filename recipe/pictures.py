"""Batches of named pictures: cut out, turned, placed on backgrounds, tinted, on the fly."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .images import HELD_OUT_STYLE

COLOURS = {
    "red": (0.86, 0.10, 0.12),
    "orange": (0.96, 0.52, 0.08),
    "yellow": (0.96, 0.84, 0.12),
    "green": (0.16, 0.64, 0.20),
    "turquoise": (0.10, 0.70, 0.70),
    "blue": (0.12, 0.32, 0.86),
    "purple": (0.52, 0.16, 0.72),
    "pink": (0.96, 0.46, 0.68),
    "brown": (0.48, 0.28, 0.14),
    "black": (0.10, 0.10, 0.11),
    "grey": (0.52, 0.52, 0.53),
    "golden": (0.85, 0.66, 0.18),
}


class Pictures:
    """The rendered pictures of recipe.images, split into trained, unseen style and unseen concepts."""

    def __init__(self, data: Path):
        self.pixels = np.load(data / "ready" / "images.npy", mmap_mode="r")
        self.rows = json.loads((data / "ready" / "images.json").read_text())
        style = np.array([r["style"] for r in self.rows])
        unseen = np.array([r["unseen"] for r in self.rows])
        self.style, self.unseen = style, unseen
        self.trained = np.flatnonzero((style != HELD_OUT_STYLE) & ~unseen)
        self.unseen_style = np.flatnonzero((style == HELD_OUT_STYLE) & ~unseen)
        self.unseen_concepts = np.flatnonzero(unseen)

    def cut_outs(self, index: np.ndarray, size: int) -> Tensor:
        """Premultiplied RGBA [B, 4, size, size] in 0..1."""
        order = np.argsort(index)
        raw = torch.from_numpy(self.pixels[index[order]])[torch.from_numpy(np.argsort(order))]
        x = raw.permute(0, 3, 1, 2).float().div_(255)
        x[:, :3] *= x[:, 3:]
        return F.avg_pool2d(x, x.shape[-1] // size) if size < x.shape[-1] else x

    def plain(self, index: np.ndarray, size: int) -> Tensor:
        """The pictures on white [B, 3, size, size]: what every evaluation looks at."""
        x = self.cut_outs(index, size)
        return x[:, :3] + 1 - x[:, 3:]


def place(x: Tensor, rng: torch.Generator, spread: float = 1.0) -> Tensor:
    """Random affine of premultiplied RGBA: scale, turn, shear, shift, mirror; `spread` scales how far."""
    b = len(x)
    r = lambda: torch.rand(b, generator=rng) * 2 - 1  # noqa: E731
    angle, scale = 0.3 * spread * r(), torch.exp(0.35 * spread * r() + 0.05)
    shear, mirror = 0.15 * spread * r(), torch.where(torch.rand(b, generator=rng) < 0.5, -1.0, 1.0)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    matrix = torch.stack([torch.stack([cos * mirror, -sin + shear, 0.18 * spread * r()], -1), torch.stack([sin * mirror, cos, 0.18 * spread * r()], -1)], 1)
    return F.grid_sample(x, F.affine_grid(matrix, list(x.shape), align_corners=False), align_corners=False)


def tint(x: Tensor, colour: Tensor) -> Tensor:
    """Premultiplied RGBA re-coloured: its luminance drives a ramp from dark through `colour` [B, 3] to light."""
    alpha = x[:, 3:].clamp_min(1e-4)
    grey = (x[:, :3] / alpha * torch.tensor([0.3, 0.59, 0.11]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    c = colour[:, :, None, None]
    ramp = torch.where(grey < 0.6, c * (0.35 + 0.65 * grey / 0.6), c + (1 - c) * (grey - 0.6) * 1.2)
    return torch.cat([ramp.clamp(0, 1) * x[:, 3:], x[:, 3:]], 1)


def backgrounds(b: int, size: int, rng: torch.Generator, white: float) -> Tensor:
    """Backgrounds [B, 3, size, size]: white with probability `white`, else a plain colour or a two-colour gradient."""
    ends = torch.rand(b, 2, 3, generator=rng)
    same = torch.rand(b, generator=rng) < 0.5
    ends[same, 1] = ends[same, 0]
    ends[torch.rand(b, generator=rng) < white] = 1.0
    angle = torch.rand(b, 1, 1, generator=rng) * 6.2832
    line = torch.linspace(-0.5, 0.5, 16)
    ramp = ((line[None, None] * angle.cos() + line[None, :, None] * angle.sin()) * 0.7 + 0.5)[:, None]
    small = ends[:, 0, :, None, None] * (1 - ramp) + ends[:, 1, :, None, None] * ramp
    return F.interpolate(small, size=(size, size), mode="bilinear", align_corners=False)


def flatten(x: Tensor, background: Tensor) -> Tensor:
    """Premultiplied RGBA over a background: [B, 3, H, W] in 0..1."""
    return (x[:, :3] + background * (1 - x[:, 3:])).clamp(0, 1)


def jitter(x: Tensor, rng: torch.Generator) -> Tensor:
    """Brightness, contrast and noise that leave a colour word true."""
    b = len(x)
    u = lambda s: 1 + s * (torch.rand(b, 1, 1, 1, generator=rng) * 2 - 1)  # noqa: E731
    x = (x - 0.5) * u(0.25) + 0.5 * u(0.2)
    noisy = torch.rand(b, generator=rng) < 0.4
    deviation = 0.06 * torch.rand(int(noisy.sum()), 1, 1, 1, generator=rng)
    x[noisy] += deviation * torch.randn(x[noisy].shape, generator=rng)
    return x.clamp_(0, 1)
