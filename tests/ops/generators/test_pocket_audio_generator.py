"""The sound generator: flow identities, seeds, decoding with its held phase, and floors on the shipped weights."""

from __future__ import annotations

import math

import pytest
import torch
from contracts.mps import apple_silicon

from concept_algebra.ops import constants, signal
from concept_algebra.ops.encoders.pocket import load as load_encoder
from concept_algebra.ops.encoders.pocket_audio import PocketAudio, normalise
from concept_algebra.ops.generators.pocket_audio import LATENT, PocketAudioGenerator, autoencoder, prior
from concept_algebra.ops.generators.protocol import Generator
from concept_algebra.ops.pocket.store import read
from concept_algebra.ops.weights import fill


@pytest.fixture(scope="module")
def pocket():
    return load_encoder()


@pytest.fixture(scope="module")
def fresh(pocket):
    torch.manual_seed(0)
    flow = prior()
    # its last layer starts at zero, which would make every identity hold for nothing
    torch.nn.init.normal_(flow.patch_out.weight, std=0.1)
    return PocketAudioGenerator(autoencoder(), flow, pocket).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def shipped(pocket):
    tensors = read("audio_generator")[0]
    part = lambda name: {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}  # noqa: E731
    return PocketAudioGenerator(fill(autoencoder(), part("autoencoder"), "a"), fill(prior(), part("prior"), "p"), pocket).eval()


def test_is_a_generator(fresh):
    assert isinstance(fresh, Generator) and fresh.modality == "audio" and fresh.latent_shape == LATENT and fresh.rate == 16000


def test_start_follows_its_seed(fresh):
    a, b, c = fresh.start(2, 5), fresh.start(2, 5), fresh.start(2, 6)
    assert a.shape == (2, *LATENT) and torch.equal(a, b) and not torch.equal(a, c)


def test_decode_gives_two_seconds_and_repeats(fresh):
    z = fresh.start(2, 0)
    wave = fresh.decode(z, fast=True)
    assert wave.shape == (2, 1, signal.SAMPLES) and torch.isfinite(wave).all()
    assert torch.equal(wave, fresh.decode(z, fast=True))
    assert not torch.equal(wave, fresh.decode(z))


def test_extreme_latents_decode_to_finite_sound(fresh):
    for z in (torch.full((1, *LATENT), 50.0), torch.full((1, *LATENT), -50.0), torch.zeros(1, *LATENT)):
        assert torch.isfinite(fresh.decode(z, fast=True)).all()


def test_decode_gradient_with_the_phase_held_is_the_finite_difference(fresh):
    coder = autoencoder().double().eval()
    z = fresh.start(1, 1).double().requires_grad_()
    generator = PocketAudioGenerator(coder, fresh.prior, pocket)
    size = signal.magnitude(generator.log_mels(z))
    cosine, sine = signal.griffin_lim(size, 2)
    aim = torch.randn(1, signal.SAMPLES, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    direction = torch.randn(z.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def loss(x):
        size = signal.magnitude(generator.log_mels(x))
        return (signal.istft(size * cosine, size * sine) * aim).sum()

    (gradient,) = torch.autograd.grad(loss(z), z)
    step = 1e-5
    with torch.no_grad():
        numeric = (loss(z + step * direction) - loss(z - step * direction)) / (2 * step)
    torch.testing.assert_close((gradient * direction).sum(), numeric, rtol=1e-4, atol=1e-8)


def test_an_optimisation_step_keeps_the_apple_silicon_contract(fresh):
    constants._resident.cache_clear()  # constants are made inside, where a float64 would be caught
    tower = PocketAudio().eval()
    with apple_silicon():
        z = fresh.start(1, 0).requires_grad_()
        wave = fresh.decode(z, fast=True)
        # 44.1 kHz and over 2 s: resampling and three windows are on the path
        heard = tower(torch.cat([wave, wave, wave], -1), 44100)
        (heard.pooled.sum() + heard.tokens.mean() + heard.dense.mean()).backward()
        with torch.no_grad():
            fresh.sample(fresh.condition("dog"), 1, seed=0, steps=2)
    assert torch.isfinite(z.grad).all() and z.grad.abs().sum() > 0


def test_x0_and_velocity_agree(fresh):
    x0, eps = fresh.start(3, 1), fresh.start(3, 2)
    t = torch.tensor([0.1, 0.5, 0.9])
    alpha, sigma = fresh.noise(t)
    torch.testing.assert_close(alpha + sigma, torch.ones(3))
    x_t = alpha.view(-1, 1, 1, 1) * x0 + sigma.view(-1, 1, 1, 1) * eps
    # by definition x_t - t v = x0 for the true velocity v = eps - x0
    torch.testing.assert_close(x_t - sigma.view(-1, 1, 1, 1) * (eps - x0), x0)
    cond = fresh.condition(None)
    velocity = fresh.prior(x_t, t, cond.expand(3, -1))
    estimate = fresh.predict_x0(x_t, t, cond)
    torch.testing.assert_close((x_t - estimate) / sigma.view(-1, 1, 1, 1), velocity)
    torch.testing.assert_close(fresh.predict_x0(x0, torch.zeros(3), cond), x0)


def test_condition_of_nothing_is_null_and_differs_from_a_word(fresh):
    null, word = fresh.condition(None), fresh.condition("dog")
    assert null.isnan().all() and word.shape == (1, 768)
    x, t = fresh.start(1, 3), torch.tensor([0.5])
    assert not torch.allclose(fresh.predict_x0(x, t, null), fresh.predict_x0(x, t, word))
    lora = fresh.new_lora(2, torch.Generator().manual_seed(0))
    assert torch.equal(fresh.predict_x0(x, t, null, lora), fresh.predict_x0(x, t, null))


def test_a_prompt_in_a_language_the_prior_has_not_learned_is_refused(encoder):
    foreign = PocketAudioGenerator(autoencoder(), prior(), encoder)
    assert foreign.condition(None).isnan().all()
    with pytest.raises(ValueError, match="prompt 'dog': a pocket generator reads prompts with the pocket encoder only, not 'small-0'"):
        foreign.condition("dog")


def test_sampling_follows_its_seed(fresh):
    a = fresh.sample(fresh.condition("dog"), 2, seed=1, steps=3)
    assert torch.isfinite(a).all() and torch.equal(a, fresh.sample(fresh.condition("dog"), 2, seed=1, steps=3))


def chord():
    t = torch.arange(signal.SAMPLES) / signal.RATE
    beat = torch.exp(-4 * (t % 0.5))
    return (0.1 * beat * sum(torch.sin(2 * math.pi * f * t) for f in (220, 277, 330, 440)))[None, None]


def test_shipped_autoencoder_keeps_a_sound_it_never_heard(shipped):
    mels = signal.log_mel(chord()[:, 0])
    back = shipped.log_mels(shipped.encode(chord()))
    miss = (normalise(back) - normalise(mels)).square().mean().sqrt()
    # the flat mean of this clip misses by about its deviation, 1
    assert miss < 0.5
    assert normalise(mels).std() > 0.8


def test_shipped_latents_are_standardised(shipped):
    z = shipped.encode(chord())
    assert 0.2 < z.square().mean().sqrt() < 3


def test_shipped_files_fit_their_budget():
    tensors = read("audio_generator")[0]
    assert sum(t.numel() * t.element_size() for t in tensors.values()) <= 9_000_000
