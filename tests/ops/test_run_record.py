"""A finished showcase is known again by all that decides what comes out, and by nothing less."""

import json

import pytest
from toys import SmallEncoder, ToyDictionary, ToySound

from concept_algebra.ops.concept import Concept
from concept_algebra.ops.evaluate.judgement import Court
from concept_algebra.ops.run_record import NAME, asked, finished
from concept_algebra.ops.showcase import showcase
from concept_algebra.ops.space import Space

WEIGHTS = {"audio": ToySound().id}


def wanted(concept, encoder, **changed):
    given = {"text": True, "seed": 3, "quick": True, "steps": 2, "candidates": {"audio": 1}, "courts": []}
    return asked(concept, encoder, **{**given, **changed})


@pytest.fixture(scope="module")
def concept(encoder):
    return Concept.from_text("fire", encoder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, concept, encoder):
    return showcase(concept, tmp_path_factory.mktemp("out"), encoder, {"audio": ToySound}, seed=3, quick=True, steps=2, candidates={"audio": 1})


def test_the_same_is_known_again(folder, concept, encoder):
    assert finished(folder, wanted(concept, encoder), lambda: WEIGHTS)


def test_anything_else_is_not_the_same(folder, concept, encoder):
    other = SmallEncoder()
    other.space = Space("other-0", other.dimension, other.space.means, other.space.radii, other.space.vocabulary)
    coded = concept.decomposed(ToyDictionary(encoder.space, ["a", "b", "c"]))
    unlike = [
        wanted(concept, encoder, text=False), wanted(concept, encoder, seed=4), wanted(concept, encoder, seeds=2), wanted(concept, encoder, quick=False), wanted(concept, encoder, steps=None),
        wanted(concept, encoder, candidates={}), wanted(concept, encoder, courts=[Court(other, encoder.space)]), wanted(concept, other),
        wanted(Concept.from_text("ice", encoder), encoder), wanted(2 * concept, encoder), wanted(coded, encoder),
        # a file behind the same expression has changed
        wanted(Concept.from_text("ice", encoder).called(concept.expression), encoder),
    ]  # fmt: skip
    for given in unlike:
        assert not finished(folder, given, lambda: pytest.fail("no generator has to be loaded for that"))
    newer = wanted(concept, encoder)
    assert not finished(folder, {**newer, "versions": newer["versions"] | {"torch": "0"}}, lambda: WEIGHTS)
    assert not finished(folder, newer, lambda: {"audio": "retrained"}) and not finished(folder, newer, lambda: WEIGHTS | {"image": "more"})


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"expression": "fire"', json.dumps({"expression": "fire"})])
def test_a_damaged_record_is_not_finished(tmp_path, concept, encoder, text):
    (tmp_path / NAME).write_text(text)
    assert not finished(tmp_path, wanted(concept, encoder), lambda: WEIGHTS)
    assert not finished(tmp_path / "nowhere", wanted(concept, encoder), lambda: WEIGHTS)
