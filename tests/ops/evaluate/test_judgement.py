"""Judgements and edits in a space where it is known what a medium shows: media are drawn at the place of a word."""

import pytest
import torch
from toys import SmallEncoder, ToyPicture

from concept_algebra.ops.encoders.protocol import Embedding
from concept_algebra.ops.evaluate.distractors import Bank
from concept_algebra.ops.evaluate.edit import edit_success, roles
from concept_algebra.ops.evaluate.judgement import GET, Court, unjudged
from concept_algebra.ops.evaluate.score import Score
from concept_algebra.ops.evaluate.stems import repeated
from concept_algebra.ops.evaluate.verdict import PARTLY, Change, edited, recognition
from concept_algebra.ops.expression import evaluate
from concept_algebra.ops.media import write_png
from concept_algebra.ops.parser import ExpressionError
from concept_algebra.ops.space import Space
from concept_algebra.ops.syntax import to_text


class Seer(SmallEncoder):
    """Sees in a picture whatever direction its pixels spell, and no sound."""

    modalities = frozenset(["text", "image"])

    def __init__(self):
        super().__init__()
        self.space = Space("seer-0", self.dimension, self.space.means, self.space.radii, self.space.vocabulary)

    def image(self, pixels):
        rows = self.space.place(pixels.flatten(1)[:, : self.dimension], "image")
        return Embedding(rows, rows[:, None], rows[:, None], (1, 1), "image")


def showing(direction):
    """A picture that the seer sees to lie in this direction."""
    pixels = torch.zeros(1, 3, 4, 4)
    pixels.view(-1)[:] = direction
    return pixels


@pytest.fixture(scope="module")
def court(encoder):
    return Court(Seer(), encoder.space)


@pytest.fixture(scope="module")
def seeing(court):
    """How the court sees a picture that shows a direction."""
    return lambda direction: court.see(showing(direction), ToyPicture())


def at(expression, court):
    return evaluate(expression, court.encoder).direction


@pytest.mark.parametrize("expression", ["giraffe", "otters", "king - man + woman", "0.3*sunset + 0.7*ocean", "red balloon", "without(lantern, fur)"])
def test_what_shows_the_target_is_recognised(court, seeing, expression):
    found = court.judge(expression, seeing(at(expression, court)))
    assert found.verdict.word == "recognised" and found.score.top1 and found.score.percentile == 1
    assert found.score.cosine == pytest.approx(1, abs=1e-4) and found.score.z > 3
    assert found.nearest[0] == expression and len(found.nearest) == 5 and found.judge == "seer-0"
    assert f"place 1 among {found.score.count + 1}" in found.verdict.rule


def test_what_shows_something_else_is_not_recognised(court, seeing):
    found = court.judge("giraffe", seeing(at("lantern - giraffe", court)))
    assert found.verdict.word == "not recognised" and found.score.percentile < 0.1 and "giraffe" not in found.nearest


def test_of_a_sum_one_part_alone_is_not_the_whole_that_both_are(court, seeing):
    whole, part = (court.judge("giraffe + lantern", seeing(at(what, court))) for what in ("giraffe + lantern", "giraffe"))
    assert part.score.z < whole.score.z


@pytest.mark.parametrize(
    "above, word", [(0, "recognised"), (4, "recognised"), (5, "partly"), (30, "partly"), (31, "not recognised"), (600, "not recognised")]
)
def test_the_verdict_is_by_its_thresholds(above, word):
    found = Score((601 - above) / 601, 1.0, above, 600, 0.2)
    assert recognition(found).word == word
    assert (found.percentile >= PARTLY) == (word != "not recognised")


def test_the_encoder_that_made_it_is_no_judge_however_calibrated(encoder):
    made = encoder.space.centred_with({}, {})
    assert made != encoder.space
    with pytest.raises(ValueError, match="another encoder has to judge it"):
        Court(encoder, made)


def test_a_medium_that_the_judge_cannot_see_is_not_judged(court):
    found = unjudged("audio", court)
    assert found.verdict.word == "not judged" and found.score is None and found.judge is None
    assert "clap" in found.verdict.rule and "embeds image, text" in found.verdict.rule


@pytest.mark.parametrize(
    "expression, told",
    [
        ('audio("thunder.wav")', "not audio"),
        ('feature("fur of a cat")', "fur of a cat"),
        ("dog - dog", "no direction"),
        ('image("nowhere.png")', "nowhere.png"),
    ],
)
def test_a_target_that_the_judge_cannot_read_is_not_judged(court, seeing, expression, told):
    found = court.judge(expression, seeing(at("dog", court)))
    assert found.verdict.word == "not judged" and told in found.verdict.rule and found.score is None


