"""What the shipped features were found to be worth, on the quick samples of their benchmarks: a change that spoils them shows."""

import pytest
import torch

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
    assert figures["feature_success_low"] > figures["dense_success_high"]
    assert figures["feature_less_dense_at_best"] > 0


def test_an_interval_is_as_wide_as_its_clusters_make_it():
    rng = torch.Generator().manual_seed(0)
    success = torch.rand(400, generator=rng) < 0.5
    alone = edits.interval(success, torch.arange(400))
    assert alone[0] == pytest.approx(success.float().mean().item())
    assert (alone[2] - alone[1]) / 2 == pytest.approx(1.96 * 0.5 / 20, rel=0.1)
    in_fours = edits.interval(success.repeat_interleave(4), torch.arange(400).repeat_interleave(4))
    assert in_fours[1:] == pytest.approx(alone[1:], abs=0.01)


def test_no_edit_chooses_its_own_weight():
    pictures = torch.tensor([0, 1, 2, 3])
    found = {1.0: torch.tensor([True, False, True, False]), 2.0: torch.tensor([False, True, False, True])}
    assert not edits.crossed(found, pictures).any()
