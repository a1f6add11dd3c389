"""The bridge: its displacement in closed form, on the Gaussian oracle, and whom it cannot serve."""

import pytest
import torch
from toys import GaussianGenerator

from concept_algebra.ops.encoders import pocket as encoders
from concept_algebra.ops.generators.pocket import load
from concept_algebra.ops.priors.bridge import TRAVEL, Bridge
from concept_algebra.ops.priors.displacement import noised, rate
from concept_algebra.ops.priors.protocol import Prior
from concept_algebra.ops.priors.settings import BridgeSettings

SIZE = 4096
SETTINGS = BridgeSettings("right", "wrong")


def swept(right, wrong, scale=1.0, steps=300, size=1):
    generator = GaussianGenerator((SIZE,), words={"right": right, "wrong": wrong})
    z, prior = scale * generator.start(size, 5), Bridge(generator, SETTINGS)
    prior.begin(z, steps, torch.Generator("cpu").manual_seed(3))
    for step in range(steps):
        z = z + prior.step(z, step).delta
    return z


@pytest.mark.parametrize("family", ["flow", "v", "epsilon"])
def test_it_is_the_normalised_difference_of_two_exact_predictions(family):
    generator = GaussianGenerator((SIZE,), family=family, words={"right": (0.5, 1.0), "wrong": (0.0, 0.6)})
    z, prior, rng = generator.start(2, 5), Bridge(generator, SETTINGS), torch.Generator("cpu").manual_seed(3)
    prior.begin(z, 10, torch.Generator("cpu").manual_seed(3))
    for step in range(10):
        pushed = prior.step(z, step)
        t = torch.rand(2, generator=rng).clamp(0.02, 0.98)
        noisy, _ = noised(generator, z, t, rng)
        right = generator.predict_x0(noisy, t, (0.5, 1.0))
        difference = right - generator.predict_x0(noisy, t, (0.0, 0.6))
        size = torch.maximum((z - right).abs().mean(1), difference.abs().mean(1))
        torch.testing.assert_close(pushed.delta, rate(step, 10, TRAVEL) * difference / size[:, None])


def test_it_has_no_aim_but_goes_where_the_words_differ_and_nowhere_else():
    """On the oracle it raises what the right words have more of, from wherever it starts, and never settles at the law."""
    higher = swept((0.5, 1.0), (-0.5, 1.0))
    assert float(higher.mean()) > 0.5 and float(higher.std()) == pytest.approx(1, abs=0.05)
    wider = swept((0.0, 1.0), (0.0, 0.5))
    assert float(wider.norm() / SIZE**0.5) > 1.1 and abs(float(wider.mean())) < 0.05
    assert float(swept((0.0, 0.5), (0.0, 1.0)).norm() / SIZE**0.5) < 0.9
    start = GaussianGenerator((SIZE,)).start(1, 5)
    assert torch.equal(swept((0.0, 1.0), (0.0, 1.0)), start), "words that say the same move nothing"


def test_taken_up_again_the_run_is_bit_equal():
    generator = GaussianGenerator(words={"right": (0.5, 1.0), "wrong": (0.0, 0.6)})
    z, rng = generator.start(1, 5), torch.Generator("cpu").manual_seed(3)
    first, second = Bridge(generator, SETTINGS), Bridge(generator, SETTINGS)
    first.begin(z, 20, rng)
    for step in range(10):
        z = z + first.step(z, step).delta
    state, at = first.state_dict(), rng.get_state()
    expected = first.step(z, 10).delta
    again = torch.Generator("cpu")
    second.begin(torch.zeros_like(z), 20, again)
    second.load_state_dict(state)
    again.set_state(at)
    assert torch.equal(second.step(z, 10).delta, expected)


def test_it_is_a_prior_that_is_asked_at_every_so_many_steps():
    generator = GaussianGenerator(words={"right": (0.0, 1.0), "wrong": (0.0, 0.5)})
    prior = Bridge(generator, BridgeSettings("right", "wrong", every=3))
    assert isinstance(prior, Prior) and [step for step in range(7) if prior.wants(step)] == [0, 3, 6]
    z = torch.ones(1, 3)
    assert prior.estimate(z) is z


def test_a_generator_that_takes_no_words_is_refused_at_once(encoder):
    with pytest.raises(ValueError, match="prompt 'detailed.*pocket encoder only"):
        Bridge(load("image", encoder), BridgeSettings())


def test_the_pocket_takes_the_words():
    generator = load("image", encoders.load())
    prior = Bridge(generator, BridgeSettings())
    z = generator.start(2, 0)
    prior.begin(z, 10, torch.Generator("cpu").manual_seed(0))
    delta = prior.step(z, 0).delta
    assert delta.shape == z.shape and 0 < float(delta.abs().mean()) <= 0.3
