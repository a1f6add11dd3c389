"""A TAESD3, the tiny autoencoder for Stable Diffusion 3's latents, in the published names, with random weights."""

from pathlib import Path

import torch
from safetensors.torch import save_file

WIDTH, LATENT = 64, 16
BLOCK, BARE = "block", "bare"
"""A residual block of three convolutions, and a convolution without a bias."""
ENCODER = [(3, WIDTH), BLOCK, *3 * [BARE, BLOCK, BLOCK, BLOCK], (WIDTH, LATENT)]
DECODER = [None, (LATENT, WIDTH), None, *3 * [BLOCK, BLOCK, BLOCK, None, BARE], BLOCK, (WIDTH, 3)]
"""What stands at each place; None for what has no weights."""


def write(folder: Path, seed: int = 0) -> None:
    """taesd3_encoder.safetensors and taesd3_decoder.safetensors in the folder."""
    source = torch.Generator().manual_seed(seed)
    for name, parts in (("encoder", ENCODER), ("decoder", DECODER)):
        save_file(_weights(parts, source), folder / f"taesd3_{name}.safetensors")


def _weights(parts: list, source: torch.Generator) -> dict[str, torch.Tensor]:
    made = {}

    def convolution(at: str, into: int, out: int, bias: bool = True) -> None:
        made[f"{at}.weight"] = torch.randn(out, into, 3, 3, generator=source) / (9 * into) ** 0.5
        if bias:
            made[f"{at}.bias"] = torch.zeros(out)

    for place, part in enumerate(parts):
        if part == BLOCK:
            for inner in (0, 2, 4):
                convolution(f"{place}.conv.{inner}", WIDTH, WIDTH)
        elif part == BARE:
            convolution(str(place), WIDTH, WIDTH, bias=False)
        elif part:
            convolution(str(place), *part)
    return made
