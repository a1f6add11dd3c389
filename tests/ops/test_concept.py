import json
import warnings
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from toys import ToyDictionary

from concept_algebra.ops import concept as module
from concept_algebra.ops import concept_file
from concept_algebra.ops.centring import off_centre
from concept_algebra.ops.concept import Concept
from concept_algebra.ops.expression import evaluate
from concept_algebra.ops.features.code import LEFTOVER, DictionaryMismatch
from concept_algebra.ops.media import write_mp4, write_png
from concept_algebra.ops.space import SpaceMismatch, UncalibratedSpace

words = st.sampled_from(["fire", "water", "ice", "sad clown", "t-shirt", "42", "a + b"])
weights = st.floats(-50, 50)


def text(phrase, encoder):
    return Concept.from_text(phrase, encoder)


@pytest.fixture
def other_encoder(encoder):
    import copy

    other = copy.copy(encoder)
    other.space = replace(encoder.space, id="small-1")
    return other


def test_the_interface_word_for_word(encoder):
    a = Concept.from_text("fire", encoder)
    b = Concept.from_text("water", encoder)
    assert str(Concept.from_text("fire", encoder) + Concept.from_text("water", encoder)) == "fire + water"
    assert str(0.3 * a + 0.7 * b) == "0.3*fire + 0.7*water"
    assert str(a - 0.3 * b) == "fire - 0.3*water"
    assert str(Concept.slerp(a, b, t=0.5)) == "slerp(fire, water, 0.5)"
    assert torch.equal((0.3 * a + 0.7 * b).vector, 0.3 * a.vector + 0.7 * b.vector)
    assert torch.equal((a - 0.3 * b).vector, a.vector - 0.3 * b.vector)


def test_a_leaf_is_the_centred_embedding_with_its_tokens(encoder):
    a = text("sad clown", encoder)
    embedding = encoder.text(["sad clown"])
    assert torch.equal(a.vector, encoder.space.centre(embedding.pooled[0], "text"))
    (leaf,) = a.operands
    assert (leaf.written, leaf.modality, leaf.weight, leaf.grid) == ("sad clown", "text", 1.0, embedding.grid)
    assert torch.equal(leaf.tokens, embedding.tokens[0]) and torch.equal(leaf.dense, embedding.dense[0])


def test_media_tensors_become_concepts_named_by_their_content(encoder):
    rng = torch.Generator().manual_seed(0)
    pixels = torch.rand(3, 20, 30, generator=rng)
    wave = torch.rand(1, 8000, generator=rng) - 0.5
    frames = torch.rand(4, 3, 16, 16, generator=rng)
    made = [Concept.from_image(pixels, encoder), Concept.from_audio(wave, encoder), Concept.from_video(frames, encoder)]
    assert [c.operands[0].modality for c in made] == ["image", "audio", "video"]
    assert torch.equal(made[0].vector, Concept.from_image(pixels[None], encoder).vector)
    assert str(made[0]) == str(Concept.from_image(pixels.clone(), encoder)) != str(Concept.from_image(1 - pixels, encoder))
    both = made[0] + made[0]
    assert len(both.operands) == 1 and both.operands[0].weight == 2
    assert len((made[0] + Concept.from_image(1 - pixels, encoder)).operands) == 2


@settings(deadline=None, max_examples=40)
@given(words, words, words, weights)
def test_laws(encoder, wa, wb, wc, w):
    a, b, c = text(wa, encoder), text(wb, encoder), text(wc, encoder)

    def close(x, y):
        assert torch.allclose(x.vector, y.vector, rtol=1e-4, atol=1e-4 * (1 + abs(w)))
        left, right = ({o.written: o.weight for o in z.operands if abs(o.weight) > 1e-9} for z in (x, y))
        assert left == pytest.approx(right, abs=1e-9)

    close(a + b, b + a)
    close((a + b) + c, a + (b + c))
    close(a + 0 * b, a)
    close(a - b, a + -b)
    close((a + b) - b, a)
    close(w * (a + b), w * a + w * b)
    close(w * a, a * w)
    close(Concept.lerp(a, b, 0.25), 0.75 * a + 0.25 * b)


