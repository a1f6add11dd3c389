"""A render beside others of its concept: what each of them is good for, what they say, and which are refused."""

from dataclasses import dataclass, replace

import pytest
import torch
from test_measure import Witness
from toys import SmallEncoder, ToyClip, ToyPicture, ToySound

from concept_algebra.ops.concept import Concept
from concept_algebra.ops.encoders.decoded import embed
from concept_algebra.ops.evaluate.distractors import Bank
from concept_algebra.ops.evaluate.judgement import Court
from concept_algebra.ops.evaluate.measure import agreements, card_of, stability_of
from concept_algebra.ops.evaluate.others import card_beside, sorted_out
from concept_algebra.ops.expression import evaluate
from concept_algebra.ops.render import Render, render
from concept_algebra.ops.tracks import settings


@dataclass(frozen=True)
class Made:
    render: Render
    concept: Concept
    generator: object


def drawn(encoder, generator, seed, expression="fire + water", steps=3, **changed):
    concept = evaluate(expression, encoder)
    made = replace(settings(generator.modality, "honest", steps=steps), **changed)
    return Made(render(concept, encoder, generator, "honest", made, seed), concept, generator)


@pytest.fixture(scope="module")
def bank(encoder):
    return Bank(encoder)


@pytest.fixture(scope="module")
def pictures(encoder):
    return [drawn(encoder, ToyPicture(), seed) for seed in (1, 2, 3)]


@pytest.fixture(scope="module")
def sound(encoder):
    return drawn(encoder, ToySound(), 1)


@pytest.fixture(scope="module")
def clip(encoder):
    return drawn(encoder, ToyClip(), 9)


def test_other_seeds_say_how_steady_a_render_is(pictures, encoder, bank):
    own, *others = pictures
    court = Court(Witness(), encoder.space)
    named = dict(zip("ab", others))
    card = card_beside(own, named, encoder, bank, court)
    assert card == replace(card_of(own.render, own.concept, own.generator, court), stability=card.stability)
    assert card.stability == stability_of([made.render for made in pictures], own.concept, encoder, own.generator, court)
    # three seeds have an interval, where a judge was there to give a percentile
    assert card.stability.seeds == 3 and len(card.stability.percentiles) == 3
    assert card_beside(own, named, encoder, bank).stability.percentiles == ()
    assert card_beside(own, {"a": others[0]}, encoder, bank, court).stability.percentile is None


def test_other_media_say_whether_they_belong_together_by_the_encoder_and_by_the_judge(pictures, sound, clip, encoder, bank):
    own = pictures[0]
    others = {"a": sound, "b": clip}
    card = card_beside(own, others, encoder, bank)
    seen = {made.render.modality: embed(encoder, made.generator, made.render.media[None]) for made in (own, sound, clip)}
    expected = [each for each in agreements(seen, own.concept, Bank(encoder), encoder.space) if "image" in each.modalities]
    assert card.stability is None and list(card.agreement) == expected
    assert [each.modalities for each in expected] == [("image", "audio"), ("image", "video")] and not any(each.independent for each in expected)
    judged = card_beside(own, others, encoder, bank, Court(Witness(), encoder.space)).agreement
    assert judged[:2] == card.agreement
    assert [(each.modalities, each.independent) for each in judged[2:]] == [(("image", "audio"), True), (("image", "video"), True)]


def test_both_at_once_beside_an_edit_that_is_measured_against_a_base(pictures, sound, encoder, bank):
    own, second, _ = pictures
    base = drawn(encoder, ToyPicture(), 1, "fire").render
    court = Court(Witness(), encoder.space)
    card = card_beside(own, {"render_2": sound, "render_3": second}, encoder, bank, court, base)
    assert [each.modalities for each in card.agreement][0] == ("image", "audio") and card.stability.seeds == 2
    assert card.edit == card_of(own.render, own.concept, own.generator, court, base).edit and card.edit.base_is == "a render of it"
    with pytest.raises(ValueError, match="the base is audio"):
        card_beside(own, {"render_3": second}, encoder, bank, court, sound.render)


def test_a_candidate_is_a_matter_of_the_seed(encoder):
    own, other = (drawn(encoder, ToyPicture(), seed, candidates=3) for seed in (1, 2))
    other = replace(other, render=replace(other.render, settings=other.render.settings | {"candidate": (own.render.settings["candidate"] + 1) % 3}))
    assert sorted_out(own, {"a": other}) == ([other], [])


def test_what_does_not_fit_is_refused_by_name(pictures, sound, encoder, bank):
    own, second, _ = pictures

    def told(**others):
        with pytest.raises(ValueError) as raised:
            card_beside(own, others, encoder, bank)
        return str(raised.value)

    assert told(render_2=drawn(encoder, ToyPicture(), 2, "fire")) == (
        "render_2 is of 'fire', and the render of 'fire + water': connect renders of one concept"
    )
    assert "render_2 has the seed 1, as the render itself has" in told(render_2=own)
    assert "render_3 has the seed 2, as render_2 has" in told(render_2=second, render_3=second)
    assert "render_3 is the second audio render" in told(render_2=sound, render_3=drawn(encoder, ToySound(), 2))
    assert "render_2 differs from the render in its crops:" in told(render_2=drawn(encoder, ToyPicture(), 2, crops=5))
    assert "render_2 differs from the render in its schedule:" in told(render_2=drawn(encoder, ToyPicture(), 2, steps=4))
    assert "render_2 differs from the render in its generator:" in told(render_2=drawn(encoder, ToyPicture(mean=0.5), 2))
    natural = replace(second, render=replace(second.render, track="natural"))
    assert told(render_2=natural) == "render_2 is natural, and the render honest: connect renders of one track"
    changed = replace(second.concept, vector=-second.concept.vector)
    assert "is of another 'fire + water' than the render" in told(render_2=replace(second, concept=changed))


def test_another_space_is_refused_by_name(pictures, encoder, bank):
    own, second, _ = pictures
    foreign = Witness()
    with pytest.raises(ValueError, match="^render_2: concepts of different spaces do not mix"):
        card_beside(own, {"render_2": replace(second, concept=evaluate("fire + water", foreign))}, encoder, bank)
    with pytest.raises(ValueError, match="different spaces"):
        card_beside(own, {"render_2": second}, foreign, bank)


def test_it_is_the_same_under_a_hosts_inference_mode(pictures, sound, encoder, bank):
    own, second, _ = pictures
    others = {"a": sound, "b": second}
    with torch.inference_mode():
        inside = card_beside(own, others, SmallEncoder(), bank)
    assert inside == card_beside(own, others, encoder, bank)
