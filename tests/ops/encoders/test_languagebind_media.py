"""What LanguageBind's towers are given, against the reference's numbers, finite differences and laws."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from contracts.mps import apple_silicon
from hypothesis import given, settings, strategies as st
from safetensors import safe_open

from concept_algebra.ops import constants, kaldi
from concept_algebra.ops.encoders import languagebind_media
from concept_algebra.ops.encoders.languagebind_media import frame_indices, starts
from concept_algebra.ops.encoders.languagebind_parts import DEVIATION, MEAN
from concept_algebra.ops.encoders.languagebind_parts import FRAMES as LENGTH

REFERENCE = Path(__file__).parents[2] / "reference" / "languagebind"


def pixels(image, size=224):
    return languagebind_media.pixels(image, size)


def frames(video, count=8, size=224):
    return languagebind_media.frames(video, count, size)


def spectrogram(wave, rate, bins, length=LENGTH):
    return languagebind_media.spectrogram(wave, rate, bins, length, MEAN, DEVIATION)


def reference(case):
    with safe_open(REFERENCE / f"{case}.safetensors", "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["config"])


def rand(*shape, seed=0, dtype=torch.float32):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 0.2


# each function on a small medium of its own, as (function, batch of two)
HOT = {
    "pixels": (lambda x: pixels(x, 8), rand(2, 3, 13, 21)),
    "pixels enlarged": (lambda x: pixels(x, 8), rand(2, 3, 5, 7)),
    "frames": (lambda x: frames(x, 4, 8), rand(2, 9, 3, 13, 11)),
    "frames repeated": (lambda x: frames(x, 4, 8), rand(2, 2, 3, 5, 7)),
    "a short sound": (lambda x: spectrogram(x, 16000, 12, 20), noise(2, 1, 400 + 160 * 7 + 30)),
    "a short stereo sound at 44.1 kHz": (lambda x: spectrogram(x, 44100, 12, 20), noise(2, 2, 4000)),
    "a long sound": (lambda x: spectrogram(x, 16000, 12, 3), noise(2, 1, 400 + 160 * 9)),
}
hot = pytest.mark.parametrize("function, media", HOT.values(), ids=HOT)


@pytest.mark.parametrize("case", ["image_preprocess", "image_preprocess_large"])
def test_pixels_are_the_references(case):
    tensors, _ = reference(case)
    image = tensors["in.image"].permute(2, 0, 1)[None].float() / 255
    torch.testing.assert_close(pixels(image)[0], tensors["out.pixel_values_antialias_on"], atol=2e-4, rtol=0)


def test_frames_are_the_references():
    tensors, config = reference("video_preprocess")
    ours = frames(tensors["in.frames"].permute(0, 3, 1, 2)[None].float() / 255)[0].transpose(0, 1)
    torch.testing.assert_close(ours[:, config["full_frame_index"]], tensors["out.pixel_values_frame"], atol=5e-5, rtol=0)
    torch.testing.assert_close(ours[:, :, 1::3, 2::3], tensors["out.pixel_values_strided"], atol=5e-5, rtol=0)


def test_frame_indices_are_the_references():
    tensors, config = reference("video_preprocess")
    ours = [frame_indices(count, config["num_frames"]) for count in tensors["in.frame_counts"].tolist()]
    assert ours == tensors["out.frame_indices"].tolist()


def test_a_short_sound_is_the_references():
    tensors, config = reference("audio_short")
    theirs = reference("audio_short_features")[0]["out.features"]
    wave = tensors["in.waveform"].float()[None, None] / 32768
    ours = spectrogram(wave, config["sample_rate"], config["num_mel_bins"])[0]
    assert ours.shape == theirs.shape
    miss = (ours - theirs).abs()
    assert miss.max() < 5e-4 and miss.mean() < 5e-6


def test_a_long_sound_is_the_references_but_for_where_it_is_cut():
    tensors, config = reference("audio_long")
    first = starts(config["num_frames_fbank"], LENGTH)
    assert first == config["crop_starts_deterministic"]
    crops = torch.stack([tensors["out.fbank"][k : k + LENGTH].T for k in first])
    theirs = (crops - MEAN) / (2 * DEVIATION)
    wave = tensors["in.waveform"].float()[None, None] / 32768
    miss = (spectrogram(wave, config["sample_rate"], config["num_mel_bins"])[0] - theirs).abs()
    assert miss.max() < 5e-4 and miss.mean() < 5e-6


def test_the_references_own_cut_is_the_same_sound_shifted():
    """The crops it drew, out of ours: `out.features` is what its tower saw."""
    tensors, config = reference("audio_long")
    theirs = reference("audio_long_features")[0]["out.features"]
    wave = tensors["in.waveform"].float()[None, None] / 32768
    for channel, first in zip(theirs, config["crop_starts"]):
        # cut before: a wave of exactly one window is neither repeated nor cropped
        cut = wave[..., 160 * first :][..., : 160 * (LENGTH - 1) + 400]
        miss = (spectrogram(cut, config["sample_rate"], config["num_mel_bins"])[0, 0] - channel).abs()
        assert miss.max() < 5e-4 and miss.mean() < 5e-6


@hot
def test_gradient_is_the_finite_difference(function, media):
    assert torch.autograd.gradcheck(function, media.double().requires_grad_(), eps=1e-6, atol=1e-5, fast_mode=True)


def test_a_repeated_sound_gathers_the_gradient_of_every_repetition():
    wave = noise(1, 1, 400 + 160 * 6, dtype=torch.float64).requires_grad_()
    cotangent = torch.randn(1, 3, 12, 20, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (ours,) = torch.autograd.grad((spectrogram(wave, 16000, 12, 20) * cotangent).sum(), wave)
    summed = cotangent.sum(1).new_zeros(1, 7, 12)
    for k in range(20):
        summed[:, k % 7] += cotangent[..., k].sum(1)
    (by_hand,) = torch.autograd.grad((kaldi.fbank(wave[:, 0], 12) * summed).sum() / (2 * DEVIATION), wave)
    torch.testing.assert_close(ours, by_hand)


@hot
def test_batching_changes_nothing(function, media):
    one_by_one = torch.cat([function(media[:1]), function(media[1:])])
    torch.testing.assert_close(function(media), one_by_one, atol=2e-6, rtol=2e-6)


@hot
def test_the_apple_silicon_contract(function, media):
    constants._resident.cache_clear()  # made inside, where a float64 would be caught
    with apple_silicon():
        leaf = media.clone().requires_grad_()
        function(leaf).square().sum().backward()
    assert torch.isfinite(leaf.grad).all() and leaf.grad.abs().sum() > 0


@hot
def test_constants_made_in_inference_mode_serve_a_backward_pass(function, media):
    constants._resident.cache_clear()
    with torch.inference_mode():
        function(media)
    leaf = media.clone().requires_grad_()
    function(leaf).sum().backward()
    assert leaf.grad.abs().sum() > 0


@hot
def test_half_precision_in_and_around_is_float32_inside(function, media):
    half = media.bfloat16()
    expected = function(half.float())
    assert expected.dtype == torch.float32 and torch.equal(function(half), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(function(half), expected)


@hot
def test_the_medium_is_left_as_it_was(function, media):
    before = media.clone()
    function(media)
    assert torch.equal(media, before)


@settings(max_examples=40)
@given(st.integers(1, 300), st.integers(1, 300), st.floats(-0.5, 1.5))
def test_a_constant_picture_stays_constant(height, width, grey):
    picture = torch.full((1, 3, height, width), grey)
    mean, deviation = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    expected = ((grey - mean) / deviation)[:, None, None].expand(1, 3, 32, 32)
    torch.testing.assert_close(pixels(picture, 32), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(frames(picture[:, None], 1, 32)[:, 0], expected, atol=1e-5, rtol=1e-5)


@settings(max_examples=20)
@given(st.integers(2, 60), st.integers(2, 60), st.floats(-2, 3), st.integers(0, 2**31))
def test_between_two_pictures_lies_their_mixture(height, width, weight, seed):
    one, other = rand(2, 1, 3, height, width, seed=seed, dtype=torch.float64)
    for see in (lambda x: pixels(x, 16), lambda x: frames(x[:, None], 1, 16)):
        torch.testing.assert_close(see(weight * one + (1 - weight) * other), weight * see(one) + (1 - weight) * see(other))


@settings(max_examples=20)
@given(st.integers(1, 80), st.integers(0, 2**31))
def test_a_mirrored_square_is_seen_mirrored(side, seed):
    picture = rand(1, 3, side, side, seed=seed, dtype=torch.float64)
    torch.testing.assert_close(pixels(picture.flip(-1), 16), pixels(picture, 16).flip(-1))
    torch.testing.assert_close(pixels(picture.mT, 16), pixels(picture, 16).mT)


@settings(max_examples=100)
@given(st.integers(1, 5000), st.integers(2, 64))
def test_frame_indices_go_forward_from_the_first_frame_to_the_last(total, count):
    chosen = frame_indices(total, count)
    assert len(chosen) == count and chosen == sorted(chosen)
    assert chosen[0] == 0 and chosen[-1] == total - 1


@settings(max_examples=100)
@given(st.integers(1, 4000), st.integers(1, 1100))
def test_windows_of_a_long_sound_lie_inside_it(more, length):
    first = starts(length + more, length)
    assert len(first) == 3 and first[0] == 0 and max(first) <= more
    # with three places to begin or more, each third has one
    assert first == sorted(set(first)) or more < 2


def test_one_frame_too_many_gives_windows_at_its_two_places():
    assert starts(LENGTH + 1, LENGTH) == [0, 1, 0]


@pytest.mark.parametrize("count", [11, 12, 31])
def test_a_channel_of_a_long_sound_is_its_window_alone(count):
    wave = noise(1, 1, 400 + 160 * (count - 1))
    wave = wave - wave.mean()
    ours = spectrogram(wave, 16000, 12, 10)
    for channel, first in enumerate(starts(count, 10)):
        alone = (kaldi.fbank(wave[0, 0, 160 * first :], 12)[:10].T - MEAN) / (2 * DEVIATION)
        torch.testing.assert_close(ours[0, channel], alone, atol=1e-5, rtol=1e-5)


def test_an_offset_costs_no_precision():
    wave = 0.005 * noise(2, 1, 16000) + torch.tensor([[[0.5]], [[0.9]]])
    ours, exact = spectrogram(wave, 16000, 112, 98), spectrogram(wave.double(), 16000, 112, 98)
    torch.testing.assert_close(ours.double(), exact, atol=2e-5, rtol=0)


def test_of_several_channels_the_first_is_heard():
    wave = noise(1, 2, 3000).requires_grad_()
    heard = spectrogram(wave, 16000, 12, 20)
    torch.testing.assert_close(heard, spectrogram(wave[:, :1], 16000, 12, 20))
    (gradient,) = torch.autograd.grad(heard.sum(), wave)
    assert gradient[:, 0].abs().sum() > 0 and (gradient[:, 1] == 0).all()


@pytest.mark.parametrize("rate, length", [(16000, 400), (44100, 30_000), (16000, 200_000)])
def test_silence_is_finite_with_a_zero_gradient(rate, length):
    wave = torch.zeros(1, 1, length, requires_grad=True)
    heard = spectrogram(wave, rate, 112)
    torch.testing.assert_close(heard, torch.full((1, 3, 112, LENGTH), (-15.942385 - MEAN) / (2 * DEVIATION)))
    (gradient,) = torch.autograd.grad(heard.sum(), wave)
    assert (gradient == 0).all()


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 1, 8, 8), (1, 4, 8, 8), (1, 3, 0, 8), (1, 3, 8, 0)])
def test_wrong_pictures_are_named(shape):
    with pytest.raises(ValueError, match=r"image has shape .*expected \[B, 3, H, W\]"):
        pixels(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (1, 3, 8, 8, 8), (1, 0, 3, 8, 8), (1, 2, 3, 8, 0)])
def test_wrong_clips_are_named(shape):
    with pytest.raises(ValueError, match=r"video has shape .*expected \[B, T, 3, H, W\]"):
        frames(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(1000,), (1, 1000), (1, 1, 0), (1, 0, 1000)])
def test_wrong_sounds_are_named(shape):
    with pytest.raises(ValueError, match=r"wave has shape .*expected \[B, C, T\]"):
        spectrogram(torch.zeros(shape), 16000, 112)


@pytest.mark.parametrize("see, name", [
    (lambda: pixels(torch.zeros(1, 3, 8, 8, dtype=torch.uint8)), "image"),
    (lambda: frames(torch.zeros(1, 2, 3, 8, 8, dtype=torch.uint8)), "video"),
    (lambda: spectrogram(torch.zeros(1, 1, 1000, dtype=torch.int16), 16000, 112), "wave"),
])  # fmt: skip
def test_whole_numbers_are_named(see, name):
    with pytest.raises(ValueError, match=f"{name} has values of type torch.u?int.*expected floating point in"):
        see()


@pytest.mark.parametrize("rate, least", [(16000, 400), (48000, 1198), (44100, 1100), (8000, 200)])
def test_a_sound_under_25_ms_is_named_with_what_is_enough(rate, least):
    assert spectrogram(noise(1, 1, least), rate, 12, 5).shape == (1, 3, 12, 5)
    with pytest.raises(ValueError, match=rf"{least - 1} samples at {rate} Hz, expected at least {least} \(25 ms\)"):
        spectrogram(noise(1, 1, least - 1), rate, 12, 5)


def test_a_rate_of_zero_is_named():
    with pytest.raises(ValueError, match="source rate is 0; wanted a positive whole number"):
        spectrogram(noise(1, 1, 1000), 0, 112)
