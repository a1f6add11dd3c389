import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from concept_algebra.ops.space import Space, SpaceMismatch, Vocabulary, fingerprint

D = 16


def space(seed=0, **changes):
    rng = torch.Generator().manual_seed(seed)
    mean = 0.6 * normalize(torch.randn(D, generator=rng), dim=0)
    words = ["fire", "water", "ice", "sea"]
    rows = normalize(torch.randn(len(words), D, generator=rng), dim=-1)
    fields = dict(means={"text": mean, "image": -mean}, radii={"text": 0.8}, vocabulary=Vocabulary(words, rows))
    return Space("test-1", D, **(fields | changes))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**31), st.sampled_from(["text", "image", "audio"]))
def test_place_is_on_the_sphere_and_centring_gives_the_direction_back(seed, modality):
    one = space()
    direction = normalize(torch.randn(5, D, generator=torch.Generator().manual_seed(seed)), dim=-1)
    placed = one.place(7 * direction, modality)
    assert torch.allclose(placed.norm(dim=-1), torch.ones(5), atol=1e-5)
    assert torch.allclose(normalize(one.centre(placed, modality), dim=-1), direction, atol=1e-5)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**31))
def test_placing_the_centred_unit_embedding_gives_it_back(seed):
    one = space()
    pooled = normalize(torch.randn(3, D, generator=torch.Generator().manual_seed(seed)), dim=-1)
    assert torch.allclose(one.place(one.centre(pooled, "image"), "image"), pooled, atol=1e-5)


def test_centre_is_mean_off_over_radius_and_an_absent_mean_is_zero():
    one = space()
    x = torch.randn(2, D)
    assert torch.equal(one.centre(x, "text"), (x - one.means["text"]) / 0.8)
    assert torch.equal(one.centre(x, "audio"), x)


def test_centre_and_place_have_gradients():
    one = space()
    x = normalize(torch.randn(D, dtype=torch.float64), dim=0).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: one.centre(v, "text"), x)
    assert torch.autograd.gradcheck(lambda v: one.place(v, "text"), x)


def test_spaces_are_equal_by_id():
    assert space(0) == space(1) and hash(space(0)) == hash(space(1))
    assert Space("other", D) != space()
    with pytest.raises(SpaceMismatch, match="'test-1' and 'other'"):
        space().require(Space("other", D))


def test_nearest_finds_each_word_by_its_own_centred_vector():
    one = space()
    for i, word in enumerate(one.vocabulary.words):
        found = one.nearest(3 * one.centre(one.vocabulary.embeddings[i], "text"), 99)
        assert found[0][0] == word and found[0][1] == pytest.approx(1, abs=1e-5)
        assert len(found) == 4 and [c for _, c in found] == sorted((c for _, c in found), reverse=True)


def test_the_vocabulary_is_embedded_once_and_only_when_asked():
    calls = []
    vocabulary = Vocabulary(["a", "b"], lambda: calls.append(1) or torch.eye(2, D))
    one = Space("lazy", D, vocabulary=vocabulary)
    assert calls == []
    one.nearest(torch.ones(D), 1), one.nearest(torch.ones(D), 2)
    assert calls == [1]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: space(means={"smell": torch.zeros(D)}), "unknown modality 'smell', expected one of text"),
        (lambda: space(means={"text": torch.zeros(3)}), r"text mean has shape \(3,\), expected \(16,\)"),
        (lambda: space(means={"text": torch.full((D,), torch.nan)}), "text mean contains NaN"),
        (lambda: space(means={"text": torch.ones(D)}), "text mean has length 4.000"),
        (lambda: space(radii={"text": 0.0}), "text radius is 0.0"),
        (lambda: space().centre(torch.ones(3), "text"), r"shape \(3,\), expected \(..., 16\)"),
        (lambda: space().centre(torch.ones(D), "smell"), "unknown modality"),
        (lambda: space().place(torch.zeros(D), "text"), "zero vector"),
        (lambda: space().nearest(torch.zeros(D), 1), "zero vector"),
        (lambda: space().nearest(torch.ones(D), 0), "k is 0"),
        (lambda: space().nearest(torch.ones(2, D), 1), "vector has shape"),
        (lambda: space().nearest(torch.full((D,), torch.inf), 1), "NaN or infinity"),
        (lambda: Space("bare", D).nearest(torch.ones(D), 1), "'bare' has no vocabulary"),
        (lambda: space(vocabulary=Vocabulary(["a"], torch.eye(2, D))).nearest(torch.ones(D), 1), "vocabulary of 1 words"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_fingerprint_sees_names_values_shapes_and_types_but_not_order():
    a, b = torch.arange(4.0), torch.ones(2, dtype=torch.bfloat16)
    print_ = fingerprint({"a": a, "b": b})
    assert len(print_) == 12 and print_ == fingerprint({"b": b, "a": a.clone()})
    others = [{"a": a + 1, "b": b}, {"a": a.reshape(2, 2), "b": b}, {"a": a, "c": b}, {"a": a, "b": b.half()}]
    assert len({print_, *map(fingerprint, others)}) == 5
