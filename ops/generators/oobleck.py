"""Decoding with diffusers' AutoencoderOobleck in stretches of time, so that a long sound needs no more memory than a short one."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

STRETCH = 108
"""Latents decoded at once, 5 s: 2.3 GB of activations in single precision, where 47 s whole have 20."""


def folded(autoencoder: nn.Module) -> nn.Module:
    """The autoencoder with its weight norms multiplied into the weights: nothing trains it, so once is enough."""
    with torch.inference_mode(False), torch.no_grad():
        for part in autoencoder.modules():
            if hasattr(part, "weight_g"):
                torch.nn.utils.remove_weight_norm(part)
    return autoencoder.requires_grad_(False)


def reach(strides: list[int]) -> int:
    """How many latents before and after its own a sample of the decoder's output depends on, at most; strides from the latents
    to the sound."""
    samples = 3
    for stride in reversed(strides):
        # three residual units, with kernels of 7 spread by 1, 3 and 9, upon a transposed convolution of two strides
        samples = math.ceil((samples + 3 * (1 + 3 + 9)) / stride) + 2
    return samples + 3


def decode(autoencoder: nn.Module, z: Tensor, stretch: int = STRETCH) -> Tensor:
    """Sounds [B, channels, L * hop] of latents [B, C, L]: those of the whole decoder, to rounding.

    Each stretch is decoded with as much around it as it depends on, which is then cut away. Where a gradient is wanted, its
    activations are computed again for the backward pass, as they were. ValueError for an odd stride, where a latent has no
    whole number of samples of its own.
    """
    strides = list(autoencoder.upsampling_ratios)
    if any(stride % 2 for stride in strides):
        raise ValueError(f"an Oobleck decoder with strides {strides}, expected even ones")
    length, hop, margin = z.shape[-1], math.prod(strides), reach(strides)
    if length <= stretch + 2 * margin:
        return autoencoder.decoder(z)
    pieces = []
    for first in range(0, length, stretch):
        start, after = max(0, first - margin), min(first + stretch, length)
        part = z[..., start : after + margin]
        if torch.is_grad_enabled() and z.requires_grad:
            sound = checkpoint(autoencoder.decoder, part, use_reentrant=False, preserve_rng_state=False)
        else:
            sound = autoencoder.decoder(part)
        pieces.append(sound[..., (first - start) * hop : (after - start) * hop])
    return torch.cat(pieces, -1)
