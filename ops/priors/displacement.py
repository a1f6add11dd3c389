"""What the distilling priors share: at which noise they look, and how far they move a latent, in a unit that fits every generator."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..generators.flow import along
from ..generators.protocol import Generator

LOWEST, HIGHEST = 0.02, 0.98
"""Times are drawn between: below there is nothing to see, above nothing is left."""
FASTEST = 0.3
"""How far a full difference moves each value in one step at most."""


def moved(z: Tensor, x0: Tensor, difference: Tensor, rate: float) -> Tensor:
    """rate * difference / mean|z - x0|, the mean over each of a batch [B, ...], and no value moved by more than `rate` on average.

    The normaliser of distribution matching distillation (Yin et al. 2023, arXiv 2311.18828): where the difference is x0 - z
    itself, each value moves by `rate` on average, whatever the generator's scale and the noise level. It is raised to
    mean|difference| where that is more: at low noise z - x0 goes to nothing, and the difference of nets need not.
    """
    sizes = torch.stack([(z - x0).abs(), difference.abs()]).flatten(2).mean(2)
    return rate * difference / along(sizes.amax(0).clamp_min(1e-12), z)


def rate(taken: int, total: int, travel: float) -> float:
    """The rate of a prior step after `taken` of `total`: travel / total, FASTEST at most, falling to a tenth along a half cosine.

    travel is what the steps would add up to if they did not fall. Short runs and long ones, and a prior asked at every step
    or at every fourth, so come equally far.
    """
    return min(FASTEST, travel / total) * (0.1 + 0.9 * (1 + math.cos(math.pi * taken / total)) / 2)


def shifted(u: Tensor, shift: float) -> Tensor:
    """Times from even ones in 0..1, more of them noisy with a shift above 1 (Esser et al. 2024, arXiv 2403.03206)."""
    return shift * u / (1 + (shift - 1) * u)


def noised(generator: Generator, z: Tensor, t: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """(x_t, sigma shaped to divide it) of latents z [B, ...] at times t [B], with fresh noise from the run's CPU generator."""
    alpha, sigma = (along(x, z) for x in generator.noise(t))
    return alpha * z + sigma * torch.randn(z.shape, generator=rng).to(z), sigma
