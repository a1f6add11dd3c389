"""Sound as real matrices: resampling, STFT and its inverse, log-mel, and the way back from a log-mel to a wave.

Everything is a matmul, a convolution or a reshape of real tensors: no complex numbers, no float64, so the same
code runs, forward and backward, on CPU, CUDA and MPS. Lengths are in samples at `RATE`, frequencies in Hz.

Framing rule: T samples (a multiple of `HOP`) give T / HOP frames. The wave is padded with (N_FFT - HOP) / 2 zeros
at both ends, so frame k is centred on the middle of hop k, sample HOP * k + HOP / 2.
Amplitude rule: the transform is divided by half the window's sum, so a full-scale sine has magnitude 1 at its bin.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .constants import constant

RATE = 16000
N_FFT = 1024
HOP = 256
BINS = N_FFT // 2 + 1
MELS = 64
MEL_LOW, MEL_HIGH = 30.0, 8000.0
SAMPLES = 32768
FRAMES = SAMPLES // HOP
FLOOR = 1e-7
"""Power added before the logarithm: 70 dB below a full-scale sine."""

_EDGE = (N_FFT - HOP) // 2
_OVERLAP = N_FFT // HOP
_HALF_TAPS = 10
_KAISER_BETA = 5.0


@lru_cache(maxsize=1)
def window() -> np.ndarray:
    """The periodic Hann window [N_FFT], float64."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)


@lru_cache(maxsize=1)
def _analysis() -> np.ndarray:
    angle = 2 * np.pi * (np.outer(np.arange(N_FFT), np.arange(BINS)) % N_FFT) / N_FFT
    scale = window()[:, None] / (window().sum() / 2)
    return np.concatenate([np.cos(angle) * scale, -np.sin(angle) * scale], axis=1)


@lru_cache(maxsize=1)
def _synthesis() -> np.ndarray:
    angle = 2 * np.pi * (np.outer(np.arange(BINS), np.arange(N_FFT)) % N_FFT) / N_FFT
    weight = np.full((BINS, 1), 2.0 / N_FFT)
    weight[[0, -1]] = 1.0 / N_FFT
    scale = window()[None] * (window().sum() / 2)
    return np.concatenate([np.cos(angle) * weight * scale, -np.sin(angle) * weight * scale])


@lru_cache(maxsize=1)
def mel_filters() -> np.ndarray:
    """Triangular filters [MELS, BINS] with peak 1, float64, equally spaced on the mel scale from MEL_LOW to MEL_HIGH.

    The scale is mel(f) = 2595 log10(1 + f / 700) (O'Shaughnessy 1987, as in HTK).
    """
    low, high = (2595 * np.log10(1 + f / 700) for f in (MEL_LOW, MEL_HIGH))
    corner = 700 * (10 ** (np.linspace(low, high, MELS + 2) / 2595) - 1)
    f = np.arange(BINS) * RATE / N_FFT
    rise = (f - corner[:-2, None]) / np.diff(corner)[:-1, None]
    fall = (corner[2:, None] - f) / np.diff(corner)[1:, None]
    return np.maximum(0, np.minimum(rise, fall))


@lru_cache(maxsize=1)
def _mel_gram() -> np.ndarray:
    return mel_filters().T @ mel_filters()


def _checked_length(wave: Tensor) -> int:
    length = wave.shape[-1]
    if length == 0 or length % HOP:
        raise ValueError(f"wave has {length} samples; wanted a positive multiple of {HOP}")
    return length


def stft(wave: Tensor) -> tuple[Tensor, Tensor]:
    """Real and imaginary parts, each [..., BINS, T / HOP], of wave [..., T].

    Raises ValueError when T is not a positive multiple of HOP.
    """
    count = _checked_length(wave) // HOP
    hops = F.pad(wave, (_EDGE, _EDGE)).unflatten(-1, (-1, HOP))
    frames = torch.cat([hops[..., i : i + count, :] for i in range(_OVERLAP)], dim=-1)
    spectrum = (frames @ constant(wave, _analysis)).transpose(-1, -2)
    return spectrum[..., :BINS, :], spectrum[..., BINS:, :]


def istft(real: Tensor, imag: Tensor) -> Tensor:
    """The wave [..., T] whose `stft` is nearest, in least squares, to real and imag [..., BINS, T / HOP].

    Exact for a transform that some wave has (Griffin and Lim 1984, equation 6).
    """
    frames = torch.cat([real, imag], dim=-2).transpose(-1, -2) @ constant(real, _synthesis)
    count = frames.shape[-2]
    hops = frames.unflatten(-1, (_OVERLAP, HOP))
    padded = sum(F.pad(hops[..., i, :], (0, 0, i, _OVERLAP - 1 - i)) for i in range(_OVERLAP))
    wave = padded.flatten(-2)[..., _EDGE : _EDGE + count * HOP]
    return wave / constant(wave, _window_power, count)


@lru_cache(maxsize=8)
def _window_power(count: int) -> np.ndarray:
    total = np.zeros((count + _OVERLAP - 1) * HOP)
    for k in range(count):
        total[k * HOP : k * HOP + N_FFT] += window() ** 2
    return total[_EDGE : _EDGE + count * HOP]


