"""Stable Video Diffusion as a generator of clips, on the diffusers library: an older backbone, to compare with.

Blattmann et al. 2023, arXiv 2311.15127. It was made to set a picture in motion; without one it is given what its training gave it in
place of one: no embedding and no latent of it, both zero.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from .. import runtime
from ..space import Modality
from .checkpointing import Checkpointed, on_the_way
from .diffusers_loading import component, mark
from .families import SVD
from .flow import along
from .parametrisation import x0_from_v

SIGMAS = (0.002, 700.0)
"""Of sigma / alpha in training: the network is told no level beyond."""
MOTION, AUGMENTED = 127.0, 0.02
"""How much a clip moves and how noisy the picture it is made from is, as diffusers' pipeline tells it unless told otherwise."""
BLOCKS = ("SpatioTemporalResBlock", "TransformerSpatioTemporalModel")
"""What its networks consist of, each without another within."""


class StableVideoDiffusion(Checkpointed):
    """A `Generator` (see protocol.py) of clips of `frames` frames of width x height pixels, at `SVD.fps`.

    network, autoencoder: diffusers' `UNetSpatioTemporalConditionModel` and `AutoencoderKLTemporalDecoder`.
    ValueError for sides that are no multiples of 8 times what the network halves (64 as published), and for no frames.
    """

    modality: Modality = "video"
    fps = SVD.fps
    # queries, keys, values and outputs of attention within a frame and over time; those of attention to a picture, of which there
    # is none, would never change anything
    adapts = re.compile(r".*\.attn1\.(to_q|to_k|to_v|to_out\.0)")

    def __init__(self, network: nn.Module, autoencoder: nn.Module, width: int, height: int, frames: int):
        super().__init__()
        self.latent_shape = SVD.clip(width, height, frames)
        cell = SVD.cell * 2 ** (len(network.config.block_out_channels) - 1)
        if width % cell or height % cell:
            raise ValueError(f"{width} x {height} pixels: the network of {SVD.title} takes multiples of {cell}")
        self.network, self.autoencoder = network, autoencoder
        self.id = f"{SVD.name}-{mark(network, autoencoder)}"

    def blocks(self) -> Iterable[nn.Module]:
        return _blocks(self.network)

    def noise(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(alpha, sigma) = (cos, sin)(pi t / 2): its levels are tan(pi t / 2) where alpha is 1."""
        return SVD.schedule(t)

    def x0(self, x_t: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """From cond [1, 1, D], a picture's embedding."""
        dtype = self.network.dtype
        alpha, sigma = self.noise(t)
        # in float32 the cosine of the last quarter turn is a little below zero
        level = (sigma / alpha.clamp(min=1e-6)).clamp(*SIGMAS)
        told = torch.tensor([[self.fps - 1, MOTION, AUGMENTED]], device=x_t.device).to(dtype)
        v = self.network(
            # alpha^2 + sigma^2 = 1: x_t is scaled as the network's input is
            torch.cat([x_t, torch.zeros_like(x_t)], 2).to(dtype),
            level.log() / 4,
            cond.to(x_t.device, dtype).expand(len(x_t), -1, -1),
            added_time_ids=told.expand(len(x_t), -1),
            return_dict=False,
        )[0]
        return x0_from_v(x_t, v.float(), along(alpha, x_t), along(sigma, x_t))

    def condition(self, prompt: str | None) -> Tensor:
        """The embedding of no picture, zeros [1, 1, D]. ValueError for a prompt: it has learned from pictures alone."""
        if prompt is not None:
            raise ValueError(f"prompt {prompt[:60]!r}: {SVD.title} reads no words")
        return torch.zeros(1, 1, self.network.config.cross_attention_dim, device=self.device)

    def decode(self, z: Tensor, fast: bool = False) -> Tensor:
        """Clips [B, T, 3, H, W] of latents [B, T, 4, h, w]. There is one decoder: `fast` changes nothing."""
        frames = (z / self.autoencoder.config.scaling_factor).flatten(0, 1).to(self.autoencoder.dtype)
        with on_the_way(z, _blocks(self.autoencoder.decoder)):
            pixels = self.autoencoder.decode(frames, num_frames=z.shape[1], return_dict=False)[0]
        return (pixels.float().unflatten(0, z.shape[:2]) + 1) / 2

    def encode(self, media: Tensor) -> Tensor:
        """The mean latents [B, T, 4, h, w] of clips [B, T, 3, H, W] in 0..1. ValueError for clips of another size."""
        frames, _, height, width = self.latent_shape
        if media.shape[1:] != (frames, 3, height * SVD.cell, width * SVD.cell):
            raise ValueError(f"media has shape {tuple(media.shape)}, expected [B, {frames}, 3, {height * SVD.cell}, {width * SVD.cell}]")
        latent = self.autoencoder.encode((2 * media - 1).flatten(0, 1).to(self.autoencoder.dtype)).latent_dist.mode()
        return latent.float().unflatten(0, media.shape[:2]) * self.autoencoder.config.scaling_factor


def _blocks(network: nn.Module) -> list[nn.Module]:
    return [part for part in network.modules() if type(part).__name__ in BLOCKS]


def load(
    path: str | Path, width: int = 512, height: int = 320, frames: int = 14, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> StableVideoDiffusion:
    """Stable Video Diffusion from a diffusers folder, with or without its picture encoder, which is not read.

    dtype: of the network, `runtime.tower_dtype` of the device unless said; the autoencoder is float32.
    WeightsError for files that are missing, damaged or another model's; ValueError for sizes that do not fit, ModuleNotFoundError
    without the diffusers library.
    """
    SVD.clip(width, height, frames)
    autoencoder = component(Path(path), "vae", "AutoencoderKLTemporalDecoder", torch.float32)
    network = component(Path(path), "unet", "UNetSpatioTemporalConditionModel", dtype or runtime.tower_dtype(device))
    with torch.inference_mode(False):
        return StableVideoDiffusion(network, autoencoder, width, height, frames).eval().to(device)
