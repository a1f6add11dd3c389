"""A Stable Diffusion 3.5 checkpoint in the names and the layout of the published single files, with random weights and small.

What a reader finds out from the tensors alone it finds here: a hidden size of 64 for each block, text of 4096 and 2048 numbers,
16 latent channels, root-mean-square norms of queries and keys, a second attention in all blocks but the last.
"""

from math import prod, sqrt

import torch
from safetensors.torch import save_file

DEPTH, PLACES, LATENT = 2, 16, 16
HIDDEN = 64 * DEPTH
STAGES = (1, 2, 4, 4)
"""Channels of the autoencoder's levels, in its width."""

TRANSFORMER = {
    "sample_size": PLACES, "patch_size": 2, "in_channels": LATENT, "out_channels": LATENT, "num_layers": DEPTH, "attention_head_dim": 64,
    "num_attention_heads": DEPTH, "joint_attention_dim": 4096, "caption_projection_dim": HIDDEN, "pooled_projection_dim": 2048,
    "pos_embed_max_size": PLACES, "dual_attention_layers": tuple(range(DEPTH - 1)), "qk_norm": "rms_norm",
}  # fmt: skip
"""The same network for diffusers' SD3Transformer2DModel."""


def autoencoder(width: int, latent: int = LATENT) -> dict:
    """The same autoencoder for diffusers' AutoencoderKL."""
    return {
        "in_channels": 3, "out_channels": 3, "latent_channels": latent, "block_out_channels": [width * s for s in STAGES],
        "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4, "layers_per_block": 2,
        "use_quant_conv": False, "use_post_quant_conv": False, "scaling_factor": 1.5305, "shift_factor": 0.0609,
    }  # fmt: skip


def write(path, seed: int = 0, width: int = 128) -> None:
    """A safetensors file with the network in single and the autoencoder in half precision, to save space, and no text encoder.

    width: channels of the autoencoder at full resolution, a multiple of 32. ComfyUI finds the decoder's out and takes the
    encoder's to be 128, the library diffusers has one for both: at 128 (170 MB) both read the file, at 32 diffusers alone.
    """
    save_file(tensors(seed, width), path)


def tensors(seed: int = 0, width: int = 128) -> dict[str, torch.Tensor]:
    """What `write` writes."""
    draw = Draw(seed)
    network = {f"model.diffusion_model.{name}": tensor for name, tensor in transformer(draw).items()}
    return network | {f"first_stage_model.{name}": tensor.bfloat16() for name, tensor in kl(draw, width, LATENT).items()}


class Draw:
    """Layers as dictionaries of random tensors, of a size that keeps what passes through them about as large as it was."""

    def __init__(self, seed: int):
        self.source = torch.Generator().manual_seed(seed)

    def weight(self, *shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=self.source) / sqrt(prod(shape[1:]))

    def vector(self, size: int, about: float = 0.0) -> torch.Tensor:
        return about + 0.1 * torch.randn(size, generator=self.source)

    def layer(self, name: str, *shape: int) -> dict[str, torch.Tensor]:
        """A linear layer or a convolution: weight [out, in, ...] and bias."""
        return {f"{name}.weight": self.weight(*shape), f"{name}.bias": self.vector(shape[0])}

    def norm(self, name: str, size: int) -> dict[str, torch.Tensor]:
        return {f"{name}.weight": self.vector(size, 1.0), f"{name}.bias": self.vector(size)}


