"""Pursuit over a vocabulary: it finds what a vector was made of, and the laws that every dictionary's codes keep."""

from dataclasses import replace

import pytest
import torch
from contracts.mps import apple_silicon
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from concept_algebra.ops.concept import Concept
from concept_algebra.ops.encoders.pocket import load
from concept_algebra.ops.encoders.vocabulary import shipped_words
from concept_algebra.ops.features.dictionary import Dictionary
from concept_algebra.ops.features.pursuit import Pursuit
from concept_algebra.ops.space import Space, Vocabulary

D, V = 96, 150


def space(seed=0, count=V, lean=0.0):
    """A space of random words; with `lean` they come in pairs that lie close together."""
    rng = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, D, generator=rng)
    if lean:
        rows[1::2] = lean * rows[::2] + rows[1::2]
    return Space(f"made-{seed}", D, vocabulary=Vocabulary([f"word {i}" for i in range(count)], normalize(rows, dim=1)))


SPACE = space()
METHODS = pytest.mark.parametrize("method", ["pursuit", "lasso"])


def vectors(seed, count=4):
    # behind the draws that the words are made of
    return torch.randn(V + count, D, generator=torch.Generator().manual_seed(seed))[V:]


def test_it_is_a_dictionary_of_the_vocabulary():
    words = Pursuit(SPACE)
    assert isinstance(words, Dictionary) and words.names == SPACE.vocabulary.words
    assert torch.equal(words.atoms, SPACE.word_directions) and words.atoms.norm(dim=1).sub(1).abs().max() < 1e-5
    assert words.id.startswith("words-") and words.id == Pursuit(space(), most=3, method="lasso").id
    assert words.id not in (Pursuit(space(1)).id, Pursuit(space(0, V - 1)).id)


def test_words_are_not_embedded_before_a_code_is_asked_for():
    rows, asked = SPACE.vocabulary.embeddings, []
    lazy = Pursuit(Space("made-0", D, vocabulary=Vocabulary(SPACE.vocabulary.words, lambda: asked.append(1) or rows)))
    assert lazy.id == Pursuit(SPACE).id and not asked
    lazy.encode(vectors(0), "text")
    assert asked == [1]


@METHODS
@given(seed=st.integers(0, 2**31), count=st.integers(1, 4))
def test_what_a_vector_was_made_of_is_found(method, seed, count):
    rng = torch.Generator().manual_seed(seed)
    made = torch.zeros(1, V)
    made[0, torch.randperm(V, generator=rng)[:count]] = 1 + torch.rand(count, generator=rng)
    x = made @ SPACE.word_directions
    found = Pursuit(SPACE, tolerance=0.15, method=method).encode(x, "image")
    # the lasso drops a word whose share is under its penalty, and takes one that is like two of them
    if method == "pursuit":
        assert torch.allclose(found, made, atol=1e-3)
    assert found.argmax() in made.nonzero()[:, 1]


@METHODS
def test_a_words_own_direction_has_that_word_alone(method):
    for made in (SPACE, space(2, lean=2.0)):
        code = Pursuit(made, method=method).encode(made.word_directions, "text")
        assert torch.allclose(code, torch.eye(V), atol=1e-4)


@METHODS
@given(seed=st.integers(0, 2**31), most=st.integers(1, 20), tolerance=st.floats(0.02, 0.5))
def test_codes_are_nonnegative_and_short(method, seed, most, tolerance):
    code = Pursuit(SPACE, most, tolerance, method).encode(vectors(seed), "image")
    assert code.shape == (4, V) and (code >= 0).all() and (code > 0).sum(1).max() <= most


@METHODS
@given(seed=st.integers(0, 2**31), scale=st.floats(1e-3, 1e3))
def test_a_vector_s_times_as_long_has_a_code_s_times_as_large(method, seed, scale):
    words, x = Pursuit(SPACE, tolerance=0.15, method=method), vectors(seed)
    assert torch.allclose(words.encode(scale * x, "image"), scale * words.encode(x, "image"), rtol=1e-3, atol=1e-3 * scale)


