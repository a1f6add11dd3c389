"""Closed-form members of the protocols, for laws that need no trained weights."""

from __future__ import annotations

import torch
from torch import Tensor


class GaussianGenerator:
    """A generator whose data are N(mean, deviation^2 I), so that its denoiser is known exactly; decoding is the identity.

    Flow schedule: x_t = (1 - t) x0 + t eps, hence E[x0 | x_t] below (Gaussian conditioning).
    """

    id = "gaussian"
    modality = "image"

    def __init__(self, shape=(3, 16, 16), mean=0.0, deviation=1.0):
        self.latent_shape, self.mean, self.deviation = tuple(shape), mean, deviation

    def start(self, size: int, seed: int) -> Tensor:
        return torch.randn(size, *self.latent_shape, generator=torch.Generator("cpu").manual_seed(seed))

    def decode(self, z: Tensor, fast: bool = False) -> Tensor:
        return z

    def noise(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - t, t

    def predict_x0(self, x_t: Tensor, t: Tensor, cond, lora: bool = False) -> Tensor:
        alpha, sigma = self.noise(t.view(-1, *[1] * (x_t.ndim - 1)))
        gain = alpha * self.deviation**2 / ((alpha * self.deviation) ** 2 + sigma**2)
        return self.mean + gain * (x_t - alpha * self.mean)

    def condition(self, prompt):
        return None


class ToySound(GaussianGenerator):
    """Latents are waves."""

    modality, rate = "audio", 16000

    def __init__(self):
        super().__init__((1, 4096))

    def decode(self, z: Tensor, fast: bool = False) -> Tensor:
        return 0.3 * z


class ToyPicture(GaussianGenerator):
    """Latents are pictures, half grey."""

    def decode(self, z: Tensor, fast: bool = False) -> Tensor:
        return 0.5 + 0.2 * z


class ToyClip(ToyPicture):
    """Latents are clips of four frames."""

    modality, fps = "video", 8.0

    def __init__(self):
        super().__init__((4, 3, 16, 16))


class ToyDictionary:
    """A dictionary of random unit atoms whose codes keep the positive cosines above a threshold."""

    def __init__(self, space, names, threshold=0.1, seed=0):
        self.space, self.names, self.threshold = space, tuple(names), threshold
        self.id = f"toy-{len(self.names)}-{seed}"
        rng = torch.Generator().manual_seed(seed)
        self.atoms = torch.nn.functional.normalize(torch.randn(len(self.names), space.dimension, generator=rng), dim=-1)

    def encode(self, x: Tensor, modality) -> Tensor:
        cosines = x @ self.atoms.T
        return cosines * (cosines > self.threshold)
