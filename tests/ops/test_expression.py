import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import ToyDictionary

from concept_algebra.ops import parser, syntax
from concept_algebra.ops.concept import Concept
from concept_algebra.ops.expression import evaluate
from concept_algebra.ops.features.pursuit import Pursuit
from concept_algebra.ops.media import MediaError, write_mp4, write_png, write_wav
from concept_algebra.ops.parser import ExpressionError, parse
from concept_algebra.ops.space import SpaceMismatch
from concept_algebra.ops.syntax import Coded, Edit, Feature, Join, Media, Meet, Name, Phrase, Scale, Slerp, Sum, to_text

FIRE, WATER, ICE = Phrase("fire"), Phrase("water"), Phrase("ice")


def minus(node):
    return Scale(-1.0, node)


@pytest.mark.parametrize(
    "text, tree",
    [
        ("fire", FIRE),
        ("  sad clown +\n red   balloon ", Sum((Phrase("sad clown"), Phrase("red balloon")))),
        ("0.3*sunset + 0.7*ocean", Sum((Scale(0.3, Phrase("sunset")), Scale(0.7, Phrase("ocean"))))),
        ("sunset*0.3", Scale(0.3, Phrase("sunset"))),
        ("2*sunset*.5", Phrase("sunset")),
        ("3*fire*2", Scale(6.0, FIRE)),
        ("fire - water", Sum((FIRE, minus(WATER)))),
        ("fire \u2212 2\u00d7water", Sum((FIRE, Scale(-2.0, WATER)))),
        ("fire -water", Sum((FIRE, minus(WATER)))),
        ("fire- water", Sum((FIRE, minus(WATER)))),
        ("fire--water", Sum((FIRE, WATER))),
        ("-fire", minus(FIRE)),
        ("--fire", FIRE),
        ("2*-fire", Scale(-2.0, FIRE)),
        ("-0*fire", Scale(0.0, FIRE)),
        ("fire-water", Phrase("fire-water")),
        ("t-shirt + rock'n'roll - o\u2019clock", Sum((Phrase("t-shirt"), Phrase("rock'n'roll"), minus(Phrase("o\u2019clock"))))),
        ("fire-0.3*water", Sum((FIRE, Scale(-0.3, WATER)))),
        ("fire-3 * water", Sum((FIRE, Scale(-3.0, WATER)))),
        ("fire-.3*water", Sum((FIRE, Scale(-0.3, WATER)))),
        ("covid-19 + 3d printer + 80s", Sum((Phrase("covid-19"), Phrase("3d printer"), Phrase("80s")))),
        ("1e-3*fire", Scale(1e-3, FIRE)),
        ("\U0001f525 + caf\u00e9 + \u706b", Sum((Phrase("\U0001f525"), Phrase("caf\u00e9"), Phrase("\u706b")))),
        ('"route 66" + "say ""hi"""', Sum((Phrase("route 66"), Phrase('say "hi"')))),
        ('"fire"', FIRE),
        ("(fire + water) + ice", Sum((FIRE, WATER, ICE))),
        ("fire + (water + ice)", Sum((FIRE, Sum((WATER, ICE))))),
        ("fire - (water - ice)", Sum((FIRE, minus(Sum((WATER, minus(ICE))))))),
        ("0.5*(fire + water)", Scale(0.5, Sum((FIRE, WATER)))),
        ("((fire))", FIRE),
        ('image("photo.jpg")', Media("image", "photo.jpg")),
        (r'image ( "C:\new\a b.jpg" )', Media("image", r"C:\new\a b.jpg")),
        ('audio("thunder.wav") + 0.3*purple', Sum((Media("audio", "thunder.wav"), Scale(0.3, Phrase("purple"))))),
        ('video("clip.mp4")*2', Scale(2.0, Media("video", "clip.mp4"))),
        ("slerp(fire, 2*water - ice, 0.5)", Slerp(FIRE, Sum((Scale(2.0, WATER), minus(ICE))), 0.5)),
        ("image", Phrase("image")),
        ("fire | water", Join(FIRE, WATER)),
        ("fire & water | ice", Join(Meet(FIRE, WATER), ICE)),
        ("fire | water & ice + fire", Join(FIRE, Meet(WATER, Sum((ICE, FIRE))))),
        ("fire | water | ice", Join(Join(FIRE, WATER), ICE)),
        ("2*(fire & water) - ice", Sum((Scale(2.0, Meet(FIRE, WATER)), minus(ICE)))),
        ('without(fire, feature("a ""b"""))', Edit("without", FIRE, Feature('a "b"'))),
        ("erased(fire | ice, water)", Edit("erased", Join(FIRE, ICE), WATER)),
        ("scaled(fire, water + ice, 0.5)", Edit("scaled", FIRE, Sum((WATER, ICE)), 0.5)),
        ("coded(fire + water) - coded(ice)", Sum((Coded(Sum((FIRE, WATER))), minus(ICE)))),
        ("recoded(fire - water, 0.5)", Coded(Sum((FIRE, minus(WATER))), 0.5, True)),
        ("coded(fire, 0.5) | coded(ice, 1)", Join(Coded(FIRE, 0.5), ICE)),
        ("slerp(fire | water, ice, 0.5)", Slerp(Join(FIRE, WATER), ICE, 0.5)),
    ],
)
def test_parse(text, tree):
    assert parse(text) == tree


