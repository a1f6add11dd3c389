import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import GaussianGenerator

from concept_algebra.ops.priors.displacement import moved, noised, shifted


@given(st.floats(0.01, 100), st.floats(0.01, 100), st.integers(0, 99))
def test_no_latent_moves_further_than_the_rate_and_a_full_difference_just_so(scale, size, seed):
    rng = torch.Generator().manual_seed(seed)
    z, x0, difference = (s * torch.randn(3, 2, 5, generator=rng) for s in (scale, scale, size))
    delta = moved(z, x0, difference, 0.2)
    assert (delta.abs().mean((1, 2)) <= 0.2001).all()
    torch.testing.assert_close(moved(z, x0, x0 - z, 0.2).abs().mean((1, 2)), torch.full((3,), 0.2))
    torch.testing.assert_close(moved(10 * z, 10 * x0, 10 * difference, 0.2), delta)  # whatever the generator's scale


@given(st.floats(0.1, 20), st.floats(0, 1))
def test_a_shift_keeps_the_ends_and_multiplies_the_odds(shift, u):
    t = shifted(torch.tensor(u, dtype=torch.float64), shift)
    torch.testing.assert_close(t * (1 - u), shift * u * (1 - t))
    assert shifted(torch.tensor(0.5), 3.0) == 0.75


def test_noise_is_laid_on_each_at_its_own_time():
    generator, z = GaussianGenerator((100000,)), torch.ones(2, 100000)
    x, sigma = noised(generator, z, torch.tensor([0.2, 0.7]), torch.Generator().manual_seed(0))
    torch.testing.assert_close(x.mean(1), torch.tensor([0.8, 0.3]), atol=0.01, rtol=0)
    torch.testing.assert_close(x.std(1), torch.tensor([0.2, 0.7]), atol=0.01, rtol=0)
    assert sigma.shape == (2, 1)
