"""The latent shapes and noise schedules of the families: against their published rules, and laws of schedules."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from concept_algebra.ops.generators.families import AUDIO_LDM2, LTX, SD3, SDXL, STABLE_AUDIO, SVD, index

ALL = (SD3, SDXL, STABLE_AUDIO, LTX, AUDIO_LDM2, SVD)


@pytest.mark.parametrize("family", ALL, ids=lambda family: family.name)
def test_from_data_to_noise_without_a_step_back(family):
    t = torch.linspace(0, 1, 501)
    alpha, sigma = family.schedule(t)
    assert (alpha.diff() < 0).all() and (sigma.diff() > 0).all()
    assert sigma[0] < 0.05 and alpha[-1] < 0.1
    total = alpha + sigma if family in (SD3, LTX) else alpha.square() + sigma.square()
    assert torch.allclose(total, torch.ones(501), atol=1e-6)


def test_the_discrete_schedules_known_values():
    # the largest sigma / alpha that samplers of SDXL give: 14.6146; the smallest: 0.0292 (k-diffusion)
    alpha, sigma = SDXL.schedule(torch.tensor([0.0, 1.0]))
    assert (sigma / alpha).tolist() == pytest.approx([0.0292, 14.6146], rel=2e-3)
    betas = torch.linspace(0.0015**0.5, 0.0195**0.5, 1000, dtype=torch.float64) ** 2
    kept = torch.cumprod(1 - betas, 0)
    steps = torch.tensor([0, 1, 500, 998, 999])
    alpha, _ = AUDIO_LDM2.schedule(steps / 999)
    assert torch.allclose(alpha.double().square(), kept[steps], rtol=1e-3)
    assert torch.allclose(index(steps / 999), steps.float())


def test_shapes():
    assert SD3.picture(1024, 512) == (16, 64, 128)
    assert LTX.clip(768, 512, 97) == (13, 128, 16, 24)
    assert LTX.clip(32, 32, 1) == (1, 128, 1, 1)
    assert SVD.clip(1024, 576, 14) == (14, 4, 72, 128)
    assert STABLE_AUDIO.sound(47.6) == (64, 1024)  # what ComfyUI's Empty Latent Audio makes of its usual length


@given(st.floats(0.01, 600))
def test_a_sound_is_as_long_as_asked_to_a_cell(seconds):
    channels, cells = STABLE_AUDIO.sound(seconds)
    assert channels == 64 and cells % 2 == 0 and cells >= 2
    assert cells == 2 or abs(cells * 2048 / 44100 - seconds) <= 2048 / 44100 * 1.01


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SD3.picture(500, 512), "width 500"),
        (lambda: SD3.picture(512, 0), "height 0"),
        (lambda: LTX.clip(64, 64, 24), "8 n"),
        (lambda: LTX.clip(48, 64, 25), "width 48"),
        (lambda: STABLE_AUDIO.sound(0), "above 0"),
    ],
)
def test_what_does_not_fit_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call()