@pytest.mark.parametrize(
    "text, position, message",
    [
        ("", 0, "the expression is empty, expected a word"),
        (" \n", 2, "the expression is empty"),
        ("fire +", 6, "expected a word, a quoted phrase.*but the expression ends"),
        ("fire + * water", 7, "found '\\*'"),
        ("0.3 0.4", 4, r"expected '\*' after the number 0.3, found '0.4'"),
        ("0.3 fire", 4, r"expected '\*' after the number 0.3, found 'fire'"),
        ("0.3", 3, r"expected '\*' after the number 0.3, but the expression ends"),
        ("2*3", 3, r"expected '\*' after the number 3"),
        ("fire * water", 7, "only numbers multiply a concept, found 'water'"),
        ("fire 0.4", 5, r"expected '\+', '-', '\*', '\|', '&' or the end, found '0.4'"),
        ("(fire + water", 13, r"expected '\)' for the '\(' at character 1, but the expression ends"),
        ("fire)", 4, r"this '\)' closes nothing"),
        ("()", 1, "expected a word"),
        ("(fire water) ice", 13, "found 'ice'"),
        ('imagee("x")', 0, "unknown function 'imagee', did you mean image?"),
        ("2*slurp(a, b, 0.5)", 2, "did you mean slerp?"),
        ("fire (red)", 0, "unknown function 'fire', expected image, audio, video, slerp, feature, without, erased, scaled, coded, recoded, or quotes"),
        ("image(photo.jpg)", 6, r"expected a file name in quotes, as in image\(\"file\"\), found 'photo'"),
        ('image("")', 6, "expected a file name in quotes"),
        ('image("a.jpg"', 13, r"expected '\)' for the '\(' at character 6"),
        ("slerp(fire, water)", 17, "expected ',' after the concept to end at"),
        ("slerp(fire)", 10, "expected ',' after the concept to start from"),
        ("slerp(fire, water, 1.5)", 19, "expected a number from 0 to 1.*found '1.5'"),
        ("slerp(fire, water, -1)", 19, "expected a number from 0 to 1"),
        ('fire + "water', 7, "this quote is never closed"),
        ('fire + " "', 7, "the quoted phrase is empty"),
        ("fire ^ water", 5, "'\\^' cannot stand here"),
        ("a.b", 1, "'.' cannot stand here"),
        ("'sad clown' + fire", 0, 'expected straight double quotes, as in "route 66"'),
        ("image(\u201cphoto.jpg\u201d)", 6, "expected straight double quotes"),
        ("fire \u2013 water", 5, "expected '-' for a minus"),
        ("fire / 2", 5, r"expected a weight as a number, as in 0.5\*fire"),
        ("30% fire", 2, "expected a weight as a number"),
        ("0,3*fire", 1, r"expected a point before the decimals, as in 0.3\*fire"),
        ("route 66", 6, "found '66'; a phrase with a number in it goes in quotes"),
        ("(route 66)", 7, "found '66'; a phrase with a number in it goes in quotes"),
        ('sound("a.wav")', 0, "unknown function 'sound', did you mean audio?"),
        ("union(fire, water)", 0, r"unknown function 'union', write a \| b"),
        ("fire |", 6, "expected a word.*but the expression ends"),
        ("feature(fur)", 8, r"expected a name of a feature in quotes, as in feature\(\"name\"\), found 'fur'"),
        ("without(fire)", 12, r"expected ',' after the concept to edit, as in without\(dog, fur\)"),
        ("scaled(fire, water)", 18, r"expected ',' after whose features are meant, as in scaled\(dog, fur, 2\)"),
        ("scaled(fire, water, -1)", 20, "expected a number of 0 or more"),
        ("coded(fire, 2)", 12, r"expected a number from 0 to 1, as in coded\(photo, 0.5\)"),
        ("1e999*fire", 0, "the number is too large"),
        ("1e300*(1e300*fire)", 0, "the weight is too large"),
        ("fire - 1e300*(1e300*water)", 7, "the weight is too large"),
        ("(" * 60 + "fire" + ")" * 60, 50, "nested too deep, expected up to 50 levels"),
        ("fire + " * 2000 + "fire", parser.LONGEST, "has 14004 characters, expected up to 10000"),
    ],
)
def test_mistakes_are_placed_and_say_what_was_expected(text, position, message):
    with pytest.raises(ExpressionError, match=message) as caught:
        parse(text)
    assert caught.value.position == position
    head, shown, caret = str(caught.value).split("\n")
    assert f"(at character {position + 1})" in head and caret.strip() == "^"