@settings(deadline=None, max_examples=40)
@given(words, words, st.floats(0, 1))
def test_slerp_laws_and_operands(encoder, wa, wb, t):
    a, b = 2 * text(wa, encoder), text(wb, encoder) - 0.1 * text("moon", encoder)
    middle = Concept.slerp(a, b, t)
    assert float(middle.vector.norm()) == pytest.approx(1, abs=1e-5)
    assert torch.allclose(middle.vector, Concept.slerp(b, a, 1 - t).vector, atol=1e-4)
    assert torch.equal(Concept.slerp(a, b, 0).vector, a.direction)
    assert torch.equal(Concept.slerp(a, b, 1).vector, b.direction)
    by_operands = sum(o.weight * text(o.written.strip('"'), encoder).vector for o in middle.operands)
    assert torch.allclose(by_operands, middle.vector, atol=1e-4)


def test_operands_keep_signed_weights_and_cancel(encoder):
    fire, water = text("fire", encoder), text("water", encoder)
    assert [(o.written, o.weight) for o in (0.5 * (fire - 0.4 * water)).operands] == [("fire", 0.5), ("water", -0.2)]
    assert (0.1 * fire + 0.2 * fire - 0.3 * fire).operands == ()


def test_a_zero_result_has_no_direction(encoder):
    nothing = text("fire", encoder) - text("fire", encoder)
    assert nothing.is_zero and nothing.operands == ()
    with pytest.raises(ValueError, match="'fire - fire' has no direction: it comes out as zero"):
        nothing.direction
    with pytest.raises(ValueError, match="'fire - fire' has no direction"):
        Concept.slerp(nothing, text("water", encoder), 0.5)


def test_opposite_concepts_have_no_slerp(encoder):
    with pytest.raises(ValueError, match="opposite directions"):
        Concept.slerp(text("fire", encoder), -text("fire", encoder), 0.5)


def test_parentheses_are_written_where_they_are_needed(encoder):
    a, b, c = (text(word, encoder) for word in ("fire", "water", "ice"))
    assert str((a + b) + c) == "fire + water + ice"
    assert str(a - (b - c)) == "fire - (water - ice)"
    assert str(0.5 * (a + b)) == "0.5*(fire + water)"
    assert str(-(a + b)) == "-(fire + water)"
    assert str(a - -b) == "fire + water"
    assert str(a + -2 * b) == "fire - 2*water"
    assert str(2 * (3 * a)) == "2*3*fire"
    assert str(-1 * a + b) == "-fire + water"
    assert str(Concept.slerp(a + b, 2 * c, 0.25) * 1e-9) == "1e-09*slerp(fire + water, 2*ice, 0.25)"


def test_numbers_of_numpy_are_numbers(encoder):
    a = text("fire", encoder)
    for three in (np.float64(3), np.float32(3), np.int64(3)):
        assert isinstance(three * a, Concept) and torch.equal((three * a).vector, (3 * a).vector)
    for wrong in ("3", None, a):
        with pytest.raises(TypeError):
            a * wrong
        if wrong is not a:
            with pytest.raises(TypeError):
                a + wrong


def test_spaces_never_mix(encoder, other_encoder):
    a, b = text("fire", encoder), text("water", other_encoder)
    for mix in (
        lambda: a + b,
        lambda: a - b,
        lambda: Concept.lerp(a, b, 0.5),
        lambda: Concept.slerp(a, b, 0.5),
        lambda: a.shift(b),
    ):
        with pytest.raises(SpaceMismatch, match="'small-0' and 'small-1'"):
            mix()


def test_shift_has_gain_only_across_modalities(encoder):
    picture = Concept.from_image(torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(1)), encoder)
    fire = text("fire", encoder)
    delta = text("purple", encoder) - text("white", encoder)
    assert torch.equal(fire.shift(delta).vector, (fire + delta).vector)
    assert torch.equal(picture.shift(delta).vector, (picture + module.CROSS_MODAL_STRENGTH * delta).vector)
    assert torch.equal(picture.shift(delta, 0.5).vector, (picture + 0.5 * delta).vector)
    assert str(picture.shift(delta)).endswith("+ 3*(purple - white)")


