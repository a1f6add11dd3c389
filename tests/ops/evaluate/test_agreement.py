"""Agreement across modalities: what a swapped target gives, and that a shared manner alone is no agreement."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize
from toys import ToyDictionary

from concept_algebra.ops.evaluate.agreement import agreement, swapped
from concept_algebra.ops.space import Space

D = 64


def drawn(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def unit(*shape, seed):
    return normalize(drawn(*shape, seed=seed), dim=-1)


def output(target, strength, seed, manner=0.0):
    """Of this cosine with the target, about, the rest being its own or, by `manner`, that of all outputs."""
    rest = (1 - manner) * unit(D, seed=seed) + manner * unit(D, seed=999)
    return normalize(strength * target + (1 - strength) * rest, dim=0)


@given(st.integers(0, 1000), st.floats(0.1, 3))
def test_swapping_keeps_the_length_and_what_is_not_the_target(seed, length):
    target, other = torch.eye(D)[:2]
    made = normalize(drawn(D, seed=seed).index_fill(0, torch.tensor([1]), 0.0), dim=0) * length
    (found,) = swapped(made, target, other[None])
    assert found.norm() == pytest.approx(length, rel=1e-4)
    # right angles: what was along the one axis is along the other, and the rest stays in all
    assert found[1] == pytest.approx(float(made[0]), abs=1e-5) and abs(found[0]) < 1e-5
    assert found[2:].allclose(made[2:], atol=1e-5)


def test_swapping_to_itself_changes_nothing():
    target = unit(D, seed=1)
    made = output(target, 0.5, 2)
    assert swapped(made, target, target[None])[0].allclose(made, atol=1e-6)


def test_outputs_of_one_target_agree_and_of_none_do_not():
    rivals, target = unit(600, D, seed=0), unit(D, seed=1)
    both = (output(target, 0.5, 2), output(target, 0.5, 3))
    found = agreement(both, ("image", "audio"), target, rivals, "x", False)
    assert found.count == 600 and found.percentile > 0.99 and found.cosine == pytest.approx(float(both[0] @ both[1]), abs=1e-5)
    assert found.jaccard is None and found.mismatched_jaccard is None and not found.independent
    by_chance = [
        agreement((unit(D, seed=2 * i), unit(D, seed=2 * i + 1)), ("image", "audio"), target, rivals, "x", True).percentile for i in range(100, 200)
    ]
    assert 0.3 < sum(by_chance) / 100 < 0.7


def test_one_output_of_the_target_is_not_enough():
    rivals, target = unit(600, D, seed=0), unit(D, seed=1)
    shows, opposed = output(target, 0.6, 2), output(-target, 0.6, 3)
    for both in ((shows, opposed), (opposed, shows)):
        found = agreement(both, ("image", "audio"), target, rivals, "x", False)
        below = sum(min(float(shows @ r), float(opposed @ r)) < min(float(shows @ target), float(opposed @ target)) for r in rivals)
        assert found.percentile == pytest.approx((1 + below) / 601, abs=2e-3) and found.percentile < 0.05


def test_a_manner_that_all_outputs_share_is_no_agreement():
    rivals = unit(600, D, seed=0)
    found = []
    for i in range(100):
        # the target is any: what of it is in the manner is there by chance
        target = unit(D, seed=5000 + i)
        both = tuple(output(target, 0.0, seed, manner=0.9) for seed in (2 * i + 10_000, 2 * i + 10_001))
        found.append(agreement(both, ("image", "video"), target, rivals, "x", False))
    assert min(one.cosine for one in found) > 0.8
    assert sum(one.percentile > 0.99 for one in found) < 10 and 0.3 < sum(one.percentile for one in found) / 100 < 0.7


def test_features_are_shared_as_counted_by_hand():
    space = Space("toy", D)
    dictionary = ToyDictionary(space, [str(i) for i in range(40)])
    rivals, target = unit(600, D, seed=0), unit(D, seed=1)
    a, b = output(target, 0.6, 2), output(target, 0.6, 3)
    found = agreement((a, b), ("image", "audio"), target, rivals, "x", False, dictionary)

    def active(x):
        return {i for i, amount in enumerate(dictionary.encode(x[None], "image")[0]) if amount > 0}

    def shared(x, y):
        return len(active(x) & active(y)) / len(active(x) | active(y))

    assert found.jaccard == pytest.approx(shared(a, b), abs=1e-6)
    pairs = [(a, y) for y in swapped(b, target, rivals[:64])] + [(x, b) for x in swapped(a, target, rivals[:64])]
    assert found.mismatched_jaccard == pytest.approx(sum(shared(x, y) for x, y in pairs) / 128, abs=1e-5)
    assert found.jaccard > found.mismatched_jaccard


def test_outputs_without_a_feature_share_none():
    dictionary = ToyDictionary(Space("toy", D), ["a"], threshold=2.0)
    found = agreement((unit(D, seed=1), unit(D, seed=2)), ("image", "audio"), unit(D, seed=3), unit(600, D, seed=0), "x", False, dictionary)
    assert found.jaccard is None and found.mismatched_jaccard is None


@pytest.mark.parametrize("a, b", [(torch.zeros(D), torch.ones(D)), (torch.ones(D), torch.ones(D + 1)), (torch.ones(1, D), torch.ones(1, D))])
def test_what_is_no_pair_is_refused(a, b):
    with pytest.raises(ValueError, match="expected two vectors"):
        agreement((a, b), ("image", "audio"), unit(D, seed=1), unit(600, D, seed=0), "x", False)
