"""Newton's minimum against scipy's, its gradient against zero, and Platt's probabilities against the rate that made the scores."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from concept_algebra.ops.interpret.logistic import even, logistic, platt


def problem(seed, count, width):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(count, width, generator=rng)
    return x, torch.rand(count, generator=rng), 0.2 + torch.rand(count, generator=rng)


def loss(w, b, x, y, c, ridge):
    scores = x.double() @ w + b
    return (c * (torch.nn.functional.softplus(scores) - y * scores)).sum() + ridge / 2 * w.square().sum()


@given(st.integers(0, 10_000), st.integers(3, 12), st.integers(1, 20), st.sampled_from([0.01, 1.0, 30.0]))
def test_the_gradient_is_zero_there(seed, count, width, ridge):
    x, y, c = problem(seed, count, width)
    w, b = logistic(x, y, c, ridge)
    at = torch.cat([w, torch.tensor([b], dtype=torch.float64)]).requires_grad_()
    loss(at[:-1], at[-1], x, y, c, ridge).backward()
    assert at.grad.abs().max() < 1e-6


@pytest.mark.parametrize("count, width", [(40, 5), (6, 30)])
def test_the_minimum_is_scipys(count, width):
    x, y, c = problem(1, count, width)

    def value(at):
        at = torch.tensor(at, requires_grad=True)
        found = loss(at[:-1], at[-1], x, y, c, 0.5)
        found.backward()
        return float(found.detach()), at.grad.numpy()

    reference = minimize(value, torch.zeros(width + 1, dtype=torch.float64).numpy(), jac=True, method="BFGS", options={"gtol": 1e-9})
    w, b = logistic(x, y, c, 0.5)
    assert torch.cat([w, torch.tensor([b])]).allclose(torch.tensor(reference.x), atol=1e-5)


def test_separable_rows_end_at_a_finite_direction_whatever_their_scale():
    x = torch.tensor([[-1e4, 0.0], [-2e4, 1.0], [1e4, 0.0], [3e4, -1.0]])
    w, b = logistic(x, torch.tensor([0.0, 0.0, 1.0, 1.0]), torch.ones(4), 1e-3)
    assert w.isfinite().all() and ((x.double() @ w + b > 0) == torch.tensor([False, False, True, True])).all()


@pytest.mark.parametrize(
    "x, y, c, ridge",
    [
        (torch.ones(3), torch.ones(3), torch.ones(3), 1.0), (torch.ones(3, 2), torch.ones(2), torch.ones(3), 1.0),
        (torch.empty(0, 2), torch.empty(0), torch.empty(0), 1.0), (torch.ones(3, 2), 2 * torch.ones(3), torch.ones(3), 1.0),
        (torch.ones(3, 2), torch.ones(3), torch.zeros(3), 1.0), (torch.ones(3, 2), torch.ones(3), torch.ones(3), 0.0),
        (torch.full((3, 2), float("nan")), torch.ones(3), torch.ones(3), 1.0),
    ],
)  # fmt: skip
def test_what_has_no_minimum_is_refused(x, y, c, ridge):
    with pytest.raises(ValueError, match="expected"):
        logistic(x, y, c, ridge)


def test_platt_finds_the_rate_that_made_the_scores():
    rng = torch.Generator().manual_seed(0)
    scores = 2 * torch.randn(20_000, generator=rng)
    positive = torch.rand(20_000, generator=rng) < torch.sigmoid(0.7 * scores)
    slope, offset = platt(scores, positive)
    assert slope == pytest.approx(0.7, abs=0.03) and offset == pytest.approx(0, abs=0.05)


def test_platt_is_at_even_odds_however_many_of_each_there_are():
    rng = torch.Generator().manual_seed(0)
    scores = torch.cat([1 + torch.randn(4000, generator=rng), -1 + torch.randn(400, generator=rng)])
    slope, offset = platt(scores, torch.arange(4400) < 4000)
    # of two normal clouds at distance 2 the log odds are 2 x
    assert slope == pytest.approx(2, abs=0.15) and offset == pytest.approx(0, abs=0.15)


def test_separable_scores_have_a_finite_slope_and_one_side_none():
    slope, _ = platt(torch.tensor([-1.0, -2.0, 1.0, 2.0]), torch.tensor([False, False, True, True]))
    assert 0 < slope < 10
    with pytest.raises(ValueError, match="some of both"):
        platt(torch.ones(3), torch.ones(3, dtype=torch.bool))


def test_even_weights_make_both_sides_the_same():
    weights = even(torch.tensor([True, False, False, False]))
    assert weights.tolist() == pytest.approx([2, 2 / 3, 2 / 3, 2 / 3])
