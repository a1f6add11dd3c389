"""Stability over seeds: closed forms, and rank-biased overlap against its own infinite sum."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from concept_algebra.ops.evaluate.score import Score
from concept_algebra.ops.evaluate.stability import rank_biased_overlap, stability

rankings = st.lists(st.integers(0, 8), unique=True, max_size=7)


def infinite(a, b, p, depth=400):
    """(1 - p) sum_d p^(d-1) A_d, where beyond the ends A_d goes on as in Webber et al. section 4: assumed, not drawn."""
    s, length = sorted((len(a), len(b)))
    short, long = sorted((a, b), key=len)
    total = 0.0
    at_s = len(set(short) & set(long[:s]))
    for d in range(1, depth):
        if d <= s:
            agreed = len(set(a[:d]) & set(b[:d])) / d
        elif d <= length:
            # what the longer one shows below the shorter one's end, and the shorter one going on at its rate
            agreed = (len(set(short) & set(long[:d])) + (d - s) * at_s / s) / d
        else:
            agreed = (len(set(short) & set(long)) + (length - s) * at_s / s) / length
        total += (1 - p) * p ** (d - 1) * agreed
    return total


@given(rankings, rankings, st.sampled_from([0.5, 0.8, 0.9]))
def test_overlap_is_the_infinite_sum(a, b, p):
    assume(a and b)
    assert rank_biased_overlap(a, b, p) == pytest.approx(infinite(a, b, p), abs=1e-6)


@given(rankings, rankings)
def test_overlap_is_symmetric_and_a_share(a, b):
    found = rank_biased_overlap(a, b)
    assert found == pytest.approx(rank_biased_overlap(b, a)) and -1e-9 <= found <= 1 + 1e-9


@given(rankings)
def test_the_same_ranking_overlaps_wholly_and_another_not_at_all(a):
    assert rank_biased_overlap(a, a) == pytest.approx(1)
    if a:
        assert rank_biased_overlap(a, [x + 100 for x in a]) == 0
        assert rank_biased_overlap(a, []) == 0


def test_the_head_weighs_most():
    best = list(range(10))
    swapped_head, swapped_tail = [1, 0, *best[2:]], [*best[:8], 9, 8]
    assert rank_biased_overlap(best, swapped_head) < rank_biased_overlap(best, swapped_tail) < 1


def test_no_rankings_are_refused():
    with pytest.raises(ValueError, match="twice"):
        rank_biased_overlap([1, 1], [2])
    with pytest.raises(ValueError, match="p is 1"):
        rank_biased_overlap([1], [1], p=1)


def place(above, count=600):
    return Score((1 + count - above) / (count + 1), 2.0, above, count, 0.2)


def test_three_seeds_by_hand():
    rows = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    found = stability(rows, "small-0", [place(0), place(4), place(90)], [["a", "b"], ["a", "b"], ["c"]])
    assert found.seeds == 3 and found.by == "small-0"
    assert found.cosine == pytest.approx((0 + 2 * 0.5**0.5) / 3, abs=1e-6)
    assert found.overlap == pytest.approx(1 / 3)
    assert found.percentiles == pytest.approx((1.0, 597 / 601, 511 / 601))
    assert found.percentile.low < 597 / 601 < found.percentile.high
    assert found.recognised.estimate == pytest.approx(2 / 3)


def test_two_seeds_have_values_and_no_interval():
    found = stability(torch.eye(2), "small-0", [place(0), place(9)])
    assert found.percentile is None and len(found.percentiles) == 2 and found.overlap is None


def test_only_the_ten_strongest_features_count():
    head = list(range(10))
    found = stability(torch.eye(2), "x", features=[[*head, "p"], [*head, "q"]])
    assert found.overlap == pytest.approx(1) and found.recognised is None


@pytest.mark.parametrize(
    "rows, more, told",
    [(torch.ones(1, 4), {}, "two seeds"), (torch.ones(4), {}, "two seeds"), (torch.eye(3), {"scores": [place(0)]}, "1 scores for 3")],
)
def test_what_does_not_fit_is_refused(rows, more, told):
    with pytest.raises(ValueError, match=told):
        stability(rows, "x", **more)