@pytest.fixture
def half_calibrated(encoder, request):
    """The encoder in a space of this test's own that knows the mean of its words alone."""
    import copy

    other = copy.copy(encoder)
    other.space = replace(encoder.space, id=f"half-{request.node.name}", means={"text": encoder.space.means["text"]})
    return other


def three(encoder):
    rng = torch.Generator().manual_seed(0)
    pixels, wave = torch.rand(3, 8, 8, generator=rng), torch.rand(1, 8000, generator=rng) - 0.5
    return text("fire", encoder), Concept.from_image(pixels, encoder), Concept.from_audio(wave, encoder)


def test_what_a_space_cannot_centre_is_said_once_for_each_set_of_modalities(half_calibrated):
    fire, picture, sound = three(half_calibrated)
    with pytest.warns(UncalibratedSpace) as said:
        fire + picture
    (warning,) = said
    message = str(warning.message)
    assert message.startswith("image and text come together, but the space 'half-")
    assert "where its image embeddings" in message and "concept-algebra calibrate ENCODER FOLDER-OF-MEDIA" in message
    assert warning.filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # the same modalities again, in every operation, and what needs no mean of an image
        for mix in (fire - picture, picture + fire, Concept.lerp(fire, picture, 0.5), Concept.slerp(fire, picture, 0.5)):
            assert mix.uncentred == {"image"}
        assert (fire + text("ice", half_calibrated)).uncentred == frozenset()
        assert (2 * picture - 0.5 * picture).uncentred == {"image"}
    with pytest.warns(UncalibratedSpace, match="audio and image come together.* its audio and image embeddings"):
        picture + sound
    with pytest.warns(UncalibratedSpace, match="audio and image and text come together"):
        sound.shift(fire + picture)


def test_a_calibrated_space_has_nothing_to_say(encoder):
    fire, picture, sound = three(encoder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (fire + picture - sound).uncentred == frozenset()


@pytest.mark.parametrize("known, advice", [("image", "ENCODER vocabulary'"), ("audio", "ENCODER FOLDER-OF-MEDIA vocabulary'")])
def test_the_advice_fits_what_is_lacking(encoder, known, advice):
    space = replace(encoder.space, means={known: encoder.space.means[known]})
    assert advice in off_centre(space, frozenset({"text", "image"}))
    assert off_centre(space, frozenset({"text"})) == off_centre(encoder.space, frozenset({"text", "image"})) == ""


def test_what_can_be_centred_is(half_calibrated, encoder):
    fire, picture, _ = three(half_calibrated)
    assert torch.equal(fire.vector, three(encoder)[0].vector)
    pooled = half_calibrated.image(torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))).pooled[0]
    assert torch.equal(picture.vector, pooled / 0.9)


def test_embedding_lies_in_the_concepts_direction_for_any_modality(encoder):
    both = text("fire", encoder) + text("water", encoder)
    for modality in encoder.modalities:
        placed = both.embedding(modality)
        centred = encoder.space.centre(placed, modality)
        assert float(placed.norm()) == pytest.approx(1, abs=1e-5)
        assert torch.allclose(centred / centred.norm(), both.direction, atol=1e-5)


