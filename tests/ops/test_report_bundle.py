"""Parts of the page: verdicts, maps and tables say what the data say, and nothing in a name becomes markup."""

import re
from dataclasses import replace

import pytest
import torch

from concept_algebra.ops.evaluate.agreement import Agreement
from concept_algebra.ops.evaluate.card import Card
from concept_algebra.ops.evaluate.judgement import Judgement, unjudged
from concept_algebra.ops.evaluate.score import Score
from concept_algebra.ops.evaluate.verdict import recognition
from concept_algebra.ops.instruments import Instruments
from concept_algebra.ops.interpret.attribution import Attribution
from concept_algebra.ops.interpret.bundle import Bundle, Feature
from concept_algebra.ops.interpret.overlay import laid_over
from concept_algebra.ops.interpret.probes import Answer
from concept_algebra.ops.report_bundle import SIDE, agreed, caption, face, maps, readings, verdicts

READ = Instruments(0.4, None, None, 0.0, 0.9, None, None, None)
HONEST = Card("fire", "image", "honest", 0, "pocket-1", unjudged("image"), READ)
SCORE = Score(0.999, 4.0, 0, 600, 0.3)
KNOWN = replace(HONEST, track="natural", judgement=Judgement(recognition(SCORE), "siglip-1", SCORE))
MAP = Attribution(torch.rand(2, 2), "relevance", "image", "<b>fire", 0.25, active=False)


def bundle(track, features, probability, **more):
    return Bundle("fire", "image", track, 0, "pocket-1", 0.3, (), (), "sae-1", features, (Answer("a <b>", probability, "unlike text"),), **more)


def rows(page):
    return [re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", line) for line in re.findall(r"<tr>(<th.*?)</tr>", page)]


def test_one_verdict_for_all_where_they_are_the_same_else_one_for_each_track():
    same = verdicts([HONEST, replace(HONEST, track="natural")])
    assert same.count("not judged") == 1 and HONEST.verdict.rule[1:] in same and "sides" not in same
    apart = verdicts([HONEST, KNOWN])
    assert re.findall(r'class="verdict ([\w-]+)"><b>([^<]+)</b>', apart) == [("not-judged", "not judged"), ("recognised", "recognised")]
    assert apart.index("honest") < apart.index("not judged") < apart.index("natural") < apart.index("<b>recognised")


def test_four_frames_of_a_clip_stand_for_it_in_their_order():
    clip, shown = Attribution(torch.rand(8, 2, 2), "rollout", "video"), torch.rand(8, 3, 16, 16)
    panels, made = laid_over(clip, shown, SIDE), face(clip, shown)
    assert panels.shape == (8, 3, SIDE, SIDE) and made.shape == (3, 2 * SIDE, 2 * SIDE)
    for place, frame in (((0, 0), 0), ((0, 1), 2), ((1, 0), 5), ((1, 1), 7)):
        down, across = (part * SIDE for part in place)
        assert torch.equal(made[:, down : down + SIDE, across : across + SIDE], panels[frame])
    assert face(MAP, shown[:1]).shape == (3, SIDE, SIDE)


def test_a_map_says_of_what_it_is_and_how_strong():
    assert caption(MAP) == "<b>&lt;b&gt;fire</b> 0.25, below its threshold <data>relevance</data>"
    assert "0.30, 0.10 blurred" in caption(Attribution(torch.rand(2, 2), "integrated gradients", "image", "fire", 0.3, 0.1, 0.0))
    assert "whatever is asked" in caption(Attribution(torch.rand(2, 2), "rollout", "image"))


def test_every_map_is_shown_and_without_any_there_is_nothing():
    seen = []
    with_maps = bundle("honest", (), 0.5, maps=(MAP, MAP), shown=torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    assert maps(with_maps, lambda picture: seen.append(picture) or f"uri-{len(seen)}").count("<img") == len(seen) == 2
    assert maps(bundle("honest", (), 0.5), pytest.fail) == ""


def test_features_stand_beside_the_targets_strongest_first():
    page = readings([
        bundle("honest", (Feature("a&b", 0.5, 0.0), Feature("ice", 0.0, 0.2)), 0.25), bundle("natural", (Feature("a&b", 0.5, 0.9),), 0.75),
    ])  # fmt: skip
    assert rows(page) == [["a&amp;b", "0.50", "–", "0.90"], ["ice", "–", "0.20", "–"], ["a &lt;b&gt;", "25%", "75%"]]
    assert page.count("unlike text") == 1


def test_agreements_say_who_told_them_and_features_where_there_are_any():
    own = Agreement(("text", "image"), "pocket-1", False, 0.9876, 600, 0.2)
    assert rows(agreed("honest", [own])) == [["text and image", "0.988", "its own encoder"]]
    told = agreed("honest", [own, replace(own, independent=True, jaccard=0.25, mismatched_jaccard=0.1)])
    assert rows(told)[1] == ["text and image", "0.988", "a judge", "25%"] and rows(told)[0][-1] == "–"
