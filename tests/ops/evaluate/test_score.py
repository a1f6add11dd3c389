"""Percentiles, z and places against counting by hand, and what the frozen distractors promise."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import SmallEncoder

from concept_algebra.ops.concept import Concept
from concept_algebra.ops.encoders.vocabulary import shipped_words
from concept_algebra.ops.evaluate.distractors import FEWEST, Bank, distractors
from concept_algebra.ops.evaluate.score import score
from concept_algebra.ops.evaluate.stems import stems
from concept_algebra.ops.expression import evaluate
from concept_algebra.ops.space import SpaceMismatch

tenths = st.integers(-10, 10).map(lambda x: x / 10)


@pytest.fixture(scope="module")
def bank(encoder):
    return Bank(encoder)


@given(tenths, st.lists(tenths, min_size=2, max_size=30).filter(lambda x: len(set(x)) > 1))
def test_percentile_and_place_are_counted(own, rivals):
    found = score(own, torch.tensor(rivals))
    below, equal = sum(x < own for x in rivals), sum(x == own for x in rivals)
    assert found.percentile == pytest.approx((1 + below + equal / 2) / (len(rivals) + 1))
    assert found.above == len(rivals) - below and found.count == len(rivals)
    assert found.top1 == all(x < own for x in rivals)
    assert found.top5 == (sum(x >= own for x in rivals) < 5)
    mean = sum(rivals) / len(rivals)
    deviation = (sum((x - mean) ** 2 for x in rivals) / len(rivals)) ** 0.5
    assert found.z == pytest.approx((own - mean) / deviation, abs=1e-3)


def test_by_chance_percentiles_are_uniform():
    rng = torch.Generator().manual_seed(0)
    found = [score(draw[0], draw[1:]) for draw in torch.randn(2000, 501, generator=rng)]
    values = torch.tensor([s.percentile for s in found])
    # five standard errors of a uniform variable's mean, and of its share in an interval
    assert abs(values.mean() - 0.5) < 5 * (1 / 12 / 2000) ** 0.5
    assert abs((values > 0.95).float().mean() - 0.05) < 5 * (0.05 * 0.95 / 2000) ** 0.5
    assert abs(sum(s.top5 for s in found) / 2000 - 5 / 501) < 5 * (0.01 / 2000) ** 0.5


@pytest.mark.parametrize(
    "own, rivals, told",
    [
        (0.1, torch.full((3,), 0.2), "nothing can stand out"),
        (0.1, torch.tensor([]), "expected one number"),
        (torch.zeros(2), torch.tensor([0.1, 0.2]), "expected one number"),
        (float("nan"), torch.tensor([0.1, 0.2]), "the target's cosine contains NaN"),
        (0.1, torch.tensor([float("nan"), 0.2]), "the rivals' cosines contains NaN"),
    ],
)
def test_what_has_no_percentile_is_refused(own, rivals, told):
    with pytest.raises(ValueError, match=told):
        score(own, rivals)


def test_the_distractors_are_600_different_words_of_the_vocabulary():
    words = distractors()
    assert len(words) == len(set(words)) == 600
    assert set(words) <= set(shipped_words())
    # frozen: cards compare only while these stay
    assert words[:3] == ("deserted", "robe", "plume") and words[-1] == "mustard"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Dogs + 0.3*boxes", {"dog", "box"}),
        ("glass - the men's", {"glass", "the", "men"}),
        ('image("a.png") + of', {"image", "png"}),
        ("witches", {"witch"}),
    ],
)
def test_stems_are_words_without_their_plural(text, expected):
    assert stems(text) == expected


def test_rivals_of_a_word_are_the_distractors_without_itself(bank, encoder):
    names, rows = bank.rivals(Concept.from_text("otters", encoder))
    assert "otter" in bank.words and "otter" not in names and len(names) == len(rows) == 599
    assert rows.equal(bank.directions[[bank.words.index(name) for name in names]])
    assert rows.norm(dim=1).allclose(torch.ones(599), atol=1e-5)


def test_rivals_of_a_sum_have_its_form(bank, encoder):
    concept = evaluate("king - 0.5*man + woman", encoder)
    names, rows = bank.rivals(concept)
    assert len(names) == len(rows) >= FEWEST
    again = bank.rivals(concept)
    assert again[0] == names and again[1].equal(rows)
    # no distractor has a comma in it, so that the words can be told apart again
    assert not any("," in word for word in bank.words)
    for name, row in list(zip(names, rows))[:20]:
        words = name.split(", ")
        assert len(set(words)) == 3
        first, less, more = (bank.directions[bank.words.index(word)] for word in words)
        assert row.allclose(torch.nn.functional.normalize(first - 0.5 * less + more, dim=0), atol=1e-5)


def test_another_spaces_concept_and_one_that_names_the_distractors_are_refused(bank, encoder):
    class Elsewhere(SmallEncoder):
        def __init__(self):
            super().__init__()
            self.space = type(self.space)("small-1", self.dimension)

    with pytest.raises(SpaceMismatch):
        bank.rivals(Concept.from_text("dog", Elsewhere()))
    long = Concept.from_text(" ".join(distractors()[:150]), encoder)
    with pytest.raises(ValueError, match="expected 500 or more"):
        bank.rivals(long)


def test_a_bank_made_under_inference_mode_serves_a_backward_pass(encoder):
    with torch.inference_mode():
        made = Bank(encoder)
    x = torch.randn(encoder.dimension, requires_grad=True)
    (made.directions @ x).sum().backward()
    assert x.grad is not None
