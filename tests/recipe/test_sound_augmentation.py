"""Augmentations of log-mels do what a room, a compressor or a narrow band does, and nothing else."""

from __future__ import annotations

import math

import pytest
import torch

from recipe.sound_augmentation import FRAMES, MELS, SILENCE, as_loud_as, compress, equalise, hiss, mask, narrow, repeat, smear, stretch


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def sounds(rng):
    return torch.randn(6, MELS, FRAMES, generator=rng) * 2 - 4


@pytest.mark.parametrize("change", [equalise, stretch, compress, smear, narrow, hiss, repeat, lambda x, rng: mask(x[:, None], rng)[:, 0]])
def test_each_follows_its_seed_and_keeps_shape_and_finiteness(change, sounds):
    kept = sounds.clone()
    first, again, other = (change(sounds, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first.shape == sounds.shape and first.isfinite().all() and torch.equal(sounds, kept)
    assert torch.equal(first, again) and not torch.equal(first, other) and not torch.equal(first, sounds)


def test_a_click_in_a_room_dies_away_exponentially(rng):
    click = torch.full((8, MELS, FRAMES), SILENCE)
    click[:, :, 20] = 0.0
    rung = smear(click, rng).exp() - math.exp(SILENCE)
    assert rung[:, :, :20].abs().max() < 1e-3
    tail = rung[:, 0, 21:].clamp_min(1e-9).log()
    falls = tail[:, :20].diff(dim=-1)
    assert falls.std(-1).max() < 1e-2 and (falls < -1 / 51).all() and (falls > -1 / 4.9).all()


def test_another_clip_comes_to_the_same_power_and_keeps_its_shape(sounds):
    other = sounds.flip(0) * 0.5 - 3
    found = as_loud_as(sounds, other)
    assert torch.allclose(found.exp().mean((1, 2)), sounds.exp().mean((1, 2)), rtol=1e-4)
    assert torch.allclose(found - found[:, :1, :1], other - other[:, :1, :1], atol=1e-4)


def test_a_room_never_takes_power_away(sounds, rng):
    assert (smear(sounds, rng) >= sounds - 1e-4).all()


def test_compression_keeps_the_loudest_and_scales_every_distance_from_it_alike(sounds, rng):
    found = compress(sounds, rng)
    below = (sounds.amax((1, 2), keepdim=True) - sounds).flatten(1)
    ratio = ((found.amax((1, 2), keepdim=True) - found).flatten(1) / below)[below > 0.1].view(-1)
    assert torch.allclose(found.amax((1, 2)), sounds.amax((1, 2))) and 0.64 < ratio.min() and ratio.max() < 1.16


def test_stretching_only_takes_other_frames_at_an_even_pace(rng):
    ramp = torch.arange(FRAMES).float().expand(16, MELS, FRAMES).contiguous()
    found = stretch(ramp, rng)[:, 0]
    pace = found[:, 60] / 60
    assert (pace > 0.72).all() and (pace < 1.37).all() and pace.std() > 0.05
    assert ((found[:, :80] - pace[:, None] * torch.arange(80)).abs() <= 2).all()


def test_a_narrow_recording_loses_one_end_and_nothing_else(sounds, rng):
    lost = sounds - narrow(sounds, rng)
    assert (lost >= -1e-5).all() and torch.allclose(lost, lost[:, :, :1].expand_as(lost), atol=1e-4)
    ends = lost[:, :, 0]
    assert ((ends[:, 0] < 1e-5) | (ends[:, -1] < 1e-5)).all() and (ends.amax(1) > 0).any()
    assert (ends[:, MELS // 3 : int(MELS * 0.45)] < 1e-5).all()
