import itertools
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

from concept_algebra.ops.concept import Concept
from concept_algebra.ops.interpret.readout import LONGEST, compose, readout
from concept_algebra.ops.space import SpaceMismatch


def test_a_word_reads_as_itself_from_concept_embedding_and_vector(encoder):
    concept, embedding = Concept.from_text("sad clown", encoder), encoder.text(["sad clown"])
    for what in (concept, 3 * concept, embedding, concept.vector):
        (word, score), *rest = readout(what, encoder.space, 5)
        assert word == "sad clown" and score == pytest.approx(1, abs=1e-4) and len(rest) == 4


def test_a_sum_reads_as_both_and_a_medium_in_centred_directions(encoder):
    both = Concept.from_text("fire", encoder) + Concept.from_text("water", encoder)
    assert {word for word, _ in readout(both, encoder.space, 2)} == {"fire", "water"}
    pixels = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    concept = Concept.from_image(pixels, encoder)
    assert readout(encoder.image(pixels), encoder.space, 3) == readout(concept, encoder.space, 3)


def test_bad_input_is_named(encoder):
    fire, space = Concept.from_text("fire", encoder), encoder.space
    with pytest.raises(SpaceMismatch, match="'small-1' and 'small-0'"):
        readout(fire, replace(space, id="small-1"), 1)
    for what, message in [
        (fire - fire, "'fire - fire' has no direction"),
        (encoder.text(["fire", "water"]), "holds 2 media, expected one"),
        (torch.full((48,), torch.nan), "vector contains NaN"),
        (torch.zeros(48), "zero vector"),
        (torch.ones(7), "shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            readout(what, space, 3)
        with pytest.raises(ValueError, match=message):
            compose(what, encoder)
    with pytest.raises(ValueError, match="k is 0"):
        readout(fire, space, 0)


@pytest.mark.parametrize("words", [["moon"], ["storm", "dog"], ["storm", "dog", "ghost"], ["sad", "clown", "king"]])
def test_compose_finds_the_words_that_made_the_target(encoder, words):
    # The tests' encoder is a bag of words, so the order is free.
    found = compose(Concept.from_text(" ".join(words), encoder), encoder)
    assert set(found.phrase.split()) == set(words) and found.score == pytest.approx(1, abs=1e-4)


def test_compose_shows_a_search_that_only_gets_better(encoder):
    target = torch.randn(encoder.dimension, generator=torch.Generator().manual_seed(5))
    found = compose(target, encoder)
    assert found.rounds[0] == tuple(readout(target, encoder.space, len(found.rounds[0])))
    tops = [kept[0][1] for kept in found.rounds]
    assert tops == sorted(tops) and len(tops) > 1
    assert (found.phrase, found.score) == found.rounds[-1][0]
    for kept in found.rounds:
        assert [s for _, s in kept] == sorted((s for _, s in kept), reverse=True)
        assert all(len(text.split()) <= LONGEST for text, _ in kept)
    concept = Concept.from_text(found.phrase, encoder)
    assert float(concept.direction @ normalize(target, dim=0)) == pytest.approx(found.score, abs=1e-5)


def test_compose_is_about_as_good_as_trying_every_phrase(encoder):
    words = [word for word in encoder.space.vocabulary.words if " " not in word]
    every = [" ".join(c) for n in (1, 2, 3) for c in itertools.combinations(words, n)]
    directions = normalize(encoder.space.centre(encoder.text(every).pooled, "text"), dim=-1)
    for seed in range(4):
        target = normalize(torch.randn(encoder.dimension, generator=torch.Generator().manual_seed(seed)), dim=0)
        assert compose(target, encoder).score >= 0.97 * float((directions @ target).max())
