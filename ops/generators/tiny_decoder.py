"""Tiny decoders of latents, for the steps where a rough picture is enough: TAESD and its relatives (Ollin Boer Bohan)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from ..weights import WeightsError, fill
from .diffusers_loading import component, library, shapes, tensors


def tiny_decoder(path: Path, channels: int, dtype: torch.dtype) -> nn.Module:
    """A decoder of model-space latents [B, channels, h, w] to pictures [B, 3, 8 h, 8 w] in -1..1.

    path: a diffusers folder of an AutoencoderTiny, or the decoder's own safetensors file (`taesd3_decoder.safetensors`, as
    ComfyUI has them in models/vae_approx). Frozen, on the CPU, in `dtype`. WeightsError for another file's, and for a decoder of
    latents of other channels.
    """
    path = Path(path)
    if path.is_dir():
        whole = component(path, "", "AutoencoderTiny", dtype)
        if whole.config.scaling_factor != 1 or whole.config.shift_factor:
            raise WeightsError(f"{path} decodes latents of its own scale, expected those of the diffusion model")
        decoder, found = whole.decoder, whole.config.latent_channels
    else:
        first = shapes(path).get("1.weight")
        if first is None or len(first) != 4:
            raise WeightsError(f"{path} is no tiny decoder: no tensor 1.weight of a convolution")
        found = first[1]
        with torch.device("meta"):
            decoder = library().AutoencoderTiny(latent_channels=found, decoder_block_out_channels=(first[0],) * 4).decoder
        # the library has no module for the bound on the latents, which is the file's first
        stored = {f"layers.{int(at) - 1}.{rest}": tensor for at, rest, tensor in _numbered(path, dtype)}
        fill(decoder, stored, path.name, dtype)
    if found != channels:
        raise WeightsError(f"{path} decodes latents of {found} channels, expected {channels}")
    return decoder


def _numbered(path: Path, dtype: torch.dtype) -> Iterator[tuple[str, str, torch.Tensor]]:
    """(number of the module, rest of the name, tensor) of what a file has for a sequence of modules."""
    for name, tensor in tensors(path, "", dtype).items():
        at, _, rest = name.partition(".")
        if not at.isdigit():
            raise WeightsError(f"{path} is no tiny decoder: it has a tensor {name}, expected numbers before the first dot")
        yield at, rest, tensor
