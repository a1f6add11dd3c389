"""The card: there and back through JSON, held to its schema in both directions, and its Markdown read back."""

import dataclasses
import json
import math
import re
from dataclasses import fields, is_dataclass, replace
from typing import get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from json_schema import fits, places, spoiled

from concept_algebra.ops.evaluate.agreement import Agreement
from concept_algebra.ops.evaluate.card import SCHEMA, Card
from concept_algebra.ops.evaluate.card_markdown import markdown, stability_told
from concept_algebra.ops.evaluate.edit import EditSuccess
from concept_algebra.ops.evaluate.intervals import Interval
from concept_algebra.ops.evaluate.judgement import Judgement, unjudged
from concept_algebra.ops.evaluate.score import Score
from concept_algebra.ops.evaluate.stability import Stability
from concept_algebra.ops.evaluate.verdict import WORDS, Change, Verdict, edited, recognition
from concept_algebra.ops.instruments import Instruments

SCORE = Score(0.9983, 4.1, 1, 600, 0.31)
CHANGES = (Change("kept", "king", 0.99, 0.98), Change("removed", "man", 0.8, 0.3))
FULL = Card(
    "king - 2*man", "image", "natural", 3, "pocket-1",
    Judgement(recognition(SCORE), "siglip-2", SCORE, ("crown", "king - 2*man")),
    Instruments(0.4, 0.1, None, 0.002, 0.9, None, 0.3, -2.5, ("The spectrum | falls.",)),
    EditSuccess(edited(CHANGES), "siglip-2", "king", "a render of it", CHANGES, ("x: no",)),
    (Agreement(("image", "audio"), "pocket-1", False, 0.97, 1200, 0.2, 0.4, 0.1),),
    Stability(3, "pocket-1", 0.8, 0.6, (0.9, 0.95, 1.0), Interval(0.96, 0.7, 0.99), Interval(2 / 3, 0.2, 0.94)),
)  # fmt: skip
BARE = Card("dog", "audio", "honest", 0, "pocket-1", unjudged("audio"), Instruments(0.4, None, None, 0.0, 0.9, None, None, None))
SAID = Card("king - man", "text", "composed", 3, "pocket-1", Judgement(recognition(SCORE, "the phrase"), "siglip-2", SCORE, ("queen",)), agreement=FULL.agreement)


@pytest.fixture(scope="module")
def schema():
    return json.loads(SCHEMA.read_text("utf-8"))


@pytest.mark.parametrize("card", [FULL, BARE, SAID])
def test_there_and_back_it_is_the_same(card):
    assert Card.from_json(card.to_json()) == card
    assert Card.from_dict(json.loads(json.dumps(card.to_dict(), sort_keys=True))) == card


@pytest.mark.parametrize("card", [FULL, BARE, SAID])
def test_it_fits_its_schema(card, schema):
    assert fits(card.to_dict(), schema, schema)


@pytest.mark.parametrize("where", [where for where in places(FULL.to_dict()) if where])
def test_anything_else_in_its_place_fits_neither_the_schema_nor_the_card(where, schema):
    for wrong in ({"what": 1}, [[]], True):
        document = spoiled(FULL.to_dict(), where, wrong)
        if document == FULL.to_dict() or where[-1] == "independent":
            continue
        assert not fits(document, schema, schema)
        with pytest.raises(ValueError, match="damaged|not a card"):
            Card.from_dict(document)


@pytest.mark.parametrize("where", [where for where in places(FULL.to_dict()) if where and isinstance(where[-1], str)])
def test_nothing_may_lack_or_be_added(where, schema):
    document = spoiled(FULL.to_dict(), where, None)
    at = document
    for name in where[:-1]:
        at = at[name]
    del at[where[-1]]
    for changed in (document, spoiled(FULL.to_dict(), (*where[:-1], "more"), 1)):
        assert not fits(changed, schema, schema)
        with pytest.raises(ValueError, match="damaged|not a card"):
            Card.from_dict(changed)


