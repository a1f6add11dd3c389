"""ComfyUI's loaded VAE as something that gradients pass through.

With the other `host` files the only ones that touch ComfyUI's internals.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from ..ops.generators import oobleck
from ..ops.generators.checkpointing import on_the_way, residual
from ..ops.generators.families import Family
from .host_streamed import still_vae

STRETCH = 40
"""Latents of a sound decoded at once, 2 s: ComfyUI's decoder keeps 1.2 GB a second for the backward pass."""


class Autoencoder(nn.Module):
    """ComfyUI's VAE below its clamp, its tiling and its moves between devices, which gradients do not survive.

    ValueError, by the name of the input, for a VAE of other latents than the family's.
    """

    def __init__(self, vae: Any, family: Family, name: str = "vae"):
        super().__init__()
        if getattr(vae, "patcher", None) is None:
            raise ValueError(f"{name} is no VAE that ComfyUI has loaded itself; connect the one from Load Checkpoint or Load VAE")
        channels, cell = vae.latent_channels, vae.spacial_compression_decode()
        if (channels, cell) != (family.channels, family.cell):
            raise ValueError(
                f"{name} decodes latents of {channels} channels, {cell} to a cell, and {family.title} makes them of {family.channels}, "
                f"{family.cell} to a cell; connect the VAE of the same checkpoint"
            )
        self.patcher = still_vae(vae)
        self.module = self.patcher.model
        self.dtype, self.place, self.bytes = vae.vae_dtype, vae.device, vae.memory_used_decode

    def decode(self, latent: Tensor) -> Tensor:
        """What the VAE's own module gives, in float32 where the latent is: pictures and clips in -1..1, not clamped."""
        # LTX's takes one clip at a time, having one time of noise to tell its blocks
        parts = latent.to(self.place, self.dtype).split(1 if latent.ndim == 5 else len(latent))
        return torch.cat([self._decoded(part) for part in parts]).to(latent.device, torch.float32)

    def encode(self, media: Tensor) -> Tensor:
        """The mean of the latents, of media as `decode` gives them."""
        here = media.to(self.place, self.dtype)
        if hasattr(self.module, "bottleneck"):  # Stable Audio's draws from its latents' law
            latent = self.module.encoder(here).chunk(2, dim=1)[0]
        else:
            latent = self.module.encode(here)
        return latent.to(media.device, torch.float32)

    def _decoded(self, latent: Tensor) -> Tensor:
        if latent.ndim == 3:
            upward = [part.stride[0] for part in self.module.decoder.modules() if isinstance(part, nn.ConvTranspose1d)]
            return oobleck.decode(SimpleNamespace(decoder=self.module.decoder, upsampling_ratios=upward), latent, STRETCH)
        if latent.ndim == 4:
            with on_the_way(latent, residual(self.module)):
                return self.module.decode(latent)
        buffer = {}
        if getattr(self.module, "comfy_has_chunked_io", False):  # it would decode into memory of the CPU
            shape = self.module.decode_output_shape(latent.shape)
            buffer = {"output_buffer": torch.empty(shape, dtype=latent.dtype, device=latent.device)}
        with _noiseless(self.module):
            return self.module.decode(latent, **buffer)


@contextmanager
def _noiseless(module: nn.Module) -> Iterator[None]:
    """LTX's decoders from 0.9.1 on mix noise into what they decode, and 0.9.1's within its blocks as well, with no seed: here none, so
    that a latent has one clip. The time of decoding that they are told stays."""
    stirring = [(part, "inject_noise") for part in module.modules() if getattr(part, "inject_noise", False)]
    if getattr(module, "timestep_conditioning", False):
        stirring.append((module, "timestep_conditioning"))
    try:
        for part, name in stirring:
            setattr(part, name, False)
        yield
    finally:
        for part, name in stirring:
            setattr(part, name, True)
