import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from concept_algebra.ops.generators.flow import interpolate, x0_from_velocity
from concept_algebra.ops.generators.parametrisation import cosine, x0_from_epsilon, x0_from_v


def drawn(seed, count):
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 3, 4, generator=rng, dtype=torch.float64) for _ in range(count)]


@given(st.floats(0.01, 0.99), st.integers(0, 1000))
def test_each_family_finds_the_clean_latent(t, seed):
    x0, eps = drawn(seed, 2)
    alpha, sigma = cosine(torch.tensor(t, dtype=torch.float64))
    x_t = alpha * x0 + sigma * eps
    torch.testing.assert_close(x0_from_v(x_t, alpha * eps - sigma * x0, alpha, sigma), x0)
    torch.testing.assert_close(x0_from_epsilon(x_t, eps, alpha, sigma), x0)


@given(st.floats(0.01, 0.99), st.integers(0, 1000))
def test_a_difference_of_predictions_is_one_of_clean_latents(t, seed):
    """x0_q - x0_p: sigma (v_p - v_q) for a velocity of either kind, sigma / alpha (eps_p - eps_q) for noise."""
    x_t, p, q = drawn(seed, 3)
    alpha, sigma = cosine(torch.tensor(t, dtype=torch.float64))
    torch.testing.assert_close(x0_from_v(x_t, q, alpha, sigma) - x0_from_v(x_t, p, alpha, sigma), sigma * (p - q))
    torch.testing.assert_close(x0_from_epsilon(x_t, q, alpha, sigma) - x0_from_epsilon(x_t, p, alpha, sigma), sigma / alpha * (p - q))
    time = torch.full((2,), t, dtype=torch.float64)
    torch.testing.assert_close(x0_from_velocity(x_t, q, time) - x0_from_velocity(x_t, p, time), t * (p - q))


@given(st.floats(0.01, 0.99), st.integers(0, 1000))
def test_the_weight_one_over_sigma_squared_is_the_velocity_loss(t, seed):
    x0, eps, guess = drawn(seed, 3)
    alpha, sigma = cosine(torch.tensor(t, dtype=torch.float64))
    error = x0_from_v(alpha * x0 + sigma * eps, guess, alpha, sigma) - x0
    torch.testing.assert_close((error / sigma).square().mean(), (guess - (alpha * eps - sigma * x0)).square().mean())
    time = torch.full((2,), t, dtype=torch.float64)
    error = x0_from_velocity(interpolate(x0, eps, time), guess, time) - x0
    torch.testing.assert_close((error / t).square().mean(), (guess - (eps - x0)).square().mean())


def test_the_cosine_schedule_keeps_the_variance_and_its_ends():
    alpha, sigma = cosine(torch.linspace(0, 1, 11))
    torch.testing.assert_close(alpha.square() + sigma.square(), torch.ones(11))
    assert alpha[0] == 1 and sigma[0] == 0 and sigma[-1] == 1 and float(alpha[5]) == pytest.approx(math.sqrt(0.5))
