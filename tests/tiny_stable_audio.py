"""Stable Audio Open 1.0 as its single file is published, in names and shapes, with random weights and small.

The layout: the keys of stable-audio-tools, which ComfyUI reads from `models/checkpoints`. What ComfyUI's code fixes and the
file does not tell: 24 heads of at least 32 (so a width of 768 at least), 768 values a conditioning token, and an
autoencoder of 128 channels with multiples 1, 2, 4, 8, 16. That autoencoder has 156 million weights, 312 MB in half
precision as written here, beside the 16 million (64 MB) of a transformer of one layer. With a smaller `width` and
`channels` the file is small, and for this pack's own reader alone.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

HEADS, MULTIPLES, STRIDES = 24, (1, 2, 4, 8, 16), (2, 4, 4, 8, 8)


class Source:
    """Random numbers by the million without drawing each: one pool, repeated from places that are drawn."""

    def __init__(self, seed: int) -> None:
        self.rng = torch.Generator().manual_seed(seed)
        self.pool = torch.randn(65521, generator=self.rng)

    def __call__(self, *shape: int, scale: float = 1.0) -> Tensor:
        size = torch.Size(shape).numel()
        rolled = self.pool.roll(int(torch.randint(len(self.pool), (), generator=self.rng))) * scale
        return rolled.repeat(-(-size // len(rolled)))[:size].reshape(shape)

    def linear(self, out: int, into: int) -> Tensor:
        return self(out, into, scale=into**-0.5)


def attention(source: Source, at: str, width: int, text: int) -> dict[str, Tensor]:
    made = {}
    for norm in ("pre_norm", "cross_attend_norm", "ff_norm"):
        made |= {f"{at}.{norm}.gamma": 1 + source(width, scale=0.1), f"{at}.{norm}.beta": torch.zeros(width)}
    return made | {
        f"{at}.self_attn.to_qkv.weight": source.linear(3 * width, width),
        f"{at}.self_attn.to_out.weight": source.linear(width, width),
        f"{at}.cross_attn.to_q.weight": source.linear(width, width),
        f"{at}.cross_attn.to_kv.weight": source.linear(2 * text, text),
        f"{at}.cross_attn.to_out.weight": source.linear(width, width),
        f"{at}.ff.ff.0.proj.weight": source.linear(8 * width, width),
        f"{at}.ff.ff.0.proj.bias": source(8 * width, scale=0.1),
        f"{at}.ff.ff.2.weight": source.linear(width, 4 * width),
        f"{at}.ff.ff.2.bias": source(width, scale=0.1),
    }


def transformer(source: Source, width: int, text: int, latents: int, layers: int) -> dict[str, Tensor]:
    head = width // HEADS
    rotated = (max(head // 2, 32) if head >= 32 else head // 2) // 2
    made = {
        "timestep_features.weight": source(128, 1),
        "to_timestep_embed.0.weight": source.linear(width, 256),
        "to_timestep_embed.0.bias": source(width, scale=0.1),
        "to_timestep_embed.2.weight": source.linear(width, width),
        "to_timestep_embed.2.bias": source(width, scale=0.1),
        "to_cond_embed.0.weight": source.linear(text, text),
        "to_cond_embed.2.weight": source.linear(text, text),
        "to_global_embed.0.weight": source.linear(width, 2 * text),
        "to_global_embed.2.weight": source.linear(width, width),
        "preprocess_conv.weight": source.linear(latents, latents)[..., None] * 0.1,
        "postprocess_conv.weight": source.linear(latents, latents)[..., None] * 0.1,
        "transformer.project_in.weight": source.linear(width, latents),
        "transformer.project_out.weight": source.linear(latents, width),
        "transformer.rotary_pos_emb.inv_freq": 10000.0 ** -(torch.arange(rotated) / rotated),
    }
    for n in range(layers):
        made |= attention(source, f"transformer.layers.{n}", width, text)
    return {f"model.model.{name}": weight for name, weight in made.items()}


def conv(source: Source, at: str, out: int, into: int, kernel: int, bias: int = 0, gain: float = 1.0) -> dict[str, Tensor]:
    """A weight-normed convolution; a transposed one has `out` and `into` the other way round, and a bias of its own size."""
    made = {f"{at}.weight_g": gain * (1 + source(out, 1, 1, scale=0.1)), f"{at}.weight_v": source(out, into, kernel)}
    return made | ({f"{at}.bias": source(bias, scale=0.1)} if bias else {})


def snake(source: Source, at: str, size: int) -> dict[str, Tensor]:
    return {f"{at}.alpha": source(size, scale=0.1), f"{at}.beta": source(size, scale=0.1)}


def residual(source: Source, at: str, size: int) -> dict[str, Tensor]:
    made = snake(source, f"{at}.layers.0", size) | snake(source, f"{at}.layers.2", size)
    return made | conv(source, f"{at}.layers.1", size, size, 7, size) | conv(source, f"{at}.layers.3", size, size, 1, size, gain=0.2)


def autoencoder(source: Source, channels: int) -> dict[str, Tensor]:
    sizes, latents = [channels * multiple for multiple in (1, *MULTIPLES)], channels // 2
    blocks = len(STRIDES)
    made = conv(source, "encoder.layers.0", channels, 2, 7, channels) | snake(source, f"encoder.layers.{blocks + 1}", sizes[-1])
    made |= conv(source, f"encoder.layers.{blocks + 2}", 2 * latents, sizes[-1], 3, 2 * latents, gain=0.1)
    made |= conv(source, "decoder.layers.0", sizes[-1], latents, 7, sizes[-1]) | snake(source, f"decoder.layers.{blocks + 1}", channels)
    made |= conv(source, f"decoder.layers.{blocks + 2}", 2, channels, 7)
    for n, stride in enumerate(STRIDES):
        near, far = sizes[n], sizes[n + 1]
        down, up = f"encoder.layers.{n + 1}", f"decoder.layers.{blocks - n}"
        made |= snake(source, f"{down}.layers.3", near) | conv(source, f"{down}.layers.4", far, near, 2 * stride, far)
        made |= snake(source, f"{up}.layers.0", far) | conv(source, f"{up}.layers.1", far, near, 2 * stride, near)
        for unit in range(3):
            made |= residual(source, f"{down}.layers.{unit}", near) | residual(source, f"{up}.layers.{unit + 2}", near)
    return {f"pretransform.model.{name}": weight.half() for name, weight in made.items()}


def seconds(source: Source, name: str, text: int) -> dict[str, Tensor]:
    at = f"conditioner.conditioners.{name}.embedder.embedding"
    return {
        f"{at}.0.weights": source(128),
        f"{at}.1.weight": source.linear(text, 257),
        f"{at}.1.bias": source(text, scale=0.1),
    }


def weights(seed: int = 0, width: int = 768, channels: int = 128, layers: int = 1) -> dict[str, Tensor]:
    """The state dict: all of `write` but the file."""
    source = Source(seed)
    text = 768 if width >= 768 else width // 2
    made = transformer(source, width, text, channels // 2, layers) | autoencoder(source, channels)
    return made | seconds(source, "seconds_start", text) | seconds(source, "seconds_total", text)


def write(path: str | Path, seed: int = 0, width: int = 768, channels: int = 128, layers: int = 1) -> None:
    """A .safetensors checkpoint at `path`: a transformer of `width` (a multiple of 24) and an autoencoder of `channels`.

    As it comes, it is the smallest that ComfyUI loads. Latents have channels / 2 values.
    """
    save_file(weights(seed, width, channels, layers), str(path))
