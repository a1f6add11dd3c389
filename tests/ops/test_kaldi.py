"""The filter bank and the resampling against the reference's numbers, closed forms, finite differences and laws."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from safetensors import safe_open

from concept_algebra.ops import constants, kaldi, signal

REFERENCE = Path(__file__).parents[1] / "reference" / "languagebind"
NORMALISED = 2 * 4.5689974
RATES = [44100, 48000, 22050, 8000, 11025]


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 0.2


@pytest.mark.parametrize("case", ["audio_short", "audio_long"])
def test_fbank_is_the_references(case):
    with safe_open(REFERENCE / f"{case}.safetensors", "pt") as file:
        bins = json.loads(file.metadata()["config"])["num_mel_bins"]
        wave, theirs = file.get_tensor("in.waveform").float() / 32768, file.get_tensor("out.fbank")
    ours = kaldi.fbank(wave - wave.mean(), bins)
    assert ours.shape == theirs.shape
    miss = (ours - theirs).abs() / NORMALISED
    assert miss.max() < 5e-4 and miss.mean() < 5e-6


def test_fbank_is_its_definition():
    """Frame by frame with numpy's transform."""
    wave = noise(1500)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)
    filters = kaldi.mel_filters(40).astype(np.float64)
    expected = []
    for start in range(0, 1500 - 399, 160):
        frame = wave[start : start + 400].numpy()
        frame = frame - frame.mean()
        frame = np.append(frame[0] - 0.97 * frame[0], frame[1:] - 0.97 * frame[:-1])
        expected.append(np.log(np.maximum(filters @ abs(np.fft.rfft(frame * window, 512)[:256]) ** 2, 2.0**-23)))
    np.testing.assert_allclose(kaldi.fbank(wave, 40).numpy(), expected, atol=1e-10)


@pytest.mark.parametrize("bins", [40, 112, 126])
def test_mel_filters_are_triangles_on_the_mel_scale(bins):
    mel = lambda hz: 1127 * np.log1p(np.asarray(hz) / 700)  # noqa: E731
    corners = np.linspace(mel(20.0), mel(8000.0), bins + 2)
    f = mel(np.arange(256) * 31.25)
    filters = kaldi.mel_filters(bins)
    assert filters.dtype == np.float32 and (filters.sum(1) > 0).all()
    for row, left, peak, right in zip(filters, corners, corners[1:], corners[2:]):
        np.testing.assert_allclose(row, np.interp(f, [left, peak, right], [0, 1, 0]), atol=1e-4)


def test_mel_filters_are_rounded_as_torchs_float32_rounds_them():
    """All but a tenth to the last digit, where the logarithm may differ by one unit; exact ones agree in a hundredth."""
    low, high = (1127.0 * math.log(1 + f / 700) for f in (20, 8000))
    step = (high - low) / 113
    mel = 1127.0 * (1.0 + 31.25 * torch.arange(256.0) / 700.0).log()
    left, centre, right = (low + (torch.arange(112)[:, None] + i) * step for i in (0.0, 1.0, 2.0))
    theirs = torch.minimum((mel - left) / (centre - left), (right - mel) / (right - centre)).clamp_min(0)
    ours = torch.from_numpy(kaldi.mel_filters(112))
    torch.testing.assert_close(ours, theirs, atol=3e-5, rtol=0)
    assert (ours == theirs)[theirs > 0].float().mean() > 0.8


@settings(max_examples=20)
@given(st.floats(1, 1000), st.integers(0, 2**31))
def test_louder_is_a_constant_more(gain, seed):
    wave = noise(1200, seed=seed)
    torch.testing.assert_close(kaldi.fbank(gain * wave, 40), kaldi.fbank(wave, 40) + 2 * math.log(gain))


@settings(max_examples=20)
@given(st.integers(0, 5), st.floats(-1, 1), st.integers(0, 2**31))
def test_a_hop_later_is_a_frame_later_and_an_offset_is_not_heard(hops, offset, seed):
    wave = noise(2000, seed=seed)
    torch.testing.assert_close(kaldi.fbank(wave[hops * 160 :] + offset, 40), kaldi.fbank(wave, 40)[hops:])


@settings(max_examples=20)
@given(st.integers(400, 3000))
def test_frame_count(samples):
    assert kaldi.fbank(torch.zeros(samples), 8).shape == (kaldi.frame_count(samples), 8)


def test_leading_dimensions_are_independent():
    waves = noise(2, 3, 1200, dtype=torch.float32)
    together = kaldi.fbank(waves, 40)
    assert together.shape == (2, 3, 6, 40)
    torch.testing.assert_close(together[1, 2], kaldi.fbank(waves[1, 2], 40), atol=1e-5, rtol=1e-6)


def test_silence_is_the_floor_with_a_zero_gradient():
    wave = torch.zeros(1000, requires_grad=True)
    mels = kaldi.fbank(wave, 40)
    torch.testing.assert_close(mels, torch.full_like(mels, -15.942385))
    (gradient,) = torch.autograd.grad(mels.sum(), wave)
    assert (gradient == 0).all()


