"""What ComfyUI makes of each family of generators: how one is known, where its blocks lie, what it is told when it is told nothing.

With the other `host` files the only ones that touch ComfyUI's internals.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ops.generators.families import LTX, SD3, SDXL, STABLE_AUDIO, Family

Conditioning = list[list[Any]]
"""CONDITIONING: [tensor or None, options], once or several times."""
SIZES = ("width", "height", "frames", "seconds")


@dataclass(frozen=True)
class Kind:
    """A family as ComfyUI has it.

    model: the class in its `model_base`. usual: sizes, by the names in SIZES; a family has those it has usual values for.
    blocks, adapted: patterns of the paths of the network's blocks, and of the linear layers that a LoRA adapts. null: the
    conditioning for nothing, of a latent's shape; None where that takes a text encoder. block: the function of (block, ...)
    that gradients pass through, where the block's own writes over what a backward pass needs.
    """

    family: Family
    model: str
    usual: dict[str, int | float]
    blocks: re.Pattern
    adapted: re.Pattern
    null: Callable[[tuple[int, ...]], Conditioning] | None = None
    block: Callable[..., Tensor] | None = field(default=None, repr=False)

    def shape(self, **sizes: int | float) -> tuple[int, ...]:
        """The shape of a latent of these sizes, 0 for the usual one. ValueError for one that the family cannot make or does not have."""
        for name, size in sizes.items():
            if size and name not in self.usual:
                raise ValueError(f"{name} {size:g}: {self.family.title} makes {self.family.modality} and has no {name}; leave it at 0")
        taken = {name: sizes.get(name) or usual for name, usual in self.usual.items()}
        shaped = {"image": self.family.picture, "video": self.family.clip, "audio": self.family.sound}
        return shaped[self.family.modality](**taken)


def recognised(model: nn.Module) -> Kind:
    """The kind that a loaded model is of. ValueError for one of another family, and for those made to be given a picture or more."""
    from comfy import model_base

    name = type(model.model_config).__name__
    kind = next((kind for kind in KINDS if type(model) is getattr(model_base, kind.model)), None)
    if kind is None:
        titles = ", ".join(kind.family.title for kind in KINDS)
        raise ValueError(f"model is of the family {name}, and gradients are known to pass through these: {titles}. Load one of them")
    if getattr(model, "concat_keys", ()) or getattr(model.diffusion_model, "cross_attention_adaln", False):
        raise ValueError(f"model is a variant of {kind.family.title} ({name}) that takes more than a latent; load the plain one")
    channels = model.latent_format.latent_channels
    if channels != kind.family.channels:
        raise ValueError(f"model is a variant of {kind.family.title} ({name}) with {channels} latent channels, not {kind.family.channels}")
    return kind


def _nothing_sd3(shape: tuple[int, ...]) -> Conditioning:
    # both text encoders' part was dropped together in training: 77 rows of CLIP and as many of T5
    return [[torch.zeros(1, 154, 4096), {"pooled_output": torch.zeros(1, 2048)}]]


def _nothing_sdxl(shape: tuple[int, ...]) -> Conditioning:
    return [[torch.zeros(1, 77, 2048), {"pooled_output": torch.zeros(1, 1280)}]]


def _nothing_stable_audio(shape: tuple[int, ...]) -> Conditioning:
    """What is attended to is zero throughout, the length's rows too, which ComfyUI would add to given text; the length is told besides."""
    from comfy.conds import CONDRegular

    seconds = shape[-1] * STABLE_AUDIO.cell // STABLE_AUDIO.rate  # whole ones, as ComfyUI counts them
    attended = {"c_crossattn": CONDRegular(torch.zeros(1, 130, 768))}
    return [[None, {"model_conds": attended, "seconds_start": 0, "seconds_total": seconds}]]


def _ltx_block(
    block: nn.Module, x: Tensor, context: Tensor | None = None, attention_mask: Tensor | None = None, timestep: Tensor | None = None,
    pe: Any = None, transformer_options: dict = {}, self_attention_mask: Any = None, **_: Any,  # noqa: B006
) -> Tensor:  # fmt: skip
    """LTX-Video's block, each sum a new tensor. ComfyUI's own adds in place, onto what its attention has saved for a backward
    pass; under checkpointing that gives wrong gradients without a word."""
    table = block.scale_shift_table.to(x)
    shift, scale, gate, shift_out, scale_out, gate_out = (table + timestep.reshape(*timestep.shape[:2], len(table), -1)).unbind(2)
    normed = lambda y: F.rms_norm(y, y.shape[-1:], eps=1e-6)  # noqa: E731
    x = x + gate * block.attn1(normed(x) * (1 + scale) + shift, mask=self_attention_mask, pe=pe, transformer_options=transformer_options)
    x = x + block.attn2(x, context=context, mask=attention_mask, transformer_options=transformer_options)
    return x + gate_out * block.ff(normed(x) * (1 + scale_out) + shift_out)


SQUARE = {"width": 512, "height": 512}
KINDS = (
    Kind(
        SD3, "SD3", SQUARE, re.compile(r"joint_blocks\.\d+"), re.compile(r"joint_blocks\.\d+\.(x|context)_block\.attn2?\.(qkv|proj)"), _nothing_sd3
    ),
    Kind(
        SDXL, "SDXL", SQUARE, re.compile(r"(in|out)put_blocks\.\d+\.0|middle_block\.[02]|.*\.transformer_blocks\.\d+"),
        re.compile(r".*\.transformer_blocks\.\d+\.attn[12]\.(to_[qkv]|to_out\.0)"), _nothing_sdxl,
    ),
    Kind(
        STABLE_AUDIO, "StableAudio1", {"seconds": 10.0}, re.compile(r"transformer\.layers\.\d+"),
        re.compile(r"transformer\.layers\.\d+\.(self|cross)_attn\.to_(q|kv|qkv|out)"), _nothing_stable_audio,
    ),
    Kind(
        LTX, "LTXV", {"width": 512, "height": 320, "frames": 25}, re.compile(r"transformer_blocks\.\d+"),
        re.compile(r"transformer_blocks\.\d+\.attn[12]\.(to_[qkv]|to_out\.0)"), block=_ltx_block,
    ),
)  # fmt: skip
"""What Generator From Checkpoint takes."""
