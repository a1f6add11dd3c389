"""Stable Diffusion 3 and 3.5 by the diffusers library: pictures by rectified flow (Esser et al. 2024, arXiv 2403.03206)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..weights import WeightsError
from .families import SD3
from .flow import x0_from_velocity
from .latent_picture import NETWORK, Conditioning, LatentPicture, counted, loaded

TOKENS = 154
"""Of no prompt: 77 of the two CLIP encoders and 77 of T5, as ComfyUI has them."""


class StableDiffusion3(LatentPicture):
    """Times are noise levels after the shift. Training dropped texts by zeroing what the encoders gave, so no prompt is zeros."""

    family = SD3
    part, kind = "transformer", "SD3Transformer2DModel"
    scale = {"scaling_factor": 1.5305, "shift_factor": 0.0609}
    pipeline = "StableDiffusion3Pipeline"
    texts = {
        "text_encoder": "CLIPTextModelWithProjection", "text_encoder_2": "CLIPTextModelWithProjection", "text_encoder_3": "T5EncoderModel",
        "tokenizer": "CLIPTokenizer", "tokenizer_2": "CLIPTokenizer", "tokenizer_3": "T5TokenizerFast",
    }  # fmt: skip
    spared = frozenset({"text_encoder_3", "tokenizer_3"})

    def __init__(
        self, network: nn.Module, autoencoder: nn.Module, width: int, height: int, fast: nn.Module | None = None, folder: Path | None = None
    ):
        """As in `LatentPicture`; sides are multiples of 16 pixels, up to what the network has places for."""
        super().__init__(network, autoencoder, width, height, fast, folder)
        patch, places = network.config.patch_size * self.family.cell, network.config.pos_embed_max_size
        for name, side in (("width", width), ("height", height)):
            if side % patch or side > patch * places:
                raise ValueError(f"{name} {side}: this {self.family.title} takes multiples of {patch} up to {patch * places}")

    def x0(self, x_t: Tensor, t: Tensor, cond: Conditioning) -> Tensor:
        text, pooled = (part.to(x_t.device, self.dtype).expand(len(x_t), *part.shape[1:]) for part in cond)
        velocity = self.network(x_t.to(self.dtype), encoder_hidden_states=text, pooled_projections=pooled, timestep=1000 * t).sample
        return x0_from_velocity(x_t, velocity.to(x_t), t)

    def blocks(self) -> Iterable[nn.Module]:
        return self.network.transformer_blocks

    def null(self) -> Conditioning:
        settings = self.network.config
        return Conditioning(torch.zeros(1, TOKENS, settings.joint_attention_dim), torch.zeros(1, settings.pooled_projection_dim))

    @staticmethod
    def settings(found: Mapping[str, tuple[int, ...]], source: Path) -> dict[str, Any]:
        shape = {name.removeprefix(NETWORK): shape for name, shape in found.items() if name.startswith(NETWORK)}
        try:
            hidden, channels, patch = shape["x_embedder.proj.weight"][:3]
            layers = counted(shape, "joint_blocks.")
            dual = [n for n in range(layers) if f"joint_blocks.{n}.x_block.attn2.qkv.weight" in shape]
            return {
                "in_channels": channels, "patch_size": patch, "num_layers": layers, "attention_head_dim": 64, "num_attention_heads": hidden // 64,
                "out_channels": shape["final_layer.linear.weight"][0] // patch**2, "joint_attention_dim": shape["context_embedder.weight"][1],
                "caption_projection_dim": hidden, "pooled_projection_dim": shape["y_embedder.mlp.0.weight"][1],
                "pos_embed_max_size": isqrt(shape["pos_embed"][1]), "dual_attention_layers": dual,
                "qk_norm": "rms_norm" if "joint_blocks.0.x_block.attn.ln_q.weight" in shape else None,
            }  # fmt: skip
        except KeyError as error:
            raise WeightsError(f"{source} is no checkpoint of {SD3.title}: no tensor {NETWORK}{error.args[0]}") from error


def load(
    path: Path,
    width: int = 512,
    height: int = 512,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    fast: Path | None = None,
) -> StableDiffusion3:
    """The generator of a diffusers folder or a single file; arguments and errors as `latent_picture.loaded`."""
    return loaded(StableDiffusion3, path, width, height, device, dtype, fast)
