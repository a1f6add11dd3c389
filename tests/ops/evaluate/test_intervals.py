"""Intervals against scipy's, against their coverage by simulation, and by their laws."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from concept_algebra.ops.evaluate.intervals import balanced_interval, mean_interval, percentile_interval, wilson

numbers = st.lists(st.floats(-100, 100), min_size=3, max_size=12).filter(lambda x: max(x) - min(x) > 1e-3)


@given(numbers, st.sampled_from([0.5, 0.9, 0.95]))
def test_the_mean_interval_is_students(values, level):
    found = mean_interval(values, level)
    low, high = stats.t.interval(level, len(values) - 1, loc=sum(values) / len(values), scale=stats.sem(values))
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0], [2.0, 2.0, 2.0]])
def test_without_enough_that_differ_there_is_none(values):
    assert mean_interval(values) is None


def test_nan_is_refused():
    with pytest.raises(ValueError, match="not all finite"):
        mean_interval([1.0, math.nan, 2.0])


@given(st.integers(1, 60), st.integers(0, 60))
def test_wilson_is_scipys(count, hits):
    hits = min(hits, count)
    found = wilson(hits, count)
    reference = stats.binomtest(hits, count).proportion_ci(method="wilson")
    assert (found.low, found.high) == (pytest.approx(reference.low, abs=1e-9), pytest.approx(reference.high, abs=1e-9))
    assert 0 <= found.low <= found.estimate <= found.high <= 1


@pytest.mark.parametrize("hits, count", [(-1, 3), (4, 3), (0, 0)])
def test_no_rate_is_refused(hits, count):
    with pytest.raises(ValueError, match="expected 0 to count"):
        wilson(hits, count)


@given(st.lists(st.integers(1, 601), min_size=3, max_size=8).filter(lambda x: len(set(x)) > 1))
def test_percentiles_keep_to_their_scale_and_around_their_values(places):
    found = percentile_interval([place / 601 for place in places], 600)
    assert 0 < found.low < found.estimate < found.high < 1
    assert (min(places) - 0.5) / 601 - 1e-9 <= found.estimate <= (max(places) - 0.5) / 601 + 1e-9


@given(st.lists(st.integers(1, 601), min_size=3, max_size=6).filter(lambda x: len(set(x)) > 1))
def test_the_interval_of_mirrored_percentiles_is_mirrored(places):
    ours, mirrored = (percentile_interval([place / 601 for place in side], 600) for side in (places, [602 - place for place in places]))
    assert ours.low == pytest.approx(1 - mirrored.high, abs=1e-9) and ours.estimate == pytest.approx(1 - mirrored.estimate, abs=1e-9)


@pytest.mark.parametrize("percentiles, rivals", [([0.0, 0.5, 0.6], 600), ([0.5, 1.1, 0.6], 600), ([0.5, 0.6, 0.7], 0)])
def test_no_percentiles_are_refused(percentiles, rivals):
    with pytest.raises(ValueError, match="expected them above 0"):
        percentile_interval(percentiles, rivals)


def test_all_at_the_top_have_no_interval():
    assert percentile_interval([1.0, 1.0, 1.0], 600) is None


@pytest.mark.parametrize("rates, counts", [((0.9, 0.7), (60, 60)), ((0.6, 0.95), (70, 40))])
def test_balanced_accuracy_is_covered_as_often_as_said(rates, counts):
    rng = torch.Generator().manual_seed(0)
    drawn = [torch.rand(800, count, generator=rng).lt(rate).sum(1).tolist() for rate, count in zip(rates, counts)]
    found = [balanced_interval((a, counts[0]), (b, counts[1])) for a, b in zip(*drawn)]
    share = sum(interval.low <= sum(rates) / 2 <= interval.high for interval in found) / 800
    assert abs(share - 0.95) < 0.03


def test_balanced_accuracy_is_the_mean_of_both_sides():
    found = balanced_interval((9, 10), (50, 100))
    assert found.estimate == pytest.approx(0.7)
    one, other = wilson(9, 10), wilson(50, 100)
    assert found.high - found.estimate == pytest.approx(math.hypot(one.high - 0.9, other.high - 0.5) / 2)