@pytest.mark.parametrize("modality", ["image", "audio", "video", "text"])
def test_without_a_judge_it_says_how_to_get_one(modality):
    found = unjudged(modality)
    assert found.verdict.word == "not judged" and found.verdict.rule == f"no judge was given; {GET[modality]}"


# --- phrases


@pytest.mark.parametrize(
    "phrase, expression, said, rest",
    [
        ("fire steam", "fire + water", ["fire"], "steam"),
        ("water fire", "fire + water", ["water", "fire"], ""),
        ("queen of light", "king - man + woman", [], "queen of light"),
        ("a pair of Dogs", "a pair of dog - fur", ["pair", "dogs"], ""),
        ("the ox in a hat", "0.5*ox + in a hut", ["ox"], "hat"),
        ("campfire", "fire", ["campfire"], ""),
        ("catalogue", "cat", [], "catalogue"),
        ("cat on a sofa", 'image("cat.jpg") + purple', [], "cat on a sofa"),
        ("soft fur", 'feature("fur") + x', ["fur"], "soft"),
        ("3d boxes", "box", ["boxes"], "3d"),
        ("red roses", "rose", ["roses"], "red"),
        ("lens of a bus", "lenses + buses", ["lens", "bus"], ""),
        ("bass", "base", [], "bass"),
    ],
)
def test_what_a_phrase_repeats_is_told_and_function_words_and_file_names_are_not(phrase, expression, said, rest):
    assert repeated(phrase, expression) == (said, rest)


def test_a_phrase_that_only_repeats_the_target_is_not_judged(court):
    found = court.judge_phrase("0.1*queen + moon - heat", "moons of queens")
    assert found.verdict.word == "not judged" and "own words (moons, queens)" in found.verdict.rule and found.score is found.judge is None


@pytest.mark.parametrize("phrase, rest", [("queens of heat", "queens of heat"), ("moon queens", "queens")])
def test_a_phrase_stands_where_it_is_near_to_the_target_among_the_distractors(court, phrase, rest):
    found = court.judge_phrase("0.9*moon - light", phrase)
    # each by hand: the distractors that share a word with neither
    own = {"moon", "light", *(word.rstrip("s") for word in phrase.split())}
    kept = [i for i, word in enumerate(court.bank.words) if not own & {part.rstrip("s") for part in word.split() if len(part) > 2}]
    target = at("0.9*moon - light", court)
    cosines = court.bank.directions[kept] @ target
    near = torch.nn.functional.normalize(court.encoder.space.centre(court.encoder.text([rest]).pooled[0], "text"), dim=0) @ target
    assert len(kept) < 600 and found.score.count == len(kept)
    assert found.score.percentile == pytest.approx((1 + int((cosines < near).sum())) / (len(kept) + 1))
    what = "the phrase" if phrase == rest else "'queens', which is all that the phrase says beside the target's own words (moon),"
    assert found.verdict.rule.startswith(f"the judge put {what} at place {found.score.above + 1} among {len(kept) + 1}")
    assert court.bank.words[kept[int(cosines.argmax())]] in found.nearest[:2] and len(found.nearest) == 5


class Synonyms(Seer):
    """A seer that knows one word by another's name."""

    def _word(self, word):
        return super()._word({"canine": "dog"}.get(word, word))


def test_a_phrase_that_says_the_target_in_other_words_is_recognised_and_another_is_not(encoder):
    court = Court(Synonyms(), encoder.space)
    found = court.judge_phrase("dog", "canine")
    assert found.verdict.word == "recognised" and found.score.top1 and found.nearest[0] == "canine"
    target = at("dog", court)
    worst = court.bank.words[int((court.bank.directions @ target).argmin())]
    assert court.judge_phrase("dog", worst).verdict.word == "not recognised"


@pytest.mark.parametrize("expression", ['audio("thunder.wav")', 'feature("fur of a cat")', "dog - dog", 'image("nowhere.png")'])
def test_a_phrase_for_what_the_judge_cannot_read_is_not_judged(court, expression):
    found = court.judge_phrase(expression, "loud noise")
    assert found.verdict.word == "not judged" and "cannot read the target" in found.verdict.rule and found.score is None


# --- edits


