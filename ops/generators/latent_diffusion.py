"""What generators share: seeded noise, and a network that estimates clean latents, as it is or adapted by a LoRA."""

from __future__ import annotations

import re
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from .. import runtime
from ..priors.lora import LoRA
from ..space import Space


class LatentDiffusion(nn.Module):
    """The family-free half of a `Generator` (see protocol.py).

    A member sets `id`, `modality` and `latent_shape`, and adds `network` (the diffusion model), `adapts` (a pattern of the paths
    within it that a LoRA adapts), `x0`, `noise`, `decode`, `encode` and `condition`.
    """

    latent_shape: tuple[int, ...]
    network: nn.Module
    adapts: re.Pattern

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def start(self, size: int, seed: int) -> Tensor:
        """Standard normal latents [size, *latent_shape], the same for a seed on every device."""
        return self.sample_noise(size, runtime.rng(seed))

    def sample_noise(self, size: int, rng: torch.Generator) -> Tensor:
        """Standard normal, every value by itself."""
        return torch.randn(size, *self.latent_shape, generator=rng).to(self.device)

    def predict_x0(self, x_t: Tensor, t: Tensor, cond: Any, lora: LoRA | None = None) -> Tensor:
        """The clean latent that the network sees in x_t [B, *latent_shape] at times t [B], for one conditioning for all.

        ValueError for a LoRA of another generator's network.
        """
        if lora is not None and lora.module is not self.network:
            raise ValueError(f"this LoRA adapts another {type(lora.module).__name__} than this generator's")
        with lora.on() if lora is not None else nullcontext():
            return self.x0(x_t, t, cond)

    def x0(self, x_t: Tensor, t: Tensor, cond: Any) -> Tensor:
        """`predict_x0` of the network as it stands."""
        raise NotImplementedError

    def new_lora(self, rank: int, rng: torch.Generator) -> LoRA:
        """On all that `adapted` names."""
        return LoRA(self.network, self.adapted(), rank, rng)

    def adapted(self) -> list[str]:
        """Paths of the linear layers in the network that a LoRA adapts: those that `adapts` matches whole."""
        return [path for path, part in self.network.named_modules() if isinstance(part, nn.Linear) and self.adapts.fullmatch(path)]

    def told(self, direction: Tensor, space: Space) -> Any:
        """None: a generator that has learned from words alone reads no embedding."""
        return None
