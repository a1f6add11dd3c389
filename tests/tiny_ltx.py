"""Tiny LTX-Video checkpoints of random weights, in the layout of the official single files.

Key names, block lists and the metadata's `config` as in Lightricks' files of versions 0.9.0, 0.9.1 and 0.9.5: both ComfyUI's
loader and the diffusers library take such a file for an LTX-Video. Only the widths and depths are small, which the metadata
says, and each is as small as the two readers allow.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

LATENT, PATCH, TIME = 128, 4, 256  # fixed in every version: channels of a latent, pixels of a patch, width of a time's embedding
VERSIONS = ("0.9.0", "0.9.1", "0.9.5")

TRANSFORMER = {
    "_class_name": "Transformer3DModel",
    "num_attention_heads": 2,
    "attention_head_dim": 12,  # 24 in all: the rotary embedding wants a multiple of 2 * 3 axes for it to turn them all
    "num_layers": 2,
    "in_channels": LATENT,
    "out_channels": LATENT,
    "cross_attention_dim": 24,
    "caption_channels": 16,
    "timestep_scale_multiplier": 1000,
    "positional_embedding_theta": 10000.0,
    "positional_embedding_max_pos": [20, 2048, 2048],
}

ENCODER = [["res_x", {"num_layers": 1}], ["compress_all", {}], ["res_x_y", 1], ["res_x", {"num_layers": 1}], ["compress_all", {}],
           ["res_x_y", 1], ["res_x", {"num_layers": 1}], ["compress_all", {}], ["res_x", {"num_layers": 1}],
           ["res_x", {"num_layers": 1}]]  # fmt: skip
# of 2048 channels at the end, by which diffusers knows this version, and no layers where they would be wide
ENCODER_095 = [["res_x", {"num_layers": 1}], ["compress_space_res", {"multiplier": 4}], ["res_x", {"num_layers": 1}],
               ["compress_time_res", {"multiplier": 2}], ["res_x", {"num_layers": 1}], ["compress_all_res", {"multiplier": 8}],
               ["res_x", {"num_layers": 0}], ["compress_all_res", {"multiplier": 8}], ["res_x", {"num_layers": 0}]]  # fmt: skip


def decoder_blocks(noisy: bool) -> list:
    """Of the versions whose decoder reads a time: halved in width at each step up; `noisy` with noise within, as 0.9.1."""
    level = ["res_x", {"num_layers": 1, "inject_noise": noisy}]
    up = ["compress_all", {"residual": True, "multiplier": 2}]
    return [level, up, level, up, level, up, ["res_x", {"num_layers": 1, "inject_noise": False}]]


def vae_config(version: str, comfy: bool) -> dict:
    """What the metadata says of the autoencoder; widths are of the outermost blocks."""
    config = {
        "_class_name": "CausalVideoAutoencoder",
        "dims": 3,
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": LATENT,
        "scaling_factor": 1.0,
        "norm_layer": "pixel_norm",
        "patch_size": PATCH,
        "latent_log_var": "uniform",
        "use_quant_conv": False,
        "causal_decoder": False,
        # said, because the two readers fall back to different ones for the decoder
        "spatial_padding_mode": "zeros",
        "encoder_base_channels": 4,
        "decoder_base_channels": 4,
    }
    if comfy:
        # ComfyUI 0.8 has 128 as the outermost width whatever is said: the fewest blocks, then, and none of them wider
        encoder = [["compress_all", {}]] * 3
        level, up = ["res_x", {"num_layers": 1, "inject_noise": version == "0.9.1"}], ["compress_all", {"residual": True}]
        config |= {"encoder_base_channels": 128, "decoder_base_channels": 128}
        config |= {"encoder_blocks": encoder, "decoder_blocks": [level, up, up, up, level]}
        return config | {"timestep_conditioning": version != "0.9.0"}
    if version == "0.9.0":
        return config | {"blocks": ENCODER}
    encoder = ENCODER if version == "0.9.1" else ENCODER_095
    return config | {"encoder_blocks": encoder, "decoder_blocks": decoder_blocks(version == "0.9.1"), "timestep_conditioning": True}


def config(version: str, comfy: bool = False) -> dict:
    """The metadata's `config`: from 0.9.5 on, the time of a latent frame is that of its first frame of film."""
    return {"transformer": TRANSFORMER | {"causal_temporal_positioning": version == "0.9.5"}, "vae": vae_config(version, comfy)}