def test_a_terminal_gets_the_place_in_one_line():
    with pytest.raises(ExpressionError) as caught:
        parse("fire *   water")
    assert caught.value.lines == ["expected a number: only numbers multiply a concept, found 'water' (at character 10 of: fire *   water)"]
    with pytest.raises(ExpressionError) as caught:
        parse("  ")
    assert caught.value.lines == [f"the expression is empty, expected {parser.A_CONCEPT}"]


def test_the_caret_stands_under_the_place():
    with pytest.raises(ExpressionError) as caught:
        parse("fire + imagee(3)")
    assert str(caught.value) == (
        "unknown function 'imagee', did you mean image? (at character 8)\n"
        "  fire + imagee(3)\n"
        "         ^"
    )  # fmt: skip
    with pytest.raises(ExpressionError) as caught:
        parse("a + " * 100 + "\u706b ^" + " + a" * 100)
    _, shown, caret = str(caught.value).split("\n")
    assert len(shown) < 110 and shown[caret.index("^") - 1] == "^"


words = st.sampled_from(["fire", "t-shirt", "o'clock", "3d", "covid-19", "caf\u00e9", "e5", "3e5-fire", "a-3", "x_", "7", "-", "'", "a."])
phrases = st.one_of(words, st.lists(words, min_size=2, max_size=3).map(" ".join), st.text(min_size=1).filter(lambda t: t.split()))
leaves = st.one_of(
    phrases.map(lambda text: Phrase(" ".join(text.split()))),
    st.builds(Media, st.sampled_from(syntax.MEDIA), st.text(min_size=1).filter(lambda t: t.strip())),
    st.builds(Feature, st.text(min_size=1).filter(lambda t: t.strip())),
)
weights = st.floats(-1e12, 1e12).map(lambda w: w + 0.0).filter(lambda w: w != 1)
trees = st.recursive(
    leaves,
    lambda nodes: st.one_of(
        st.builds(Scale, weights, nodes.filter(lambda n: not isinstance(n, Scale))),
        st.lists(nodes, min_size=2, max_size=4).filter(lambda n: not isinstance(n[0], Sum)).map(lambda n: Sum(tuple(n))),
        st.builds(Slerp, nodes, nodes, st.floats(0, 1).map(abs)),
        st.builds(Join, nodes, nodes),
        st.builds(Meet, nodes, nodes),
        st.builds(Edit, st.sampled_from(["without", "erased"]), nodes, nodes),
        st.builds(Edit, st.just("scaled"), nodes, nodes, st.floats(0, 1e6).map(abs)),
        st.builds(Coded, nodes.filter(lambda n: not isinstance(n, syntax.LEAVES))),
        st.builds(Coded, nodes, st.floats(0, 1, exclude_max=True).map(abs), st.booleans()),
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=150)
@given(trees)
def test_what_is_printed_parses_to_the_same_tree(tree):
    assert parse(to_text(tree)) == tree


scraps = st.lists(
    st.sampled_from(["fire", "t-shirt", "image", "slerp", "without", "scaled", "feature", "|", "&", '"', '"a"', "(", ")", "+", "-", "*", ",", "0.3", "1e9", ".", "'", " ", "\n", "\U0001f525", "\0"])
).map("".join)


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.text(), scraps))
def test_any_text_parses_or_raises_an_expression_error(text):
    try:
        tree = parse(text)
    except ExpressionError as error:
        assert 0 <= error.position <= len(text)
    else:
        assert parse(to_text(tree)) == tree


