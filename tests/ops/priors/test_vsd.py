"""VSD: the Gaussian oracle, what it does without its guards, its alarm, its state, and 30 steps on the shipped prior."""

import warnings

import pytest
import torch
from toys import GaussianGenerator, MemorisingPhi, SharedPhi

from concept_algebra.ops.encoders import pocket as encoders
from concept_algebra.ops.generators.pocket import load
from concept_algebra.ops.priors.displacement import noised, rate
from concept_algebra.ops.priors.protocol import Prior
from concept_algebra.ops.priors.settings import VsdSettings
from concept_algebra.ops.priors.vsd import TRAVEL, PriorAlarm, Vsd

SIZE = 4096
QUICK = VsdSettings(lr=0.05, replay=0)
"""For a phi of two numbers, which is learned in a few steps."""

pytestmark = pytest.mark.filterwarnings("ignore::concept_algebra.ops.priors.vsd.PriorAlarm")


def begun(generator, z, settings=QUICK, steps=300, seed=3, **more):
    prior = Vsd(generator, settings, **more)
    prior.begin(z, steps, torch.Generator("cpu").manual_seed(seed))
    return prior


def swept(generator, scale=1.0, settings=QUICK, steps=300, size=1):
    z = scale * generator.start(size, 5)
    prior = begun(generator, z, settings, steps)
    for step in range(steps):
        if prior.wants(step):
            z = z + prior.step(z, step).delta
    return z


def natural(z):
    return float(z.norm() / z.numel() ** 0.5)


@pytest.mark.parametrize("scale, family", [(1.0, "flow"), (0.0, "flow"), (2.0, "flow"), (0.0, "v"), (2.0, "epsilon")])
def test_a_phi_of_shared_statistics_ends_on_the_datas_law_from_any_start(scale, family):
    assert natural(swept(GaussianGenerator((SIZE,), family=family, phi=SharedPhi()), scale)) == pytest.approx(1, abs=0.02)


def test_other_means_and_deviations_are_found():
    z = swept(GaussianGenerator((SIZE,), 1.0, 0.5, phi=SharedPhi()), steps=600)
    assert (float(z.mean()), float(z.std())) == (pytest.approx(1, abs=0.05), pytest.approx(0.5, abs=0.05))


