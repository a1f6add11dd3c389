import pytest

from concept_algebra.ops import features
from concept_algebra.ops.features.pursuit import Pursuit
from concept_algebra.ops.space import SpaceMismatch


def test_the_vocabulary_needs_no_file(encoder):
    same, words = features.load("vocabulary", encoder)
    assert same is encoder and words.id == Pursuit(encoder.space).id


def test_what_ships_belongs_to_the_pocket(encoder):
    from concept_algebra.ops.encoders.pocket import load

    pocket = load()
    same, found = features.load("pocket", pocket)
    assert same is pocket and found.space == pocket.space and len(found.names) == len(found.atoms)
    with pytest.raises(SpaceMismatch):
        features.load("pocket", encoder)


def test_a_file_that_is_not_there(encoder, tmp_path):
    with pytest.raises(ValueError, match="no features '.*none.safetensors': expected vocabulary, pocket, or a file"):
        features.load(tmp_path / "none.safetensors", encoder)