def log_mel(wave: Tensor) -> Tensor:
    """Natural logarithm of mel-filtered power plus FLOOR, [..., MELS, T / HOP], of wave [..., T] in -1..1 at RATE.

    Silence gives log(FLOOR) everywhere, with a zero gradient.
    """
    real, imag = stft(wave)
    return (constant(wave, mel_filters) @ (real.square() + imag.square()) + FLOOR).log()


def magnitude(log_mels: Tensor, updates: int = 12) -> Tensor:
    """Nonnegative magnitudes [..., BINS, F] whose mel powers approach exp(log_mels) [..., MELS, F]; differentiable.

    Nonnegative least squares by multiplicative updates (Lee and Seung 2001) from a smooth start. Bins outside the
    mel range stay at zero.
    """
    mels = log_mels.exp()
    filters, gram = constant(mels, mel_filters), constant(mels, _mel_gram)
    target = filters.T @ mels
    power = target / filters.sum(0, keepdim=True).T.clamp_min(1e-3)
    for _ in range(updates):
        power = power * target / (gram @ power + 1e-12)
    return (power + 1e-12).sqrt()


@torch.no_grad()
def griffin_lim(size: Tensor, iterations: int, momentum: float = 0.99, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A phase for magnitudes `size` [..., BINS, F]: its cosine and sine, each of that shape, without gradient.

    Fast Griffin-Lim (Perraudin, Balazs and Sondergaard 2013); the start is random from a CPU generator at `seed`.
    """
    size = size.detach()
    angle = torch.rand(size.shape, generator=torch.Generator().manual_seed(seed)) * 2 * torch.pi
    angle = angle.to(device=size.device, dtype=size.dtype)
    cosine, sine = angle.cos(), angle.sin()
    before_real, before_imag = torch.zeros_like(size), torch.zeros_like(size)
    for _ in range(iterations):
        real, imag = stft(istft(size * cosine, size * sine))
        ahead_real = real + momentum * (real - before_real)
        ahead_imag = imag + momentum * (imag - before_imag)
        norm = (ahead_real.square() + ahead_imag.square()).sqrt().clamp_min(1e-12)
        cosine, sine = ahead_real / norm, ahead_imag / norm
        before_real, before_imag = real, imag
    return cosine, sine


def invert(log_mels: Tensor, iterations: int = 32, seed: int = 0) -> Tensor:
    """A wave [..., T] with log-mel close to log_mels [..., MELS, T / HOP].

    The gradient holds the phase fixed: Griffin-Lim finds the phase without gradient, then the wave is the inverse
    transform of magnitude times that phase, and only the magnitude carries gradient. So the gradient is exact for
    the wave as a function of magnitude at this phase, and leaves out how the phase itself would move.
    """
    size = magnitude(log_mels)
    cosine, sine = griffin_lim(size, iterations, seed=seed)
    return istft(size * cosine, size * sine)


def _reach(up: int, down: int) -> int:
    return _HALF_TAPS * max(up, down)


def _polyphase(up: int, down: int) -> np.ndarray:
    """Kernels [up, 1, J], one for each output phase; the first tap meets the sample _reach // up before the output."""
    half = _reach(up, down)
    taps = np.sinc(np.arange(-half, half + 1) / max(up, down)) * np.kaiser(2 * half + 1, _KAISER_BETA)
    taps *= up / taps.sum()
    first, last = -(half // up), ((up - 1) * down + half) // up
    offset = np.arange(up)[:, None] * down - np.arange(first, last + 1)[None] * up
    kernels = np.where(abs(offset) <= half, taps[np.clip(offset + half, 0, 2 * half)], 0.0)
    return kernels[:, None]


def ratio(source: int, target: int) -> tuple[int, int]:
    """`target` over `source` Hz in lowest terms: samples out (up) for samples in (down).

    Raises ValueError for a rate that is not a positive whole number.
    """
    for name, rate in (("source", source), ("target", target)):
        if rate != int(rate) or rate <= 0:
            raise ValueError(f"{name} rate is {rate}; wanted a positive whole number of Hz")
    common = gcd(int(source), int(target))
    return int(target) // common, int(source) // common


def resample(wave: Tensor, source: int, target: int) -> Tensor:
    """wave [..., T] at `source` Hz as [..., ceil(T * target / source)] at `target` Hz; differentiable.

    A windowed sinc (Kaiser, beta 5, ten zero crossings a side), applied one output phase at a time.
    Raises ValueError for a rate that is not a positive whole number.
    """
    up, down = ratio(source, target)
    if up == down:
        return wave
    kernels = constant(wave, _polyphase, up, down)
    before = _reach(up, down) // up
    length = -(-wave.shape[-1] * up // down)
    blocks = -(-length // up)
    after = max(0, (blocks - 1) * down + kernels.shape[-1] - before - wave.shape[-1])
    flat = F.pad(wave.reshape(-1, 1, wave.shape[-1]), (before, after))
    phases = F.conv1d(flat, kernels, stride=down)[..., :blocks]
    return phases.transpose(1, 2).reshape(*wave.shape[:-1], -1)[..., :length]
