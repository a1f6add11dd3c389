"""The legibility benchmark: targets, the judge encoder's ranks, intervals, and a second run that renders nothing."""

import json
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from tqdm import tqdm

from concept_algebra.benchmarks import cost, legibility, legibility_cache
from concept_algebra.benchmarks.evaluation import held_out, judge
from concept_algebra.benchmarks.legibility_cache import Drawn, Studio, keep, kept
from concept_algebra.benchmarks.legibility_pictures import contact_sheet, figure
from concept_algebra.benchmarks.legibility_settings import PRIORS, WANTED, table
from concept_algebra.benchmarks.legibility_targets import QUICK, TARGETS, Target, concept
from concept_algebra.benchmarks.legibility_verdicts import class_names, log_probability
from concept_algebra.ops.concept import Concept
from concept_algebra.ops.encoders import pocket
from concept_algebra.ops.features.pursuit import Pursuit
from concept_algebra.ops.generators.pocket import load as load_generator
from concept_algebra.ops.optimise import Schedule
from concept_algebra.ops.render import render


@pytest.fixture(scope="module")
def encoder():
    return pocket.load()


# targets


def test_there_are_enough_targets_of_every_kind():
    kinds = [target.kind for target in TARGETS]
    assert len({target.text for target in TARGETS}) == len(TARGETS) >= 60
    assert [kinds.count(kind) for kind in ("word", "sum", "difference", "cross-modal")] == [36, 10, 8, 8]
    assert {target.kind for target in QUICK} == set(kinds)
    assert all(target.text in class_names() for target in TARGETS if target.kind == "word")


def test_a_medium_is_its_held_out_picture_or_sound_and_is_judged_by_its_name(encoder):
    target = Target("seen whale - 0.5*heard rain + crown", "cross-modal")
    made = concept(target, encoder)
    assert [(leaf.written, leaf.modality, leaf.weight) for leaf in made.operands] == [
        ("seen whale", "image", 1.0), ("heard rain", "audio", -0.5), ("crown", "text", 1.0)
    ]  # fmt: skip
    assert target.judged == "whale - 0.5*rain + crown"
    # media that are what they are called, to the towers that read them
    for text, other in (("seen whale", "rain"), ("heard rain", "whale")):
        medium = concept(Target(text, "cross-modal"), encoder).direction
        name, stranger = (concept(Target(word, "word"), encoder).direction for word in (text.split()[1], other))
        assert medium @ name > medium @ stranger + 0.1


@pytest.mark.parametrize("text", ["seen gravity", "heard gravity"])
def test_a_medium_that_nobody_has_is_named(text, encoder):
    with pytest.raises(ValueError, match=f"'{text}'"):
        concept(Target(text, "cross-modal"), encoder)


# renders that are kept


def test_a_kept_picture_comes_back(tmp_path):
    pixels = torch.rand(3, 8, 8)
    keep(tmp_path / "a" / "one.png", pixels, {"cosine": 0.25, "seconds": 3.0, "target": "fire + water"})
    back = kept(tmp_path / "a" / "one.png")
    assert (back.pixels - pixels).abs().max() <= 0.5 / 255 + 1e-6 and (back.cosine, back.seconds) == (0.25, 3.0)
    keep(tmp_path / "two.png", back.pixels, {"cosine": 0.0, "seconds": 0.0})
    assert torch.equal(kept(tmp_path / "two.png").pixels, back.pixels)


def test_a_picture_without_a_record_is_refused(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "holiday.png")
    with pytest.raises(ValueError, match="holiday.png"):
        kept(tmp_path / "holiday.png")


def test_a_second_run_renders_nothing_and_a_stopped_one_goes_on(encoder, tmp_path, monkeypatch):
    shortest = next(setting for setting in table(quick=True) if setting.figure == "honest")
    setting = replace(shortest, settings=replace(shortest.settings, schedule=Schedule(2, 0.1, 0.1)))
    studio, target = Studio(encoder, load_generator("image", encoder), Pursuit(encoder.space), tmp_path), Target("star", "word")
    made = []
    render = legibility_cache.render

    def counted(*arguments):
        made.append(arguments[-1])
        return render(*arguments)

    monkeypatch.setattr(legibility_cache, "render", counted)
    first = studio.draw(setting, target, [0])
    again = studio.draw(setting, target, [0, 1])
    assert made == [0, 1] and torch.equal(first[0].pixels, again[0].pixels) and first[0].seconds == again[0].seconds
    studio.draw(setting, target, [1, 0])
    assert made == [0, 1]


def test_what_decides_a_picture_is_in_its_name(encoder, tmp_path):
    generator = load_generator("image", encoder)
    studio, (one, two, *_) = Studio(encoder, generator, Pursuit(encoder.space), tmp_path), table(quick=True)
    star, sun = Target("star", "word"), Target("sun", "word")
    keys = [studio.key(one, star, 0), studio.key(two, star, 0), studio.key(one, sun, 0), studio.key(one, star, 1)]
    other = load_generator("image", encoder)
    other.id = "another"
    keys.append(Studio(encoder, other, Pursuit(encoder.space), tmp_path).key(one, star, 0))
    assert len(set(keys)) == 5 and keys[0] == Studio(encoder, generator, Pursuit(encoder.space), tmp_path / "else").key(one, star, 0)