def test_concepts_do_not_change(encoder):
    a = text("fire", encoder)
    with pytest.raises(FrozenInstanceError):
        a.vector = torch.zeros(1)
    before = a.vector.clone()
    a + a, 3 * a, -a, a - a
    assert torch.equal(a.vector, before)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda e: Concept.from_text("  ", e), "text is empty"),
        (lambda e: float("nan") * Concept.from_text("fire", e), "weight is nan"),
        (lambda e: 1e38 * (1e38 * Concept.from_text("fire", e)), r"'1e\+38\*1e\+38\*fire' contains NaN or infinity"),
        (lambda e: Concept.from_image(torch.full((3, 4, 4), torch.nan), e), "image contains NaN"),
        (lambda e: Concept.from_image(torch.full((3, 4, 4), 255.0), e), r"values 255..255, expected 3 channels in 0..1"),
        (lambda e: Concept.from_image(torch.zeros(3, 4, 4, dtype=torch.uint8), e), "torch.uint8 of shape"),
        (lambda e: Concept.from_image(torch.zeros(2, 3, 4, 4), e), r"shape \(2, 3, 4, 4\), expected one float \[3, H, W\]"),
        (lambda e: Concept.from_image(torch.zeros(4, 4, 3), e), "expected 3 channels"),
        (lambda e: Concept.from_image(torch.zeros(3, 0, 4), e), "expected one float"),
        (lambda e: Concept.from_audio(torch.zeros(1, 100), e), "audio is silent"),
        (lambda e: Concept.from_audio(torch.zeros(100), e), r"expected one float \[C, T\]"),
        (lambda e: Concept.from_audio(torch.full((1, 100), 3e4), e), r"audio has values 3e\+04..3e\+04, expected -1..1"),
        (lambda e: Concept.from_video(torch.zeros(1, 3, 4, 4), e), "video has 1 frames"),
        (lambda e: Concept.from_video(torch.rand(2, 3, 16, 16), e, 0.0), "fps is 0.0, expected a positive number"),
        (lambda e: Concept.from_video(torch.rand(2, 3, 16, 16), e, float("nan")), "fps is nan"),
        (lambda e: Concept.from_video(torch.full((2, 3, 4, 4), -1.0), e), "values -1..-1"),
    ],
)
def test_bad_input_is_named(encoder, call, message):
    with pytest.raises(ValueError, match=message):
        call(encoder)


def test_save_and_load(encoder, tmp_path):
    path = tmp_path / "a.safetensors"
    pixels = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(1))
    saved = 0.3 * Concept.from_image(pixels, encoder) - text('a "b" c', encoder)
    saved.save(path)
    loaded = Concept.load(path, encoder.space)
    assert torch.equal(loaded.vector, saved.vector) and loaded.expression == saved.expression
    for a, b in zip(loaded.operands, saved.operands, strict=True):
        assert a.same_leaf(b) and torch.equal(a.tokens, b.tokens) and (a.weight, a.grid) == (b.weight, b.grid)
    assert str(2 * (loaded + loaded)) == str(2 * (saved + saved))
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_very_long_history_still_saves(encoder, tmp_path):
    a, b = text("fire", encoder), text("water", encoder)
    for _ in range(1500):
        a = Concept.slerp(a, b, 0.01)
    a.save(tmp_path / "long.safetensors")
    assert str(Concept.load(tmp_path / "long.safetensors", encoder.space)) == str(a)


def test_what_is_not_a_concept_file_is_named(encoder, other_encoder, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"not a tensor file")
    with pytest.raises(ValueError, match="a.safetensors is not a safetensors file"):
        Concept.load(path, encoder.space)
    save_file({"vector": torch.zeros(48)}, path)
    with pytest.raises(ValueError, match="a.safetensors is not a saved concept"):
        Concept.load(path, encoder.space)
    head = {"format": concept_file.FORMAT, "space": "small-0", "expression": '["fire", "atom"]'}
    for broken in (
        head,
        head | {"operands": json.dumps([["fire", "text", 1.0, [1]]])},
        head | {"operands": "[", "expression": "3"},
    ):
        save_file({"vector": torch.zeros(48)}, path, broken)
        with pytest.raises(ValueError, match="a.safetensors is a damaged concept file"):
            Concept.load(path, encoder.space)
    save_file({"vector": torch.full((48,), torch.nan)}, path, head | {"operands": "[]"})
    with pytest.raises(ValueError, match="'fire' contains NaN"):
        Concept.load(path, encoder.space)
    text("fire", other_encoder).save(path)
    with pytest.raises(SpaceMismatch, match="'small-1' and 'small-0'"):
        Concept.load(path, encoder.space)
    with pytest.raises(FileNotFoundError):
        Concept.load(tmp_path / "missing.safetensors", encoder.space)


