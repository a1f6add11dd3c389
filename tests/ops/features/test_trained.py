"""A trained dictionary and its file: what comes back, where it may be opened, and what is said when it may not."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from concept_algebra.ops.calibration import Calibration, calibrated, measured
from concept_algebra.ops.concept import Concept
from concept_algebra.ops.features.dictionary import Dictionary
from concept_algebra.ops.features.sae import ANY, SparseAutoencoder
from concept_algebra.ops.features.trained import FORMAT, TrainedSAE
from concept_algebra.ops.space import SpaceMismatch

WIDTH, GROUPS = 64, (8, 24, 64)


def unit(count, dimension, seed):
    rng = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(count, dimension, generator=rng) + 0.5, dim=1)


def recalibrated(encoder, *modalities, seed=0):
    clouds = {modality: measured([unit(60, encoder.space.dimension, seed + j)], "made") for j, modality in enumerate(modalities)}
    return calibrated(encoder, Calibration(encoder.space.encoder_id, clouds))


def dictionary(encoder, **changes):
    dimension = encoder.space.dimension
    rng = torch.Generator().manual_seed(0)
    autoencoder = SparseAutoencoder.seeded(dimension, WIDTH, GROUPS, rng)
    autoencoder.encoder_bias.add_(0.05 * torch.randn(WIDTH, generator=rng))
    thresholds = {"text": torch.full((WIDTH,), 0.2), "image": torch.full((WIDTH,), 0.3), ANY: torch.full((WIDTH,), 0.25)}
    data = {m: encoder.space.centre(unit(90, dimension, j), m) for j, m in enumerate(("text", "image"))}
    captions = {m: [f"{m} {j} \u00e9" for j in range(90)] for m in data}
    made = TrainedSAE.observed(autoencoder.rounded(), thresholds, encoder.space, data, captions, {"fvu": 0.25, "prefixes": [0.5, 0.25]})
    return replace(made, **changes)


@pytest.fixture
def made(encoder):
    return dictionary(recalibrated(encoder, "text", "image"))


def test_it_is_a_dictionary(made):
    assert isinstance(made, Dictionary) and made.id.startswith("sae-") and len(made.id) == 16
    assert made.atoms.shape == (WIDTH, 48) and made.atoms.dtype == torch.float32
    assert torch.allclose(made.atoms.norm(dim=1), torch.ones(WIDTH), atol=1e-6)
    x = made.space.centre(unit(20, 48, 9), "image")
    for modality, threshold in (("image", 0.3), ("text", 0.2), ("audio", 0.25)):
        code = made.encode(x, modality)
        assert torch.equal(code, made.autoencoder.encode(x, torch.full((WIDTH,), threshold)))
        assert code.min() == 0 and torch.allclose(code @ made.atoms + (x - code @ made.atoms), x, atol=1e-6)


def test_many_vectors_are_encoded_in_parts(made, monkeypatch):
    x = made.space.centre(unit(20, 48, 9), "image")
    whole = made.encode(x, "image")
    monkeypatch.setattr("concept_algebra.ops.features.trained.ROWS", 6)
    assert torch.allclose(made.encode(x, "image"), whole, atol=1e-6)
    assert made.encode(x[:0], "image").shape == (0, WIDTH)


@pytest.mark.parametrize(
    "x, modality, message",
    [
        (torch.zeros(48), "text", r"shape \(48,\), expected \(N, 48\)"),
        (torch.zeros(2, 47), "text", r"shape \(2, 47\), expected \(N, 48\)"),
        (torch.full((2, 48), torch.inf), "text", "vectors contains NaN or infinity"),
        (torch.zeros(2, 48), "smell", "unknown modality 'smell'"),
    ],
)
def test_vectors_that_cannot_be_encoded_are_named(made, x, modality, message):
    with pytest.raises(ValueError, match=message):
        made.encode(x, modality)


def test_a_file_gives_everything_back_bit_for_bit(made, encoder, tmp_path):
    made = replace(made, names=tuple(f"word {j}" for j in range(WIDTH)), confidence=torch.linspace(0, 1, WIDTH), towers={"image": "abc"})
    made.save(tmp_path / "x.safetensors")
    opened, back = TrainedSAE.load(tmp_path / "x.safetensors", recalibrated(encoder, "text", "image"))
    assert back.id == made.id and back.space == made.space == opened.space
    for a, b in zip(made.autoencoder.parameters(), back.autoencoder.parameters()):
        assert torch.equal(a, b)
    assert back.autoencoder.groups == GROUPS and back.names == made.names and torch.equal(back.confidence, made.confidence)
    assert back.thresholds.keys() == made.thresholds.keys() and all(torch.equal(back.thresholds[m], made.thresholds[m]) for m in made.thresholds)
    for modality, seen in made.statistics.items():
        theirs = back.statistics[modality]
        assert seen.examples == theirs.examples and seen.count == theirs.count == 90 and any(map(len, seen.examples))
        assert all(torch.equal(getattr(seen, part), getattr(theirs, part)) for part in ("rate", "mean", "maximum"))
    assert back.metrics == made.metrics and back.towers == made.towers
    back.save(tmp_path / "y.safetensors")
    made.save(tmp_path / "z.safetensors")
    assert len({(tmp_path / f"{name}.safetensors").read_bytes() for name in "xyz"}) == 1
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        assert file.get_tensor("encoder").dtype == file.get_tensor("decoder").dtype == torch.float16


def test_names_are_no_part_of_the_id_and_all_a_code_depends_on_is(made, encoder):
    assert replace(made, names=tuple(map(str, range(WIDTH)))).id == made.id
    others = [
        replace(made, thresholds={**made.thresholds, "text": torch.full((WIDTH,), 0.21)}),
        replace(made, space=recalibrated(encoder, "text", "image", seed=5).space),
        replace(made, autoencoder=SparseAutoencoder.seeded(48, WIDTH, GROUPS, torch.Generator().manual_seed(1)).rounded()),
    ]
    assert len({made.id, *(other.id for other in others)}) == 4


def test_an_encoder_is_calibrated_as_the_dictionary_was(made, encoder, tmp_path):
    made.save(tmp_path / "x.safetensors")
    same = recalibrated(encoder, "text", "image")
    for other in (encoder, recalibrated(encoder, "text", seed=7), recalibrated(encoder, "text", "image", "audio", seed=7)):
        opened, back = TrainedSAE.load(tmp_path / "x.safetensors", other)
        assert opened is not other and opened.space == made.space == back.space != other.space
        for modality in ("text", "image", "audio", "video"):
            assert torch.equal(opened.space.means[modality], same.space.means[modality])
            assert opened.space.radii[modality] == same.space.radii[modality]
        assert opened.space.vocabulary is encoder.space.vocabulary
        Concept.from_text("fire", opened) + Concept.from_text("water", same)
    assert TrainedSAE.load(tmp_path / "x.safetensors", same)[0] is same


def test_a_dictionary_of_the_encoders_own_means_opens_beside_a_calibrated_one(encoder, tmp_path):
    dictionary(encoder).save(tmp_path / "x.safetensors")
    opened, back = TrainedSAE.load(tmp_path / "x.safetensors", recalibrated(encoder, "text"))
    assert opened.space == encoder.space == back.space
    assert all(torch.equal(opened.space.means[m], encoder.space.means[m]) for m in encoder.space.means)


def test_another_encoder_and_another_tower_are_refused(made, encoder, tmp_path):
    dictionary(encoder, space=replace(encoder.space, id="large-1")).save(tmp_path / "x.safetensors")
    with pytest.raises(SpaceMismatch, match="'large-1' and 'small-0'"):
        TrainedSAE.load(tmp_path / "x.safetensors", encoder)
    replace(made, towers={"image": "abc"}).save(tmp_path / "x.safetensors")
    twin = recalibrated(encoder, "text")
    twin.fingerprints = {"image": "def"}
    with pytest.raises(SpaceMismatch, match="the image tower abc"):
        TrainedSAE.load(tmp_path / "x.safetensors", twin)


def test_files_that_are_no_dictionary_are_named(encoder, tmp_path):
    path = tmp_path / "x.safetensors"
    Concept.from_text("fire", encoder).save(path)
    with pytest.raises(ValueError, match="is not a dictionary of features: its format is concept-algebra/concept/1"):
        TrainedSAE.load(path, encoder)
    path.write_bytes(b"\0" * 40)
    with pytest.raises(ValueError, match="is not a safetensors file"):
        TrainedSAE.load(path, encoder)
    with pytest.raises(FileNotFoundError):
        TrainedSAE.load(tmp_path / "none", encoder)
    with pytest.raises(ValueError, match="is a folder, expected a file"):
        TrainedSAE.load(tmp_path, encoder)
    with pytest.raises(OSError, match="could not write"):
        dictionary(encoder).save(tmp_path / "none" / "x.safetensors")


def nothing(tensors, about):
    tensors.pop("rate.text")


def other_means(tensors, about):
    tensors["mean.text"] = tensors["mean.text"] * 0.5


def few_names(tensors, about):
    about["names"] = about["names"][1:]


def no_groups(tensors, about):
    about["groups"] = 3


def odd_modality(tensors, about):
    about["examples"] = {"smell": about["examples"]["text"]}


def poisoned(tensors, about):
    tensors["encoder"][0, 0] = torch.nan


def negative(tensors, about):
    tensors["threshold.text"] = -tensors["threshold.text"]


def flat(tensors, about):
    tensors["decoder"] = tensors["decoder"][0].clone()


def one_number(tensors, about):
    tensors["decoder"] = tensors["decoder"][0, 0].clone()


def emptied(tensors, about):
    tensors["rate.text"] = tensors["rate.text"][:0].clone()


def odd(part, value):
    def damage(tensors, about):
        about[part] = value

    return damage


DAMAGES = [nothing, other_means, few_names, no_groups, odd_modality, poisoned, negative, flat, one_number, emptied] + [
    odd("metrics", 3), odd("towers", 3), odd("towers", {"image": 3}), odd("towers", {"smell": "abc"}), odd("radii", {}), odd("radii", 3),
    odd("radii", {"text": "1", "image": 1.0}), odd("names", list(range(WIDTH))), odd("examples", {"text": [[3]] * WIDTH}), odd("counts", 3),
    odd("groups", [float("inf")]), odd("space", None),
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named(made, encoder, tmp_path, damage):
    path = tmp_path / "broken.safetensors"
    made.save(path)
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["about"])
    damage(tensors, about)
    save_file(tensors, path, {"format": FORMAT, "about": json.dumps(about)})
    with pytest.raises(ValueError, match="broken.safetensors is a damaged dictionary of features: ") as raised:
        TrainedSAE.read(path)
    assert type(raised.value) is ValueError


def test_radii_that_went_missing_are_noticed_in_a_space_that_was_never_calibrated(encoder, tmp_path):
    path = tmp_path / "broken.safetensors"
    dictionary(encoder).save(path)
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["about"]) | {"radii": {}}
    save_file(tensors, path, {"format": FORMAT, "about": json.dumps(about)})
    with pytest.raises(ValueError, match="damaged dictionary of features: .*radii of .* and means of"):
        TrainedSAE.read(path)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"names": ("x",) * WIDTH}, "64 names, 1 of them different"),
        ({"names": ("",) + tuple(map(str, range(WIDTH - 1)))}, "none empty"),
        ({"confidence": torch.full((WIDTH,), 1.1)}, "expected 64 numbers in 0..1"),
        ({"confidence": torch.full((WIDTH,), torch.nan)}, "expected 64 numbers in 0..1"),
        ({"thresholds": {"text": torch.zeros(WIDTH)}}, r"thresholds of \['text'\], expected 'any'"),
        ({"thresholds": {ANY: torch.zeros(1)}}, r"the any threshold has shape \(1,\)"),
        ({"thresholds": {ANY: torch.full((WIDTH,), torch.nan)}}, "any threshold contains NaN"),
        ({"autoencoder": SparseAutoencoder.seeded(47, WIDTH, GROUPS, torch.Generator())}, "dimension 47 does not fit"),
    ],
)
def test_parts_that_do_not_fit_are_named(made, change, message):
    with pytest.raises(ValueError, match=message):
        replace(made, **change)


def test_loaded_under_inference_mode_it_still_serves_a_backward_pass(made, encoder, tmp_path):
    made.save(tmp_path / "x.safetensors")
    with torch.inference_mode():
        opened, back = TrainedSAE.load(tmp_path / "x.safetensors", encoder)
    x = unit(3, 48, 4).requires_grad_()
    back.encode(opened.space.centre(x, "image"), "image").sum().backward()
    assert x.grad.abs().sum() > 0