# what is published


def test_settings_have_names_of_their_own_and_priors_are_among_them():
    for quick in (True, False):
        names = [setting.figure for setting in table(quick)]
        assert len(set(names)) == len(names) and set(PRIORS.values()) <= set(names) and {"natural", "honest", "pooled_only"} <= set(names)
        assert len({repr((setting.track, setting.settings, setting.coded)) for setting in table(quick)}) == len(names)


def test_a_run_gives_the_figures_asked_for(tmp_path, monkeypatch):
    """With pictures already kept, so that nothing is drawn: held-out drawings under one setting, noise under the others."""
    shown, noise = held_out(), torch.rand(3, 128, 128)

    def draw(studio, setting, target, seeds):
        word = target.judged.split(" ")[0]
        real = setting.figure == "natural" and word in shown.names
        pixels = shown.pixels[shown.names.index(word)].float() / 255 if real else noise
        return [Drawn(pixels, 0.5, 1.0) for _ in seeds]

    monkeypatch.setattr(Studio, "draw", draw)
    rows, figures = legibility.run(True, tmp_path)
    assert {f"{name}_top1" for name in WANTED} | {"per_prior", "n"} <= figures.keys() and figures["n"] == len(QUICK)
    assert figures["natural_top5"] > figures["honest_top5"] and figures["natural_percentile"] > figures["honest_percentile"]
    assert figures["per_prior"]["none"] == figures["honest_top1"] and figures["per_prior"].keys() == PRIORS.keys()
    json.dumps(figures, allow_nan=False)
    assert all(len(row) == len(rows[0]) for row in rows)
    assert (tmp_path / "legibility.svg").read_text("utf-8").startswith("<svg")
    with Image.open(tmp_path / "contact_sheet.png") as sheet:
        assert sheet.height > len(QUICK) * 50


def test_the_figure_puts_means_where_they_belong():
    from xml.etree import ElementTree

    drawn = ElementTree.fromstring(figure({"share": {"a & b": (0.0, 0.0, 0.5), "c": (1.0, 0.5, 1.0)}}))
    dots = [float(node.get("cx")) for node in drawn.iter() if node.tag.endswith("circle")]
    ticks = {node.text: float(node.get("x")) for node in drawn.iter() if node.tag.endswith("text") and node.get("text-anchor") == "middle"}
    assert dots == [ticks["0"], ticks["100"]]


def test_a_contact_sheet_has_its_pictures_in_their_places():
    red, blue = torch.zeros(3, 8, 8), torch.zeros(3, 8, 8)
    red[0], blue[2] = 1, 1
    sheet = np.asarray(contact_sheet(["one", "two"], [("x", [red, blue]), ("y", [blue, red])])).astype(int)
    mostly = lambda part, channel: (part[..., channel] - part.sum(-1) / 2 > 100)  # noqa: E731
    height, width = sheet.shape[:2]
    reds = np.argwhere(mostly(sheet, 0))
    assert ((reds[:, 0] < height - 80) == (reds[:, 1] < width - 80)).mean() > 0.99 and len(reds) > 8000


# cost


def test_costs_are_read_off_the_looks_that_are_good_enough():
    curve = [(1, 0.5, -9.0), (3, 1.5, -4.0), (5, 2.5, -6.0)]
    assert cost.first(curve, -4.0) == (3, 1.5) and cost.first(curve, -5.0) == (3, 1.5) and cost.first(curve, -1.0) is None
    assert cost.for_good(curve, -6.5) == (3, 1.5) and cost.for_good(curve, -9.0) == (1, 0.5) and cost.for_good(curve, -5.0) is None
    even = torch.full((1, len(class_names())), -math.log(len(class_names())))
    answering = torch.tensor(["whale" in words for words in judge()[1]])
    assert cost.guessed("whale") == pytest.approx(even[:, answering].logsumexp(-1).item(), rel=1e-5)
    assert cost.mean([curve, [(1, 1.5, -7.0), (3, 2.5, -2.0), (5, 3.5, -2.0)]]) == [(1, 1.0, -8.0), (3, 2.0, -3.0), (5, 3.0, -4.0)]


def test_what_costs_are_compared_on():
    """Curves are averaged look by look: no word may end before the others, nor look at other steps."""
    for quick in (False, True):
        for _, made in cost.compared(quick).values():
            assert made.schedule.plateau is None
    assert cost.compared(False)["plain"][1].schedule.steps == 2000


def test_a_curve_is_of_the_candidate_that_is_kept(encoder):
    generator = load_generator("image", encoder)
    made = cost.compared(True)["ours"][1]
    made = replace(made, candidates=3, schedule=replace(made.schedule, steps=2, look_every=1))
    draw = partial(render, Concept.from_text("star", encoder), encoder, generator, "natural", made, 0)
    scores = []
    best = draw(lambda step: scores.append(log_probability(step.preview, "star"))).settings["candidate"]
    with tqdm(disable=True) as bar:
        points = cost.curve("star", 0, encoder, generator, "natural", made, bar)
    assert [steps for steps, _, _ in points] == [1, 2] and all(len(each) == 3 for each in scores)
    assert [score for _, _, score in points] == pytest.approx([float(each[best]) for each in scores], abs=1e-4)
