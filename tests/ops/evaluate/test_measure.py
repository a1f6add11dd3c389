"""Cards of real renders: the toy generator rendered with one encoder, judged by another, through every number and back from JSON."""

import pytest
import torch
from toys import SmallEncoder, ToyDictionary, ToyPicture, ToySound

from concept_algebra.ops.encoders.decoded import embed
from concept_algebra.ops.evaluate.card import Card
from concept_algebra.ops.evaluate.card_markdown import markdown
from concept_algebra.ops.evaluate.distractors import Bank
from concept_algebra.ops.evaluate.judgement import Court
from concept_algebra.ops.evaluate.measure import agreements, card_of, stability_of
from concept_algebra.ops.expression import evaluate
from concept_algebra.ops.render import renders
from concept_algebra.ops.space import Space, SpaceMismatch
from concept_algebra.ops.tracks import settings


class Witness(SmallEncoder):
    """Sees what the small encoder sees, in a space of its own: what convinces the one convinces the other."""

    def __init__(self):
        super().__init__()
        self.space = Space("witness-0", self.dimension, self.space.means, self.space.radii, self.space.vocabulary)


@pytest.fixture(scope="module")
def court(encoder):
    return Court(Witness(), encoder.space)


@pytest.fixture(scope="module")
def made(encoder):
    """Three seeds of an edit, and its base from one."""

    def drawn(expression, seeds):
        concept = evaluate(expression, encoder)
        return concept, renders(concept, encoder, ToyPicture(), "honest", settings("image", "honest", steps=30), seeds)

    return drawn("king - man", [1, 2, 3]), drawn("king", [1])


def test_a_card_of_a_render_is_judged_read_back_and_written_out(made, court, encoder):
    (concept, (first, *_)), (_, (base,)) = made
    card = card_of(first, concept, ToyPicture(), court, base)
    assert Card.from_json(card.to_json()) == card
    assert card.judgement == court.judge("king - man", court.see(first.media[None], ToyPicture())) and card.made_with == encoder.space.id
    assert card.instruments is first.instruments and (card.seed, card.track, card.modality) == (1, "honest", "image")
    by = {change.word: change for change in card.edit.changes}
    assert by["man"].change < 0 and card.edit.base_is == "a render of it"
    page = markdown(card)
    assert card.verdict.word in page and "nan" not in page.lower()


def test_without_a_judge_nothing_is_judged_and_the_instruments_stay(made):
    (concept, (first, *_)), _ = made
    card = card_of(first, concept, ToyPicture())
    assert card.verdict.word == "not judged" and card.edit is None and card.instruments is first.instruments


def test_a_judge_that_cannot_see_the_medium_says_what_it_can_see_and_judges_no_edit(made, encoder):
    (concept, _), _ = made
    deaf = Witness()
    deaf.modalities = frozenset(["text", "image"])
    (sound,) = renders(concept, encoder, ToySound(), "honest", settings("audio", "honest", steps=2), [1])
    card = card_of(sound, concept, ToySound(), Court(deaf, encoder.space))
    assert card.verdict.word == "not judged" and "embeds image, text" in card.verdict.rule and card.edit is None


def test_the_encoder_it_was_made_with_cannot_be_the_judge(encoder):
    with pytest.raises(ValueError, match="another encoder"):
        Court(encoder, encoder.space)


def test_a_base_of_another_modality_is_refused(made, court, encoder):
    (concept, (first, *_)), _ = made
    (sound,) = renders(concept, encoder, ToySound(), "honest", settings("audio", "honest", steps=2), [1])
    with pytest.raises(ValueError, match="the base is audio"):
        card_of(first, concept, ToyPicture(), court, sound)


def test_seeds_are_compared_with_each_other(made, court, encoder):
    (concept, all_three), _ = made
    dictionary = ToyDictionary(encoder.space, [str(i) for i in range(30)])
    found = stability_of(all_three, concept, encoder, ToyPicture(), court, dictionary)
    assert found.seeds == 3 and -1 <= found.cosine <= 1 and 0 <= found.overlap <= 1
    assert found.percentiles == tuple(court.judge("king - man", court.see(m.media[None], ToyPicture())).score.percentile for m in all_three)
    bare = stability_of(all_three[:2], concept, encoder, ToyPicture())
    assert bare.percentiles == () and bare.overlap is None and bare.recognised is None
    with pytest.raises(ValueError, match="different seeds"):
        stability_of([all_three[0], all_three[0]], concept, encoder, ToyPicture())
    with pytest.raises(ValueError, match="two or more renders"):
        stability_of([], concept, encoder, ToyPicture())


def test_outputs_are_compared_pair_by_pair_and_independence_is_told(made, encoder):
    (concept, (first, *_)), _ = made
    (sound,) = renders(concept, encoder, ToySound(), "honest", settings("audio", "honest", steps=2), [1])
    outputs = {
        "audio": embed(encoder, ToySound(), sound.media[None]),
        "image": embed(encoder, ToyPicture(), first.media[None]),
        "text": encoder.text(["king"]),
    }
    found = agreements(outputs, concept, Bank(encoder), encoder.space)
    assert [a.modalities for a in found] == [("text", "image"), ("text", "audio"), ("image", "audio")]
    assert not any(a.independent for a in found) and all(a.count >= 500 for a in found)
    witness = Witness()
    seen = {"image": embed(witness, ToyPicture(), first.media[None]), "text": witness.text(["king"])}
    (one,) = agreements(seen, evaluate("king - man", witness), Bank(witness), encoder.space)
    assert one.independent and one.by == "witness-0"
    with pytest.raises(SpaceMismatch):
        agreements(seen, concept, Bank(witness), encoder.space)
    assert agreements({"text": encoder.text(["king"])}, concept, Bank(encoder), encoder.space) == ()
    assert torch.is_grad_enabled()
