"""The pocket sound tower: log-mels in LanguageBind's arrangement, five CLIP layers, 768 dimensions."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import signal
from .protocol import Embedding
from .tower import VisionTower, convolutional_stem

WIDTH, LAYERS, HEADS = 192, 5, 4
STEM = [3, 24, 40, 64, 96]
MEAN, DEVIATION = -12.0, 3.3
"""Of the natural log-mel over the training sounds, to one digit; part of the weights' contract."""


def normalise(log_mels: Tensor) -> Tensor:
    """Natural log-mels, of any shape, to about zero mean and unit deviation."""
    return (log_mels - MEAN) / DEVIATION


def restore(normalised: Tensor) -> Tensor:
    """The inverse of `normalise`."""
    return normalised * DEVIATION + MEAN


def crops(wave: Tensor) -> Tensor:
    """wave [B, T] as three windows [B, 3, SAMPLES], one for each input channel.

    A clip of at most SAMPLES is repeated from its beginning until it fills one window, which all three channels
    show; a longer one gives its first, middle and last window (LanguageBind, Zhu et al. 2023, arXiv 2310.01852, draws
    them at random within the thirds; here they are fixed, so that an embedding does not change from call to call).
    """
    length = wave.shape[-1]
    if length <= signal.SAMPLES:
        times = -(-signal.SAMPLES // length)
        window = wave.repeat(1, times)[:, : signal.SAMPLES]
        return window[:, None].expand(-1, 3, -1)
    last = length - signal.SAMPLES
    return torch.stack([wave[:, start : start + signal.SAMPLES] for start in (0, last // 2, last)], 1)


class PocketAudio(VisionTower):
    """The sound tower of the pocket encoder, on waves [B, C, T] of any rate, length and channel count."""

    def __init__(self):
        grid = (signal.MELS // 16, signal.FRAMES // 16)
        super().__init__(convolutional_stem(STEM, WIDTH), grid, WIDTH, LAYERS, HEADS)

    def forward(self, wave: Tensor, rate: int) -> Embedding:
        """Embed wave [B, C, T] in -1..1 at `rate` Hz: mixed down, resampled, windowed, log-mel, tower.

        Grid (4, 8): mel from low to high, time. Silence is the constant log-mel of the noise floor: it has a finite
        embedding, the same whatever its length, and a zero gradient. Raises ValueError for another shape or no samples.
        """
        if wave.dim() != 3 or 0 in wave.shape[1:]:
            raise ValueError(f"wave has shape {tuple(wave.shape)}, expected [B, C, T] with at least one sample")
        mono = signal.resample(wave.mean(1), rate, signal.RATE)
        if mono.shape[-1] <= signal.SAMPLES:
            # three equal channels: transform once
            return self.from_log_mels(signal.log_mel(crops(mono)[:, 0])[:, None].expand(-1, 3, -1, -1))
        return self.from_log_mels(signal.log_mel(crops(mono)))

    def from_log_mels(self, log_mels: Tensor) -> Embedding:
        """Embed natural log-mels [B, 3, MELS, FRAMES], as `signal.log_mel` gives them, one window a channel."""
        return Embedding(*super().forward(normalise(log_mels)), "audio")
