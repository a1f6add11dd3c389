"""Cards of a whole run: which judge judges what, and which agreements belong to whom."""

from dataclasses import replace

import pytest
import torch
from toys import SmallEncoder, ToyClip, ToyDictionary, ToyPicture, ToySound

from concept_algebra.ops.encoders.decoded import Played, embed
from concept_algebra.ops.evaluate.cards import cards_of
from concept_algebra.ops.evaluate.distractors import Bank
from concept_algebra.ops.evaluate.judgement import Court
from concept_algebra.ops.evaluate.measure import agreements
from concept_algebra.ops.expression import evaluate
from concept_algebra.ops.media import write_wav
from concept_algebra.ops.tracks import both


def witness(name, *modalities):
    """Another encoder, as far as ids go, that embeds some modalities only."""
    made = SmallEncoder()
    made.modalities = frozenset(modalities)
    made.space = replace(made.space, id=f"{name}-0")
    return made


@pytest.fixture(scope="module")
def concept(encoder):
    return evaluate("fire + water", encoder)


@pytest.fixture(scope="module")
def bank(encoder):
    return Bank(encoder)


@pytest.fixture(scope="module")
def outputs(encoder, concept):
    found = []
    for generator in (ToyPicture(), ToySound(), ToyClip()):
        for made in both(concept, encoder, generator, 3, steps=3):
            played = Played.by(generator)
            found.append((made, embed(encoder, played, made.media[None]), played))
    return found


@pytest.fixture(scope="module")
def phrase(encoder):
    return "fire water", encoder.text(["fire water"])


def test_without_a_judge_nothing_is_judged_and_every_two_outputs_of_a_track_agree_in_some_way(outputs, concept, encoder, bank, phrase):
    *cards, said = cards_of(outputs, concept, encoder, bank, phrase=phrase, seed=3)
    assert [(card.modality, card.track) for card in cards] == [(made.modality, made.track) for made, _, _ in outputs]
    for card in cards:
        assert card.verdict.word == "not judged" and "no judge was given" in card.verdict.rule
        assert len(card.agreement) == 3 and all(card.modality in each.modalities and not each.independent for each in card.agreement)
    natural = {played.modality: embedding for made, embedding, played in outputs if made.track == "natural"} | {"text": phrase[1]}
    expected = {each.modalities: each for each in agreements(natural, concept, bank, encoder.space)}
    for card in cards:
        if card.track == "natural":
            assert all(each == expected[each.modalities] for each in card.agreement)
    assert (said.modality, said.track, said.seed, said.instruments) == ("text", "composed", 3, None)
    assert said.verdict.word == "not judged" and "no judge was given" in said.verdict.rule
    assert [each.modalities for each in said.agreement] == [("text", "image"), ("text", "audio"), ("text", "video")]
    honest = [card.agreement for card in cards if card.track == "honest"]
    assert all(any(each in of for of in honest) for each in said.agreement)


def test_each_render_is_judged_by_the_first_judge_that_can_see_it(outputs, concept, encoder, bank, phrase):
    courts = [Court(witness("eyes", "text", "image", "video"), encoder.space), Court(witness("ears", "text", "audio"), encoder.space)]
    *cards, said = cards_of(outputs, concept, encoder, bank, courts, phrase)
    assert {card.modality: card.judgement.judge for card in cards} == {"image": "eyes-0", "audio": "ears-0", "video": "eyes-0"}
    told = {(each.modalities, each.by) for each in cards[0].agreement}
    # nobody but the encoder itself embeds both pictures and sounds
    assert told == {
        (("text", "image"), "small-0"), (("image", "audio"), "small-0"), (("image", "video"), "small-0"),
        (("text", "image"), "eyes-0"), (("image", "video"), "eyes-0"),
    }  # fmt: skip
    assert all(each.independent == (each.by != "small-0") for card in [*cards, said] for each in card.agreement)
    assert said.verdict.word == "not judged" and "(fire, water)" in said.verdict.rule
    assert {(each.modalities, each.by) for each in said.agreement} >= {(("text", "image"), "eyes-0"), (("text", "audio"), "ears-0")}


def test_a_phrase_in_other_words_is_judged_by_the_first_judge_that_can_read_the_target(encoder, bank, tmp_path):
    eyes, ears = (Court(witness(name, "text", sense), encoder.space) for name, sense in (("eyes", "image"), ("ears", "audio")))
    path = tmp_path / "tone.wav"
    write_wav(path, torch.rand(1, 16000) - 0.5, 16000)
    concept = evaluate(f'audio("{path}")', encoder)
    (said,) = cards_of([], concept, encoder, bank, [eyes, ears], ("loud noise", encoder.text(["loud noise"])))
    assert said.judgement.judge == "ears-0" and said.judgement == ears.judge_phrase(str(concept), "loud noise")
    (said,) = cards_of([], concept, encoder, bank, [eyes], ("loud noise", encoder.text(["loud noise"])))
    assert said.verdict.word == "not judged" and "'eyes-0' cannot read the target" in said.verdict.rule


class Counting(SmallEncoder):
    """Counts the media that it embeds."""

    def __init__(self):
        super().__init__()
        self.space, self.seen = replace(self.space, id="counting-0"), []

    def _embedding(self, rows, modality, grid):
        self.seen += [modality] * len(rows)
        return super()._embedding(rows, modality, grid)


def test_a_judge_sees_each_medium_once_for_the_card_its_edit_and_the_agreements(outputs, encoder, bank, phrase):
    eyes = Counting()
    court = Court(eyes, encoder.space)
    eyes.seen.clear()
    cards = cards_of(outputs, evaluate("fire - water", encoder), encoder, bank, [court], phrase)
    assert all(card.edit for card in cards[:-1]) and any(each.independent for each in cards[0].agreement)
    assert sorted(modality for modality in eyes.seen if modality != "text") == ["audio", "audio", "image", "image", "video", "video"]


def test_what_no_judge_can_see_is_not_judged_and_says_so(outputs, concept, encoder, bank):
    cards = cards_of(outputs, concept, encoder, bank, [Court(witness("eyes", "text", "image"), encoder.space)])
    words = {card.modality: card.verdict for card in cards}
    assert words["audio"].word == words["video"].word == "not judged" and "embeds image, text" in words["audio"].rule
    assert words["image"].word != "not judged" and len(cards) == len(outputs)


def test_what_a_judge_cannot_read_it_has_no_agreement_on(outputs, encoder, bank, tmp_path):
    concept = evaluate("fire", encoder)
    tensors = evaluate("fire", encoder).from_image(torch.rand(3, 16, 16), encoder)
    cards = cards_of(outputs, concept + tensors, encoder, bank, [Court(witness("eyes", "text", "image", "video"), encoder.space)])
    assert all(each.by == "small-0" for card in cards for each in card.agreement) and cards[0].verdict.word == "not judged"


def test_with_a_dictionary_the_agreements_count_shared_features(outputs, concept, encoder, bank):
    dictionary = ToyDictionary(encoder.space, [f"f{i}" for i in range(40)])
    cards = cards_of(outputs, concept, encoder, bank, dictionary=dictionary)
    assert all(each.jaccard is not None and 0 <= each.jaccard <= 1 for card in cards for each in card.agreement)


def test_a_target_that_leaves_nothing_to_stand_out_from_has_no_agreement(outputs, encoder, bank):
    everything = " ".join(bank.words[:150])
    cards = cards_of(outputs, evaluate(f'"{everything}"', encoder), encoder, bank)
    assert all(card.agreement == () for card in cards)
