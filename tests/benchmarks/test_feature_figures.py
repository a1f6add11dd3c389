"""What the shipped features were found to be worth, on the quick samples of their benchmarks: a change that spoils them shows."""

import pytest

from concept_algebra.benchmarks import edits, sae
from concept_algebra.ops.encoders.pocket import load


@pytest.fixture(scope="module")
def shipped():
    return sae.shipped(load(), every=8)


def test_the_shipped_features_stand_for_phrases_they_never_saw(shipped):
    assert shipped["l0"] == pytest.approx(24, abs=0.1)
    assert shipped["fvu"] < 0.25 and shipped["centred_cosine"] > 0.87


def test_their_names_are_true_and_not_interchangeable(shipped):
    assert shipped["names_agreed"] > 0.95
    assert shipped["names_passing"] > 0.9 and shipped["names_passing_shuffled"] < 0.15


def test_edits_on_features_beat_dense_ones_as_people_write_them():
    _, figures = edits.run(quick=True)
    assert figures["n"] >= 200
    assert figures["feature_success_at_1_low"] > figures["dense_success_at_1_high"]
    # at the best weight of each, the intervals come apart only over all edits
    assert figures["feature_success"] > figures["dense_success"]
