"""Those who judge renders: the judge encoder's places and ranks, the classifier's verdicts, and intervals."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from concept_algebra.benchmarks.evaluation import held_out, top
from concept_algebra.benchmarks.legibility_judge import JudgeEncoder, cosines, judge_encoder, nearest, percentile, rivals
from concept_algebra.benchmarks.legibility_targets import TARGETS, WORDS, Target
from concept_algebra.benchmarks.legibility_verdicts import class_names, interval, log_probability, verdict
from concept_algebra.ops.expression import evaluate
from concept_algebra.ops.pocket.judge import Judge


def toy_judge(words=9, dimension=16):
    torch.manual_seed(0)
    table = torch.nn.functional.normalize(torch.randn(words, dimension), dim=-1)
    return JudgeEncoder(Judge(dimension, (4, 8)).eval(), [f"w{i}" for i in range(words)], table, ())


# the judge encoder


def test_the_judge_encoder_has_a_place_for_every_target_and_name():
    known = set(judge_encoder().phrases)
    assert known >= set(WORDS) and known >= {name for name in class_names() if name}
    for target in TARGETS:
        assert len(rivals(evaluate(target.judged, judge_encoder()), judge_encoder())) >= 500


@torch.no_grad()
def test_the_judge_encoder_knows_pictures_that_neither_judge_saw():
    encoder, shown = judge_encoder(), held_out()
    pixels = shown.pixels[list(encoder.unseen_tiles)].float() / 255
    truth = [shown.names[tile] for tile in encoder.unseen_tiles]
    names = [*shown.trained, *shown.unseen]
    rows = [names.index(name) for name in truth]
    # guessing gets 5 of 1,644, and the classifier itself .64
    assert len(truth) >= 30 and top(encoder.image(pixels).pooled, encoder.text(names).pooled, rows, 5) > 0.35


def test_a_picture_of_the_thing_is_nearer_to_its_word_than_others_are():
    shown = held_out()
    # most of these the judge's convolutions have learned from: this is of the map from what they see to expressions
    words = [target.text for target in TARGETS if target.kind == "word" and target.text in shown.names]
    pixels = torch.stack([shown.pixels[shown.names.index(word)] for word in words]).float() / 255
    ranks = torch.cat([percentile(cosines(one[None], word)) for one, word in zip(pixels, words)])
    strange = torch.cat([percentile(cosines(one[None], word)) for one, word in zip(pixels, words[1:] + words[:1])])
    assert len(words) > 10 and ranks.mean() > 95 > 80 > strange.mean()


def test_an_unknown_phrase_is_named():
    with pytest.raises(ValueError, match="'gravity'"):
        toy_judge().text(["w0", "gravity"])


def test_expressions_are_sums_of_places():
    judge = toy_judge()
    direction = evaluate("w0 - 0.5*w3", judge).direction
    places = judge.text(["w0", "w3"]).pooled
    assert torch.allclose(direction, torch.nn.functional.normalize(places[0] - 0.5 * places[1], dim=-1), atol=1e-6)


def test_rivals_of_a_word_are_all_other_words_and_of_a_sum_its_form_and_its_parts():
    judge = toy_judge()
    places = judge.text(judge.phrases).pooled
    assert torch.equal(rivals(evaluate("w2", judge), judge), places[[i != 2 for i in range(9)]])
    found = rivals(evaluate("w2 + w5 - w7", judge), judge, count=50)
    assert len(found) == 52 and torch.allclose(found[-2:], places[[2, 5]])
    # no rival of the form is the target itself: its parts are the nearest that all could be
    own = evaluate("w2 + w5 - w7", judge).direction
    assert (found @ own).max() < 1 - 1e-4
    # two words added and one taken away, in equal parts, and the same ones whenever it is asked
    parts = torch.linalg.lstsq(places.T, found[:50].T).solution.T.sort(dim=1).values
    assert torch.allclose(parts[:, 1:-2], torch.zeros(50, 6), atol=1e-4) and torch.allclose(parts[:, -1], -parts[:, 0], atol=1e-4)
    assert torch.equal(rivals(evaluate("w2 + w5 - w7", judge), judge, count=50), found)


@given(st.integers(1, 40), st.integers(0, 1000))
def test_percentile_is_the_share_of_rivals_behind(count, seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 5, count + 1).astype(np.float32)
    behind = sum((other < values[0]) + 0.5 * (other == values[0]) for other in values[1:])
    measured = percentile(torch.from_numpy(values)[None])
    assert measured.item() == pytest.approx(100 * behind / count, rel=1e-5)
    assert bool(nearest(torch.from_numpy(values)[None])) == (values[0] > values[1:].max())


# verdicts


def test_words_are_judged_by_classifier_and_encoder_and_others_by_the_encoder_alone():
    shown = held_out()
    whale = shown.pixels[shown.names.index("whale")][None].float() / 255
    told = verdict(whale, Target("whale", "word"))
    assert told.top5.item() >= told.top1.item() >= told.strict.item() and told.top5.item() == 1
    other = verdict(whale, Target("seen whale + crown", "cross-modal"))
    assert other.top1.isnan().all() and 0 <= other.percentile.item() <= 100


def test_log_probabilities_of_all_words_of_one_class_are_of_that_class():
    shown = held_out()
    pictures = shown.pixels[[shown.names.index(name) for name in ("whale", "mushroom")]].float() / 255
    whale, mushroom = (log_probability(pictures, word) for word in ("whale", "mushroom"))
    assert (whale.exp() <= 1).all() and whale[0] > whale[1] and mushroom[1] > mushroom[0]


def test_an_interval_covers_what_it_should():
    rng = torch.Generator().manual_seed(0)
    covered = 0
    for _ in range(200):
        # 40 targets of two seeds that agree: as wide as 40 independent ones, not as 80
        values = torch.randn(40, 1, generator=rng).expand(40, 2) + 0.3
        mean, low, high = interval(values, draws=400)
        assert low <= mean <= high
        covered += low <= 0.3 <= high
    assert 0.88 <= covered / 200 <= 0.98
    _, low, high = interval(values)
    assert high - low == pytest.approx(2 * 1.96 * values[:, 0].std().item() / 40**0.5, rel=0.15)
