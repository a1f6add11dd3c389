"""Learning from a corpus: what is measured on what, and what stays of a run that was stopped."""

import copy
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

from concept_algebra.ops.features.card import measure
from concept_algebra.ops.features.corpus import Corpus
from concept_algebra.ops.features.learn import AFTER, DETECTING, FIRST, MEASURING, NAMING, OBSERVING, SECOND, WRITING, card_path, learn
from concept_algebra.ops.features.naming import evidence, named
from concept_algebra.ops.features.train import recipe, split, train
from concept_algebra.ops.features.trained import TrainedSAE

PLAN = recipe(400, 48, k=4, steps=30, width=32)


def corpus(encoder, seed=0):
    """Phrases and pictures that share a few directions; each of the first 200 pictures belongs to a phrase."""
    rng = torch.Generator().manual_seed(seed)
    kinds = torch.randn(6, 48, generator=rng)
    rows = {}
    for modality, count in (("text", 250), ("image", 220)):
        which = torch.arange(count) % 6
        made = normalize(kinds[which] + 0.5 * torch.randn(count, 48, generator=rng), dim=1)
        rows[modality] = normalize(made + 0.5 * encoder.offsets[modality], dim=1)
    captions = {modality: tuple(f"{modality} {index}" for index in range(len(x))) for modality, x in rows.items()}
    pairs = {"image": torch.stack([torch.arange(200), torch.arange(200)], dim=1)}
    return Corpus("small-0", rows, captions, pairs, {"text": "made", "image": "made"})


class Stopped(Exception):
    pass


def stopping(stage, index):
    """Raises at the step of this index of a training, or when it hears of a stage for the index-th time."""
    heard = []

    def watch(name, progress):
        heard.append(name)
        if name == stage and index == (progress.index if progress else heard.count(name) - 1):
            raise Stopped

    return watch


def noting(seen):
    """Notes which steps there were."""
    return lambda name, progress: seen.append((name, progress.index)) if progress else None


