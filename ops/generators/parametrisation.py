"""The clean latent from what a diffusion model predicts, one function a family: all algebra of priors is in x0-space.

Everywhere x_t = alpha x0 + sigma eps. Rectified flow, with alpha = 1 - t and sigma = t, is in flow.py.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def cosine(t: Tensor) -> tuple[Tensor, Tensor]:
    """(alpha, sigma) = (cos, sin)(pi t / 2), the schedule of v-prediction with times 0..1 (Stable Audio)."""
    angle = t * (math.pi / 2)
    return torch.cos(angle), torch.sin(angle)


def x0_from_v(x_t: Tensor, v: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """From v = alpha eps - sigma x0 where alpha^2 + sigma^2 = 1 (Salimans & Ho 2022, arXiv 2202.00512)."""
    return alpha * x_t - sigma * v


def x0_from_epsilon(x_t: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """From the noise itself (Ho et al. 2020, arXiv 2006.11239); alpha must not be 0, where the noise tells nothing."""
    return (x_t - sigma * eps) / alpha
