"""Instruments against closed forms: a known blur, a known share clipped, known spectra, a known round trip."""

import copy
import dataclasses
import math

import pytest
import torch
from contracts.mps import apple_silicon
from hypothesis import given
from hypothesis import strategies as st
from toys import WORDS, ToyClip, ToyPicture, ToySound

from concept_algebra.ops.concept import Concept
from concept_algebra.ops.instruments import Instruments, Judge, alarms, clipped, cosines, fitted, measure, standing
from concept_algebra.ops.spectrum import slope
from concept_algebra.ops.wear import PIXELS, SAMPLES, worn


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# --- wear


@pytest.mark.parametrize("shape, modality", [((2, 3, 16, 20), "image"), ((2, 4, 3, 16, 16), "video"), ((2, 1, 400), "audio")])
def test_wear_keeps_shape_and_what_does_not_change(shape, modality):
    flat = worn(torch.full(shape, 0.7), modality)
    assert flat.shape == shape
    middle = flat if modality != "audio" else flat[..., 20:-20]
    assert torch.allclose(middle, torch.full_like(middle, 0.7), atol=1e-6)


@pytest.mark.parametrize("rate", [16000, 44100])
def test_blur_dampens_a_wave_as_a_gaussian_does_at_any_rate(rate):
    # exp(-(2 pi f sd)^2 / 2), less what the kernel's cut at three deviations costs
    frequency, deviation = 1600, SAMPLES / 16000
    wave = torch.cos(2 * math.pi * frequency / rate * torch.arange(1200.0)).expand(1, 2, -1)
    quieter = worn(wave, "audio", rate)[..., 80:-80].abs().max() / wave[..., 80:-80].abs().max()
    assert float(quieter) == pytest.approx(math.exp(-((2 * math.pi * frequency * deviation) ** 2) / 2), abs=0.01)


def test_a_point_in_a_picture_spreads_as_a_gaussian_does():
    picture = torch.zeros(1, 3, 20, 20)  # of a side of 20 the cut rounds to nothing
    picture[..., 10, 10] = 1.0
    spread = worn(picture, "image")[0, 0]
    for weights in (spread.sum(0), spread.sum(1)):
        mean = float((weights * torch.arange(20.0)).sum())
        assert mean == pytest.approx(10, abs=1e-4)
        assert float((weights * (torch.arange(20.0) - mean) ** 2).sum()) == pytest.approx(PIXELS**2, rel=0.01)


def test_a_side_loses_its_outermost_twentieth():
    ramp = torch.linspace(-0.5, 0.5, 200).expand(1, 3, 200, 200)
    across = worn(ramp, "image")[0, 0, 100, 20:-20]
    assert torch.allclose(across, 0.95 * ramp[0, 0, 100, 20:-20], atol=1e-3)


def test_sound_is_silent_at_its_ends_and_nothing_moves():
    sound = worn(torch.ones(1, 1, 400), "audio")[0, 0]
    assert torch.equal(sound[:10], torch.zeros(10)) and torch.equal(sound[-10:], torch.zeros(10)) and float(sound[10:-10].min()) > 0.99


@pytest.mark.parametrize("shape, modality", [((1, 3, 5, 4), "image"), ((1, 2, 3, 4, 4), "video"), ((1, 1, 80), "audio")])
def test_wear_is_differentiable_and_runs_on_apple_silicon(shape, modality):
    assert torch.autograd.gradcheck(lambda x: worn(x, modality), drawn(*shape).double().requires_grad_())
    x = drawn(*shape).requires_grad_()
    with apple_silicon():
        worn(x, modality).square().sum().backward()


# --- clipped


@given(st.integers(0, 64), st.sampled_from([-0.5, 1.5]))
def test_clipped_is_the_share_beyond(beyond, value):
    media = torch.full((1, 1, 8, 8), 0.5)
    media.view(-1)[:beyond] = value
    assert clipped(media, "image") == pytest.approx(beyond / 64)


def test_overshooting_white_and_full_scale_sounds_are_not_clipped():
    assert clipped(torch.full((1, 3, 4, 4), 1.01), "image") == 0
    assert clipped(torch.tensor([[[-1.0, 1.0, 1.3, -1.3]]]), "audio") == 0.5


# --- spectrum


