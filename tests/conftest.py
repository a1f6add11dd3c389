import hashlib

import pytest
import torch
from hypothesis import settings
from tiny_languagebind import short_lists
from torch.nn.functional import adaptive_avg_pool2d, normalize

from concept_algebra.ops.encoders.protocol import Embedding
from concept_algebra.ops.space import Space, Vocabulary

torch.set_num_threads(1)
# a busy machine must not turn a law into a matter of time
settings.register_profile("laws", deadline=None)
settings.load_profile("laws")

WORDS = [
    "fire", "water", "ice", "ocean", "sunset", "storm", "clown", "sad clown", "red balloon", "dog", "purple", "white",
    "bell", "thunder", "goldfish", "king", "queen", "summer", "winter", "heat", "cold", "moon", "tree", "ghost",
]  # fmt: skip


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


@pytest.fixture(scope="module")
def few_words():
    """A vocabulary of four entries and nine merges in the place of the shipped and CLIP's."""
    with short_lists():
        yield


@pytest.fixture(scope="session")
def encoder():
    return SmallEncoder()
