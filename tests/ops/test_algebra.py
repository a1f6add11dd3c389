import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from concept_algebra.ops import algebra

D = 12
seeds = st.integers(0, 2**31)
weights = st.floats(-100, 100)
fractions = st.floats(0, 1)


def vector(seed):
    return torch.randn(D, generator=torch.Generator().manual_seed(seed))


def close(a, b, tolerance=1e-5):
    return torch.allclose(a, b, rtol=tolerance, atol=tolerance)


@settings(deadline=None)
@given(seeds, seeds, seeds, weights)
def test_linear_laws(sa, sb, sc, w):
    a, b, c = vector(sa), vector(sb), vector(sc)
    assert torch.equal(algebra.add(a, b), algebra.add(b, a))
    assert close(algebra.add(algebra.add(a, b), c), algebra.add(a, algebra.add(b, c)))
    assert torch.equal(algebra.add(a, algebra.scale(b, 0)), a)
    assert torch.equal(algebra.add(a, algebra.scale(a, -1)), torch.zeros(D))
    assert close(algebra.scale(algebra.add(a, b), w), algebra.add(algebra.scale(a, w), algebra.scale(b, w)), 1e-3)


@settings(deadline=None)
@given(seeds, seeds, fractions)
def test_lerp_is_exact_at_its_ends_and_symmetric(sa, sb, t):
    a, b = vector(sa), vector(sb)
    assert torch.equal(algebra.lerp(a, b, 0), a) and torch.equal(algebra.lerp(a, b, 1), b)
    assert close(algebra.lerp(a, b, t), algebra.lerp(b, a, 1 - t))
    assert close(algebra.lerp(a, a, t), a)


@settings(deadline=None)
@given(seeds, seeds, fractions)
def test_slerp_stays_on_the_sphere_at_its_share_of_the_angle(sa, sb, t):
    assume(sa != sb)
    a, b = vector(sa), 3 * vector(sb)
    middle, (u, v) = algebra.slerp(a, b, t), (algebra.direction(a), algebra.direction(b))
    assert torch.equal(algebra.slerp(a, b, 0), u) and torch.equal(algebra.slerp(a, b, 1), v)
    assert abs(float(middle.norm()) - 1) < 1e-5
    assert close(middle, algebra.slerp(b, a, 1 - t), 1e-4)
    angle = math.acos(max(-1, min(1, float(u @ v))))
    assert math.acos(max(-1, min(1, float(u @ middle)))) == pytest.approx(t * angle, abs=2e-3)
    assert close(algebra.slerp(a, b, 0.5), algebra.direction(u + v), 1e-4)


def test_slerp_weights_are_those_of_the_closed_form():
    u, v = torch.eye(2, dtype=torch.float64)
    assert algebra.slerp_weights(u, v, 1 / 3) == pytest.approx((math.cos(math.pi / 6), math.sin(math.pi / 6)))


@settings(deadline=None)
@given(seeds, st.floats(1e-9, 1e-3), fractions)
def test_slerp_of_near_vectors_does_not_blow_up(seed, apart, t):
    a = algebra.direction(vector(seed))
    b = algebra.direction(a + apart * vector(seed + 1))
    assert float((algebra.slerp(a, b, t) - a).norm()) <= float((b - a).norm()) + 1e-6


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda a: algebra.slerp(a, -a, 0.5), "opposite directions"),
        (lambda a: algebra.slerp(a, vector(9), 1.5), r"t is 1.5, expected 0..1"),
        (lambda a: algebra.slerp(a, vector(9), math.nan), "t is nan"),
        (lambda a: algebra.slerp(a, 0 * a, 0.5), "zero vector"),
        (lambda a: algebra.lerp(a, a, -0.1), "t is -0.1"),
        (lambda a: algebra.direction(a - a), "zero vector"),
        (lambda a: algebra.scale(a, math.inf), "weight is inf"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(vector(0))