def test_with_replay_it_stays_natural_and_four_particles_together_end_so():
    assert natural(swept(GaussianGenerator((SIZE,), phi=SharedPhi()), settings=VsdSettings(lr=0.05))) == pytest.approx(1, abs=0.02)
    z = swept(GaussianGenerator((SIZE // 4,), phi=SharedPhi()), 2.0, size=4)
    assert natural(z) == pytest.approx(1, abs=0.02)


def test_a_phi_that_has_memorised_is_score_distillation_to_the_last_digit():
    """x0_phi = z: then delta is the gradient of SDS in x0-space, (x0_frozen - z) over its mean, at the same draws."""
    generator = GaussianGenerator((SIZE,))
    z, steps, rng = generator.start(1, 5), 40, torch.Generator("cpu").manual_seed(3)
    generator.phi = MemorisingPhi(z)
    prior = begun(generator, z, VsdSettings(lr=1e-12, replay=0), steps)
    for step in range(steps):
        with torch.no_grad():
            generator.phi.value.copy_(z)
        torch.randn(1, generator=rng), torch.randn(z.shape, generator=rng)  # phi's own time and noise
        pushed = prior.step(z, step)
        torch.rand(1, generator=rng)
        noisy, _ = noised(generator, z, torch.tensor([pushed.stats["prior_time"]]), rng)
        sds = generator.predict_x0(noisy, torch.tensor([pushed.stats["prior_time"]]), None) - z
        torch.testing.assert_close(pushed.delta, rate(step, steps, TRAVEL) * sds / sds.abs().mean(), atol=1e-6, rtol=1e-5)
        assert pushed.stats["prior_m"] < 1e-6
        z = z + pushed.delta


def test_score_distillation_itself_ends_at_the_mode():
    generator = GaussianGenerator((SIZE,))
    z, steps = generator.start(1, 5), 600
    generator.phi = MemorisingPhi(z)
    prior = begun(generator, z, VsdSettings(lr=1e-12, replay=0), steps)
    for step in range(steps):
        with torch.no_grad():
            generator.phi.value.copy_(z)
        z = z + prior.step(z, step).delta
    assert natural(z) < 0.1


def test_m_is_the_closed_form_where_it_is_known():
    """A phi that thinks the data twice as wide: each x0 errs by (gain alpha - 1)^2 + (gain sigma)^2, a gain of its own."""
    phi = SharedPhi()
    with torch.no_grad():
        phi.log_scale.fill_(0.6931472)
    generator = GaussianGenerator((65536,), phi=phi)
    z = generator.start(1, 5)
    prior = begun(generator, z, VsdSettings(lr=1e-12, replay=0))
    expected = [0.0, 0.0]
    for step in range(40):
        stats = prior.step(z, step).stats
        t = stats["prior_time"]
        for i, variance in enumerate((4, 1)):
            gain = (1 - t) * variance / ((1 - t) ** 2 * variance + t**2)
            expected[i] = 0.98 * expected[i] + ((gain * (1 - t) - 1) ** 2 + (gain * t) ** 2) / t**2
        assert stats["prior_m"] == pytest.approx(expected[0] / expected[1], rel=0.03)
    assert stats["prior_m"] > 1.05


@pytest.mark.parametrize("how, message", [("heart", "has memorised the latent"), ("idle", "has learned nothing")])
def test_the_alarm_is_raised_after_a_quarter_of_the_run_and_said_once(how, message):
    generator = GaussianGenerator((SIZE,))
    z = generator.start(1, 5)
    generator.phi = MemorisingPhi(z) if how == "heart" else SharedPhi()
    prior = begun(generator, z, VsdSettings(lr=1e-12, replay=0), steps=20)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        alarms = [prior.step(z, step).stats["prior_alarm"] for step in range(12)]
    assert alarms == [0.0] * 5 + [1.0] * 7
    assert [message in str(w.message) for w in said if w.category is PriorAlarm] == [True]


def test_no_alarm_between():
    phi = SharedPhi()
    with torch.no_grad():
        phi.log_scale.fill_(-1.0)
    # the latent is half as wide as the data: phi knows better than the frozen net, and not by heart
    generator = GaussianGenerator((SIZE,), phi=phi)
    z = 0.4 * generator.start(1, 5)
    prior = begun(generator, z, VsdSettings(lr=1e-12, replay=0), steps=20)
    ms = [(stats["prior_m"], stats["prior_alarm"]) for stats in (prior.step(z, step).stats for step in range(12))]
    assert all(0.2 < m < 0.98 and alarm == 0 for m, alarm in ms)


def test_the_ceiling_of_times_falls_late_in_the_run():
    generator = GaussianGenerator((4,), phi=SharedPhi())
    z = generator.start(64, 5)
    prior = begun(generator, z, VsdSettings(shift=50.0), steps=50)
    means = [prior.step(z, step).stats["prior_time"] for step in range(50)]
    # so large a shift draws nearly all times at the ceiling
    assert min(means[:20]) > 0.9 and means[34] == pytest.approx(0.79, abs=0.03) and means[49] == pytest.approx(0.55, abs=0.03)


def test_particles_are_normalised_each_by_itself():
    generator = GaussianGenerator((SIZE,), deviation=0.5, phi=SharedPhi())
    z = torch.tensor([[1.0], [8.0]]) * generator.start(2, 5)
    with torch.no_grad():
        generator.phi.log_scale.fill_(-8.0)
    # phi says 0 everywhere, so no value moves further than the rate on average, however large the latent
    delta = begun(generator, z, VsdSettings(lr=1e-12, replay=0)).step(z, 0).delta
    assert delta.shape == z.shape
    assert (delta.abs().mean(1) <= rate(0, 300, TRAVEL) * 1.0001).all() and (delta.abs().mean(1) > 0.01 * rate(0, 300, TRAVEL)).all()


def test_asked_at_every_fourth_step_it_comes_as_far():
    generator = GaussianGenerator((SIZE,), phi=SharedPhi())
    prior = begun(generator, generator.start(1, 5), VsdSettings(every=4), steps=402)
    assert sum(prior.wants(step) for step in range(402)) == 101
    assert sum(rate(i, 400, 30) for i in range(400)) == pytest.approx(sum(rate(i, 101, 30) for i in range(101)), rel=0.01)
    assert rate(0, 400, 30) == pytest.approx(30 / 400) and rate(0, 10, 30) == 0.3 and rate(100, 100, 30) == pytest.approx(0.03)


def test_conditioning_and_guidance_reach_the_frozen_net_alone():
    """At log_scale 0 phi is the conditioned frozen net: unguided there is no pull; guided, the one of guidance - 1."""
    cond = (1.0, 1.0)
    generator = GaussianGenerator((SIZE,), phi=SharedPhi())
    z = generator.start(1, 5)
    plain, guided = (
        begun(generator, z, VsdSettings(lr=1e-12, replay=0, guidance=guidance), cond=cond).step(z, 0) for guidance in (1.0, 3.0)
    )
    assert plain.delta.abs().max() < 1e-5
    assert guided.delta.min() > 0, "the conditioned data lie higher"
    assert guided.stats["prior_m"] == pytest.approx(1, abs=1e-4), "M leaves guidance out"


def test_taken_up_again_the_run_is_bit_equal(pocket_generator):
    settings, start = VsdSettings(rank=2, replay=2), pocket_generator.start(2, 5)

    def go(prior, z, steps):
        for step in steps:
            if prior.wants(step):
                pushed = prior.step(z, step)
                z = z + pushed.delta
        return z, pushed.stats

    def begin(rng):
        prior = Vsd(pocket_generator, settings)
        prior.begin(start, 12, rng)
        return prior

    rng = torch.Generator("cpu").manual_seed(3)
    first = begin(rng)
    half, _ = go(first, start, range(4))
    state, at = first.state_dict(), rng.get_state()
    assert all(isinstance(value, (torch.Tensor, int, float, bool)) for value in state.values()) and "replay" in state
    kept = {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in state.items()}
    whole, stats = go(first, half, range(4, 8))
    assert all(torch.equal(v, kept[k]) for k, v in state.items() if isinstance(v, torch.Tensor)), "a state is a copy"

    rng = torch.Generator("cpu").manual_seed(99)
    second = begin(rng)
    second.load_state_dict(state)
    rng.set_state(at)
    again, same = go(second, half, range(4, 8))
    assert torch.equal(again, whole) and stats == same


@pytest.fixture(scope="module")
def pocket_generator():
    return load("image", encoders.load())


def test_thirty_steps_on_the_shipped_prior_keep_a_natural_latent_natural(pocket_generator):
    null = pocket_generator.condition(None)
    # a picture whose latent is about as long as the mean one; those of small things on white are shorter
    z = pocket_generator.sample(null, 4, seed=11, steps=8)[3:4]
    z = z / z.square().mean().sqrt()
    prior = Vsd(pocket_generator, VsdSettings())
    prior.begin(z, 30, torch.Generator("cpu").manual_seed(0))
    state = {k: v.clone() for k, v in pocket_generator.state_dict().items()}
    seen = []
    for step in range(30):
        pushed = prior.step(z, step)
        z = z + pushed.delta
        seen.append((natural(z), pushed.stats["prior_m"]))
    assert all(0.85 < norm < 1.15 and 0.2 < m < 1.02 for norm, m in seen), seen
    assert min(m for _, m in seen) < 0.99, "phi learns"
    assert all(torch.equal(v, state[k]) for k, v in pocket_generator.state_dict().items())
    assert not any(p.grad is not None for p in pocket_generator.parameters())


def test_it_learns_within_a_hosts_inference_mode(pocket_generator):
    with torch.inference_mode():
        z = pocket_generator.start(1, 0)
        prior = Vsd(pocket_generator, VsdSettings(rank=2))
        prior.begin(z, 10, torch.Generator("cpu"))
        prior.step(z, 0), prior.step(z, 1)
    assert any(p.detach().abs().sum() > 0 for p in prior.lora.parameters()[1::2])


def test_begins_with_a_trained_lora():
    phi = SharedPhi()
    with torch.no_grad():
        phi.log_scale.fill_(0.5)
    generator = GaussianGenerator((SIZE,), phi=SharedPhi())
    z = generator.start(1, 5)
    prior = begun(generator, z, VsdSettings(lr=1e-12), lora=phi)
    assert prior.lora is phi and prior.step(z, 0).delta.abs().sum() > 0


def test_it_is_a_prior():
    assert isinstance(Vsd(GaussianGenerator(), QUICK), Prior)