@pytest.mark.parametrize("unit", ["(", "-", "slerp(", "2*", "-(", "fire + (", '"', "image(", "0.3*(fire - "])
def test_long_and_deep_input_is_bounded(unit):
    for count in (49, 1001, 10**6 + 1):
        with pytest.raises(ExpressionError):
            parse(unit * count)
    assert parse("-" * 9000 + "fire") == FIRE


def test_evaluate_is_the_same_as_the_operators(encoder):
    a, b, c = (Concept.from_text(word, encoder) for word in ("fire", "sad clown", "t-shirt"))
    for text, concept in [
        ("fire", a),
        ("0.3*fire + 0.7*sad clown", 0.3 * a + 0.7 * b),
        ("fire - 0.3*(sad clown - t-shirt)", a - 0.3 * (b - c)),
        ("-2*slerp(fire, sad clown + t-shirt, 0.25)", -2 * Concept.slerp(a, b + c, 0.25)),
    ]:
        got = evaluate(text, encoder)
        assert torch.equal(got.vector, concept.vector) and str(got) == str(concept) == text
        assert [(o.written, o.weight) for o in got.operands] == [(o.written, o.weight) for o in concept.operands]


@settings(deadline=None, max_examples=40)
@given(st.recursive(
    st.sampled_from([FIRE, WATER, Phrase("sad clown"), Phrase("a + b")]),
    lambda nodes: st.one_of(
        st.builds(Scale, st.floats(-9, 9).map(lambda w: w + 0.0), nodes),
        st.lists(nodes, min_size=2, max_size=3).map(lambda n: Sum(tuple(n))),
    ),
    max_leaves=6,
))  # fmt: skip
def test_provenance_evaluates_back_to_the_concept(encoder, tree):
    once = evaluate(to_text(tree), encoder)
    again = evaluate(str(once), encoder)
    assert torch.allclose(once.vector, again.vector, rtol=1e-4, atol=1e-3) and str(again) == str(once)


def test_codes_come_from_the_dictionary_and_only_where_they_are_asked_for(encoder):
    toy = ToyDictionary(encoder.space, [f"feature {i}" for i in range(32)], threshold=0.0)
    a, b, c = (Concept.from_text(word, encoder).decomposed(toy) for word in ("fire", "water", "ice"))
    for text, concept in [
        ("fire", a),
        ("fire - 2*water", a - 2 * b),
        ("fire | water & ice", a | b & c),
        ("without(fire + ice, water)", (a + c).without(b)),
        ("erased(fire, ice)", a.without(c, erase=True)),
        ("scaled(fire, water, 3)", a.scaled(b, 3)),
        ('fire + 0.5*feature("feature 7")', a + 0.5 * Concept.feature("feature 7", toy)),
        ("coded(fire, 0) - water", Concept.from_text("fire", encoder).decomposed(toy, residual=0) - b),
        ('recoded(feature("feature 7"), 0)', Concept.feature("feature 7", toy).decomposed(toy, residual=0)),
        ("recoded(fire | water, 0.5)", (a | b).decomposed(toy, residual=0.5)),
        ("coded(fire - water) | ice", (Concept.from_text("fire", encoder) - Concept.from_text("water", encoder)).decomposed(toy) | c),
    ]:
        got = evaluate(text, encoder, dictionary=toy)
        assert torch.equal(got.code.amounts, concept.code.amounts) and torch.equal(got.vector, concept.vector)
        assert str(got) == str(concept) == text
    assert evaluate("fire - water", encoder).code is None
    with pytest.raises(ValueError, match="no feature named 'feature 70'; did you mean feature 7"):
        evaluate('feature("feature 70")', encoder, dictionary=toy)