@pytest.mark.parametrize("pixels", [torch.rand(3, 1, 1), torch.rand(3, 7, 64)], ids=["one pixel", "a strip"])
def test_a_picture_with_nothing_to_see_is_refused(encoder, pixels):
    with pytest.raises(ValueError, match="at least 8 a side"):
        Concept.from_image(pixels, encoder)
    with pytest.raises(ValueError, match="at least 8 a side"):
        Concept.from_video(pixels.expand(2, -1, -1, -1), encoder)


def test_of_several_files_the_one_with_nothing_to_see_is_named(encoder, tmp_path):
    write_png(tmp_path / "dot.png", torch.rand(3, 1, 1))
    with pytest.raises(ValueError, match=r"dot\.png is 1 x 1 pixels"):
        Concept.from_image(tmp_path / "dot.png", encoder)
    write_mp4(tmp_path / "dots.mp4", torch.rand(2, 3, 2, 2), 8.0)
    with pytest.raises(ValueError, match=r"dots\.mp4 is 2 x 2 pixels"):
        Concept.from_video(tmp_path / "dots.mp4", encoder)


@pytest.fixture(scope="module")
def toy(encoder):
    return ToyDictionary(encoder.space, [f"feature {i}" for i in range(40)], threshold=0.05)


def test_decomposing_keeps_the_place(encoder, toy):
    dense = text("fire", encoder)
    coded = dense.decomposed(toy)
    assert torch.allclose(coded.vector, dense.vector, atol=1e-6) and str(coded) == "fire" and coded.operands == dense.operands
    assert coded.decomposed(toy) is coded and dense.code is None
    assert torch.equal(coded.code.amounts[0], toy.encode(dense.vector[None], "text")[0])
    mixed = (dense + text("ice", encoder)).decomposed(toy)
    assert str(mixed) == "coded(fire + ice)" and torch.allclose(mixed.vector, dense.vector + text("ice", encoder).vector, atol=1e-6)
    named = dense.decomposed(toy, residual=0.25)
    left = dense.vector - coded.code.amounts[0] @ toy.atoms
    assert torch.allclose(named.vector, dense.vector - 0.75 * left, atol=1e-6) and str(named) == "coded(fire, 0.25)"
    assert coded.decomposed(toy, residual=0).code.sources == ()
    with pytest.raises(ValueError, match="residual is 1.5, expected 0..1"):
        dense.decomposed(toy, residual=1.5)
    with pytest.raises(SpaceMismatch):
        dense.decomposed(ToyDictionary(replace(encoder.space, id="small-1"), toy.names))


@given(words, words, st.floats(0, 3), st.floats(0, 1))
def test_coded_concepts_compose_as_their_codes_do(encoder, toy, wa, wb, w, t):
    a, b = text(wa, encoder).decomposed(toy), text(wb, encoder).decomposed(toy)

    def equals(x, vector):
        assert torch.allclose(x.vector, vector, rtol=1e-3, atol=1e-4 * (1 + w)) and torch.equal(x.vector, x.code.vector)

    equals(a + w * b, a.vector + w * b.vector)
    equals((a - w * b) + w * b, a.vector)
    equals(Concept.lerp(a, b, t), (1 - t) * a.vector + t * b.vector)
    equals(a | a, a.vector)
    equals(a & a, a.vector)
    equals(-a, -LEFTOVER * a.vector)
    if wa != wb:
        dense = Concept.slerp(text(wa, encoder), text(wb, encoder), t)
        equals(Concept.slerp(a, b, t), dense.vector)


def test_a_dense_side_is_decomposed_too_and_a_union_wants_codes(encoder, toy):
    fire, water = text("fire", encoder), text("water", encoder)
    coded = water.decomposed(toy)
    pairs = ((fire - coded, fire.decomposed(toy) - coded), (coded - fire, coded - fire.decomposed(toy)), (coded | fire, coded | fire.decomposed(toy)))
    for mixed, whole in pairs:
        assert torch.equal(mixed.code.amounts, whole.code.amounts) and str(mixed) == str(whole)
    assert str(coded + (fire - water)) == "water + coded(fire - water)"
    for t in (0.0, 0.4, 1.0):
        assert torch.allclose(Concept.slerp(coded, fire, t).vector, Concept.slerp(water, fire, t).vector, atol=1e-5)
    with pytest.raises(ValueError, match=r"fire \| water: 'fire' has no code; decompose it first"):
        fire | water
    with pytest.raises(ValueError, match=r"without: 'fire' has no code"):
        fire.without(coded)
    with pytest.raises(DictionaryMismatch):
        coded | fire.decomposed(ToyDictionary(encoder.space, toy.names, seed=1))


