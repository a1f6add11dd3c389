"""The card of dictionaries whose every number is known, and its way through JSON and Markdown."""

import json
from dataclasses import asdict

import pytest
import torch
from torch.nn.functional import normalize

from concept_algebra.ops.features.card import Card, measure
from concept_algebra.ops.features.fidelity import fidelity
from concept_algebra.ops.features.metrics import monosemanticity
from concept_algebra.ops.features.sae import ANY, SparseAutoencoder
from concept_algebra.ops.features.trained import TrainedSAE
from concept_algebra.ops.space import Space

D, WIDTH = 12, 8


def planted(groups=(WIDTH,)):
    """Eight axes of twelve as features: a code is the positive part of a vector's coordinates above 0.05."""
    axes = torch.eye(D)[:WIDTH]
    autoencoder = SparseAutoencoder(axes, torch.zeros(WIDTH), axes, torch.zeros(D), groups)
    names = tuple(f"axis {index}" for index in range(WIDTH))
    return TrainedSAE(autoencoder, Space("made-0", D), {ANY: torch.full((WIDTH,), 0.05)}, {}, names, torch.zeros(WIDTH))


def vectors(seed, count=60, features=range(WIDTH), noise=0.01):
    """Each the sum of two of the features and a little noise."""
    rng = torch.Generator().manual_seed(seed)
    chosen = torch.tensor(list(features))[torch.stack([torch.randperm(len(features), generator=rng)[:2] for _ in range(count)])]
    return torch.zeros(count, D).scatter(1, chosen, 0.5 + torch.rand(count, 2, generator=rng)) + noise * torch.randn(count, D, generator=rng)


def test_fidelity_is_measured_on_each_modality_by_itself():
    held = {"image": vectors(0), "text": vectors(1, noise=0.2)}
    sae = planted((2, 4, WIDTH))
    found = measure(sae, held)
    assert list(found.fidelity) == ["text", "image"] and found.prefixes == (2, 4, WIDTH)
    assert all(found.fidelity[m] == fidelity(sae.autoencoder, x, sae.thresholds[ANY]) for m, x in held.items())
    assert found.fidelity["image"].l0 == 2 and found.fidelity["image"].fvu < 0.01 < found.fidelity["text"].fvu


def test_dead_and_unimodal_features_are_counted_among_all_and_among_the_living():
    # 6 and 7 never fire, 0 and 1 in pictures only, 5 in words only
    found = measure(planted(), {"image": vectors(0, features=range(5)), "text": vectors(1, features=range(2, 6))})
    assert found.dead == 2 / 8 and found.unimodal == pytest.approx(3 / 6)
    alone = measure(planted(), {"image": vectors(0, features=range(5))})
    assert alone.unimodal is None and alone.dead == 3 / 8


def test_pairs_share_more_than_strangers_and_media_of_one_caption_are_none():
    text = vectors(1, count=30)
    found = measure(planted(), {"text": text}, {"image": (1.5 * text.repeat(2, 1), text.repeat(2, 1))})
    overlap = found.overlap["image"]
    active = [{j for j in range(WIDTH) if row[j] > 0} for row in planted().encode(text, "text")]
    others = [len(active[i] & active[j]) / len(active[i] | active[j]) for i in range(30) for j in range(30) if i != j]
    assert overlap.count == 60 and overlap.paired == pytest.approx(1) and overlap.strangers == pytest.approx(sum(others) / len(others), abs=1e-5)
    for media, captions in ((text[:2], text[[3, 3]]), (text[[3, 3]], text[:2]), (text[:1], text[:1]), (text[:0], text[:0])):
        assert measure(planted(), {"text": text}, {"image": (media, captions)}).overlap == {}


