"""A Stable Diffusion XL checkpoint in the names and the layout of the published single files, with random weights and small.

Text of 2048 and 2816 numbers, linear projections, a network of three levels. ComfyUI knows the family by 320 channels and by the
transformer blocks that each level has; 0, 1 and 2 are the fewest that it takes (for Segmind's Vega, an SDXL with fewer of
them), where SDXL has 0, 2 and 10; and it does not look how much wider the lower levels are: here they are not.
"""

import torch
from safetensors.torch import save_file

from tiny_sd3 import Draw, autoencoder, kl

BLOCKS, CONTEXT, VECTOR, LATENT = (0, 1, 2), 2048, 2816, 4

AUTOENCODER = {"use_quant_conv": True, "use_post_quant_conv": True, "scaling_factor": 0.13025, "shift_factor": None}
"""Where it differs from `tiny_sd3.autoencoder`."""


def unet(channels: int) -> dict:
    """The same network for diffusers' UNet2DConditionModel."""
    return {
        "sample_size": 8, "in_channels": LATENT, "out_channels": LATENT, "block_out_channels": (channels,) * 3, "layers_per_block": 2,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 1, 2), "attention_head_dim": (channels // 64,) * 3, "cross_attention_dim": CONTEXT,
        "use_linear_projection": True, "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": VECTOR,
    }  # fmt: skip


def vae(width: int) -> dict:
    """The same autoencoder for diffusers' AutoencoderKL."""
    return autoencoder(width, LATENT) | AUTOENCODER


def write(path, seed: int = 0, width: int = 128, channels: int = 320) -> None:
    """A safetensors file in half precision without text encoders; `width` as in `tiny_sd3.write`.

    channels: of the network, a multiple of 64; ComfyUI recognises 320 (380 MB with its 128 of the autoencoder).
    """
    save_file(tensors(seed, width, channels), path)


def tensors(seed: int = 0, width: int = 128, channels: int = 320) -> dict[str, torch.Tensor]:
    """What `write` writes."""
    draw = Draw(seed)
    made = {f"model.diffusion_model.{name}": tensor for name, tensor in network(draw, channels).items()}
    coder = kl(draw, width, LATENT) | draw.layer("quant_conv", 2 * LATENT, 2 * LATENT, 1, 1) | draw.layer("post_quant_conv", LATENT, LATENT, 1, 1)
    made |= {f"first_stage_model.{name}": tensor for name, tensor in coder.items()}
    return {name: tensor.bfloat16() for name, tensor in made.items()}


def network(draw: Draw, size: int) -> dict[str, torch.Tensor]:
    """The U-Net, in the names of Stability AI's generative-models."""
    made = draw.layer("input_blocks.0.0", size, LATENT, 3, 3)
    for name, width in (("time_embed", size), ("label_emb.0", VECTOR)):
        made |= draw.layer(f"{name}.0", 4 * size, width) | draw.layer(f"{name}.2", 4 * size, 4 * size)
    at = 1
    for level, blocks in enumerate(BLOCKS):
        for _ in range(2):
            made |= _residual(draw, f"input_blocks.{at}.0", size, size) | _attention(draw, f"input_blocks.{at}.1", size, blocks)
            at += 1
        if level < 2:
            made |= draw.layer(f"input_blocks.{at}.0.op", size, size, 3, 3)
            at += 1
    made |= _residual(draw, "middle_block.0", size, size) | _attention(draw, "middle_block.1", size, BLOCKS[-1])
    made |= _residual(draw, "middle_block.2", size, size)
    at = 0
    for level, blocks in reversed(list(enumerate(BLOCKS))):
        for n in range(3):
            made |= _residual(draw, f"output_blocks.{at}.0", 2 * size, size) | _attention(draw, f"output_blocks.{at}.1", size, blocks)
            if n == 2 and level:
                made |= draw.layer(f"output_blocks.{at}.2.conv", size, size, 3, 3)
            at += 1
    return made | draw.norm("out.0", size) | draw.layer("out.2", LATENT, size, 3, 3)


def _residual(draw: Draw, at: str, before: int, size: int) -> dict[str, torch.Tensor]:
    made = draw.norm(f"{at}.in_layers.0", before) | draw.layer(f"{at}.in_layers.2", size, before, 3, 3)
    made |= draw.layer(f"{at}.emb_layers.1", size, 4 * size)
    made |= draw.norm(f"{at}.out_layers.0", size) | draw.layer(f"{at}.out_layers.3", size, size, 3, 3)
    return made | (draw.layer(f"{at}.skip_connection", size, before, 1, 1) if before != size else {})


def _attention(draw: Draw, at: str, size: int, blocks: int) -> dict[str, torch.Tensor]:
    """A transformer over the places, with so many blocks; nothing for none."""
    if not blocks:
        return {}
    made = draw.norm(f"{at}.norm", size) | draw.layer(f"{at}.proj_in", size, size) | draw.layer(f"{at}.proj_out", size, size)
    for n in range(blocks):
        block = f"{at}.transformer_blocks.{n}"
        for attention, width in (("attn1", size), ("attn2", CONTEXT)):
            made[f"{block}.{attention}.to_q.weight"] = draw.weight(size, size)
            made |= {f"{block}.{attention}.to_{p}.weight": draw.weight(size, width) for p in "kv"}
            made |= draw.layer(f"{block}.{attention}.to_out.0", size, size)
        for norm in ("norm1", "norm2", "norm3"):
            made |= draw.norm(f"{block}.{norm}", size)
        made |= draw.layer(f"{block}.ff.net.0.proj", 8 * size, size) | draw.layer(f"{block}.ff.net.2", size, 4 * size)
    return made
