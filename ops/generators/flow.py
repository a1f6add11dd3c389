"""The flow-matching transformer of the pocket generators, and the rectified-flow identities it lives by.

x_t = (1 - t) x0 + t eps, velocity v = eps - x0 (Lipman et al. 2022, arXiv 2210.02747; Liu et al. 2022, arXiv 2209.03003).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..encoders.tower import MLP, Attention

FREQUENCIES = 64


def times(t: Tensor) -> Tensor:
    """Sinusoidal features [B, 2 * FREQUENCIES] of times t [B] in 0..1."""
    rates = torch.exp(torch.linspace(0, math.log(1000.0), FREQUENCIES, device=t.device))
    angles = t[:, None].float() * rates
    return torch.cat([angles.sin(), angles.cos()], -1)


class Block(nn.Module):
    """A transformer block modulated by one shared projection of the condition (PixArt's adaLN-single, arXiv 2310.00426).

    Tokens [B, N, W]; with `frames`, [B * T, N, W] sample-major, attended over time as well.
    """

    def __init__(self, width: int, heads: int, frames: int = 0):
        super().__init__()
        self.self_attn = Attention(width, heads)
        self.mlp = MLP(width, 4 * width)
        self.table = nn.Parameter(torch.randn(6, width) * 0.02)
        self.frames = frames
        if frames:
            self.temporal_embedding = nn.Parameter(torch.randn(1, frames, width) * 0.02)
            self.temporal_attn = Attention(width, heads)
            nn.init.zeros_(self.temporal_attn.out_proj.weight)
            nn.init.zeros_(self.temporal_attn.out_proj.bias)

    def forward(self, x: Tensor, shared: Tensor) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = (shared + self.table)[:, :, None].unbind(1)
        norm = lambda y: F.layer_norm(y, y.shape[-1:])  # noqa: E731
        if self.frames:
            bt, n, w = x.shape
            y = x.view(-1, self.frames, n, w).transpose(1, 2).reshape(-1, self.frames, w)
            y = y + self.temporal_attn(norm(y) + self.temporal_embedding)
            x = y.view(-1, n, self.frames, w).transpose(1, 2).reshape(bt, n, w)
        x = x + gate1 * self.self_attn(norm(x) * (1 + scale1) + shift1)
        return x + gate2 * self.mlp(norm(x) * (1 + scale2) + shift2)


class FlowTransformer(nn.Module):
    """Velocity of a latent [B, C, H, W] (with `frames`: [B, T, C, H, W]) at times t [B], given condition vectors [B, 768].

    An hourglass (after Crowson et al. 2024, arXiv 2401.11605): 2x2 patches at `outer` width, merged 2x2 into tokens at
    `inner` width for the deep middle, split again with a skip connection. Condition rows that hold NaN take the learned
    null condition: a batch may mix both.
    """

    def __init__(
        self,
        channels: int,
        grid: tuple[int, int],
        outer: int,
        inner: int,
        depth: int,
        ends: int = 2,
        heads: int = 6,
        condition: int = 768,
        frames: int = 0,
    ):
        super().__init__()
        h, w = grid[0] // 2, grid[1] // 2
        if grid[0] % 4 or grid[1] % 4:
            raise ValueError(f"latent grid {grid}: both sides must be multiples of 4")
        self.grid, self.frames = (h, w), frames
        self.patch_in = nn.Linear(4 * channels, outer)
        self.position_outer = nn.Parameter(torch.randn(h * w, outer) * 0.02)
        self.position_inner = nn.Parameter(torch.randn(h * w // 4, inner) * 0.02)
        self.time = MLP(2 * FREQUENCIES, inner)
        self.time.fc2 = nn.Linear(inner, inner)
        self.concept = nn.Linear(condition, inner)
        self.null = nn.Parameter(torch.randn(inner) * 0.02)
        self.mix = nn.Linear(inner, inner)
        self.modulate_outer = nn.Linear(inner, 6 * outer)
        self.modulate_inner = nn.Linear(inner, 6 * inner)
        self.concept_token = nn.Linear(inner, inner)
        self.head = nn.ModuleList(Block(outer, heads) for _ in range(ends))
        self.merge = nn.Linear(4 * outer, inner)
        # every second block of the middle looks along time: enough for motion, and light to store
        self.body = nn.ModuleList(Block(inner, heads, 0 if i % 2 else frames) for i in range(depth))
        self.split = nn.Linear(inner, 4 * outer)
        self.tail = nn.ModuleList(Block(outer, heads) for _ in range(ends))
        self.last = nn.Linear(inner, 2 * outer)
        self.patch_out = nn.Linear(outer, 4 * channels)
        nn.init.zeros_(self.patch_out.weight)
        nn.init.zeros_(self.patch_out.bias)

    def forward(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        shape = x.shape
        if self.frames:
            x = x.flatten(0, 1)
            t, condition = (y.repeat_interleave(self.frames, 0) for y in (t, condition))
        h, w = self.grid
        absent = condition.isnan().any(-1, keepdim=True)
        # unit vectors of many dimensions have tiny entries: brought to unit deviation, or they are learned very slowly
        condition = torch.where(absent, 0.0, condition) * condition.shape[-1] ** 0.5
        concept = torch.where(absent, self.null, self.concept(condition))
        c = F.silu(self.mix(F.silu(self.time(times(t)) + concept)))
        outer = self.modulate_outer(c).view(len(c), 6, -1)
        inner = self.modulate_inner(c).view(len(c), 6, -1)
        x = self.patch_in(fold(x)) + self.position_outer
        for block in self.head:
            x = block(x, outer)
        skip = x
        x = self.merge(join(x, h, w)) + self.position_inner
        x = torch.cat([self.concept_token(concept)[:, None].to(x.dtype), x], 1)
        for block in self.body:
            x = block(x, inner)
        x = skip + cut(self.split(x[:, 1:]), h, w)
        for block in self.tail:
            x = block(x, outer)
        shift, scale = self.last(c)[:, None].chunk(2, -1)
        x = self.patch_out(F.layer_norm(x, x.shape[-1:]) * (1 + scale) + shift)
        return unfold(x, h, w).float().view(shape)


def fold(x: Tensor) -> Tensor:
    """[B, C, H, W] -> 2x2 patches [B, H/2 * W/2, 4C]."""
    b, c, h, w = x.shape
    return x.view(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(b, h * w // 4, 4 * c)


def unfold(x: Tensor, h: int, w: int) -> Tensor:
    """The inverse of `fold`: [B, h * w, 4C] -> [B, C, 2h, 2w]."""
    b, _, c = x.shape
    return x.view(b, h, w, c // 4, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(b, c // 4, 2 * h, 2 * w)


def join(x: Tensor, h: int, w: int) -> Tensor:
    """Tokens [B, h * w, C] of an h x w grid, four neighbours a row: [B, h * w / 4, 4C]."""
    b, _, c = x.shape
    return x.view(b, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(b, h * w // 4, 4 * c)


def cut(x: Tensor, h: int, w: int) -> Tensor:
    """The inverse of `join`: [B, h * w / 4, 4C] -> [B, h * w, C]."""
    b, _, c = x.shape
    return x.view(b, h // 2, w // 2, 2, 2, c // 4).permute(0, 1, 3, 2, 4, 5).reshape(b, h * w, c // 4)


def along(t: Tensor, like: Tensor) -> Tensor:
    """t [B] shaped to multiply `like` [B, ...]."""
    return t.view(-1, *[1] * (like.dim() - 1))


def interpolate(x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """x_t between data x0 and noise eps."""
    return (1 - along(t, x0)) * x0 + along(t, x0) * eps


def x0_from_velocity(x_t: Tensor, v: Tensor, t: Tensor) -> Tensor:
    return x_t - along(t, x_t) * v


def flow_matching_loss(model: nn.Module, x0: Tensor, condition: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    """Mean squared error of the predicted velocity at times t [B]."""
    v = model(interpolate(x0, eps, t), t, condition)
    return F.mse_loss(v, eps - x0)
