"""A LanguageBind tower from its weights: every size is read off the tensors."""

from __future__ import annotations

import torch
from torch import nn

from ..space import Modality
from ..weights import WeightsError, fill
from .languagebind_parts import KERNEL, Part, grid, needed
from .text_tower import TextTower
from .tower import ACTIVATIONS, VisionTower


def tower(modality: Modality, part: Part, dtype: torch.dtype) -> nn.Module:
    """One tower, filled, frozen and in `dtype`; every size is read off the tensors.

    Raises WeightsError listing what is missing, left over or misshapen.
    """
    tensors, settings = part.tensors, part.settings
    if settings["activation"] not in ACTIVATIONS:
        raise WeightsError(f"the {modality} tower's activation is '{settings['activation']}', expected one of {', '.join(ACTIVATIONS)}")
    prefix = "text_model" if modality == "text" else "vision_model"
    common = {
        "layers": sum(name.endswith(".mlp.fc1.bias") for name in tensors),
        "heads": settings["heads"],
        "hidden": len(needed(tensors, f"{prefix}.encoder.layers.0.mlp.fc1.bias")),
        "activation": ACTIVATIONS[settings["activation"]],
    }
    with torch.device("meta"):
        if modality == "text":
            tokens, width = needed(tensors, "text_model.embeddings.token_embedding.weight").shape
            context = len(needed(tensors, "text_model.embeddings.position_embedding.weight"))
            projection = len(needed(tensors, "text_projection.weight"))
            made: nn.Module = TextTower(tokens, context, width, projection=projection, **common)
        else:
            width, channels, patch, _ = needed(tensors, KERNEL).shape
            temporal = tensors.get("vision_model.encoder.layers.0.temporal_embedding")
            made = VisionTower(
                nn.Conv2d(channels, width, patch, stride=patch, bias=False),
                grid(tensors, settings),
                width,
                projection=len(needed(tensors, "visual_projection.weight")),
                frames=0 if temporal is None else temporal.shape[1],
                placed=True,
                framed=needed(tensors, "vision_model.embeddings.class_embedding").dim() == 2,
                **common,
            )
    for part_of in made.modules():
        if isinstance(part_of, nn.LayerNorm):
            part_of.eps = settings["epsilon"]
    return fill(made, tensors, modality, dtype)
