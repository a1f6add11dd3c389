"""Detection: the area under the curve against counting, and true names told from false ones."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu
from torch.nn.functional import normalize

from concept_algebra.ops.features.detection import STRANGERS, TEMPLATES, Detection, auc, detection, rise
from concept_algebra.ops.space import Vocabulary

NUMBERS = st.lists(st.integers(-3, 3), min_size=1, max_size=12)


@given(NUMBERS, NUMBERS)
def test_auc_counts_pairs_with_ties_for_a_half(positive, negative):
    counted = sum(1.0 if p > n else 0.5 if p == n else 0.0 for p in positive for n in negative)
    assert float(auc(torch.tensor(positive), torch.tensor(negative))) == pytest.approx(counted / (len(positive) * len(negative)), abs=1e-6)


@given(st.integers(0, 2**31), st.floats(-2, 2))
def test_auc_is_mann_and_whitneys(seed, ahead):
    rng = torch.Generator().manual_seed(seed)
    positive, negative = torch.randn(5, 9, generator=rng) + ahead, torch.randn(5, 30, generator=rng)
    theirs = [mannwhitneyu(p, n).statistic / (9 * 30) for p, n in zip(positive.numpy(), negative.numpy())]
    assert auc(positive, negative).tolist() == pytest.approx(theirs, abs=1e-6)


@given(NUMBERS, NUMBERS)
def test_auc_of_the_two_exchanged_is_the_rest_and_no_rising_function_changes_it(positive, negative):
    p, n = torch.tensor(positive).float(), torch.tensor(negative).float()
    assert float(auc(p, n) + auc(n, p)) == pytest.approx(1, abs=1e-6)
    assert torch.equal(auc(p.exp(), n.exp()), auc(p, n))


def test_auc_of_nothing_is_refused():
    with pytest.raises(ValueError, match="0 positives and 3 negatives"):
        auc(torch.zeros(4, 0), torch.zeros(4, 3))


def test_a_name_passes_by_its_own_texts_and_not_where_any_text_would_do():
    found = Detection(torch.tensor([0.95, 0.95, 0.5]), torch.tensor([0.5, 0.95, 0.5]))
    assert found.passing.tolist() == [True, False, False] and found.share == pytest.approx(1 / 3)
    assert str(found) == "33.3% of 3 names pass; mean AUC 0.800, 0.650 with names shuffled"


@pytest.fixture(scope="module")
def wordy(encoder):
    """The small encoder with a vocabulary of four hundred words and phrases."""
    words = [f"w{i}" for i in range(380)] + [f"old w{i}" for i in range(20)]
    anew = type(encoder)()
    object.__setattr__(anew.space, "vocabulary", Vocabulary(words, lambda: anew.text(words).pooled))
    return anew


def columns(encoder, count):
    return encoder.space.word_directions[:count]


def test_true_names_pass_and_shuffled_ones_are_at_chance(wordy):
    atoms, words = columns(wordy, 60), wordy.space.vocabulary.words[:60]
    found = detection(words, range(60), lambda x: x @ atoms.T, wordy)
    assert found.auc.mean() > 0.95 and found.share > 0.85
    assert 0.4 < found.shuffled.mean() < 0.6


def test_the_wrong_names_fail(wordy):
    atoms, words = columns(wordy, 60), wordy.space.vocabulary.words[60:120]
    found = detection(words, range(60), lambda x: x @ atoms.T, wordy)
    assert found.share < 0.1 and 0.4 < found.auc.mean() < 0.6


def test_a_feature_that_fires_for_all_texts_alike_passes_under_no_name(wordy):
    words = wordy.space.vocabulary.words[100:108]
    texts = [wordy.text([template.format(word) for word in words]).pooled for template in TEMPLATES]
    directions = normalize(wordy.space.centre(torch.stack(texts).mean(1), "text"), dim=-1)
    found = detection(words, [0] * 8, lambda x: (x @ directions.T).amax(1, keepdim=True), wordy)
    assert found.auc.min() > 0.9 and found.shuffled.min() > 0.9 and found.share == 0


def test_a_subset_of_features_is_read_from_its_own_columns(wordy):
    atoms, words = columns(wordy, 40), wordy.space.vocabulary.words
    picked = [31, 2, 17]
    found = detection([words[i] for i in picked], picked, lambda x: x @ atoms.T, wordy)
    alone = detection([words[i] for i in picked], range(3), lambda x: x @ atoms[picked].T, wordy)
    assert torch.allclose(found.auc, alone.auc) and torch.allclose(found.shuffled, alone.shuffled)
    assert found.auc.min() > 0.8


def test_the_same_seed_gives_the_same_numbers_and_another_other_strangers(wordy):
    atoms, words = columns(wordy, 20), wordy.space.vocabulary.words[:20]
    one, again, other = (detection(words, range(20), lambda x: x @ atoms.T, wordy, seed) for seed in (0, 0, 1))
    assert torch.equal(one.auc, again.auc) and torch.equal(one.shuffled, again.shuffled) and not torch.equal(one.auc, other.auc)


@pytest.mark.parametrize(
    "words, features, message",
    [(["a"], [0], "1 words for 1 features, expected two or more"), (["a", "b"], [0], "2 words for 1 features")],
)
def test_what_cannot_be_tried_is_named(encoder, words, features, message):
    with pytest.raises(ValueError, match=message):
        detection(words, features, lambda x: x, encoder)


def test_adding_a_words_own_direction_lifts_it_and_adding_another_does_not():
    rng = torch.Generator().manual_seed(0)
    bases, distractors, names = (normalize(torch.randn(n, 256, generator=rng), dim=1) for n in (30, STRANGERS, 40))
    own, none, against = rise(names, names, bases, distractors), rise(names.roll(1, 0), names, bases, distractors), rise(-names, names, bases, distractors)
    assert own.min() > 0.3 and none.mean().abs() < 0.15 and against.max() < -0.3
    assert torch.equal(rise(names, names, bases, distractors, 0.0), torch.zeros(40))


def test_the_lift_is_of_the_share_of_distractors_left_behind():
    base, name, distractors = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), torch.tensor([[0.6, 0.8], [1.0, 0.0], [-1.0, 0.0], [0.0, -1.0]])
    # before: 0 against .6, 1, -1, 0: one behind and one level. After: 1 against 1.4, 1, -1, -1: two behind and one level
    assert rise(name, name, base, distractors).tolist() == pytest.approx([(2.5 - 1.5) / 4])
