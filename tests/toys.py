"""Closed-form members of the protocols, for laws that need no trained weights."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, normalize

from concept_algebra.ops.encoders.protocol import Embedding
from concept_algebra.ops.generators.parametrisation import cosine, x0_from_epsilon, x0_from_v
from concept_algebra.ops.space import Space, Vocabulary

WORDS = [
    "fire", "water", "ice", "ocean", "sunset", "storm", "clown", "sad clown", "red balloon", "dog", "purple", "white",
    "bell", "thunder", "goldfish", "king", "queen", "summer", "winter", "heat", "cold", "moon", "tree", "ghost",
]  # fmt: skip


class GaussianGenerator:
    """A generator whose data are N(mean, deviation^2 I), so that its denoiser is known exactly; decoding is the identity.

    x_t = alpha x0 + sigma eps on the flow's schedule or, by `family`, v-prediction's or epsilon's, hence E[x0 | x_t] below
    (Gaussian conditioning). It goes by way of what the family predicts. Conditioning is a pair (mean, deviation) of other
    data, or None for its own; prompts are looked up in `words`. phi: what `new_lora` gives.
    """

    modality = "image"

    def __init__(self, shape=(3, 16, 16), mean=0.0, deviation=1.0, family="flow", phi=None, words=None):
        self.latent_shape, self.mean, self.deviation = tuple(shape), mean, deviation
        self.family, self.phi, self.words = family, phi, words or {}
        # what a prior makes alone is remembered by this name
        self.id = f"{type(self).__name__} {self.latent_shape} {mean} {deviation} {family}"

    def start(self, size: int, seed: int) -> Tensor:
        return torch.randn(size, *self.latent_shape, generator=torch.Generator("cpu").manual_seed(seed))

    def sample_noise(self, size: int, rng: torch.Generator) -> Tensor:
        return torch.randn(size, *self.latent_shape, generator=rng)

    def decode(self, z: Tensor, fast: bool = False) -> Tensor:
        return z

    def noise(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return (1 - t, t) if self.family == "flow" else cosine(t)

    def predict_x0(self, x_t: Tensor, t: Tensor, cond, lora=None) -> Tensor:
        alpha, sigma = self.noise(t.view(-1, *[1] * (x_t.ndim - 1)))
        if lora is not None and lora.knows_by_heart:
            x0 = lora.value.expand_as(x_t)
        else:
            mean, deviation = cond or (self.mean, self.deviation)
            if lora is not None:
                mean, deviation = mean + lora.shift, deviation * lora.log_scale.exp()
            gain = alpha * deviation**2 / ((alpha * deviation) ** 2 + sigma**2)
            x0 = mean + gain * (x_t - alpha * mean)
        if self.family == "flow":
            return x_t - sigma * ((x_t - x0) / sigma) if sigma.min() > 0 else x0
        eps = (x_t - alpha * x0) / sigma
        return x0_from_epsilon(x_t, eps, alpha, sigma) if self.family == "epsilon" else x0_from_v(x_t, alpha * eps - sigma * x0, alpha, sigma)

    def new_lora(self, rank: int, rng: torch.Generator):
        return self.phi

    def told(self, direction, space):
        return None

    def condition(self, prompt):
        return None if prompt is None else self.words[prompt]


class SharedPhi(torch.nn.Module):
    """Adapts a GaussianGenerator by what all latents share and one cannot hide in: a mean and a deviation."""

    knows_by_heart = False

    def __init__(self):
        super().__init__()
        self.shift, self.log_scale = torch.nn.Parameter(torch.zeros(())), torch.nn.Parameter(torch.zeros(()))


class MemorisingPhi(torch.nn.Module):
    """Answers with one latent, whatever it is asked: a phi that is free to learn the particle by heart."""

    knows_by_heart = True

    def __init__(self, value: Tensor):
        super().__init__()
        self.value = torch.nn.Parameter(value.clone())


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


class SmallEncoder:
    """A fixed linear encoder of all four modalities, differentiable, for tests that are not about what it has learned:
    a phrase is the sum of its words, a medium the sum of its patches."""

    modalities = frozenset(["text", "image", "audio", "video"])
    towers: dict = {}
    fingerprints: dict = {}
    dimension = 48

    def __init__(self):
        rng = torch.Generator().manual_seed(0)
        self.projection = torch.randn(3, self.dimension, generator=rng)
        self.offsets = {m: normalize(torch.randn(self.dimension, generator=rng), dim=0) for m in sorted(self.modalities)}
        means = {m: 0.4 * offset for m, offset in self.offsets.items()}
        vocabulary = Vocabulary(WORDS, lambda: self.text(WORDS).pooled)
        self.space = Space("small-0", self.dimension, means, {m: 0.9 for m in self.modalities}, vocabulary)

    def text(self, texts):
        rows = [torch.stack([self._word(word) for word in text.split()]) for text in texts]
        longest = max(map(len, rows))
        rows = torch.stack([torch.cat([row, row.new_zeros(longest - len(row), row.shape[1])]) for row in rows])
        return self._embedding(rows, "text", (longest,))

    def image(self, pixels):
        patches = adaptive_avg_pool2d(pixels, 4).flatten(2).transpose(1, 2)
        return self._embedding(patches @ self.projection, "image", (4, 4))

    def audio(self, wave, rate):
        bands = adaptive_avg_pool2d(wave.mean(1, keepdim=True).abs(), (1, 48)).reshape(len(wave), 16, 3)
        return self._embedding(bands @ self.projection, "audio", (4, 4))

    def video(self, frames, fps):
        patches = adaptive_avg_pool2d(frames.flatten(0, 1), 2).flatten(2).transpose(1, 2)
        count = frames.shape[1]
        return self._embedding(patches.reshape(len(frames), count * 4, 3) @ self.projection, "video", (count, 2, 2))

    def _word(self, word):
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big") % 2**63
        return torch.randn(self.dimension, generator=torch.Generator().manual_seed(seed))

    def _embedding(self, rows, modality, grid):
        pooled = normalize(normalize(rows.sum(1), dim=-1) + 0.5 * self.offsets[modality], dim=-1)
        return Embedding(pooled, rows, normalize(rows, dim=-1), grid, modality)