names = st.sampled_from(["fire", "water", "ice", "sad clown"])


def combinations(leaves):
    fractions = st.sampled_from([0.0, 0.25, 0.5, 1.0])
    return st.one_of(
        st.builds(lambda a, b: ("+", a, b), leaves, leaves),
        st.builds(lambda a, b: ("-", a, b), leaves, leaves),
        st.builds(lambda a, b: ("|", a, b), leaves, leaves),
        st.builds(lambda a, b: ("&", a, b), leaves, leaves),
        st.builds(lambda a, b, t: ("lerp", a, b, t), leaves, leaves, fractions),
        st.builds(lambda a, b: ("without", a, b), leaves, leaves),
        st.builds(lambda a, b: ("erased", a, b), leaves, leaves),
        st.builds(lambda a, b: ("scaled", a, b, 0.5), leaves, leaves),
        st.builds(lambda a, t: ("again", a, t), leaves, fractions),
        st.builds(lambda a: ("*", a, -2.0), leaves),
    )


@given(st.recursive(st.tuples(st.sampled_from(["coded", "dense"]), names), combinations, max_leaves=5))
def test_whatever_is_done_to_codes_its_text_evaluates_back(encoder, toy, tree):
    def made(node):
        match node:
            case ("coded", name):
                return text(name, encoder).decomposed(toy)
            case ("dense", name):
                return text(name, encoder) - 0.5 * text("moon", encoder)
            case ("+", a, b):
                return made(a) + made(b)
            case ("-", a, b):
                return made(a) - made(b)
            case ("lerp", a, b, t):
                return Concept.lerp(made(a), made(b), t)
            case ("*", a, w):
                return w * made(a)
            case ("again", a, t):
                return made(a).decomposed(toy, residual=t)
            case ("|", a, b):
                return made(a).decomposed(toy) | made(b)
            case ("&", a, b):
                return made(a).decomposed(toy) & made(b)
            case ("scaled", a, b, factor):
                return made(a).decomposed(toy).scaled(made(b), factor)
            case (edit, a, b):
                return made(a).decomposed(toy).without(made(b), erase=edit == "erased")

    concept = made(tree)
    again = evaluate(str(concept), encoder, dictionary=toy if concept.code else None)
    size = 1e-3 * (1 + float(concept.vector.norm()))
    assert torch.allclose(again.vector, concept.vector, atol=size)


def test_operands_of_union_and_meet(encoder, toy):
    a, b = (text(word, encoder).decomposed(toy) for word in ("fire", "ice"))
    weights = lambda concept: {o.written: o.weight for o in concept.operands}  # noqa: E731
    assert weights(2 * a | b) == {"fire": 2, "ice": 1} and weights(2 * a | a) == {"fire": 2}
    assert weights(2 * a & a) == {"fire": 2} and weights(a & b) == {"fire": 1, "ice": 1} and weights(a | -b) == {"fire": 1, "ice": -1}