def falling(exponent, side=128):
    """A picture whose power falls as f ** exponent."""
    f = torch.fft.fftfreq(side) * side
    radius = (f[:, None] ** 2 + f[None] ** 2).sqrt().clamp_min(1)
    spectrum = torch.fft.fft2(drawn(side, side)) * radius ** (exponent / 2)
    return torch.fft.ifft2(spectrum).real[None].expand(3, side, side)


@pytest.mark.parametrize("exponent", [0.0, -1.0, -2.0, -3.0])
def test_slope_of_a_known_spectrum(exponent):
    assert slope(falling(exponent), "image") == pytest.approx(exponent, abs=0.2)


def test_slope_of_white_noise_is_none_in_every_medium():
    assert slope(drawn(3, 64, 96), "image") == pytest.approx(0, abs=0.2)
    assert slope(drawn(6, 3, 32, 32), "video") == pytest.approx(0, abs=0.3)
    assert slope(drawn(2, 16384), "audio") == pytest.approx(0, abs=0.2)


def test_slope_of_a_random_walk_of_samples():
    assert slope(drawn(1, 16384).cumsum(-1), "audio") == pytest.approx(-2, abs=0.3)


@given(st.floats(0.01, 100), st.floats(-5, 5))
def test_slope_knows_neither_contrast_nor_brightness(contrast, brightness):
    picture = falling(-2.0, 32)
    assert slope(contrast * picture + brightness, "image") == pytest.approx(slope(picture, "image"), abs=1e-2)


@pytest.mark.parametrize("media, modality", [(torch.full((3, 16, 16), 0.5), "image"), (torch.zeros(1, 512), "audio"), (drawn(3, 2, 2), "image")])
def test_no_slope_without_contrast_or_size(media, modality):
    assert slope(media, modality) is None


# --- all of them


class Encoding(ToyPicture):
    """Decodes 0.5 + 0.2 z; encoding loses a share of it."""

    def __init__(self, lost=0.0):
        super().__init__()
        self.lost = lost

    def encode(self, media):
        return (1 - self.lost) * (media - 0.5) / 0.2


@pytest.fixture(scope="module")
def target(encoder):
    return Concept.from_text("fire", encoder)


@pytest.mark.parametrize("lost", [0.0, 0.25])
def test_round_trip_is_the_share_lost(encoder, target, lost):
    latent = drawn(1, 3, 16, 16).clamp(-2, 2)
    assert measure(latent, target, encoder, Encoding(lost)).round_trip == pytest.approx(lost, abs=1e-6)
    assert measure(latent, target, encoder, ToyPicture()).round_trip is None


def test_norm_and_robust_are_what_they_say(encoder, target):
    latent = 1.3 * drawn(1, 3, 16, 16)
    generator = ToyPicture()
    read = measure(latent, target, encoder, generator)
    assert read.norm == pytest.approx(float(latent.norm()) / 768**0.5)
    media = generator.decode(latent).clamp(0, 1)
    clean, robust = (float(cosines(x, target.direction, encoder, generator)) for x in (media, worn(media, "image")))
    assert read.robust == pytest.approx(robust)
    assert read.robust_drop == (pytest.approx(1 - robust / clean) if clean > 0.05 else None)


def test_leakage_is_the_priors_share_of_the_match(encoder):
    generator = ToyPicture()
    latent = drawn(1, 3, 16, 16)
    target = Concept.from_image(generator.decode(latent)[0].clamp(0, 1), encoder)
    read = measure(latent, target, encoder, generator, alone=0.25)
    assert read.leakage == pytest.approx(0.25, abs=1e-4)  # the latent is the target: its cosine is 1
    assert measure(latent, target, encoder, generator, alone=-0.25).leakage == 0
    assert measure(latent, target, encoder, generator).leakage is None


def renamed(encoder, name):
    """The same encoder under another name: a judge that must agree in everything."""
    twin = copy.copy(encoder)
    twin.space = dataclasses.replace(encoder.space, id=name)
    return twin


def test_gap_is_none_between_equals_and_never_measured_with_the_same_encoder(encoder, target):
    latent = drawn(1, 3, 16, 16)
    twin = renamed(encoder, "judge-0")
    judge = Judge(twin, Concept.from_text("fire", twin))
    assert measure(latent, target, encoder, ToyPicture(), judge).held_out_gap == pytest.approx(0, abs=1e-5)
    assert measure(latent, target, encoder, ToyPicture()).held_out_gap is None
    with pytest.raises(ValueError, match="another encoder has to judge it"):
        measure(latent, target, encoder, ToyPicture(), Judge(encoder, target))


