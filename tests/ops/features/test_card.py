"""The card of dictionaries whose every number is known, and its way through JSON and Markdown."""

import json
from dataclasses import asdict

import pytest
import torch
from torch.nn.functional import normalize

from concept_algebra.ops.features import card as module
from concept_algebra.ops.features.card import Card, measure
from concept_algebra.ops.features.metrics import fvu, mean_cosine, monosemanticity
from concept_algebra.ops.space import Space

D, WIDTH = 12, 8


class Planted:
    """Eight axes of twelve as features: a code is the positive part of a vector's coordinates above 0.05."""

    id, space = "planted-0", Space("made-0", D)
    atoms = torch.eye(D)[:WIDTH]
    names = tuple(f"axis {index}" for index in range(WIDTH))

    def encode(self, x, modality):
        values = x @ self.atoms.T
        return values * (values > 0.05)


def vectors(seed, count=60, features=range(WIDTH), noise=0.01):
    """Each the sum of two of the features and a little noise."""
    rng = torch.Generator().manual_seed(seed)
    chosen = torch.tensor(list(features))[torch.stack([torch.randperm(len(features), generator=rng)[:2] for _ in range(count)])]
    return torch.zeros(count, D).scatter(1, chosen, 0.5 + torch.rand(count, 2, generator=rng)) + noise * torch.randn(count, D, generator=rng)


def test_fidelity_is_measured_on_each_modality_by_itself():
    held = {"image": vectors(0), "text": vectors(1, noise=0.2)}
    found = measure(Planted(), held, prefixes=(2, 4, WIDTH))
    assert list(found.fidelity) == ["text", "image"] and found.prefixes == (2, 4, WIDTH)
    for modality, x in held.items():
        code, fidelity = Planted().encode(x, modality), found.fidelity[modality]
        assert fidelity.fvu == pytest.approx(fvu(x, code @ Planted.atoms)) and fidelity.prefix_fvu[-1] == fidelity.fvu
        assert fidelity.cosine == pytest.approx(mean_cosine(x, code @ Planted.atoms))
        assert fidelity.prefix_fvu[0] == pytest.approx(fvu(x, code[:, :2] @ Planted.atoms[:2]))
        counts = [float((row > 0).sum()) for row in code]
        mean = sum(counts) / len(counts)
        assert fidelity.l0 == pytest.approx(mean) and fidelity.count == 60
        assert fidelity.l0_sd == pytest.approx((sum((c - mean) ** 2 for c in counts) / len(counts)) ** 0.5)
    assert found.fidelity["image"].l0 == 2 and found.fidelity["image"].fvu < 0.01 < found.fidelity["text"].fvu
    assert list(found.fidelity["image"].prefix_fvu) == sorted(found.fidelity["image"].prefix_fvu, reverse=True)


def test_dead_and_unimodal_features_are_counted_among_all_and_among_the_living():
    # 6 and 7 never fire, 0 and 1 in pictures only, 5 in words only
    found = measure(Planted(), {"image": vectors(0, features=range(5)), "text": vectors(1, features=range(2, 6))})
    assert found.dead == 2 / 8 and found.unimodal == pytest.approx(3 / 6)
    alone = measure(Planted(), {"image": vectors(0, features=range(5))})
    assert alone.unimodal is None and alone.dead == 3 / 8


def test_empty_codes_are_counted():
    x = vectors(0)
    x[:15] = -x[:15].abs()
    assert measure(Planted(), {"image": x}).fidelity["image"].empty == 0.25


def test_pairs_share_more_than_strangers_and_media_of_one_caption_are_none():
    text = vectors(1, count=30)
    rows = torch.arange(60) % 30
    found = measure(Planted(), {"image": text[rows] * 1.5, "text": text}, {"image": torch.stack([torch.arange(60), rows], 1)})
    overlap = found.overlap["image"]
    active = [{j for j in range(WIDTH) if row[j] > 0} for row in Planted().encode(text, "text")]
    others = [len(active[i] & active[j]) / len(active[i] | active[j]) for i in range(30) for j in range(30) if i != j]
    assert overlap.count == 60 and overlap.paired == pytest.approx(1) and overlap.strangers == pytest.approx(sum(others) / len(others), abs=1e-5)
    one = measure(Planted(), {"image": text, "text": text}, {"image": torch.tensor([[0, 3], [1, 3]])})
    assert one.overlap == {} and measure(Planted(), {"text": text, "image": text}, {"image": torch.empty(0, 2, dtype=torch.int64)}).overlap == {}