def test_features_are_switched_off_by_name_and_by_concept(encoder, toy):
    a, b = (text(word, encoder).decomposed(toy) for word in ("fire", "ice"))
    names = [name for name, _ in a.code.features(2)]
    less = a.without(names)
    assert not set(names) & {name for name, _ in less.code.features()}
    assert str(less) == f'without(fire, feature("{names[0]}") + feature("{names[1]}"))'
    assert a.without(names[0]).code.features()[0][0] == names[1]
    mine, theirs = (x.code.amounts[0] / x.code.amounts[0].max() for x in (a, b))
    off = (theirs > 0) & (theirs >= (1 - 1e-5) * mine)
    assert torch.equal(a.without(b).code.amounts[0], a.code.amounts[0] * ~off) and (off & (mine > 0)).any()
    assert not a.without(3 * a).code.amounts.any() and not (3 * a).without(names[0]).code.amounts[0, toy.names.index(names[0])]
    assert torch.equal(a.without(b).without(b).vector, a.without(b).vector)
    places = [toy.names.index(name) for name in names]
    leak, erased = (a.without(names, erase=erase).code.leak(places).abs().max() for erase in (False, True))
    assert erased < 1e-5 < leak
    doubled = a.scaled(names[0], 2)
    assert doubled.code.features(1) == [(names[0], pytest.approx(2 * a.code.features(1)[0][1]))]
    with pytest.raises(ValueError, match="no feature named 'feature x'; did you mean feature"):
        a.without("feature x")
    for nothing in ([], 3, [3]):
        with pytest.raises(ValueError, match=r"without: features are meant by .*, expected a concept, a name or a list of names"):
            a.without(nothing)
    with pytest.raises(ValueError, match="factor is -1, expected a number of 0 or more"):
        a.scaled(b, -1)


def test_a_code_is_saved_and_read_back_with_its_dictionary(encoder, toy, tmp_path):
    saved = text("fire", encoder).decomposed(toy) - 0.5 * text("ice", encoder).decomposed(toy)
    saved.save(tmp_path / "a.safetensors")
    loaded = Concept.load(tmp_path / "a.safetensors", encoder.space, toy)
    assert torch.equal(loaded.code.amounts, saved.code.amounts) and loaded.code.sources == saved.code.sources
    assert torch.equal(loaded.vector, saved.vector) and torch.allclose(loaded.code.vector, saved.vector, atol=1e-6)
    dense = Concept.load(tmp_path / "a.safetensors", encoder.space)
    assert dense.code is None and torch.allclose(dense.vector, (text("fire", encoder) - 0.5 * text("ice", encoder)).vector, atol=1e-6)
    with pytest.raises(DictionaryMismatch):
        Concept.load(tmp_path / "a.safetensors", encoder.space, ToyDictionary(encoder.space, toy.names, seed=1))
    with pytest.raises(ValueError, match="is a folder, expected a saved concept"):
        Concept.load(tmp_path, encoder.space)


@pytest.mark.parametrize(
    "broken",
    [
        lambda t: {"code.amounts": 3 * t["code.amounts"]},
        lambda t: {"code.amounts": -t["code.amounts"]},
        lambda t: {"code.amounts": t["code.amounts"] * torch.nan},
        lambda t: {"code.amounts": t["code.amounts"][1:]},
        lambda t: {"code.places": t["code.places"][:, :1]},
        lambda t: {"code.places": t["code.places"] + 1000},
        lambda t: {"code.residuals": t["code.residuals"][:, :5]},
        lambda t: {"code.weights": t["code.weights"][:, :1]},
    ],
)
def test_a_damaged_code_is_refused(encoder, toy, tmp_path, broken):
    path = tmp_path / "a.safetensors"
    (text("fire", encoder).decomposed(toy) - 0.5 * text("ice", encoder).decomposed(toy)).save(path)
    with safe_open(path, "pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()
    save_file({name: x.contiguous() for name, x in (tensors | broken(tensors)).items()}, path, metadata)
    with pytest.raises(ValueError, match="is a damaged concept file"):
        Concept.load(path, encoder.space, toy)


def test_concepts_made_under_inference_mode_can_be_learned_with(encoder, toy, tmp_path):
    with torch.inference_mode():
        made = text("fire", encoder).decomposed(toy) - text("ice", encoder)
        made.save(tmp_path / "a.safetensors")
        read = Concept.load(tmp_path / "a.safetensors", encoder.space, toy)
    for concept in (made, read):
        x = torch.ones(encoder.space.dimension, requires_grad=True)
        (x @ concept.vector + x @ concept.code.leftovers + x @ concept.direction).backward()
        assert x.grad.norm() > 0