def test_fbank_gradient_is_the_finite_difference():
    wave = noise(900).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: kaldi.fbank(x, 12), wave, eps=1e-7, atol=1e-5)


def test_too_short_and_no_bins_are_named():
    assert kaldi.fbank(torch.zeros(400), 8).shape == (1, 8)
    with pytest.raises(ValueError, match="wave has 399 samples at 16000 Hz, expected at least 400"):
        kaldi.fbank(torch.zeros(399), 8)
    with pytest.raises(ValueError, match="mel bins are 0, expected at least 1"):
        kaldi.fbank(torch.zeros(400), 0)


def windowed_sinc(length, source, target, distance):
    """The matrix [ceil(length * target / source), length] of torchaudio's resampling, every weight by its formula."""
    common = math.gcd(source, target)
    up, down = target // common, source // common
    cutoff = 0.99 * min(up, down)
    x = distance(np.arange(-(-length * up // down))[:, None], np.arange(length), up, down) * cutoff
    return np.where(abs(x) < 6, cutoff / down * np.sinc(x) * np.cos(np.pi * x / 12) ** 2, 0.0)


@pytest.mark.parametrize("source,target", [*((rate, 16000) for rate in RATES), (16000, 44100)])
def test_resample_is_the_windowed_sinc(source, target):
    """Exact distances: within the float32 rounding that torchaudio's have."""
    wave = noise(2, 1, 1203)
    exact = windowed_sinc(1203, source, target, lambda j, i, up, down: i / down - j / up)
    ours = kaldi.resample(wave, source, target)
    assert ours.shape == (2, 1, len(exact))
    np.testing.assert_allclose(ours.numpy(), wave.numpy() @ exact.T, atol=3e-5)


@pytest.mark.parametrize("rate", RATES)
def test_resample_has_torchaudios_rounding(rate):
    """Distances within a period of the two rates, taken in float32: the normalised log-mel agrees in quiet bands too."""

    def distance(j, i, up, down):
        within = (i - j // up * down).astype(np.float32) / np.float32(down)
        return within - (j % up).astype(np.float32) / np.float32(up)

    wave = noise(3000)
    expected = wave.numpy() @ windowed_sinc(3000, rate, 16000, distance).astype(np.float64).T
    ours = kaldi.resample(wave, rate, 16000)
    np.testing.assert_allclose(ours.numpy(), expected, atol=2e-6)
    miss = (kaldi.fbank(ours, 112) - kaldi.fbank(torch.from_numpy(expected), 112)).abs() / NORMALISED
    assert miss.max() < 1e-3


def test_a_tone_below_the_cutoff_comes_through():
    tone = lambda rate: torch.sin(2 * math.pi * 1000 * torch.arange(rate // 10, dtype=torch.float64) / rate)  # noqa: E731
    ours, wanted = kaldi.resample(tone(44100), 44100, 16000), tone(16000)
    torch.testing.assert_close(ours[50:-50], wanted[50:-50], atol=5e-3, rtol=0)


def test_the_pockets_resampler_would_not_do():
    wave = noise(44100, dtype=torch.float32)
    one, other = (kaldi.fbank(resample(wave, 44100, 16000), 112) for resample in (kaldi.resample, signal.resample))
    assert (one - other).abs().max() / NORMALISED > 0.03


@pytest.mark.parametrize("rate", [44100, 48000, 8000])
def test_resample_gradient_is_the_finite_difference(rate):
    wave = noise(2, 70).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: kaldi.resample(x, rate, 16000), wave)


def test_same_rate_is_the_same_wave_and_bad_rates_are_named():
    wave = noise(200)
    assert kaldi.resample(wave, 16000, 16000) is wave
    with pytest.raises(ValueError, match="source rate is 0; wanted a positive whole number"):
        kaldi.resample(wave, 0, 16000)


def test_constants_made_in_inference_mode_serve_a_backward_pass():
    constants._resident.cache_clear()
    with torch.inference_mode():
        kaldi.fbank(kaldi.resample(torch.zeros(2000), 44100, 16000), 12)
    wave = noise(2000, dtype=torch.float32).requires_grad_()
    kaldi.fbank(kaldi.resample(wave, 44100, 16000), 12).sum().backward()
    assert wave.grad.abs().sum() > 0


@pytest.mark.parametrize("rate", [8001, 22255, 44101, 47999])
def test_rates_that_share_little_with_the_target_need_no_gigabytes(rate):
    """A tone keeps its length, and its pitch to a cent: as many zero crossings in a second."""
    wave = torch.sin(2 * torch.pi * (440 * torch.arange(rate) / rate + 0.1))
    heard = kaldi.resample(wave, rate, kaldi.RATE)
    assert abs(len(heard) / kaldi.RATE - 1) < 6e-4
    assert abs(int((heard[:-1] * heard[1:] < 0).sum()) - 880) <= 1