def test_the_schema_names_the_fields_of_the_classes_and_their_words(schema):
    def same(kind, described):
        described = schema["$defs"][described["$ref"].removeprefix("#/$defs/")] if "$ref" in described else described
        assert described["properties"].keys() - {"format"} == {field.name for field in fields(kind)}
        for name, hint in get_type_hints(kind).items():
            inside = [part for part in (hint, *get_args(hint)) if is_dataclass(part)]
            for part in inside:
                below = described["properties"][name]
                same(part, below.get("items") or next(iter(below.get("anyOf", [below]))))

    same(Card, schema)
    assert schema["$defs"]["verdict"]["properties"]["word"]["enum"] == list(WORDS)


@pytest.mark.parametrize("wrong", [None, [], "card", {}, {"format": "concept-algebra/card/0"}])
def test_what_is_no_card_is_refused(wrong):
    with pytest.raises(ValueError, match="not a card"):
        Card.from_dict(wrong)


def test_text_that_is_not_json_is_refused():
    with pytest.raises(ValueError):
        Card.from_json("{")


def test_what_is_not_finite_is_null_in_json(schema):
    card = replace(BARE, instruments=replace(BARE.instruments, norm=math.inf, slope=math.nan))
    plain = json.loads(card.to_json())
    assert plain["instruments"]["norm"] is None and fits(plain, schema, schema)
    assert math.isnan(Card.from_dict(plain).instruments.norm) and Card.from_dict(plain).instruments.slope is None


# --- Markdown


def test_the_page_begins_with_the_verdict_and_holds_every_number():
    page = markdown(FULL)
    head, verdict, *rest = page.split("\n\n")
    assert head == r"## king - 2\*man: image, natural" and verdict.startswith("**recognised**. The judge put the target at place 2 among 601")
    for said in (
        "The edit: **succeeded**", r"| man | removed | 80.0 | 30.0 | -50.0 |", "consistency, not recognition", "| 40% | 10% |",
        "0.960 (95% interval 0.700 to 0.990)",
        "z +4.1, bare cosine 0.310", "Seed 3.", r"- left out: x: no", "Of 3 seeds: recognised 2 times (95% interval of the rate 20% to 94%); percentiles 0.900, 0.950, 1.000, in all 0.960", "- The spectrum | falls.",
    ):  # fmt: skip
        assert said in page, said


def test_the_page_of_what_was_not_judged_has_no_score():
    page = markdown(BARE)
    assert "**not judged**. No judge was given; download laion/clap-htsat-unfused" in page
    assert "cosine 0." not in page.partition("Instruments")[0] and "percentile" not in page and "None" not in page and "nan" not in page


def test_of_two_seeds_the_values_stand_without_an_interval():
    two = Stability(2, "pocket-1", 0.8, None, (0.9, 0.95), None, Interval(1.0, 0.34, 1.0))
    assert "percentiles 0.900, 0.950; an interval needs 3 seeds; every two of them alike" in stability_told(two)
    assert stability_told(Stability(2, "pocket-1", -0.001)) == "Of 2 seeds: every two of them alike with a mean cosine of 0.00, by the encoder they were made with."


def test_the_page_of_a_phrase_has_no_run():
    page = markdown(SAID)
    assert page.startswith("## king - man: text, composed\n\n**recognised**. The judge put the phrase at place 2")
    assert "Nearest to the target, in the judge's eyes: queen." in page and "Instruments" not in page and "None" not in page


@given(st.text(max_size=40))
def test_an_expression_is_shown_as_written_and_breaks_no_table(expression):
    words = " ".join(expression.split())
    page = markdown(dataclasses.replace(FULL, expression=expression))
    shown = page.split(": image, natural")[0].removeprefix("## ")
    assert "\n" not in shown and re.sub(r"\\([\\`*_\[\]<>|#])", r"\1", shown) == words
    assert not re.search(r"(?<!\\)[`*_<>|\[\]#]", re.sub(r"\\\\", "", shown))


def test_verdicts_are_of_the_known_words():
    assert Verdict("partly", "x").word in WORDS and FULL.verdict.word == "recognised" and BARE.verdict.word == "not judged"