def test_an_expression_of_codes_reads_them_in_words_where_no_dictionary_is_given(encoder):
    got = evaluate("fire | water", encoder)
    assert got.code.dictionary.id == Pursuit(encoder.space).id
    assert {name for name, _ in got.code.features(2)} == {"fire", "water"}


def test_files_are_found_from_the_base_folder_and_named_as_written(encoder, tmp_path):
    write_png(tmp_path / "a.png", torch.rand(3, 8, 8))
    write_wav(tmp_path / "a.wav", torch.rand(1, 800), 8000)
    write_mp4(tmp_path / "a.mp4", torch.rand(4, 3, 16, 16), 8)
    text = 'image("a.png") + 0.5*audio("a.wav") - video("a.mp4")'
    concept = evaluate(text, encoder, tmp_path)
    assert str(concept) == text
    assert [(o.modality, o.weight, o.written) for o in concept.operands] == [
        ("image", 1, 'image("a.png")'),
        ("audio", 0.5, 'audio("a.wav")'),
        ("video", -1, 'video("a.mp4")'),
    ]
    absolute = evaluate(f'image("{tmp_path / "a.png"}")', encoder, "/elsewhere")
    assert torch.equal(absolute.vector, Concept.from_image(tmp_path / "a.png", encoder).vector)
    with pytest.raises(MediaError, match="none.png: no such file"):
        evaluate('fire + image("none.png")', encoder, tmp_path)
    with pytest.raises(MediaError, match="no such file"):
        evaluate('image("a\0b")', encoder, tmp_path)


def test_names_stand_for_concepts_with_their_own_provenance(encoder):
    a, b = Concept.from_text("fire", encoder) + Concept.from_text("ice", encoder), Concept.from_text("water", encoder)
    assert parse('a + "a" + my b', {"a", "my b"}) == Sum((Name("a"), Phrase("a"), Name("my b")))
    got = evaluate("2*a - my b", encoder, names={"a": a, "my b": b})
    assert str(got) == "2*(fire + ice) - water" and torch.equal(got.vector, (2 * a - b).vector)
    assert to_text(parse("2*a - my b", {"a", "my b"})) == "2*a - my b"


def test_a_name_of_another_space_is_refused(encoder):
    from dataclasses import replace

    foreign = replace(Concept.from_text("fire", encoder), space=replace(encoder.space, id="small-1"))
    with pytest.raises(SpaceMismatch, match="'small-0' and 'small-1'"):
        evaluate("a", encoder, names={"a": foreign})


def test_a_modality_that_the_encoder_lacks(encoder, tmp_path):
    import copy

    deaf = copy.copy(encoder)
    deaf.modalities = frozenset(["text", "image"])
    with pytest.raises(ValueError, match=r"'audio\(\"a.wav\"\)': this encoder reads image, text, not audio"):
        evaluate('audio("a.wav")', deaf)


def test_leaves_are_listed_as_written():
    node = parse('0.3*fire + slerp(a, image("x.png"), 0.5) - (b - fire)', ["a", "b"])
    found = [leaf.path if isinstance(leaf, Media) else leaf.text for leaf in syntax.leaves(node)]
    assert found == ["fire", "a", "x.png", "b", "fire"]
