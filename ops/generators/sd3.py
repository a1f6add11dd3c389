"""Stable Diffusion 3 and 3.5 by the diffusers library: pictures by rectified flow (Esser et al. 2024, arXiv 2403.03206)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..runtime import tower_dtype
from ..weights import WeightsError
from .diffusers_loading import component, converted, shapes, tensors
from .families import SD3
from .flow import x0_from_velocity
from .latent_picture import FIRST_STAGE, Conditioning, LatentPicture, autoencoder_settings, counted
from .tiny_decoder import tiny_decoder

NETWORK = "model.diffusion_model."
SCALE, SHIFT = 1.5305, 0.0609
"""Model space is (latent - SHIFT) * SCALE: the autoencoder's own configuration, which single files do not hold."""
TOKENS = 154
"""Of no prompt: 77 of the two CLIP encoders and 77 of T5, as ComfyUI has them."""


class StableDiffusion3(LatentPicture):
    """Times are noise levels after the shift. Training dropped texts by zeroing what the encoders gave, so no prompt is zeros."""

    family = SD3
    pipeline = "StableDiffusion3Pipeline"
    text_parts = {
        "text_encoder": "CLIPTextModelWithProjection", "text_encoder_2": "CLIPTextModelWithProjection", "text_encoder_3": "T5EncoderModel",
        "tokenizer": "CLIPTokenizer", "tokenizer_2": "CLIPTokenizer", "tokenizer_3": "T5TokenizerFast",
    }  # fmt: skip
    spared = frozenset({"text_encoder_3", "tokenizer_3"})

    def __init__(
        self, network: nn.Module, autoencoder: nn.Module, width: int = 512, height: int = 512, fast: nn.Module | None = None, folder: Path | None = None
    ):
        """ValueError for a size that does not fit: sides are multiples of 16 pixels, up to what the network has places for."""
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

    def embedded(self, pipeline: type, parts: Mapping[str, Any], prompt: str) -> Conditioning:
        made = pipeline(transformer=self.network, vae=self.autoencoder, scheduler=None, **parts)
        text, _, pooled, _ = made.encode_prompt(prompt, None, None, device=self.device, do_classifier_free_guidance=False)
        return Conditioning(text, pooled)


def load(
    path: Path,
    width: int = 512,
    height: int = 512,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    fast: Path | None = None,
) -> StableDiffusion3:
    """The generator of a diffusers folder, or of a single safetensors file in Stability AI's layout.

    width, height: of its pictures in pixels. dtype: of the network, `runtime.tower_dtype` of the device unless said; the
    autoencoder is float32. fast: a
    tiny decoder, as `tiny_decoder` takes it. WeightsError for what is no Stable Diffusion 3, or not all of it; ValueError for a
    size; ModuleNotFoundError without the libraries.
    """
    path, dtype = Path(path), dtype or tower_dtype(device)
    if path.is_dir():
        network, autoencoder = component(path, "transformer", "SD3Transformer2DModel", dtype), component(path, "vae", "AutoencoderKL", torch.float32)
    else:
        found = shapes(path)
        settings = autoencoder_settings(found, path) | {"scaling_factor": SCALE, "shift_factor": SHIFT}
        network = converted("SD3Transformer2DModel", tensors(path, NETWORK, dtype), transformer_settings(found, path), dtype, path)
        autoencoder = converted("AutoencoderKL", tensors(path, FIRST_STAGE, torch.float32), settings, torch.float32, path)
    small = tiny_decoder(fast, SD3.channels, dtype) if fast else None
    made = StableDiffusion3(network, autoencoder, width, height, small, path if path.is_dir() else None)
    return made.eval().to(device)


def transformer_settings(found: Mapping[str, tuple[int, ...]], source: Path) -> dict[str, Any]:
    """Of diffusers' SD3Transformer2DModel, as the tensors of a single file are for it, by their shapes.

    WeightsError, naming `source`, for a file of another family.
    """
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
