"""A latent as a sum of levels: exact, linear, for every shape of latent."""

import pytest
import torch
from contracts.mps import apple_silicon
from hypothesis import given
from hypothesis import strategies as st
from toys import GaussianGenerator

from concept_algebra.ops.optimise import optimise
from concept_algebra.ops.pyramid import Pyramid, upsampled
from concept_algebra.ops.priors.none import NoPrior
from concept_algebra.ops.schedule import Schedule
from test_optimise import toward

SHAPES = [(2, 3, 16, 16), (2, 4, 3, 8, 12), (2, 5, 64), (2, 7), (1, 8, 8, 16), (2, 3, 5, 7)]


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@given(levels=st.integers(1, 6))
def test_levels_sum_to_the_start_bit_for_bit(shape, levels):
    z = drawn(*shape)
    split = Pyramid(levels).split(z)
    assert len(split) == levels
    assert torch.equal(Pyramid(levels).joined(split), z)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_constant_on_any_level_is_a_constant_of_the_latent(shape):
    pyramid = Pyramid(4)
    levels = [torch.full_like(level, float(k + 1)) for k, level in enumerate(pyramid.split(torch.zeros(shape)))]
    assert torch.allclose(pyramid.joined(levels), torch.full(shape, 10.0), atol=1e-5)


def test_upsampling_is_linear_between_the_centres():
    # the centres of two values over eight lie at 1.5 and 5.5; beyond them the ends are held
    up = upsampled(torch.tensor([[0.0, 4.0]]), torch.zeros(1, 8))
    assert torch.allclose(up, torch.tensor([[0.0, 0.0, 0.5, 1.5, 2.5, 3.5, 4.0, 4.0]]))
    square = upsampled(torch.tensor([[[[0.0, 4.0]]]]), torch.zeros(1, 1, 8, 8))
    assert torch.allclose(square, up.expand(1, 1, 8, 8))


def test_frames_and_channels_do_not_mix():
    z = torch.zeros(2, 4, 3, 8, 8)
    levels = Pyramid(2).split(z)
    levels[0] = levels[0].clone()
    levels[0][1, 2, 0] = 1.0
    joined = Pyramid(2).joined(levels)
    assert torch.equal(joined[1, 2, 0], torch.ones(8, 8)) and float(joined.sum()) == 64


def test_rates_follow_the_cells_that_a_value_covers():
    assert Pyramid(3).rates(torch.zeros(1, 2, 16, 16)) == pytest.approx([1 / 4, 1 / 2, 1])
    assert Pyramid(3).rates(torch.zeros(1, 2, 16)) == pytest.approx([1 / 2, 2**-0.5, 1])
    # a side of 4 cannot be halved five times
    assert Pyramid(6).rates(torch.zeros(1, 2, 4, 4))[:4] == pytest.approx([1 / 4] * 4)


def test_no_levels_are_refused():
    with pytest.raises(ValueError, match="levels must be at least 1, not 0"):
        Pyramid(0)


@pytest.mark.parametrize("shape", [(2, 4, 4), (2, 1, 4, 4), (2, 4), (8,)], ids=str)
def test_gradient_is_the_finite_difference(shape):
    z = drawn(1, *shape).double()
    levels = [level.clone().requires_grad_() for level in Pyramid(3).split(z)]
    assert torch.autograd.gradcheck(lambda *levels: Pyramid(3).joined(levels).square(), levels)


@pytest.mark.parametrize("descent", ["adam", "normalised"])
def test_a_run_in_levels_comes_to_the_same_optimum(descent):
    schedule = Schedule(150, lr=0.1, final_lr=0.0, descent=descent, parametrisation=Pyramid(3))
    last = list(optimise(GaussianGenerator((3, 8, 8)), toward(0.5), NoPrior(), schedule, 7))[-1]
    assert torch.allclose(last.latent, torch.full_like(last.latent, 0.5), atol=0.02)


def test_a_coarse_target_is_reached_sooner_in_levels():
    # half the picture up, half down: one value of the coarse level says what the fine one has 128 values for
    target = torch.cat([torch.full((3, 16, 8), 2.0), torch.full((3, 16, 8), -2.0)], dim=-1)[None]

    def distance(levels):
        schedule = Schedule(15, lr=0.1, final_lr=0.1, warmup=0, parametrisation=Pyramid(levels))
        return list(optimise(GaussianGenerator(), toward(target), NoPrior(), schedule, 7))[-1].loss

    assert distance(4) < 0.7 * distance(1)


@pytest.mark.parametrize("shape", [(3, 16, 16), (4, 3, 16, 16), (5, 64)], ids=str)
def test_keeps_the_apple_silicon_contract(shape):
    schedule = Schedule(2, lr=0.1, final_lr=0.1, parametrisation=Pyramid(3))
    with apple_silicon():
        assert len(list(optimise(GaussianGenerator(shape), toward(0.5), NoPrior(), schedule, 0))) == 2