def test_monosemanticity_is_the_mean_over_features_that_fire_twice_in_centred_directions_of_all_modalities():
    held = {"image": vectors(0, features=range(5)), "text": vectors(1, features=range(2, 6))}
    found = measure(planted(), held)
    together = torch.cat([held["text"], held["image"]])
    scores = monosemanticity(planted().encode(together, "text"), normalize(together, dim=1))[:6]
    assert found.monosemanticity == pytest.approx(float(scores.mean())) and found.monosemanticity > found.monosemanticity_control
    silent = measure(planted(), {"image": -vectors(0).abs()})
    assert silent.monosemanticity is None and silent.dead == 1


def test_stability_is_weighted_by_usage():
    again = torch.eye(D)[:WIDTH]
    again[0], again[7] = torch.eye(D)[10], torch.eye(D)[11]  # axis 0 is not found again and fires, axis 7 never does
    found = measure(planted(), {"image": vectors(0, features=range(7))}, again=again).stability
    usage = (planted().encode(vectors(0, features=range(7)), "image") > 0).float().mean(0)
    assert found.cosine == found.found_again == 6 / 8
    assert found.usage_weighted == pytest.approx(float(1 - usage[0] / usage.sum()), abs=1e-6)


@pytest.fixture
def whole():
    held = {"text": vectors(1), "image": vectors(0)}
    pairs = {"image": (held["image"], held["text"])}
    naming = {"share_named": 0.625, "detection_auc": 0.9312}
    return measure(planted((2, WIDTH)), held, pairs, again=torch.eye(D)[:WIDTH], naming=naming)


def test_a_card_goes_through_json_unchanged(whole):
    back = Card.from_dict(json.loads(json.dumps(whole.to_dict(), allow_nan=False, sort_keys=True)))
    assert back == whole and back.markdown("x") == whole.markdown("x")
    bare = measure(planted(), {"image": -vectors(0).abs()})
    assert Card.from_dict(json.loads(json.dumps(bare.to_dict(), allow_nan=False))) == bare
    for spoilt in ({}, {**whole.to_dict(), "fidelity": 3}, {**whole.to_dict(), "overlap": {"smell": {}}}, {**whole.to_dict(), "extra": 1}):
        with pytest.raises(ValueError, match="a card of features is damaged"):
            Card.from_dict(spoilt)


def test_the_page_shows_every_number_and_never_fvu_alone(whole):
    page = whole.markdown("pictures and words")
    assert page.startswith(f"# pictures and words\n\n`{whole.dictionary}`, 8 features of the space `made-0`.")
    f = whole.fidelity["image"]
    assert f"| image | 60 | {f.l0:.1f} ({f.l0_deviation:.1f}) | {f.fvu:.3f} | {f.centred_cosine:.3f} | 0.0 % |" in page
    assert f"| image | {f.prefix_fvu[0]:.3f} | {f.fvu:.3f} |" in page and "| modality | 2 | 8 |" in page
    for said in (
        "dead, of all features: 0.0 %", "of one modality only, of those that fire: ",
        f"image and caption share (Jaccard, 60 pairs): {whole.overlap['image'].paired:.3f}; strangers: ",
        f"monosemanticity, in this space's own cosines: {whole.monosemanticity:.3f}; a feature that fires for everything: ",
        "found again by another seed: cosine 1.000, by usage 1.000, nearer than 0.7: 100.0 %", "share named: 0.625", "detection auc: 0.931",
    ):  # fmt: skip
        assert said in page
    assert "nan" not in page and set(asdict(whole)) == set(whole.to_dict())


@pytest.mark.parametrize(
    "held_out, message",
    [
        ({}, "no held-out vectors"),
        ({"image": torch.ones(1, D)}, "1 vectors have no variance, expected two or more"),
        ({"image": torch.ones(3, D)}, "no variance to explain"),
        ({"image": torch.ones(3, 5)}, "expected .N, 12."),
    ],
)
def test_what_cannot_be_measured_is_named(held_out, message):
    with pytest.raises(ValueError, match=message):
        measure(planted(), held_out)
