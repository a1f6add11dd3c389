"""What every generator offers: a latent space, its decoder and its diffusion model, all algebra in x0-space."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from ..priors.lora import LoRA
from ..space import Modality, Space


@runtime_checkable
class Generator(Protocol):
    """One modality's decoder with its diffusion model.

    Times t run from 0 (clean) to 1 (pure noise). `latent_shape` is one latent's shape without the batch; `id` names
    the generator and its weights.
    """

    id: str
    modality: Modality
    latent_shape: tuple[int, ...]

    def start(self, size: int, seed: int) -> Tensor:
        """`size` seeded starting latents [size, *latent_shape], drawn on the CPU whatever the device."""

    def sample_noise(self, size: int, rng: torch.Generator) -> Tensor:
        """`size` latents of noise [size, *latent_shape] from a CPU generator, each value standard normal: what `start` and a sweep
        draw. Frames of a clip may share a part of theirs."""

    def decode(self, z: Tensor, fast: bool = False) -> Tensor:
        """Media as the encoder wants it, unclamped: image [B, 3, H, W], audio [B, 1, T], video [B, T, 3, H, W]."""

    def predict_x0(self, x_t: Tensor, t: Tensor, cond: Any, lora: LoRA | None = None) -> Tensor:
        """The diffusion model's estimate of the clean latent from x_t [B, ...] at times t [B]; adapted by a LoRA of its own
        if one is given, and then differentiable in the LoRA's parameters."""

    def new_lora(self, rank: int, rng: torch.Generator) -> LoRA:
        """A fresh LoRA, drawn from `rng`, on the layers of the diffusion model that one should adapt. It changes nothing
        until it is trained and given to `predict_x0`; any number may exist beside each other."""

    def noise(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The schedule's (alpha, sigma) at t, so that x_t = alpha * x0 + sigma * eps."""

    def told(self, direction: Tensor, space: Space) -> Any:
        """Conditioning that stands for a centred direction [D] of a space, from a generator that has learned to read that space;
        None from one that has not."""

    def condition(self, prompt: str | None) -> Any:
        """Conditioning for a prompt; None gives the null conditioning, the default of every prior."""