def test_monosemanticity_is_the_mean_over_features_that_fire_twice_in_centred_directions_of_all_modalities():
    held = {"image": vectors(0, features=range(5)), "text": vectors(1, features=range(2, 6))}
    found = measure(Planted(), held)
    together = torch.cat([held["text"], held["image"]])
    scores = monosemanticity(Planted().encode(together, "text"), normalize(together, dim=1))[:6]
    assert found.monosemanticity == pytest.approx(float(scores.mean())) and found.monosemanticity > found.monosemanticity_control
    silent = measure(Planted(), {"image": -vectors(0).abs()})
    assert silent.monosemanticity is None and silent.dead == 1


def test_stability_is_weighted_by_usage():
    again = Planted.atoms.clone()
    again[0], again[7] = torch.eye(D)[10], torch.eye(D)[11]  # axis 0 is not found again and fires, axis 7 never does
    found = measure(Planted(), {"image": vectors(0, features=range(7))}, again=again).stability
    usage = (Planted().encode(vectors(0, features=range(7)), "image") > 0).float().mean(0)
    assert found.cosine == found.found_again == 6 / 8
    assert found.usage_weighted == pytest.approx(float(1 - usage[0] / usage.sum()), abs=1e-6)


def test_more_than_enough_is_thinned_evenly(monkeypatch):
    monkeypatch.setattr(module, "MOST", 20)
    x = vectors(0)
    found = measure(Planted(), {"image": x})
    assert found.fidelity == measure(Planted(), {"image": x[::3]}).fidelity and found.fidelity["image"].count == 20


@pytest.fixture
def whole():
    held = {"text": vectors(1), "image": vectors(0)}
    pairs = {"image": torch.arange(60)[:, None].expand(60, 2)}
    naming = {"share_named": 0.625, "detection_auc": 0.9312}
    return measure(Planted(), held, pairs, (2, WIDTH), again=Planted.atoms, naming=naming)


def test_a_card_goes_through_json_unchanged(whole):
    assert Card.from_dict(json.loads(json.dumps(whole.to_dict(), allow_nan=False))) == whole
    bare = measure(Planted(), {"image": -vectors(0).abs()})
    assert Card.from_dict(json.loads(json.dumps(bare.to_dict(), allow_nan=False))) == bare
    for spoilt in ({}, {**whole.to_dict(), "fidelity": 3}, {**whole.to_dict(), "extra": 1}):
        with pytest.raises(ValueError, match="a card of features is damaged"):
            Card.from_dict(spoilt)


def test_the_page_shows_every_number_and_never_fvu_alone(whole):
    page = whole.markdown("pictures and words")
    assert page.startswith("# pictures and words\n\n`planted-0`, 8 features of the space `made-0`.")
    f = whole.fidelity["image"]
    assert f"| image | 60 | {f.l0:.1f} ({f.l0_sd:.1f}) | {f.fvu:.3f} | {f.cosine:.3f} | 0.0 % |" in page
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
    "changes, message",
    [
        ({"held_out": {}}, "no held-out vectors"),
        ({"held_out": {"image": torch.ones(1, D)}}, "1 held-out vectors of image, expected two or more"),
        ({"held_out": {"image": torch.ones(3, D)}}, "no variance to explain"),
        ({"prefixes": (2, 4)}, "prefixes are .2, 4., expected rising numbers that end with the 8 features"),
        ({"prefixes": (4, 2, WIDTH)}, "rising"),
    ],
)
def test_what_cannot_be_measured_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        measure(**({"dictionary": Planted(), "held_out": {"image": vectors(0)}} | changes))