@pytest.fixture(scope="module")
def whole(encoder, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "x.safetensors"
    sae, card = learn(corpus(encoder), encoder, PLAN, out, out.parent / "cache")
    assert not list((out.parent / "cache").iterdir())
    return out, sae, card


def test_the_card_is_of_what_was_held_out_and_of_pairs_whose_medium_was(encoder, whole):
    out, sae, card = whole
    data = {modality: encoder.space.centre(rows, modality) for modality, rows in corpus(encoder).embeddings.items()}
    held = {modality: split(len(rows), PLAN.seed)[1] for modality, rows in data.items()}
    members = [row for row in range(200) if row in held["image"].tolist()]
    learn(corpus(encoder), encoder, replace(PLAN, seed=1), out.with_name("y.safetensors"), out.with_name("cache"), twice=False)
    again = TrainedSAE.read(out.with_name("y.safetensors")).atoms
    pairs = {"image": (data["image"][members], data["text"][members])}
    assert card == measure(sae, {m: data[m][rows] for m, rows in held.items()}, pairs, again, card.naming) and 0 < len(members) < 200
    assert sae.statistics["text"].count == 250 and sae.metrics["card"] == card.to_dict()
    assert card_path(out).read_text("utf-8") == card.markdown("x")
    loaded = TrainedSAE.read(out)
    assert loaded.id == sae.id and loaded.statistics["image"].examples == sae.statistics["image"].examples


def test_features_are_named_and_the_card_says_how_well(encoder, whole):
    _, sae, card = whole
    data = {modality: encoder.space.centre(rows, modality) for modality, rows in corpus(encoder).embeddings.items()}
    names = named(sae, evidence(sae, data, corpus(encoder).captions))
    assert sae.names == tuple(name.name for name in names) and sae.confidence.tolist() == pytest.approx([name.confidence for name in names])
    assert card.naming["named_by_both_routes"] == sum(name.agreed for name in names) / 32
    assert "named by both routes: " in card.markdown("x")
    blind = copy.copy(encoder)
    blind.space = replace(encoder.space, vocabulary=None)
    unnamed, card = learn(corpus(encoder), blind, PLAN, whole[0].with_name("z.safetensors"), whole[0].with_name("cache"), twice=False)
    assert unnamed.names[0] == "unnamed 0" and not card.naming and unnamed.id == sae.id


def test_what_is_not_learned_from_is_still_calibrated_and_measured(encoder, tmp_path):
    made, card = learn(corpus(encoder), encoder, PLAN, tmp_path / "x.safetensors", tmp_path / "cache", twice=False, modalities={"text"})
    data = {modality: encoder.space.centre(rows, modality) for modality, rows in corpus(encoder).embeddings.items()}
    alone = train({"text": data["text"]}, PLAN)
    assert torch.equal(made.atoms, alone.autoencoder.decoder) and torch.equal(made.thresholds["text"], alone.thresholds["text"])
    assert card.fidelity["image"].l0 == pytest.approx(PLAN.k, abs=0.5) and card.fidelity["image"].fvu > card.fidelity["text"].fvu


@pytest.mark.parametrize("stage", [FIRST, SECOND])
def test_a_stopped_run_ends_as_one_in_one_go(encoder, whole, tmp_path, stage):
    out = tmp_path / "x.safetensors"
    with pytest.raises(Stopped):
        learn(corpus(encoder), encoder, PLAN, out, tmp_path / "cache", stopping(stage, 17))
    assert not out.exists()
    seen = []
    learn(corpus(encoder), encoder, PLAN, out, tmp_path / "cache", noting(seen))
    assert seen[0] == (stage, 18) and out.read_bytes() == whole[0].read_bytes()


@pytest.mark.parametrize("stage, index", [(OBSERVING, 0), (NAMING, 0), (NAMING, 2), (DETECTING, 0), (DETECTING, 1), (MEASURING, 0), (WRITING, 0)])
def test_a_run_stopped_after_training_leaves_no_file_and_ends_the_same(encoder, whole, tmp_path, stage, index):
    out, seen = tmp_path / "x.safetensors", []
    with pytest.raises(Stopped):
        learn(corpus(encoder), encoder, PLAN, out, tmp_path / "cache", stopping(stage, index))
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    learn(corpus(encoder), encoder, PLAN, out, tmp_path / "cache", noting(seen))
    assert not seen and out.read_bytes() == whole[0].read_bytes()
    assert card_path(out).read_text("utf-8") == card_path(whole[0]).read_text("utf-8")


def test_the_stages_are_told_in_order(encoder, tmp_path):
    heard = []
    learn(corpus(encoder), encoder, PLAN, tmp_path / "x.safetensors", tmp_path / "cache", lambda name, _: heard.append(name), twice=False)
    assert tuple(dict.fromkeys(heard)) == (FIRST, *AFTER)


def test_the_card_is_written_before_the_dictionary(encoder, tmp_path):
    out = tmp_path / "x.safetensors"
    card_path(out).mkdir()
    with pytest.raises(OSError, match="could not write"):
        learn(corpus(encoder), encoder, PLAN, out, tmp_path / "cache", twice=False)
    assert not out.exists()


def test_another_corpus_or_recipe_starts_anew(encoder, tmp_path):
    with pytest.raises(Stopped):
        learn(corpus(encoder), encoder, PLAN, tmp_path / "x.safetensors", tmp_path / "cache", stopping(FIRST, 17))
    for given, plan in ((corpus(encoder, seed=1), PLAN), (corpus(encoder), replace(PLAN, k=3))):
        seen = []
        learn(given, encoder, plan, tmp_path / "x.safetensors", tmp_path / "cache", noting(seen), twice=False)
        assert seen == [(FIRST, index) for index in range(30)]


def test_a_file_that_cannot_be_written_costs_no_training(encoder, tmp_path):
    with pytest.raises(OSError, match="could not write"):
        learn(corpus(encoder), encoder, PLAN, tmp_path / "none" / "x.safetensors", tmp_path / "cache", twice=False)
    seen = []
    learn(corpus(encoder), encoder, PLAN, tmp_path / "x.safetensors", tmp_path / "cache", noting(seen), twice=False)
    assert not seen


def test_inside_a_hosts_inference_mode_it_is_the_same(encoder, whole, tmp_path):
    with torch.inference_mode():
        sae, _ = learn(corpus(encoder), encoder, PLAN, tmp_path / "x.safetensors", tmp_path / "cache")
    assert (tmp_path / "x.safetensors").read_bytes() == whole[0].read_bytes() and not sae.atoms.is_inference()
