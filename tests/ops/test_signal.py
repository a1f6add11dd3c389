"""The sound matrices against torch.stft, scipy, closed forms and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given, settings, strategies as st
from torch.nn import functional as F

from concept_algebra.ops import constants, signal


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 0.2


def test_stft_is_torchs_on_the_padded_wave():
    wave = noise(2, 4096)
    window = torch.hann_window(signal.N_FFT, periodic=True, dtype=wave.dtype)
    edge = (signal.N_FFT - signal.HOP) // 2
    theirs = torch.stft(
        F.pad(wave, (edge, edge)), signal.N_FFT, signal.HOP, window=window, center=False, return_complex=True
    ) / (window.sum() / 2)
    real, imag = signal.stft(wave)
    assert real.shape == (2, signal.BINS, 16)
    torch.testing.assert_close(real, theirs.real, atol=1e-12, rtol=1e-9)
    torch.testing.assert_close(imag, theirs.imag, atol=1e-12, rtol=1e-9)


def test_stft_is_scipys():
    wave = noise(4096)
    edge = (signal.N_FFT - signal.HOP) // 2
    # scipy's "spectrum" scaling divides by the window's sum; ours by half of it.
    _, _, theirs = scipy.signal.stft(
        F.pad(wave, (edge, edge)).numpy(), nperseg=signal.N_FFT, noverlap=signal.N_FFT - signal.HOP,
        window=scipy.signal.get_window("hann", signal.N_FFT, fftbins=True), boundary=None, padded=False, scaling="spectrum",
    )
    real, imag = signal.stft(wave)
    np.testing.assert_allclose(real.numpy() + 1j * imag.numpy(), 2 * theirs, atol=1e-12)


def test_full_scale_sine_has_magnitude_one_at_its_bin():
    t = torch.arange(signal.SAMPLES, dtype=torch.float64) / signal.RATE
    real, imag = signal.stft(torch.sin(2 * math.pi * 1000 * t))
    size = (real**2 + imag**2).sqrt()[:, 8:-8]
    torch.testing.assert_close(size[64], torch.ones_like(size[64]), atol=1e-9, rtol=0)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(0, 2**31))
def test_reconstruction_is_exact(hops, seed):
    wave = noise(hops * signal.HOP, seed=seed)
    torch.testing.assert_close(signal.istft(*signal.stft(wave)), wave, atol=1e-12, rtol=0)


def test_istft_is_the_nearest_wave():
    real, imag = noise(signal.BINS, 8), noise(signal.BINS, 8, seed=1)
    wave = signal.istft(real, imag).requires_grad_()
    # scipy-free check of least squares: the residual is orthogonal to every wave's full (two-sided) transform.
    ours = signal.stft(wave)
    weight = torch.full((signal.BINS, 1), 2.0, dtype=real.dtype)
    weight[[0, -1]] = 1.0
    imag_free = imag.clone()
    imag_free[[0, -1]] = 0.0
    residual = (weight * ((ours[0] - real) ** 2 + (ours[1] - imag_free) ** 2)).sum()
    (gradient,) = torch.autograd.grad(residual, wave)
    assert gradient.abs().max() < 1e-12


def test_wrong_length_is_named():
    with pytest.raises(ValueError, match="1000 samples; wanted a positive multiple of 256"):
        signal.stft(torch.zeros(1000))


def test_mel_filters_are_triangles_on_the_mel_scale():
    filters = signal.mel_filters()
    f = np.arange(signal.BINS) * signal.RATE / signal.N_FFT
    mel = lambda hz: 1127.0104800 * np.log(1 + hz / 700)  # noqa: E731 - the same scale written with natural logs
    step = (mel(8000.0) - mel(30.0)) / (signal.MELS + 1)
    corners = 700 * (np.exp((mel(30.0) + step * np.arange(signal.MELS + 2)) / 1127.0104800) - 1)
    for m in range(signal.MELS):
        left, peak, right = corners[m : m + 3]
        expected = np.interp(f, [left, peak, right], [0.0, 1.0, 0.0])
        np.testing.assert_allclose(filters[m], expected, atol=1e-6)
    assert (filters.sum(1) > 0).all()
    inside = (f > corners[1]) & (f < corners[-2])
    # neighbouring triangles share their corners only on a linear scale of their own, so the sum stays near 1
    assert filters[:, inside].sum(0).min() > 0.99 and filters.sum(0).max() < 1.01


def test_log_mel_shape_floor_and_silence():
    silent = torch.zeros(1, signal.SAMPLES, requires_grad=True)
    mels = signal.log_mel(silent)
    assert mels.shape == (1, signal.MELS, signal.FRAMES)
    torch.testing.assert_close(mels, torch.full_like(mels, math.log(signal.FLOOR)))
    (gradient,) = torch.autograd.grad(mels.sum(), silent)
    assert (gradient == 0).all()


def test_log_mel_gradient_is_the_finite_difference():
    wave = noise(4 * signal.HOP).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: signal.log_mel(x)[::7, 1:3], wave, eps=1e-7, atol=1e-5, nondet_tol=0, fast_mode=True)


def test_magnitude_answers_its_mels():
    mels = signal.log_mel(noise(signal.SAMPLES))
    size = signal.magnitude(mels, updates=60)
    back = (torch.from_numpy(signal.mel_filters()) @ size**2 + signal.FLOOR).log()
    assert (back - mels).abs().mean() < 0.05
    assert (size >= 0).all() and size[0].max() < 1e-5


def test_gradient_with_the_phase_held_is_the_finite_difference():
    mels = signal.log_mel(noise(8 * signal.HOP)).detach().requires_grad_()
    cosine, sine = signal.griffin_lim(signal.magnitude(mels), 4)

    def held(x):
        size = signal.magnitude(x)
        return signal.istft(size * cosine, size * sine)

    assert torch.autograd.gradcheck(held, mels, eps=1e-6, atol=1e-5, fast_mode=True)
    direction = noise(8 * signal.HOP, seed=3)
    (ours,) = torch.autograd.grad((signal.invert(mels, 4) * direction).sum(), mels)
    (theirs,) = torch.autograd.grad((held(mels) * direction).sum(), mels)
    torch.testing.assert_close(ours, theirs)


def test_griffin_lim_converges_and_repeats():
    t = torch.arange(signal.SAMPLES) / signal.RATE
    wave = 0.3 * torch.sin(2 * math.pi * (220 + 110 * t) * t) + noise(signal.SAMPLES, dtype=torch.float32) * 0.01
    real, imag = signal.stft(wave)
    size = (real**2 + imag**2).sqrt()

    def miss(iterations):
        cosine, sine = signal.griffin_lim(size, iterations)
        again = signal.stft(signal.istft(size * cosine, size * sine))
        return float(((again[0] ** 2 + again[1] ** 2).sqrt() - size).norm() / size.norm())

    assert miss(32) < 0.5 * miss(2) and miss(32) < 0.15
    first, second = signal.griffin_lim(size, 2), signal.griffin_lim(size, 2)
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])


def test_inverted_wave_has_the_log_mel():
    t = torch.arange(signal.SAMPLES) / signal.RATE
    wave = 0.3 * torch.sin(2 * math.pi * 440 * t) * (1 + torch.sin(2 * math.pi * 3 * t)) / 2
    wave = wave + noise(signal.SAMPLES, dtype=torch.float32) * 0.02
    mels = signal.log_mel(wave)
    assert (signal.log_mel(signal.invert(mels)) - mels).abs().mean() < 0.6


@pytest.mark.parametrize("source,target", [(44100, 16000), (48000, 16000), (8000, 16000), (22050, 16000), (16000, 44100)])
def test_resample_is_scipys(source, target):
    wave = noise(2, 1, 5003)
    common = math.gcd(source, target)
    theirs = scipy.signal.resample_poly(wave.numpy(), target // common, source // common, axis=-1)
    ours = signal.resample(wave, source, target)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-10)


def test_resample_gradient_and_bad_rates():
    wave = noise(200).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: signal.resample(x, 44100, 16000), wave)
    assert signal.resample(wave, 16000, 16000) is wave
    with pytest.raises(ValueError, match="source rate is 0; wanted a positive whole number"):
        signal.resample(wave, 0, 16000)


def test_constants_made_in_inference_mode_serve_a_backward_pass():
    constants._resident.cache_clear()
    with torch.inference_mode():
        signal.log_mel(torch.zeros(signal.HOP * 4))
    wave = noise(signal.HOP * 4, dtype=torch.float32).requires_grad_()
    signal.log_mel(wave).sum().backward()
    assert wave.grad.abs().sum() > 0
