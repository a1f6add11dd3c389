"""Each number of the card against its definition, written out in loops, and against cases known beforehand."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ortho_group
from torch.nn.functional import cosine_similarity, normalize

from concept_algebra.ops.features.metrics import dead, jaccard, matched, mean_pair_cosine, monosemanticity, unimodal

SEEDS = st.integers(0, 2**31)


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sparse(seed, count, width, share=0.3):
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(count, width, generator=rng) * (torch.rand(count, width, generator=rng) < share)


def test_features_are_dead_of_one_modality_or_of_several():
    rates = torch.tensor([[0.0, 0.5, 0.2, 0.001, 0.0, 0.02], [0.0, 0.0, 0.2, 0.5, 0.1, 0.0]])
    assert dead(rates).tolist() == [True, False, False, False, False, False]
    assert unimodal(rates).tolist() == [False, True, False, True, True, True]
    # 0.94 of the firing is in one: not quite
    assert unimodal(torch.tensor([[0.94], [0.06]])).tolist() == [False]


@given(SEEDS, st.integers(2, 12))
def test_jaccard_is_that_of_sets(seed, count):
    a, b = sparse(seed, count, 9, 0.4) > 0, sparse(seed + 1, count, 9, 0.4) > 0
    sets = [({j for j in range(9) if row[j]}) for row in a], [({j for j in range(9) if row[j]}) for row in b]
    share = [[len(p & q) / max(len(p | q), 1) for q in sets[1]] for p in sets[0]]
    paired, strangers = jaccard(a, b)
    off = [share[i][j] for i, j in itertools.permutations(range(count), 2)]
    assert paired == pytest.approx(sum(share[i][i] for i in range(count)) / count, abs=1e-6)
    assert strangers == pytest.approx(sum(off) / len(off), abs=1e-6)


def test_members_of_several_pairs_are_no_strangers():
    a = torch.tensor([[1, 0], [1, 0], [0, 1]]).bool()
    same = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]]).bool()
    assert jaccard(a, a) == (1, pytest.approx(1 / 3)) and jaccard(a, a, same) == (1, 0)
    assert math.isnan(jaccard(a[:1], a[:1])[1])


def by_definition(codes, embeddings):
    """Pach et al. 2025, equation for MS, over every pair of items."""
    scores = []
    for j in range(codes.shape[1]):
        low, high = float(codes[:, j].min()), float(codes[:, j].max())
        a = [(float(value) - low) / (high - low) if high > low else 0.0 for value in codes[:, j]]
        above = below = 0.0
        for n, k in itertools.combinations(range(len(a)), 2):
            above += a[n] * a[k] * float(cosine_similarity(embeddings[n], embeddings[k], dim=0))
            below += a[n] * a[k]
        scores.append(above / below if below else math.nan)
    return torch.tensor(scores)


@given(SEEDS, st.sampled_from([0.05, 0.3, 1.0]))
def test_monosemanticity_in_closed_form_is_the_sum_over_pairs(seed, share):
    codes, embeddings = sparse(seed, 14, 5, share), normalize(normal(seed + 1, 14, 6), dim=1)
    expected = by_definition(codes, embeddings)
    assert torch.allclose(monosemanticity(codes, embeddings), expected, atol=1e-4, equal_nan=True)


def test_monosemanticity_tells_a_pure_feature_from_a_mixed_and_from_a_constant_one():
    embeddings = torch.eye(4)[torch.arange(20) % 4]
    pure, mixed = (torch.arange(20) % 4 == 1).float(), (torch.arange(20) % 4 < 2).float()
    almost_constant = torch.ones(20) + 1e-3 * (torch.arange(20) % 4 == 1)
    score = monosemanticity(torch.stack([pure, 3 * mixed, almost_constant, torch.zeros(20), torch.eye(20)[3]], 1), embeddings)
    assert score[:2].tolist() == pytest.approx([1, 4 / 9], abs=1e-5)  # of 45 pairs 20 are alike
    assert float(score[2]) == pytest.approx(1, abs=1e-3) and score[3:].isnan().all()


def test_a_constant_feature_scores_the_mean_cosine_of_all_pairs():
    embeddings = normalize(normal(0, 12, 5) + 0.3, dim=1)
    pairs = [float(a @ b) for a, b in itertools.combinations(embeddings, 2)]
    assert mean_pair_cosine(embeddings) == pytest.approx(sum(pairs) / len(pairs), abs=1e-6)


@given(SEEDS, st.integers(2, 6))
def test_partners_are_those_of_the_best_of_all_permutations(seed, width):
    a, b = normalize(normal(seed, width, 4), dim=1), normalize(normal(seed + 1, width, 4), dim=1)
    best = max(sum(float(a[i] @ b[p[i]]) for i in range(width)) for p in itertools.permutations(range(width)))
    assert float(matched(a, b).sum()) == pytest.approx(best, abs=1e-5)


def test_a_shuffled_dictionary_is_found_again_whatever_its_lengths_and_another_is_not():
    atoms = torch.tensor(ortho_group.rvs(32, random_state=0), dtype=torch.float32)
    shuffled = atoms[torch.randperm(32, generator=torch.Generator().manual_seed(0))]
    assert torch.allclose(matched(atoms, 3 * shuffled), torch.ones(32), atol=1e-5)
    # a cosine stands where its atom does
    tilted = torch.where((shuffled @ atoms[5] > 0.9)[:, None], normalize(atoms[5] + 0.3 * atoms[6], dim=0), shuffled)
    assert int(matched(atoms, tilted).argmin()) == 5 and float(matched(atoms, tilted).min()) == pytest.approx(1.09**-0.5, abs=1e-4)
    assert float(matched(atoms, normalize(normal(1, 32, 32), dim=1)).mean()) < 0.6


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: unimodal(torch.rand(1, 4)), "two or more"),
        (lambda: jaccard(torch.ones(2, 3).bool(), torch.ones(3, 3).bool()), "a and b have shapes"),
        (lambda: monosemanticity(torch.rand(3, 2), torch.rand(4, 2)), "3 codes and 4 embeddings"),
        (lambda: matched(torch.rand(4, 2), torch.rand(3, 2)), "expected as many or more"),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
