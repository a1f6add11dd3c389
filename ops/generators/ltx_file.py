"""What a single file of LTX-Video 0.9.x says of its networks: their settings in the diffusers library, read off the shapes.

The layouts are Lightricks' (their `CausalVideoAutoencoder` and `Transformer3DModel`), and the settings are named as in diffusers'
`AutoencoderKLLTXVideo` and `LTXVideoTransformer3DModel`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..weights import WeightsError

TRANSFORMER, VAE = "model.diffusion_model.", "vae."
UNREAD = ("channel", "mean-of-stds", "mean-of-stds_over_std-of-means")
"""Statistics of the latents that such files have and no network reads."""
HEADS = 32
"""Of attention in every published version; shapes do not show it."""
CAUSAL = 2048
"""Channels at the end of the encoder from 0.9.5 on."""

Shapes = Mapping[str, tuple[int, ...]]


def spoken(path: Path) -> dict[str, Any]:
    """What the file's metadata says of the transformer, nothing in early files. WeightsError for what cannot be read."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        written = (file.metadata() or {}).get("config", "{}")
    try:
        return dict(json.loads(written).get("transformer", {}))
    except (ValueError, AttributeError, TypeError) as error:
        raise WeightsError(f"{path}: the metadata's config is not readable ({error})") from error


def require(shapes: Shapes, path: Path) -> None:
    """WeightsError, naming `path`, unless it holds the transformer and the autoencoder of an LTX-Video 0.9.x."""
    if f"{TRANSFORMER}audio_adaln_single.linear.weight" in shapes:
        raise WeightsError(f"{path} is an LTX-2, which makes sound as well; an LTX-Video 0.9.x is read here")
    for part, name in (("transformer", f"{TRANSFORMER}patchify_proj.weight"), ("autoencoder", f"{VAE}decoder.conv_in.conv.weight")):
        if name not in shapes:
            raise WeightsError(f"{path} is no single file of LTX-Video 0.9.x: it has no {part} ('{name}')")


def transformer(shapes: Shapes, told: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of `LTXVideoTransformer3DModel`. told: what the metadata says (`spoken`), for what shapes do not show."""
    inner, channels = shapes[f"{TRANSFORMER}patchify_proj.weight"]
    heads = int(told.get("num_attention_heads", HEADS))
    return {
        "in_channels": channels,
        "out_channels": shapes[f"{TRANSFORMER}proj_out.weight"][0],
        "num_attention_heads": heads,
        "attention_head_dim": inner // heads,
        "cross_attention_dim": shapes[f"{TRANSFORMER}transformer_blocks.0.attn2.to_k.weight"][1],
        "num_layers": _count(shapes, f"{TRANSFORMER}transformer_blocks"),
        "caption_channels": shapes[f"{TRANSFORMER}caption_projection.linear_1.weight"][1],
    }


def autoencoder(shapes: Shapes) -> dict[str, Any]:
    """Settings of `AutoencoderKLLTXVideo`. WeightsError for blocks in an order that no published version has."""
    timed = f"{VAE}decoder.timestep_scale_multiplier" in shapes
    try:
        encoder = _late_encoder(shapes) if causal(shapes) else _early_encoder(shapes)
        decoder = _late_decoder(shapes) if timed else _early_decoder(shapes)
    except KeyError as error:
        raise WeightsError(f"an autoencoder without {error} is none of LTX-Video 0.9.x") from error
    # by themselves diffusers' numbers are wrong for an encoder that shrinks one axis at a time
    known = {"timestep_conditioning": timed, "spatial_compression_ratio": 32, "temporal_compression_ratio": 8}
    return known | {"latent_channels": shapes[f"{VAE}decoder.conv_in.conv.weight"][1]} | encoder | decoder


def causal(shapes: Shapes) -> bool:
    """Whether the autoencoder is one of 0.9.5 and later, whose transformers count time from the first frame of a latent's."""
    return shapes[f"{VAE}encoder.conv_out.conv.weight"][1] == CAUSAL


def _early_encoder(shapes: Shapes) -> dict[str, Any]:
    blocks, levels = f"{VAE}encoder.down_blocks", (0, 3, 6, 8)
    return {
        "block_out_channels": [shapes[f"{blocks}.{i}.res_blocks.0.conv1.conv.weight"][0] for i in levels],
        "layers_per_block": [_count(shapes, f"{blocks}.{i}.res_blocks") for i in (*levels, 9)],
    }


def _late_encoder(shapes: Shapes) -> dict[str, Any]:
    blocks = f"{VAE}encoder.down_blocks"
    return {
        "block_out_channels": [*(shapes[f"{blocks}.{i}.conv.conv.weight"][1] for i in (1, 3, 5, 7)), CAUSAL],
        "layers_per_block": [_count(shapes, f"{blocks}.{i}.res_blocks") for i in (0, 2, 4, 6, 8)],
        "down_block_types": ["LTXVideo095DownBlock3D"] * 4,
        "downsample_type": ["spatial", "temporal", "spatiotemporal", "spatiotemporal"],
        "spatio_temporal_scaling": [True] * 4,
    }


def _early_decoder(shapes: Shapes) -> dict[str, Any]:
    blocks, levels = f"{VAE}decoder.up_blocks", (9, 6, 3, 1)
    return {
        "decoder_block_out_channels": [shapes[f"{blocks}.{i}.res_blocks.0.conv1.conv.weight"][0] for i in levels],
        "decoder_layers_per_block": [_count(shapes, f"{blocks}.{i}.res_blocks") for i in (*levels, 0)],
    }


def _late_decoder(shapes: Shapes) -> dict[str, Any]:
    blocks, levels = f"{VAE}decoder.up_blocks", (6, 4, 2, 0)
    steps = [shapes[f"{blocks}.{i}.conv.conv.weight"] for i in (5, 3, 1)]
    return {
        "decoder_block_out_channels": [before for _, before, *_ in steps],
        "decoder_layers_per_block": [_count(shapes, f"{blocks}.{i}.res_blocks") for i in levels],
        "decoder_inject_noise": [f"{blocks}.{i}.res_blocks.0.per_channel_scale1" in shapes for i in levels],
        "decoder_spatio_temporal_scaling": [True] * 3,
        "upsample_factor": [8 * before // after for after, before, *_ in steps],
        "upsample_residual": [True] * 3,
    }


def _count(shapes: Shapes, prefix: str) -> int:
    """How many parts a list of a network has."""
    return len({name.removeprefix(f"{prefix}.").split(".")[0] for name in shapes if name.startswith(f"{prefix}.")})