def transformer(draw: Draw) -> dict[str, torch.Tensor]:
    """The multimodal diffusion transformer (MMDiT-X), in Stability AI's names."""
    made = {"pos_embed": 0.5 * torch.randn(1, PLACES**2, HIDDEN, generator=draw.source)}
    made |= draw.layer("x_embedder.proj", HIDDEN, LATENT, 2, 2) | draw.layer("context_embedder", HIDDEN, 4096)
    for name, width in (("t_embedder", 256), ("y_embedder", 2048)):
        made |= draw.layer(f"{name}.mlp.0", HIDDEN, width) | draw.layer(f"{name}.mlp.2", HIDDEN, HIDDEN)
    for n in range(DEPTH):
        last = n == DEPTH - 1
        made |= _stream(draw, f"joint_blocks.{n}.x_block", ("attn",) if last else ("attn", "attn2"), 6 if last else 9)
        made |= _stream(draw, f"joint_blocks.{n}.context_block", ("attn",), 2 if last else 6)
    return made | draw.layer("final_layer.linear", 4 * LATENT, HIDDEN) | draw.layer("final_layer.adaLN_modulation.1", 2 * HIDDEN, HIDDEN)


def _stream(draw: Draw, at: str, attentions: tuple[str, ...], modulations: int) -> dict[str, torch.Tensor]:
    """One of a block's two streams; with two modulations it only gives keys and values, which is how the text ends."""
    made = draw.layer(f"{at}.adaLN_modulation.1", modulations * HIDDEN, HIDDEN)
    for name in attentions:
        made |= draw.layer(f"{at}.{name}.qkv", 3 * HIDDEN, HIDDEN)
        made |= {f"{at}.{name}.{norm}.weight": draw.vector(64, 1.0) for norm in ("ln_q", "ln_k")}
        if modulations > 2:
            made |= draw.layer(f"{at}.{name}.proj", HIDDEN, HIDDEN)
    if modulations > 2:
        made |= draw.layer(f"{at}.mlp.fc1", 4 * HIDDEN, HIDDEN) | draw.layer(f"{at}.mlp.fc2", HIDDEN, 4 * HIDDEN)
    return made


def kl(draw: Draw, width: int, latent: int) -> dict[str, torch.Tensor]:
    """A variational autoencoder of pictures as latent diffusion has it, without the two 1x1 convolutions around the latent."""
    sizes = [width * stage for stage in STAGES]
    made = draw.layer("encoder.conv_in", width, 3, 3, 3)
    for level, (before, size) in enumerate(zip([width, *sizes], sizes)):
        for n in range(2):
            made |= _residual(draw, f"encoder.down.{level}.block.{n}", size if n else before, size)
        if level < 3:
            made |= draw.layer(f"encoder.down.{level}.downsample.conv", size, size, 3, 3)
    made |= _middle(draw, "encoder", sizes[-1]) | draw.norm("encoder.norm_out", sizes[-1])
    made |= draw.layer("encoder.conv_out", 2 * latent, sizes[-1], 3, 3)
    made |= draw.layer("decoder.conv_in", sizes[-1], latent, 3, 3) | _middle(draw, "decoder", sizes[-1])
    for level, (before, size) in reversed(list(enumerate(zip([*sizes[1:], sizes[-1]], sizes)))):
        for n in range(3):
            made |= _residual(draw, f"decoder.up.{level}.block.{n}", size if n else before, size)
        if level:
            made |= draw.layer(f"decoder.up.{level}.upsample.conv", size, size, 3, 3)
    return made | draw.norm("decoder.norm_out", width) | draw.layer("decoder.conv_out", 3, width, 3, 3)


def _residual(draw: Draw, at: str, before: int, size: int) -> dict[str, torch.Tensor]:
    made = draw.norm(f"{at}.norm1", before) | draw.layer(f"{at}.conv1", size, before, 3, 3)
    made |= draw.norm(f"{at}.norm2", size) | draw.layer(f"{at}.conv2", size, size, 3, 3)
    return made | (draw.layer(f"{at}.nin_shortcut", size, before, 1, 1) if before != size else {})


def _middle(draw: Draw, at: str, size: int) -> dict[str, torch.Tensor]:
    made = draw.norm(f"{at}.mid.attn_1.norm", size)
    for name in ("block_1", "block_2"):
        made |= _residual(draw, f"{at}.mid.{name}", size, size)
    for name in ("q", "k", "v", "proj_out"):
        made |= draw.layer(f"{at}.mid.attn_1.{name}", size, size, 1, 1)
    return made
