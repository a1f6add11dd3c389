"""The laws of arithmetic on codes. Amounts are multiples of 1/64 up to 16, so that sums and differences are exact."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import ToyDictionary

from concept_algebra.ops import algebra
from concept_algebra.ops.features.code import LEFTOVER, Code, DictionaryMismatch
from concept_algebra.ops.space import Space

D, M = 16, 10
TOY = ToyDictionary(Space("toy", D), [f"feature {i}" for i in range(M)])
RESIDUALS = torch.randn(4, D, generator=torch.Generator().manual_seed(3))
amount = st.integers(0, 1024).map(lambda n: n / 64) | st.just(0.0)
fractions = st.floats(0, 1)


def coded(present, sources, taken=(0.0,) * M, taken_sources={}):
    """A code with residuals of some of four sources; what is taken away may be of features that are there: it is unsettled."""
    kept = [i for i in range(4) if sources.get(i) or taken_sources.get(i)]
    weights = torch.tensor([[side.get(i, 0.0) for i in kept] for side in (sources, taken_sources)]).reshape(2, len(kept))
    return Code(TOY, torch.tensor([present, taken]), tuple(f"source {i}" for i in kept), weights, RESIDUALS[kept] if kept else None)


rows, sources = st.lists(amount, min_size=M, max_size=M), st.dictionaries(st.integers(0, 3), amount)
there = st.builds(coded, rows, sources)
codes = there | st.builds(coded, rows, sources, rows, sources)
NOTHING = coded([0.0] * M, {})
settled = codes.map(lambda code: replace(code, amounts=code.amounts - code.amounts.amin(0), weights=code.weights - code.weights.amin(0)))


def whole(code):
    """[2, M + 4]: amounts, and weights of the four sources in order."""
    return torch.cat([code.amounts, code._weights_of(tuple(f"source {i}" for i in range(4)))], 1)


def same(a, b):
    return torch.equal(whole(a), whole(b)) and torch.allclose(a.vector, b.vector, rtol=1e-4, atol=1e-3)


def union(a, b):
    return a.combined(b, algebra.union)


def meet(a, b):
    return a.combined(b, algebra.meet)


def plus(a, b):
    return a.combined(b, algebra.summed)


def minus(a, b):
    return plus(a, b.weighed(-1))


def leftovers_forgotten(code):
    return Code(TOY, code.amounts * torch.tensor([[1.0], [0.0]]), code.sources, code.weights * torch.tensor([[1.0], [0.0]]), code.residuals)


@given(codes, codes, codes)
def test_union_and_meet_are_a_distributive_lattice(a, b, c):
    for op, other in ((union, meet), (meet, union)):
        assert same(op(a, b), op(b, a))
        assert same(op(op(a, b), c), op(a, op(b, c)))
        assert same(op(a, a), a)
        assert same(op(a, other(a, b)), a)
        assert same(op(a, other(b, c)), other(op(a, b), op(a, c)))
    assert same(union(a, NOTHING), a) and same(meet(a, NOTHING), NOTHING)


@given(settled, settled, settled)
def test_sums_are_a_commutative_group_with_leftovers(a, b, c):
    assert same(plus(a, b), plus(b, a))
    assert same(plus(plus(a, b), c), plus(a, plus(b, c)))
    assert same(plus(a, NOTHING), a)
    assert same(minus(plus(a, b), b), a)
    assert same(plus(minus(a, b), b), a)
    assert same(minus(a, a), NOTHING)
    assert not (whole(plus(a, b)).amin(0) > 0).any()


@given(codes, codes)
def test_a_sum_leaves_alone_what_only_one_side_has(a, b):
    total, mine, theirs = whole(plus(a, b)), whole(a), whole(b)
    assert same(plus(a, b), plus(b, a)) and same(plus(a, NOTHING), a)
    for one, other in ((mine, theirs), (theirs, mine)):
        alone = ~(other > 0).any(0)
        assert torch.equal(total[:, alone], one[:, alone])
    both = (mine > 0).any(0) & (theirs > 0).any(0)
    assert not (total.amin(0) > 0)[both].any()


@given(there, there)
def test_a_sum_of_what_is_there_decodes_to_the_sum(a, b):
    assert torch.allclose(plus(a, b).vector, a.vector + b.vector, rtol=1e-4, atol=1e-3)


@given(codes, codes, st.integers(-256, 256).map(lambda n: n / 64))
def test_in_full_leftovers_make_it_linear(a, b, w):
    assert torch.allclose(plus(a, b.weighed(w)).linear, a.linear + w * b.linear, rtol=1e-3, atol=1e-2)


@given(there)
def test_the_negative_of_a_code_is_a_quarter_of_its_opposite(a):
    assert torch.allclose(a.weighed(-1).vector, -LEFTOVER * a.vector, rtol=1e-4, atol=1e-3)


@given(there, there, there)
def test_a_difference_is_truncated_and_never_adds(a, b, c):
    left = whole(minus(a, b))[0]
    assert torch.equal(left, (whole(a)[0] - whole(b)[0]).clamp_min(0))
    assert not (left > 0)[whole(a)[0] == 0].any()
    in_turn, other_way = (leftovers_forgotten(minus(leftovers_forgotten(minus(a, x)), y)) for x, y in ((b, c), (c, b)))
    assert same(in_turn, other_way)
    assert same(minus(a, NOTHING), a)
    both = whole(minus(union(a, b), b))[0]
    outside = whole(b)[0] == 0
    assert torch.equal(both[outside], whole(a)[0][outside]) and (both <= whole(a)[0]).all()


@given(codes, codes, fractions)
def test_mixtures_decode_linearly(a, b, t):
    mixed = a.combined(b, lambda x, y: algebra.mixed(x, y, 1 - t, t))
    assert torch.allclose(mixed.vector, (1 - t) * a.vector + t * b.vector, rtol=1e-3, atol=1e-3)
    ends = [a.combined(b, lambda x, y, w=w: algebra.mixed(x, y, 1 - w, w)) for w in (0.0, 1.0)]
    assert same(ends[0], a) and same(ends[1], b)
    assert torch.allclose(whole(a.combined(a, lambda x, y: algebra.mixed(x, y, 1 - t, t))), whole(a), rtol=1e-6)


@given(there, st.integers(1, 640).map(lambda n: n / 64))
def test_shared_features_are_told_by_proportion(a, factor):
    assert torch.equal(a.shared(a.weighed(factor)), a.amounts[0].nonzero()[:, 0])
    strongest = a.active[:1]
    for index in strongest.tolist():
        assert a.shared(Code.single(index, TOY)).tolist() == [index]


def test_a_trace_of_a_feature_does_not_make_it_shared():
    dog, fur = coded([8.0, 2, 0, 1, 0, 0, 0, 0, 0, 0], {}), coded([1.0, 4, 3, 0, 0, 0, 0, 0, 0, 0], {})
    assert dog.shared(fur).tolist() == [1, 2] and fur.shared(dog).tolist() == [0, 3]


@given(codes, st.sets(st.integers(0, M - 1), min_size=1), st.floats(0, 4))
def test_scaling_features_touches_them_alone(a, chosen, factor):
    chosen = torch.tensor(sorted(chosen))
    others = torch.tensor([i for i in range(M) if i not in chosen.tolist()], dtype=torch.long)
    made = a.scaled(chosen, factor)
    assert torch.equal(made.amounts[:, chosen], a.amounts[:, chosen] * factor)
    assert torch.equal(made.amounts[:, others], a.amounts[:, others]) and made.sources == a.sources
    assert same(a.scaled(chosen, 1.0), a)
    dropped = a.scaled(chosen, 0.0)
    assert same(dropped.scaled(chosen, 0.0), dropped)


@given(codes, st.sets(st.integers(0, M - 1), min_size=1, max_size=4))
def test_erasing_leaves_nothing_along_the_features(a, chosen):
    chosen = torch.tensor(sorted(chosen))
    made = a.erased(chosen)
    size = 1e-4 * (1 + float(a.vector.norm()))
    assert made.leak(chosen).abs().max() < size
    assert not made.amounts[:, chosen].any()
    assert torch.allclose(made.erased(chosen).vector, made.vector, atol=10 * size)
    # the projection is orthogonal: what lies across the atoms is as it was
    across = torch.linalg.qr(torch.cat([TOY.atoms[chosen], RESIDUALS]).T).Q[:, len(chosen) :]
    assert torch.allclose(across.T @ made.vector, across.T @ a.scaled(chosen, 0.0).vector, atol=10 * size)


@given(codes, st.sets(st.integers(0, M - 1), min_size=1, max_size=4))
def test_an_edit_that_changes_the_code_changes_the_vector(a, chosen):
    chosen = torch.tensor(sorted(chosen))
    moved = (a.amounts[0, chosen] - LEFTOVER * a.amounts[1, chosen]) @ TOY.atoms[chosen]
    assert torch.allclose(a.vector - a.scaled(chosen, 0.0).vector, moved, rtol=1e-4, atol=1e-3)
    assert bool((a.amounts[0, chosen] != LEFTOVER * a.amounts[1, chosen]).any()) == bool(moved.norm() > 1e-4)


@given(st.integers(0, 1000))
def test_decoding_gives_the_source_back(seed):
    x = torch.randn(D, generator=torch.Generator().manual_seed(seed))
    code = Code.of(x, "text", "x", TOY)
    assert torch.allclose(code.vector, x, atol=1e-6)
    assert torch.equal(code.amounts[0], TOY.encode(x[None], "text")[0]) and not code.amounts[1].any()
    # the same source twice is one: its residual is not counted twice
    assert torch.allclose(union(code, Code.of(x, "text", "x", TOY)).vector, x, atol=1e-6)


def test_features_are_told_strongest_first():
    a, b = coded([0, 3, 0, 1, 2, 0, 0, 0, 0, 0], {}), coded([1.0, 0, 0, 2, 0, 0, 0, 0, 0, 0], {})
    assert a.features(2) == [("feature 1", 3.0), ("feature 4", 2.0)] and a.active.tolist() == [1, 4, 3]
    assert minus(a, b).features() == [("feature 1", 3.0), ("feature 4", 2.0)]
    assert minus(a, b).taken() == [("feature 0", 1.0), ("feature 3", 1.0)]
    assert torch.allclose(minus(a, b).leftovers, TOY.atoms[0] + TOY.atoms[3])


def test_codes_of_two_dictionaries_do_not_mix():
    other = ToyDictionary(TOY.space, TOY.names, seed=1)
    with pytest.raises(DictionaryMismatch, match="'toy-10-0' and 'toy-10-1'"):
        NOTHING.combined(Code.single(0, other), algebra.union)
