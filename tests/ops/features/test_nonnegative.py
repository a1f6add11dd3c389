"""Nonnegative least squares against scipy's, the nonnegative lasso against coordinate descent and its optimality conditions."""

import numpy as np
import pytest
import torch
from contracts.mps import apple_silicon
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import nnls as reference
from torch.nn.functional import normalize

from concept_algebra.ops.features.nonnegative import _curvature, lasso, nnls


def problem(seed, rows, atoms, dimension, lean=0.0):
    """Atoms [N, k, D] that lean toward each other, and vectors [N, D], all unit."""
    rng = torch.Generator().manual_seed(seed)
    a = normalize(torch.randn(rows, atoms, dimension, generator=rng) + lean * torch.randn(rows, 1, dimension, generator=rng), dim=-1)
    return a, normalize(torch.randn(rows, dimension, generator=rng) + a.sum(1) * 0.3, dim=-1)


def solved(a, x, start=None):
    return nnls(a @ a.mT, (a @ x[..., None])[..., 0], start)


@given(st.integers(0, 2**31), st.integers(1, 12), st.integers(12, 40), st.floats(0, 2))
def test_nnls_is_scipys(seed, atoms, dimension, lean):
    a, x = problem(seed, 6, atoms, dimension, lean)
    ours = solved(a, x)
    theirs = np.stack([reference(m.T.double().numpy(), v.double().numpy())[0] for m, v in zip(a, x)])
    assert np.allclose(ours, theirs, atol=2e-4)
    assert (ours >= 0).all()


@given(st.integers(0, 2**31), st.integers(2, 12))
def test_nnls_begun_anywhere_ends_in_one_place(seed, atoms):
    a, x = problem(seed, 4, atoms, 20, 0.5)
    start = torch.rand(4, atoms, generator=torch.Generator().manual_seed(seed)) * (torch.arange(atoms) % 2)
    assert torch.allclose(solved(a, x, start), solved(a, x), atol=1e-4)


@given(st.integers(0, 2**31), st.integers(1, 10))
def test_at_the_minimum_no_atom_gains_and_active_ones_are_at_right_angles_to_the_rest(seed, atoms):
    a, x = problem(seed, 5, atoms, 24, 0.7)
    w = solved(a, x)
    left = (a @ (x - (w[:, None] @ a)[:, 0])[..., None])[..., 0]
    assert left.max() < 1e-5 and (left * (w > 0)).abs().max() < 1e-5


def test_absent_atoms_get_no_weight_and_no_atoms_at_all_give_none():
    a, x = problem(0, 3, 6, 24)
    a[:, 4:] = 0
    w = solved(a, x)
    assert torch.equal(w[:, 4:], torch.zeros(3, 2)) and torch.allclose(w[:, :4], solved(a[:, :4], x), atol=1e-6)
    assert torch.equal(solved(torch.zeros_like(a), x), torch.zeros(3, 6))


def test_atoms_that_all_point_away_get_no_weight():
    a, x = problem(0, 3, 4, 24)
    assert torch.equal(solved(-x[:, None].expand_as(a), x), torch.zeros(3, 4))


def test_the_same_atom_twice_does_no_harm():
    a, x = problem(1, 5, 3, 24)
    once, twice = solved(a, x), solved(torch.cat([a, a], 1), x)
    assert torch.allclose((twice[:, None] @ torch.cat([a, a], 1))[:, 0], (once[:, None] @ a)[:, 0], atol=1e-4)


def coordinate_descent(x, atoms, penalty):
    """The nonnegative lasso in double precision, one exact weight at a time."""
    a, x = atoms.double().numpy(), x.double().numpy()
    gram, target, w = a @ a.T, a @ x, np.zeros(len(a))
    for _ in range(2000):
        before = w.copy()
        for j in range(len(a)):
            w[j] = max(0.0, w[j] + target[j] - gram[j] @ w - penalty)
        if np.abs(w - before).max() < 1e-12:
            break
    return w


@pytest.mark.parametrize("penalty", [0.05, 0.2])
@pytest.mark.parametrize("lean", [0.0, 1.0])
def test_lasso_reaches_the_minimum_of_coordinate_descent(penalty, lean):
    a, x = problem(3, 1, 80, 32, lean)
    a, rng = a[0], torch.Generator().manual_seed(4)
    x = normalize(torch.rand(3, 4, generator=rng) @ a[:4] + 0.05 * torch.randn(3, 32, generator=rng), dim=1)

    def objective(w, v):
        return float(np.square(v.double().numpy() - w @ a.double().numpy()).sum() / 2 + penalty * w.sum())

    for ours, v in zip(lasso(x, a, penalty), x):
        theirs = coordinate_descent(v, a, penalty)
        assert 0 < (theirs > 0).sum() < 80
        assert objective(ours.double().numpy(), v) == pytest.approx(objective(theirs, v), rel=1e-4)


@pytest.mark.parametrize("penalty", [0.05, 0.2])
def test_lasso_keeps_its_optimality_conditions(penalty):
    a, x = problem(5, 1, 200, 48, 0.5)[0][0], problem(6, 8, 2, 48)[1]
    w = lasso(x, a, penalty)
    left = (x - w @ a) @ a.T
    assert (w >= 0).all() and left.max() < penalty + 2e-3
    assert (left[w > 1e-3] - penalty).abs().max() < 2e-3


def test_a_penalty_above_every_product_leaves_nothing():
    a, x = problem(7, 1, 50, 24)[0][0], problem(8, 4, 2, 24)[1]
    highest = float((x @ a.T).max())
    assert torch.equal(lasso(x, a, highest * 1.001), torch.zeros(4, 50)) and lasso(x, a, highest * 0.9).max() > 0


@given(st.integers(0, 2**31), st.integers(2, 60), st.floats(0, 2))
def test_the_curvature_is_a_bound_and_not_far_above(seed, atoms, lean):
    a = problem(seed, 1, atoms, 20, lean)[0][0]
    largest = float(torch.linalg.matrix_norm(a, 2) ** 2)
    assert largest * (1 - 1e-5) <= float(_curvature(a)) <= 20 ** (1 / 64) * largest * (1 + 1e-5)


def test_both_run_on_apple_silicon():
    a, x = problem(9, 3, 5, 16)
    with apple_silicon():
        solved(a, x)
        lasso(x, a[0], 0.1)
