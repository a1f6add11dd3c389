"""Objectives are values: the laws of their algebra."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from concept_algebra.ops.objective.value import Measure, Moment, Objective

MOMENT = Moment(0.5, torch.Generator("cpu"))
NUMBERS = st.floats(-8, 8)
TERMS = st.tuples(NUMBERS, st.sampled_from(["a", "b"]))


def term(factor, name="a"):
    """loss factor * mean(x), which is also its metric."""

    def measure(x, moment):
        value = factor * x.mean(1)
        return Measure(value, {name: value.detach()})

    return Objective(name, measure)


def at(objective, x=((1.0, 2.0), (3.0, -1.0))):
    return objective(torch.tensor(x), MOMENT)


def same(left, right):
    return torch.allclose(at(left).loss, at(right).loss, atol=1e-4)


@given(TERMS, TERMS, TERMS, NUMBERS, NUMBERS)
def test_losses_form_a_vector_space(a, b, c, s, t):
    a, b, c = term(*a), term(*b), term(*c)
    assert same(a + b, b + a)
    assert same((a + b) + c, a + (b + c))
    assert same(s * (a + b), s * a + s * b)
    assert same((s + t) * a, s * a + t * a)
    assert same(s * (t * a), (s * t) * a)
    assert same(a * s, s * a)
    assert same(1 * a, a)


def test_a_term_scaled_by_zero_is_watched_only():
    loss, metrics = at(term(2.0, "a") + 0 * term(3.0, "b"))
    assert torch.equal(loss, at(term(2.0)).loss)
    assert torch.equal(metrics["b"], at(term(3.0)).loss)


def test_metrics_of_one_name_are_numbered():
    metrics = at(term(1.0) + term(2.0) + term(3.0)).metrics
    assert list(metrics) == ["a", "a 2", "a 3"]
    assert [float(value[0]) for value in metrics.values()] == [1.5, 3.0, 4.5]


def test_descriptions_say_what_was_composed():
    assert (0.5 * term(1, "a") + term(1, "b")).description == "0.5 * (a) + b"


@pytest.mark.parametrize("other", ["1", None, term(1.0)])
def test_only_numbers_scale(other):
    with pytest.raises(TypeError):
        other * term(1.0)


def test_only_objectives_add():
    with pytest.raises(TypeError):
        term(1.0) + 1
