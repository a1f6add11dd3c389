"""A vision tower's forward on some of its patch tokens, from features that a frozen stem has already given."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from concept_algebra.ops.encoders.efficient_stem import EfficientStem
from concept_algebra.ops.encoders.tower import VisionTower

KEPT = 24


def frozen_features(stem: EfficientStem, pixels: Tensor, stop: int | None = None) -> Tensor:
    """The stem's features without gradients, in small parts, whose activations stay in the processor's cache."""
    with torch.no_grad():
        return torch.cat([stem.features(part, stop) for part in pixels.split(16)])


def drawn_tokens(rng: torch.Generator) -> Tensor:
    """Which KEPT of the 8x8 patch tokens a batch shows (Li et al. 2022, arXiv 2212.00794)."""
    return torch.randperm(64, generator=rng)[:KEPT]


def embed_partly(tower: VisionTower, features: Tensor, keep: Tensor | None) -> tuple[Tensor, Tensor]:
    """Pooled [B, 768] and dense embeddings of pictures, or of clips' frames, from the tokens `keep` names or from all."""
    model = tower.vision_model
    embeddings = model.embeddings
    patches = embeddings.patch_embedding.out(features).flatten(2).transpose(1, 2)
    first = embeddings.class_embedding.expand(len(patches), 1, -1)
    tokens = torch.cat([first, patches], 1) + embeddings.position_embedding.weight
    if keep is not None:
        tokens = torch.cat([tokens[:, :1], tokens[:, 1 + keep]], 1)
    final = model.post_layernorm(model.encoder(model.pre_layrnorm(tokens))[-1])
    pooled, dense = final[:, 0], final[:, 1:]
    if tower.frames:
        pooled = pooled.view(-1, tower.frames, pooled.shape[-1]).mean(1)
    return tuple(F.normalize(tower.visual_projection(y).float(), dim=-1) for y in (pooled, dense))