def test_gap_grows_with_a_judge_that_sees_something_else(encoder, target):
    latent = drawn(1, 3, 16, 16)
    twin = renamed(encoder, "judge-0")
    picture = ToyPicture().decode(latent).clamp(0, 1)
    stands = {word: standing(picture, Concept.from_text(word, encoder), encoder, ToyPicture()) for word in WORDS}
    worst = min(stands, key=stands.get)
    gap = measure(latent, target, encoder, ToyPicture(), Judge(twin, Concept.from_text(worst, twin))).held_out_gap
    assert gap == pytest.approx(standing(picture, target, encoder, ToyPicture()) - stands[worst], abs=1e-5)


def test_a_judge_without_words_has_nothing_to_stand_out_from(encoder):
    mute = copy.copy(encoder)
    mute.space = dataclasses.replace(encoder.space, id="judge-0", vocabulary=None)
    with pytest.raises(ValueError, match="judge's space 'judge-0' has no vocabulary"):
        Judge(mute, Concept.from_text("fire", mute))


def test_a_sound_is_measured_as_it_is_written_quieter_and_not_cut_off(encoder, target):
    latent = 20 * drawn(1, 1, 4096)
    generator = ToySound()
    wave = generator.decode(latent)
    read = measure(latent, target, encoder, generator)
    quieter = worn(wave / wave.abs().max(), "audio")
    assert wave.abs().max() > 10 and read.robust == pytest.approx(float(cosines(quieter, target.direction, encoder, generator)), abs=1e-6)
    assert read.robust != pytest.approx(float(cosines(worn(wave.clamp(-1, 1), "audio"), target.direction, encoder, generator)), abs=1e-3)
    assert any("the whole was made quieter" in told for told in read.alarms)


@pytest.mark.parametrize("shape, modality", [((2, 3, 4, 4), "image"), ((2, 2, 3, 4, 4), "video"), ((2, 1, 64), "audio")])
def test_media_are_fitted_one_by_one(shape, modality):
    media = 3 * drawn(*shape)
    media[0] /= 100
    inside = fitted(media, modality)
    low, high = (-1, 1) if modality == "audio" else (0, 1)
    assert inside.min() >= low and inside.max() <= high
    assert torch.equal(inside[0], media[0] if modality == "audio" else media[0].clamp(0, 1))
    assert modality != "audio" or torch.allclose(inside[1], media[1] / media[1].abs().max())


FINE = Instruments(0.5, 0.1, None, 0.0, 1.0, 0.05, 0.1, -2.0)


@pytest.mark.parametrize(
    "field, value, says",
    [
        ("robust_drop", 0.45, "A slight blur and crop takes 45% of the match away"),
        ("clipped", 0.12, "12% of the values lie beyond the range"),
        ("norm", 0.3, "root mean square of 0.30: over-smooth"),
        ("norm", 1.4, "root mean square of 1.40: overdriven"),
        ("round_trip", 0.4, "off by 40%"),
        ("leakage", 0.6, "The prior alone reaches 60% of the match"),
        ("slope", -0.5, "slope -0.5: static"),
        ("slope", -5.0, "slope -5.0: too smooth"),
    ],
)
def test_each_number_out_of_bounds_has_its_sentence(field, value, says):
    assert alarms(FINE, "image") == ()
    (told,) = alarms(dataclasses.replace(FINE, **{field: value}), "image")
    assert says in told
    if field in ("norm", "slope", "round_trip"):
        assert alarms(dataclasses.replace(FINE, **{field: value}), "audio") == ()


def test_static_raises_alarms_and_sounds_and_clips_are_read_too(encoder, target):
    assert any("static" in told for told in measure(drawn(1, 3, 16, 16), target, encoder, ToyPicture()).alarms)
    for generator in (ToySound(), ToyClip()):
        read = measure(generator.start(1, 0), target, encoder, generator)
        assert read.norm == pytest.approx(1, abs=0.1) and read.slope == pytest.approx(0, abs=0.6)