@METHODS
@given(seed=st.integers(0, 2**31))
def test_the_residual_is_at_right_angles_to_every_active_word(method, seed):
    x = vectors(seed)
    code = Pursuit(SPACE, tolerance=0.1, method=method).encode(x, "image")
    left = (x - code @ SPACE.word_directions) @ SPACE.word_directions.T / x.norm(dim=1, keepdim=True)
    assert (code > 0).any() and left[code > 0].abs().max() < 1e-5


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31))
def test_each_further_word_leaves_less(seed):
    x = vectors(seed)
    codes = [torch.zeros(4, V), *(Pursuit(SPACE, most, 0.02).encode(x, "image") for most in (1, 2, 3, 5, 8))]
    left = [(x - code @ SPACE.word_directions).norm(dim=1) for code in codes]
    # a row that has ended stays as it is
    assert all(((after < before) | ((a - b).abs().amax(1) < 1e-5)).all() for before, after, a, b in zip(left, left[1:], codes, codes[1:]))
    best = (x @ SPACE.word_directions.T).amax(1)
    assert torch.allclose(left[1].square(), left[0].square() - best.square(), rtol=1e-4)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31), tolerance=st.floats(0.05, 0.4))
def test_it_ends_where_no_word_is_above_the_tolerance(seed, tolerance):
    x = vectors(seed)
    code = Pursuit(SPACE, V, tolerance).encode(x, "image")
    left = (x - code @ SPACE.word_directions) @ SPACE.word_directions.T
    assert (left.amax(1) <= tolerance * x.norm(dim=1) + 1e-4).all()


@METHODS
def test_rows_do_not_see_each_other(method):
    words, x = Pursuit(SPACE, tolerance=0.1, method=method), torch.cat([vectors(0), torch.zeros(1, D), SPACE.word_directions[:1]])
    together = words.encode(x, "image")
    assert torch.allclose(together, torch.cat([words.encode(row[None], "image") for row in x]), atol=2e-3)
    assert torch.equal(together[4], torch.zeros(V)) and words.encode(x[:0], "image").shape == (0, V)


def test_of_two_words_that_mean_the_same_a_code_has_one():
    close = space(3, lean=3.0)
    words = close.word_directions
    assert (words[::2] * words[1::2]).sum(1).min() > 0.9
    code = Pursuit(close, tolerance=0.2).encode(normalize(words[::2] + words[1::2] + 0.1 * vectors(1, V // 2), dim=1), "image")
    assert not ((code[:, ::2] > 0) & (code[:, 1::2] > 0)).any()


@METHODS
def test_on_apple_silicon_and_under_a_hosts_inference_mode(method):
    words, x = Pursuit(SPACE, method=method), vectors(0)
    with apple_silicon():
        expected = words.encode(x, "image")
    with torch.inference_mode():
        fresh = Pursuit(space(), method=method)
        assert torch.allclose(fresh.encode(x, "image"), expected, atol=1e-5)
    assert not fresh.atoms.is_inference()


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"space": Space("bare-0", D)}, "'bare-0' has no vocabulary"),
        ({"space": Space("bare-0", D, vocabulary=Vocabulary([], torch.zeros(0, D)))}, "'bare-0' has no vocabulary"),
        ({"most": 0}, "most is 0, expected at least 1"),
        ({"tolerance": 0.0}, "tolerance is 0.0, expected more than 0"),
        ({"tolerance": 1.0}, "tolerance is 1.0, .* less than 1"),
        ({"method": "guess"}, "unknown method 'guess', expected one of pursuit, lasso"),
    ],
)
def test_what_makes_no_dictionary_is_named(fields, message):
    with pytest.raises(ValueError, match=message):
        Pursuit(**({"space": SPACE} | fields))


@pytest.mark.parametrize(
    "x, message",
    [
        (torch.zeros(D), r"shape \(96,\), expected \(N, 96\) for space 'made-0'"),
        (torch.zeros(2, D - 1), r"shape \(2, 95\)"),
        (torch.full((1, D), torch.nan), "vectors contains NaN"),
    ],
)
def test_what_cannot_be_coded_is_named(x, message):
    with pytest.raises(ValueError, match=message):
        Pursuit(SPACE).encode(x, "text")


def test_phrases_and_their_parts_on_the_pocket_space():
    encoder = load()
    names = [*dict.fromkeys(["dog", "dogs", "clown", "sad", "purple", "cat", "cats", *shipped_words()[::20]])]
    words = Pursuit(replace(encoder.space, vocabulary=Vocabulary(names, lambda: encoder.text(names).pooled)))

    def said(text):
        code = words.encode(Concept.from_text(text, encoder).vector[None], "text")[0]
        return [names[i] for i in code.argsort(descending=True)[: int((code > 0).sum())]]

    assert said("dogs") == ["dogs"] and said("sad") == ["sad"]
    assert said("sad clown") == ["clown", "sad"]
    purple = said("purple cat")
    assert set(purple[:2]) <= {"purple", "cat", "cats"} and ("cat" in purple) != ("cats" in purple)
