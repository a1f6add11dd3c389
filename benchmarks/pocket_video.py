"""How well the pocket clip tower tells what moves and how, on pictures of a style it never saw."""

from __future__ import annotations

import torch
from torch import Tensor

from ..ops.encoders.pocket import PocketEncoder
from ..ops.pocket.motion import motion
from .evaluation import held_out, top

TOLD_APART = ("rising", "falling", "spinning", "flickering")


def in_motion(pixels: Tensor, kinds: list[str], rng: torch.Generator) -> Tensor:
    """Clips [B, T, 3, H, W] of pictures [B, 3, H, W] on white, each moved in its way."""
    # white is nothing: moved as its complement, what leaves the frame leaves white behind
    ink = torch.cat([1 - pixels, torch.ones_like(pixels[:, :1])], 1)
    return 1 - motion(ink, kinds, rng)[:, :, :3]


@torch.no_grad()
def figures(encoder: PocketEncoder, quick: bool) -> dict[str, float]:
    """video_top1: the name among all trained ones; motion_accuracy: the verb among four (chance .25)."""
    shown = held_out()
    pixels, truth = shown.of("style", 48 if quick else 10_000)
    kinds = [TOLD_APART[i % len(TOLD_APART)] for i in range(len(truth))]
    rng = torch.Generator().manual_seed(99)
    pooled = []
    for start in range(0, len(pixels), 16):
        frames = in_motion(pixels[start : start + 16], kinds[start : start + 16], rng)
        pooled.append(encoder.video(frames, 8.0).pooled)
    pooled = torch.cat(pooled)
    names = encoder.text(list(shown.trained)).pooled
    verbs = encoder.text(list(TOLD_APART)).pooled
    rows = [shown.trained.index(t) for t in truth]
    return {
        "video_top1": top(pooled, names, rows, 1),
        "motion_accuracy": top(pooled, verbs, [TOLD_APART.index(k) for k in kinds], 1),
    }