@pytest.mark.parametrize(
    "expression, expected",
    [
        ("king - man + woman", [("kept", "king"), ("removed", "man"), ("added", "woman")]),
        ("-man + king", [("removed", "man"), ("kept", "king")]),
        ("0.3*sunset + 0.7*ocean", [("kept", "sunset"), ("added", "ocean")]),
        ("a - 2*(b - c)", [("kept", "a"), ("removed", "b"), ("added", "c")]),
        ("a + b - a", []),
        ("dog", []),
        ("-dog - cat", []),
        ("slerp(a, b, 0)", []),
        ("slerp(a, b, 0.5) - b", [("kept", "a"), ("removed", "b")]),
        ("without(dog, fur)", [("kept", "dog"), ("removed", "fur")]),
        ('erased(dog, feature("fur"))', [("kept", "dog"), ("removed", 'feature("fur")')]),
        ("scaled(dog, fur, 3)", [("kept", "dog"), ("added", "fur")]),
        ("scaled(dog, fur, 0.5)", [("kept", "dog"), ("removed", "fur")]),
        ("scaled(dog, fur, 1)", []),
        ("dog | cat", [("kept", "dog"), ("added", "cat")]),
        ("coded(dog & cat, 0.5) - -red", [("kept", "dog"), ("added", "cat"), ("added", "red")]),
        ('image("a.png") + purple', [("kept", 'image("a.png")'), ("added", "purple")]),
    ],
)
def test_roles_are_the_signs(expression, expected):
    assert [(role, to_text(leaf)) for role, leaf in roles(expression)] == expected


def test_a_mistake_in_the_expression_is_told():
    with pytest.raises(ExpressionError):
        roles("dog +")


def test_an_edit_that_did_what_it_says_succeeds(court, seeing):
    base, whole = (seeing(at(what, court)) for what in ("0.6*king + 0.4*man", "king - man + woman"))
    found = edit_success(court, "king - man + woman", whole, base)
    by = {change.word: change for change in found.changes}
    assert found.verdict.word == "succeeded" and found.base == "king" and found.base_is == "a render of it"
    assert by["man"].role == "removed" and found.mean("removed") == by["man"].change < -0.5
    assert by["woman"].change > 0 and abs(by["king"].change) < 0.05
    # each by hand
    directions = Bank(court.encoder).rivals(evaluate("woman", court.encoder))[1]
    seen = at("king - man + woman", court)
    below = int((directions @ seen < at("woman", court) @ seen).sum())
    assert by["woman"].after == pytest.approx((1 + below) / (len(directions) + 1))


def test_an_edit_that_changed_nothing_fails(court, seeing):
    base = seeing(at("king + man", court))
    found = edit_success(court, "king - man + woman", base, base)
    assert all(change.change == 0 for change in found.changes)
    assert found.verdict.word == "failed" and "man (removed" in found.verdict.rule and "woman (added" in found.verdict.rule


def test_without_a_render_of_the_base_its_own_embedding_stands_for_it(court, seeing):
    found = edit_success(court, "king - man", seeing(at("king - man", court)))
    assert found.base_is == "its own embedding" and found.changes[0].before == 1


def test_words_are_read_once_and_a_file_as_it_is_now(court, tmp_path):
    assert court.read("fire + water") is court.read("fire + water")
    directions = []
    for seed in (0, 1):
        write_png(tmp_path / "a.png", torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(seed)))
        directions.append(court.read('image("a.png") + fire', tmp_path).direction)
    assert not torch.allclose(*directions)


def test_what_the_judge_cannot_read_is_left_out_and_named(court, seeing):
    medium = seeing(at("purple", court))
    found = edit_success(court, 'audio("thunder.wav") + purple', medium, seeing(at("dog", court)))
    assert [change.word for change in found.changes] == ["purple"] and found.left_out[0].startswith('audio("thunder.wav"): ')
    none = edit_success(court, 'audio("thunder.wav") + purple', medium)
    assert none.verdict.word == "not judged" and none.mean("added") is None
    assert edit_success(court, "dog", medium) is None


@pytest.mark.parametrize(
    "role, before, after, well",
    [
        ("removed", 0.9, 0.89, True), ("removed", 0.9, 0.9, False), ("removed", 0.3, 0.4, True), ("removed", 0.4, 0.6, False),
        ("added", 0.2, 0.3, True), ("added", 0.3, 0.2, False), ("added", 0.99, 0.96, True), ("added", 0.99, 0.9, False),
        ("kept", 0.99, 0.95, True), ("kept", 0.99, 0.93, False), ("kept", 0.5, 0.9, True),
    ],
)  # fmt: skip
def test_each_role_has_its_bar(role, before, after, well):
    assert Change(role, "x", before, after).succeeded is well


def test_an_edit_verdict_counts_what_the_edit_was_for():
    kept, gone, stayed = Change("kept", "a", 0.9, 0.9), Change("removed", "b", 0.9, 0.1), Change("removed", "c", 0.9, 0.95)
    assert edited([kept, gone]).word == "succeeded"
    assert edited([kept, gone, stayed]).word == "partly"
    assert edited([kept, stayed]).word == "failed"
    with pytest.raises(ValueError, match="no changes"):
        edited([])
