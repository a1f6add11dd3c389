"""How well the pocket picture tower knows pictures it never saw: an unseen style, and unseen concepts."""

from __future__ import annotations

import torch

from ..ops.encoders.pocket import PocketEncoder
from .evaluation import held_out, top


@torch.no_grad()
def figures(encoder: PocketEncoder, quick: bool) -> dict[str, float]:
    """image_style_top1/top5 among all trained names, image_concept_top1/top5 among the unseen ones; text by the text tower."""
    shown, found = held_out(), {}
    for kind, names in (("style", shown.trained), ("concept", shown.unseen)):
        pixels, truth = shown.of(kind, 160 if quick else 10_000)
        pooled = torch.cat([encoder.image(part).pooled for part in pixels.split(32)])
        words = encoder.text(list(names)).pooled
        rows = [names.index(t) for t in truth]
        for k in (1, 5):
            found[f"image_{kind}_top{k}"] = top(pooled, words, rows, k)
    return found