def write(path: Path, seed: int = 0, version: str = "0.9.0", comfy: bool = False, dtype: torch.dtype = torch.float32) -> None:
    """One checkpoint of transformer and autoencoder (1, 2 or 36 MB; 64 with `comfy`) to `path`; the same file for the same seed.

    As it is, diffusers and newer ComfyUI read it; with `comfy`, an autoencoder that ComfyUI from 0.8 on reads and diffusers
    does not. The decoder of 0.9.0 reads no time, the others do; that of 0.9.1 draws noise within its blocks as well. Text
    embeddings are [B, tokens, 16]. ValueError for a version that is none of VERSIONS.
    """
    if version not in VERSIONS:
        raise ValueError(f"version {version!r}: one of {', '.join(VERSIONS)}")
    weights = _Weights(seed)
    _transformer(weights)
    vae = vae_config(version, comfy)
    _encoder(weights, vae)
    _decoder(weights, vae)
    _statistics(weights)
    tensors = {name: value.to(dtype).contiguous() for name, value in weights.items()}
    save_file(tensors, str(path), metadata={"config": json.dumps(config(version, comfy))})


class _Weights(dict[str, Tensor]):
    """Random weights by name, of a size that leaves the variance of what passes through about as it was."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.rng = torch.Generator().manual_seed(seed)

    def normal(self, name: str, *shape: int, scale: float = 1.0, mean: float = 0.0) -> None:
        self[name] = mean + scale * torch.randn(*shape, generator=self.rng)

    def linear(self, name: str, inputs: int, outputs: int) -> None:
        self.normal(f"{name}.weight", outputs, inputs, scale=inputs**-0.5)
        self.normal(f"{name}.bias", outputs, scale=0.1)

    def conv(self, name: str, inputs: int, outputs: int, kernel: int = 3) -> None:
        self.normal(f"{name}.weight", outputs, inputs, kernel, kernel, kernel, scale=(inputs * kernel**3) ** -0.5)
        self.normal(f"{name}.bias", outputs, scale=0.1)

    def two_linear(self, name: str, inputs: int, outputs: int) -> None:
        self.linear(f"{name}.linear_1", inputs, outputs)
        self.linear(f"{name}.linear_2", outputs, outputs)


def _transformer(w: _Weights) -> None:
    prefix = "model.diffusion_model"
    inner = TRANSFORMER["num_attention_heads"] * TRANSFORMER["attention_head_dim"]
    w.linear(f"{prefix}.patchify_proj", LATENT, inner)
    w.linear(f"{prefix}.proj_out", inner, LATENT)
    w.normal(f"{prefix}.scale_shift_table", 2, inner, scale=inner**-0.5)
    w.two_linear(f"{prefix}.adaln_single.emb.timestep_embedder", TIME, inner)
    w.linear(f"{prefix}.adaln_single.linear", inner, 6 * inner)
    w.two_linear(f"{prefix}.caption_projection", TRANSFORMER["caption_channels"], inner)
    for i in range(TRANSFORMER["num_layers"]):
        block = f"{prefix}.transformer_blocks.{i}"
        for attention in ("attn1", "attn2"):
            for layer in ("to_q", "to_k", "to_v", "to_out.0"):
                w.linear(f"{block}.{attention}.{layer}", inner, inner)
            for norm in ("q_norm", "k_norm"):
                w.normal(f"{block}.{attention}.{norm}.weight", inner, scale=0.1, mean=1.0)
        w.linear(f"{block}.ff.net.0.proj", inner, 4 * inner)
        w.linear(f"{block}.ff.net.2", 4 * inner, inner)
        w.normal(f"{block}.scale_shift_table", 6, inner, scale=inner**-0.5)


def _residual(w: _Weights, name: str, inputs: int, outputs: int, timed: bool = False, noisy: bool = False) -> None:
    w.conv(f"{name}.conv1.conv", inputs, outputs)
    w.conv(f"{name}.conv2.conv", outputs, outputs)
    if inputs != outputs:
        w.conv(f"{name}.conv_shortcut", inputs, outputs, kernel=1)
        w.normal(f"{name}.norm3.norm.weight", inputs, scale=0.1, mean=1.0)
        w.normal(f"{name}.norm3.norm.bias", inputs, scale=0.1)
    if timed:
        w.normal(f"{name}.scale_shift_table", 4, inputs, scale=inputs**-0.5)
    for i in (1, 2) if noisy else ():
        w.normal(f"{name}.per_channel_scale{i}", inputs, 1, 1, scale=0.1)


def _encoder(w: _Weights, vae: dict) -> None:
    strides = {"compress_space_res": 4, "compress_time_res": 2, "compress_all_res": 8}
    width = vae["encoder_base_channels"]
    w.conv("vae.encoder.conv_in.conv", 3 * PATCH**2, width)
    for i, (kind, told) in enumerate(vae.get("encoder_blocks") or vae["blocks"]):
        name = f"vae.encoder.down_blocks.{i}"
        if kind == "res_x":
            for j in range(told["num_layers"]):
                _residual(w, f"{name}.res_blocks.{j}", width, width)
        elif kind == "res_x_y":
            _residual(w, name, width, 2 * width)
            width *= 2
        elif kind == "compress_all":
            w.conv(f"{name}.conv", width, width)
        else:
            w.conv(f"{name}.conv.conv", width, told["multiplier"] * width // strides[kind])
            width *= told["multiplier"]
    w.conv("vae.encoder.conv_out.conv", width, LATENT + 1)


def _decoder(w: _Weights, vae: dict) -> None:
    timed = vae.get("timestep_conditioning", False)
    blocks = list(reversed(vae.get("decoder_blocks") or vae["blocks"]))
    width = vae["decoder_base_channels"] * 2 ** sum(_halves(kind, told) for kind, told in blocks)
    w.conv("vae.decoder.conv_in.conv", LATENT, width)
    for i, (kind, told) in enumerate(blocks):
        name = f"vae.decoder.up_blocks.{i}"
        if kind == "res_x":
            for j in range(told["num_layers"]):
                _residual(w, f"{name}.res_blocks.{j}", width, width, timed, told.get("inject_noise", False))
            if timed:
                w.two_linear(f"{name}.time_embedder.timestep_embedder", TIME, 4 * width)
        elif kind == "res_x_y":
            _residual(w, name, width, width // 2)
        else:
            w.conv(f"{name}.conv.conv", width, 8 * width // (2 if _halves(kind, told) else 1))
        width //= 2 if _halves(kind, told) else 1
    w.conv("vae.decoder.conv_out.conv", width, 3 * PATCH**2)
    if timed:
        w["vae.decoder.timestep_scale_multiplier"] = torch.tensor(1000.0)
        w.two_linear("vae.decoder.last_time_embedder.timestep_embedder", TIME, 2 * width)
        w.normal("vae.decoder.last_scale_shift_table", 2, width, scale=width**-0.5)


def _halves(kind: str, told: dict | int) -> bool:
    return kind == "res_x_y" or (kind == "compress_all" and told.get("multiplier") == 2)


def _statistics(w: _Weights) -> None:
    name = "vae.per_channel_statistics"
    w.normal(f"{name}.mean-of-means", LATENT, scale=0.2)
    w[f"{name}.std-of-means"] = 0.5 + torch.rand(LATENT, generator=w.rng)
    w[f"{name}.mean-of-stds"] = 0.1 + torch.rand(LATENT, generator=w.rng)
    w[f"{name}.mean-of-stds_over_std-of-means"] = w[f"{name}.mean-of-stds"] / w[f"{name}.std-of-means"]
    w[f"{name}.channel"] = torch.arange(LATENT).float()
