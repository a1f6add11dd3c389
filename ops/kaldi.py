"""A sound as torchaudio hands it to LanguageBind: windowed-sinc resampling, then Kaldi's log-mel filter bank.

Beside `signal.resample` and `signal.log_mel`, with which the pocket was trained, because a tower must hear what it was
trained on: on white noise `signal.resample` in the place of this one moves LanguageBind's normalised input by up to
0.09 from 44.1 or 48 kHz and by up to 0.9 from 8 kHz, at and above the cutoff.

Only products of real matrices, no complex numbers, no float64: the same code runs, forward and backward, on CPU, CUDA
and MPS. Resampling is a product too, and not a convolution, because torch lets cuDNN round those to TF32 by default, and
that noise fills the quiet bands of a log-mel (rounding so, a clean sweep's normalised input moves by up to 0.36).
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, log

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from .constants import constant
from .signal import ratio

RATE = 16000
WINDOW, HOP, N_FFT = 400, 160, 512
FLOOR = 2.0**-23
"""The least mel power whose logarithm is taken, float32's epsilon: -15.94 in natural log."""

_BINS = N_FFT // 2
_LOW, _HIGH = 20.0, 8000.0
_PREEMPHASIS = 0.97
_ZERO_CROSSINGS, _ROLLOFF = 6, 0.99
_LARGEST = 2000


def frame_count(samples: int) -> int:
    """Frames of WINDOW samples, HOP apart, that lie wholly within a wave of WINDOW or more samples."""
    return 1 + (samples - WINDOW) // HOP


def fbank(wave: Tensor, bins: int) -> Tensor:
    """Natural logarithm of mel power [..., frame_count(T), bins] of wave [..., T] in -1..1 at RATE; differentiable.

    torchaudio.compliance.kaldi.fbank with htk_compat, window_type "hanning", dither 0 and no energy: of each frame the
    mean is taken away, x[t] - 0.97 x[t - 1], symmetric Hann window, power spectrum of 512 points, triangles equally spaced
    on 1127 ln(1 + f / 700) from 20 to 8000 Hz, floored at FLOOR. Where the floor holds, in digital silence everywhere,
    the gradient is exactly zero. Raises ValueError for fewer than WINDOW samples or bins < 1.
    """
    if wave.shape[-1] < WINDOW:
        raise ValueError(f"wave has {wave.shape[-1]} samples at {RATE} Hz, expected at least {WINDOW}, one frame")
    if bins < 1:
        raise ValueError(f"mel bins are {bins}, expected at least 1")
    frames = wave.unfold(-1, WINDOW, HOP)
    frames = frames - frames.mean(-1, keepdim=True)
    # the window is zero at the first sample, so what went before it does not matter
    spectrum = (frames[..., 1:] - _PREEMPHASIS * frames[..., :-1]) @ constant(wave, _windowed_transform)
    power = spectrum[..., :_BINS].square() + spectrum[..., _BINS:].square()
    return (power @ constant(wave, mel_filters, bins).T).clamp_min(FLOOR).log()


def _windowed_transform() -> np.ndarray:
    """Cosine and sine columns [WINDOW - 1, 2 * _BINS], without the Nyquist frequency: no triangle holds it."""
    angle = 2 * np.pi * (np.outer(np.arange(1, WINDOW), np.arange(_BINS)) % N_FFT) / N_FFT
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=1) * np.hanning(WINDOW)[1:, None]


def mel_filters(bins: int) -> np.ndarray:
    """Triangles [bins, N_FFT / 2] with peak 1 on Kaldi's mel scale, float32.

    In float32 and in torchaudio's order of operations: the rounding is its own up to the logarithm's last digit, where
    exact triangles move a cell by up to 5e-4 of log power. From 128 bins on, some low triangle holds no bin.
    """
    low, high = (1127.0 * log(1.0 + f / 700.0) for f in (_LOW, _HIGH))
    step = (high - low) / (bins + 1)
    k = np.arange(bins, dtype=np.float32)[:, None]
    left, centre, right = (low + (k + i) * step for i in (0.0, 1.0, 2.0))
    f = (RATE / N_FFT) * np.arange(_BINS, dtype=np.float32)
    # the logarithm of single precision differs from one numpy and processor to the next: it is rounded from double
    mel = 1127.0 * np.log(1.0 + f / 700.0, dtype=np.float64).astype(np.float32)
    return np.maximum(0, np.minimum((mel - left) / (centre - left), (right - mel) / (right - centre)))


def resample(wave: Tensor, source: int, target: int) -> Tensor:
    """wave [..., T] at `source` Hz as [..., ceil(T * target / source)] at `target` Hz; differentiable.

    torchaudio.functional.resample with its defaults: a sinc at 0.99 of the lower Nyquist frequency under a Hann window
    of six zero crossings a side (J. O. Smith, "Digital Audio Resampling"). Rates that share little, such as 44101 Hz,
    would need gigabytes of weights: the nearest ratio of numbers up to 2000 is taken, which changes the pitch by less than a
    cent. Raises ValueError for a rate that is not a positive whole number.
    """
    up, down = ratio(source, target)
    if up == down:
        return wave
    if max(up, down) > _LARGEST:
        near = Fraction(up, down).limit_denominator(_LARGEST)
        up, down = near.numerator, near.denominator
    # as many periods in one product as keep the overlap of neighbouring blocks below their length
    periods = -(-2 * _reach(up, down) // down)
    before, step = _reach(up, down), periods * down
    length = -(-wave.shape[-1] * up // down)
    blocks = -(-length // (periods * up))
    padded = F.pad(wave, (before, before + blocks * step - wave.shape[-1]))
    phases = padded.unfold(-1, 2 * before + step, step) @ constant(wave, _sinc, up, down, periods)
    return phases.flatten(-2)[..., :length]


def _reach(up: int, down: int) -> int:
    return ceil(_ZERO_CROSSINGS * down / (min(up, down) * _ROLLOFF))


def _sinc(up: int, down: int, periods: int) -> np.ndarray:
    """Weights [2 * _reach + periods * down, periods * up] of the samples around a block for each output in it."""
    reach, cutoff = _reach(up, down), min(up, down) * _ROLLOFF
    output = np.arange(periods * up)
    sample = np.arange(-reach, periods * down + reach)[:, None] - output // up * down
    # distances in float32, torchaudio's: from 11.025 kHz its rounding is all there is above 5.5 kHz, and shows there
    t = (sample.astype(np.float32) / down - (output % up).astype(np.float32) / up) * cutoff
    t = t.astype(np.float64).clip(-_ZERO_CROSSINGS, _ZERO_CROSSINGS)
    return np.sinc(t) * np.cos(np.pi / 2 * t / _ZERO_CROSSINGS) ** 2 * cutoff / down
