"""The Gaussian oracle: with an exact denoiser, a prior alone must end on the data's own law."""

import pytest
import torch
from toys import GaussianGenerator

from concept_algebra.ops.priors.flair import Flair
from concept_algebra.ops.priors.none import NoPrior
from concept_algebra.ops.priors.protocol import Prior
from concept_algebra.ops.priors.settings import FlairSettings

SIZE = 16384


def swept(generator, scale, steps=100, levels=50):
    rng = torch.Generator("cpu").manual_seed(3)
    z = scale * generator.start(1, 5)
    prior = Flair(generator, FlairSettings(levels))
    prior.begin(z, steps, rng)
    for step in range(steps):
        if prior.wants(step):
            z = z + prior.step(z, step).delta
    return prior.estimate(z)


@pytest.mark.parametrize("scale", [1.0, 0.0, 2.0], ids=["natural", "zero", "double"])
def test_ends_at_natural_norm_from_any_start(scale):
    z = swept(GaussianGenerator((SIZE,)), scale)
    assert float(z.norm() / SIZE**0.5) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("mean, deviation", [(2.0, 0.5), (-1.0, 0.2)])
def test_ends_on_the_datas_own_law(mean, deviation):
    z = swept(GaussianGenerator((SIZE,), mean, deviation), 1.0, steps=400, levels=400)
    assert float(z.mean()) == pytest.approx(mean, abs=0.02)
    assert float(z.std()) == pytest.approx(deviation, rel=0.04)


def test_more_levels_come_nearer():
    few, many = (abs(float(swept(GaussianGenerator((SIZE,)), 1.0, levels, levels).norm() / SIZE**0.5) - 1) for levels in (5, 200))
    assert many < 0.03 < few


def test_one_call_a_level_and_levels_fall():
    prior = Flair(GaussianGenerator(), FlairSettings(7))
    z = prior.generator.start(1, 0)
    prior.begin(z, 100, torch.Generator("cpu"))
    asked = [step for step in range(100) if prior.wants(step)]
    times = [prior.step(z, step).stats["prior_time"] for step in asked]
    assert len(asked) == 7 and asked[0] == 0
    assert times == sorted(times, reverse=True) and times[0] == 1 and times[-1] == pytest.approx(1 / 7)


def test_fewer_steps_than_levels_gives_a_level_a_step():
    prior = Flair(GaussianGenerator(), FlairSettings(50))
    prior.begin(prior.generator.start(1, 0), 6, torch.Generator("cpu"))
    assert all(prior.wants(step) for step in range(6))


def test_taken_up_again_the_run_is_bit_equal():
    generator = GaussianGenerator()

    def go(prior, z, steps):
        for step in steps:
            if prior.wants(step):
                z = z + prior.step(z, step).delta
        return prior.estimate(z)

    rng = torch.Generator("cpu").manual_seed(3)
    first = Flair(generator, FlairSettings(10))
    start = generator.start(1, 5)
    first.begin(start, 40, rng)
    half = start
    for step in range(20):
        if first.wants(step):
            half = half + first.step(half, step).delta
    state, drawn = first.state_dict(), rng.get_state()
    whole = go(first, half, range(20, 40))

    second = Flair(generator, FlairSettings(10))
    rng = torch.Generator("cpu").manual_seed(99)
    second.begin(torch.zeros_like(start), 40, rng)
    second.load_state_dict(state)
    rng.set_state(drawn)
    assert torch.equal(go(second, half, range(20, 40)), whole)


def test_a_move_between_levels_is_a_move_of_the_noisy_latent():
    generator = GaussianGenerator()
    prior = Flair(generator, FlairSettings(4))
    z = generator.start(1, 5)
    prior.begin(z, 4, torch.Generator("cpu").manual_seed(3))
    for step in range(3):
        z = z + prior.step(z, step).delta
    time = torch.tensor([0.5])  # of the third of four levels
    gain = generator.predict_x0(torch.ones_like(z), time, None)[0, 0, 0, 0]
    moved = z + 0.1
    assert torch.allclose(prior.estimate(moved) - prior.estimate(z), (0.1 * gain).expand_as(z), atol=1e-5)
    expected = prior.estimate(moved)
    assert torch.allclose(moved + prior.step(moved, 3).delta, expected, atol=1e-6), "the next prior step takes the move with it"


def test_gradient_comes_back_through_the_denoiser():
    generator = GaussianGenerator((6,))
    prior = Flair(generator, FlairSettings(4))
    z = generator.start(1, 5).double()
    prior.begin(z, 4, torch.Generator("cpu").manual_seed(3))
    for step in range(3):
        z = z + prior.step(z, step).delta
    assert torch.autograd.gradcheck(prior.estimate, z.clone().requires_grad_())


def test_both_priors_are_priors():
    assert isinstance(Flair(GaussianGenerator(), FlairSettings()), Prior)
    assert isinstance(NoPrior(), Prior)


def test_no_prior_never_moves_anything():
    prior = NoPrior()
    z = torch.ones(1, 3)
    prior.begin(z, 10, torch.Generator("cpu"))
    assert not any(prior.wants(step) for step in range(10))
    assert torch.equal(prior.step(z, 0).delta, torch.zeros(1, 3))
    assert prior.estimate(z) is z


@pytest.mark.parametrize("guidance", [0.0, 1.0, 2.0])
def test_told_a_mean_it_ends_at_guidance_times_it(guidance):
    # the law of a Gaussian that is told its mean m, guided w times from one around 0, is that around w m
    generator = GaussianGenerator((SIZE,), deviation=0.5, words={"there": (1.0, 0.5)})
    prior = Flair(generator, FlairSettings(200, guidance), cond=generator.condition("there"))
    z = generator.start(1, 5)
    prior.begin(z, 200, torch.Generator("cpu").manual_seed(3))
    for step in range(200):
        z = z + prior.step(z, step).delta
    z = prior.estimate(z)
    assert float(z.mean()) == pytest.approx(guidance, abs=0.02)
    assert float(z.std()) == pytest.approx(0.5, rel=0.05)


def test_no_levels_are_refused():
    with pytest.raises(ValueError, match="levels"):
        Flair(GaussianGenerator(), FlairSettings(0))


def test_from_a_given_latent_it_keeps_what_little_noise_cannot_hide():
    generator = GaussianGenerator((SIZE,))
    given = generator.start(1, 9)

    def restarted(highest):
        prior = Flair(generator, FlairSettings(50), highest)
        z = given.clone()
        prior.begin(z, 50, torch.Generator("cpu").manual_seed(3))
        for step in range(50):
            z = z + prior.step(z, step).delta
        z = prior.estimate(z)
        return float(torch.cosine_similarity(z, given)), float(z.norm() / SIZE**0.5)

    (little, natural), (much, _) = restarted(0.2), restarted(0.9)
    assert little > 0.8 > 0.3 > much
    assert natural == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("highest", [0.0, -0.1, 1.1])
def test_highest_level_outside_its_range_is_refused(highest):
    with pytest.raises(ValueError, match="highest noise level"):
        Flair(GaussianGenerator(), FlairSettings(5), highest)
