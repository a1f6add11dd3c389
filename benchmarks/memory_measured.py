"""A count held against the process: Stable Diffusion 3.5 Medium and a ViT-L/14 at full size, with random weights, on the CPU.

Fused attention is counted here, which is what the CPU computes.
"""

from __future__ import annotations

import torch
from torch import nn

from ..ops.encoders.languagebind import LanguageBind
from ..ops.space import Space
from ..ops.tracks import settings
from . import memory_published
from .languagebind import Memory, meta
from .memory_meter import fused_attention
from .memory_phases import step


def measured(side: int = memory_published.SIDE) -> tuple[list[tuple[str, ...]], dict[str, float | None]]:
    """Rows for the table and the same figures: GB of an honest step and of a flair step beside the weights, counted on meta, counted as it ran,
    and by the process's own peak."""
    phases = {
        "honest": (settings("image", "honest").crops, False),
        "natural, flair": (settings("image", "natural").crops, True),
    }
    generator, encoder = memory_published.sd35(side), LanguageBind({"image": meta("image").to(memory_published.HALF)}, {}, None, Space("published", 768))
    with fused_attention():
        expected = {name: step(generator, encoder, *how) for name, how in phases.items()}
    filled(generator), filled(encoder)
    memory = Memory()
    rows: list[tuple[str, ...]] = [(f"measured at {side} px", "on meta", "as it ran", "process", "")]
    figures: dict[str, float | None] = {"weights": memory.held}
    for name, how in phases.items():
        memory.watch()
        ran = step(generator, encoder, *how)
        found = (expected[name].peak / 1e9, ran.peak / 1e9, memory.peak())
        rows.append((name, *("" if value is None else f"{value:.2f}" for value in found), ""))
        figures |= {f"{name}, {what}": value and round(value, 2) for what, value in zip(("on meta", "as it ran", "process"), found)}
    return rows, figures


def filled(module: nn.Module) -> None:
    """Random numbers in the place of a module's meta tensors."""
    module.to_empty(device="cpu")
    source = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.normal_(std=0.02, generator=source)
