"""Means and radii: against closed forms, and that no detail of how they came about shows."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch.nn.functional import normalize

from concept_algebra.ops import calibration as module
from concept_algebra.ops.calibration import Calibration, Cloud, OtherSpace, calibrated, measured, sidecar
from concept_algebra.ops.concept import Concept
from concept_algebra.ops.encoders.pocket import load
from concept_algebra.ops.space import Space, SpaceMismatch, Vocabulary

D = 16


def units(count, seed=0, dimension=D):
    rng = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(count, dimension, generator=rng) + 0.4, dim=-1)


def latitude(turns, angle):
    """Points on the circle of the sphere that lies `angle` from its first axis."""
    rest = [math.sin(angle) * turns.cos(), math.sin(angle) * turns.sin()]
    return torch.stack([torch.full_like(turns, math.cos(angle)), *rest], dim=1)


def cloud(seed=0, dimension=D):
    return measured([units(40, seed, dimension)], f"made {seed}")


def bare(seed=0, **changes):
    words = ["fire", "water", "ice", "sea"]
    fields = dict(vocabulary=Vocabulary(words, units(4, seed)))
    return Space("big-1f2e3d4c5b6a", D, **(fields | changes))


@given(st.integers(3, 200), st.floats(0.05, 1.5))
def test_a_circle_of_latitude_has_its_centre_for_mean_and_its_radius_for_radius(count, angle):
    found = measured([latitude(torch.arange(count) * (2 * math.pi / count), angle)], "circle")
    assert torch.allclose(found.mean, torch.tensor([math.cos(angle), 0, 0]), atol=1e-6)
    assert found.radius == pytest.approx(math.sin(angle), abs=1e-6)
    assert found.standard_error == pytest.approx(math.sin(angle) / math.sqrt(count - 1), abs=1e-6)
    assert found.count == count


def test_two_opposite_embeddings_have_mean_zero_and_radius_one():
    one = units(1)
    found = measured([one, -one], "both")
    assert torch.equal(found.mean, torch.zeros(D)) and found.radius == pytest.approx(1, abs=1e-6)


def test_radius_is_the_mean_length_and_not_the_root_mean_square():
    corners = torch.eye(3)[[0, 0, 0, 1]]
    away = [math.hypot(0.25, 0.25)] * 3 + [math.hypot(0.75, 0.75)]
    found = measured([corners], "corners")
    assert found.radius == pytest.approx(sum(away) / 4, abs=1e-6)
    assert found.standard_error == pytest.approx(math.sqrt(sum(a * a for a in away) / 4 / 3), abs=1e-6)


def test_the_standard_error_is_how_far_means_of_samples_lie_from_the_true_mean():
    rng = torch.Generator().manual_seed(0)
    samples = [measured([latitude(2 * math.pi * torch.rand(100, generator=rng), 0.6)], "sample") for _ in range(400)]
    off = torch.stack([found.mean - torch.tensor([math.cos(0.6), 0, 0]) for found in samples])
    said = sum(found.standard_error**2 for found in samples) / len(samples)
    assert float(off.square().sum(1).mean()) == pytest.approx(said, rel=0.15)


@given(st.integers(0, 2**31), st.lists(st.integers(0, 79), max_size=8))
def test_batching_changes_no_bit(seed, cuts):
    rows = units(80, seed)
    edges = [0, *sorted(cuts), 80]
    whole, parts = measured([rows], "x"), measured((rows[a:b] for a, b in zip(edges, edges[1:])), "x")
    assert torch.equal(whole.mean, parts.mean)
    assert (whole.radius, whole.standard_error, whole.count) == (parts.radius, parts.standard_error, parts.count)


@given(st.integers(0, 2**31))
def test_order_and_rotation_are_as_of_any_mean(seed):
    rows = units(50, seed)
    rng = torch.Generator().manual_seed(seed)
    turn, _ = torch.linalg.qr(torch.randn(D, D, generator=rng))
    one, other = measured([rows], "x"), measured([rows[torch.randperm(50, generator=rng)] @ turn], "x")
    assert torch.allclose(one.mean @ turn, other.mean, atol=1e-6) and one.radius == pytest.approx(other.radius, abs=1e-6)


def test_a_tight_cloud_of_very_many_keeps_its_digits():
    rng = torch.Generator().manual_seed(0)
    rows = normalize(torch.eye(4)[0] + 1e-3 * torch.randn(200_000, 4, generator=rng), dim=-1)
    exact = [math.fsum(column) / len(rows) for column in rows.double().T.tolist()]
    away = (rows.double() - torch.tensor(exact, dtype=torch.float64)).norm(dim=1)
    found = measured(rows.split(7), "tight")
    assert np.abs(found.mean.double().numpy() - exact).max() < 4e-8  # half a step of float32 below 1
    assert found.radius == pytest.approx(math.fsum(away.tolist()) / len(rows), rel=1e-4)
    # a sum over rows in single precision would not have kept them
    assert np.abs(rows.numpy().mean(0) - exact).max() > 1e-6


def test_measured_under_inference_mode_it_still_serves_a_backward_pass():
    with torch.inference_mode():
        found = measured([units(40)], "x")
    space = bare().calibrated(Calibration("big-1f2e3d4c5b6a", {"image": found}))
    x = units(1, 5).requires_grad_()
    space.place(space.centre(x, "image"), "image").sum().backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize(
    "rows, message",
    [
        ([], "0 embeddings have no spread"),
        ([units(1)], "1 embeddings have no spread"),
        ([units(1).expand(40, -1)], "all 40 embeddings are the same"),
        ([units(40) * 14.3], r"lengths 14.3..14.3, expected unit vectors"),
        ([torch.full((2, D), torch.nan)], "an embedding of photos contains NaN"),
    ],
)
def test_what_is_no_cloud_is_named(rows, message):
    with pytest.raises(ValueError, match=message):
        measured(rows, "photos")


def test_a_calibrated_space_centres_its_own_sample():
    rows = units(100)
    space = bare().calibrated(Calibration("big-1f2e3d4c5b6a", {"image": measured([rows], "x")}))
    centred = space.centre(rows, "image")
    assert centred.mean(0).norm() < 1e-6 and centred.norm(dim=1).mean() == pytest.approx(1, abs=1e-6)
    assert torch.equal(space.centre(rows, "audio"), rows)


def test_ids_tell_calibrations_apart_and_equal_ones_not():
    space = bare()
    one = space.calibrated(Calibration(space.id, {"image": cloud(1)}))
    again = bare().calibrated(Calibration(space.id, {"image": cloud(1)}))
    assert one == again and one.id.startswith("big-1f2e3d4c5b6a+") and one.encoder_id == space.encoder_id == space.id
    assert one.calibrated(Calibration(space.id, {"image": cloud(1)})) == one
    others = [
        space,
        space.calibrated(Calibration(space.id, {"image": cloud(2)})),
        space.calibrated(Calibration(space.id, {"audio": cloud(1)})),
        space.calibrated(Calibration(space.id, {"image": replace(cloud(1), radius=0.5)})),
        one.calibrated(Calibration(space.id, {"audio": cloud(1)})),
    ]
    assert len({one.id, *(other.id for other in others)}) == 6
    # in whatever steps it came about
    both = Calibration(space.id, {"audio": cloud(1), "image": cloud(1)})
    assert others[-1] == space.calibrated(both)


def test_words_stay_and_are_centred_anew():
    space = bare()
    before = space.word_directions
    one = space.calibrated(Calibration(space.id, {"text": cloud(3)}))
    assert one.vocabulary is space.vocabulary and torch.equal(space.word_directions, before)
    assert torch.allclose(one.word_directions, normalize(space.vocabulary.embeddings - cloud(3).mean, dim=-1), atol=1e-6)
    assert not torch.allclose(one.word_directions, before, atol=1e-3)


def test_modalities_that_were_not_measured_keep_what_they_had():
    had = cloud(7)
    space = bare(means={"text": had.mean}, radii={"text": had.radius})
    one = space.calibrated(Calibration(space.id, {"image": cloud(1)}))
    assert torch.equal(one.means["text"], had.mean) and one.radii["text"] == had.radius
    assert set(one.means) == set(one.radii) == {"text", "image"} and set(space.means) == {"text"}


def test_concepts_of_two_calibrations_do_not_mix_and_are_told_why(encoder):
    anew = calibrated(encoder, Calibration(encoder.space.id, {"text": cloud(1, encoder.dimension)}))
    assert encoder.space.id == "small-0" and anew.space.id.startswith("small-0+")
    with pytest.raises(SpaceMismatch, match="calibrated between them: encode both again"):
        Concept.from_text("fire", encoder) + Concept.from_text("water", anew)
    assert "encode both with one encoder" in str(SpaceMismatch("pocket-1", "small-0"))


def test_another_encoders_calibration_is_refused():
    with pytest.raises(SpaceMismatch, match="'small-1' and 'big-1f2e3d4c5b6a'"):
        bare().calibrated(Calibration("small-1", {"text": cloud()}))
    with pytest.raises(SpaceMismatch):
        Calibration("small-1", {"text": cloud()}).merged(Calibration("small-2", {"text": cloud()}))


def test_newly_measured_modalities_replace_and_others_stay():
    old = Calibration("x", {"text": cloud(1), "image": cloud(2)})
    new = Calibration("x", {"image": cloud(3), "audio": cloud(4)})
    both = old.merged(new)
    assert {modality: found.source for modality, found in both.clouds.items()} == {"text": "made 1", "image": "made 3", "audio": "made 4"}


@pytest.mark.parametrize("clouds", [{}, {"smell": cloud()}])
def test_a_calibration_of_nothing_or_of_no_modality_is_refused(clouds):
    with pytest.raises(ValueError, match="expected one or more of text, image, audio, video"):
        Calibration("x", clouds)


def test_save_and_load(tmp_path):
    path = tmp_path / "x.calibration.safetensors"
    saved = Calibration("big-1f2e3d4c5b6a", {"image": cloud(1), "text": cloud(2)})
    saved.save(path)
    loaded = Calibration.load(path, bare())
    assert loaded.space == saved.space and loaded.clouds.keys() == saved.clouds.keys()
    for modality, found in saved.clouds.items():
        back = loaded.clouds[modality]
        assert torch.equal(back.mean, found.mean)
        assert (back.radius, back.standard_error, back.count, back.source) == (found.radius, found.standard_error, found.count, found.source)
    assert bare().calibrated(loaded) == bare().calibrated(saved)
    # it goes on fitting once it has been applied
    Calibration.load(path, bare().calibrated(saved))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_file_is_added_to_and_left_alone_when_it_says_the_same(tmp_path):
    path, space = tmp_path / "x.calibration.safetensors", bare()
    first = Calibration(space.id, {"image": cloud(1)})
    assert first.add_to(path, space).clouds.keys() == {"image"}
    both = Calibration(space.id, {"text": cloud(2)}).add_to(path, space)
    assert both.clouds.keys() == Calibration.load(path, space).clouds.keys() == {"image", "text"}
    written = path.stat().st_ino
    assert first.add_to(path, space).clouds.keys() == {"image", "text"} and path.stat().st_ino == written
    Calibration(space.id, {"image": cloud(3)}).add_to(path, space)
    assert path.stat().st_ino != written


def test_files_that_are_no_calibration_of_this_encoder_are_named(tmp_path, encoder):
    path, space = tmp_path / "x.calibration.safetensors", bare()
    Calibration("other-1", {"image": cloud()}).save(path)
    with pytest.raises(OtherSpace, match="x.calibration.safetensors was measured with the encoder 'other-1', and this one is 'big-"):
        Calibration.load(path, space.calibrated(Calibration(space.id, {"text": cloud()})))
    Concept.from_text("fire", encoder).save(path)
    with pytest.raises(ValueError, match="is not a calibration: its format is concept-algebra/concept/1"):
        Calibration.load(path, space)
    path.write_bytes(b"\0" * 40)
    with pytest.raises(ValueError, match="is not a safetensors file"):
        Calibration.load(path, space)
    with pytest.raises(FileNotFoundError):
        Calibration.load(tmp_path / "none", space)


FACTS = {"radius": 0.8, "standard_error": 0.01, "count": 400, "source": "photos"}


@pytest.mark.parametrize(
    "mean, facts",
    [
        (torch.full((D,), torch.nan), {"image": FACTS}),
        (torch.ones(D), {"image": FACTS}),
        (torch.zeros(D - 1), {"image": FACTS}),
        (torch.zeros(1, D), {"image": FACTS}),
        (torch.zeros(D), {"image": FACTS | {"radius": 0.0}}),
        (torch.zeros(D), {"image": FACTS | {"radius": math.nan}}),
        (torch.zeros(D), {"image": FACTS | {"count": 0}}),
        (torch.zeros(D), {"image": FACTS | {"count": "many"}}),
        (torch.zeros(D), {"image": {"radius": 0.8}}),
        (torch.zeros(D), {"image": FACTS, "audio": FACTS}),
        (torch.zeros(D), {}),
        (torch.zeros(D), {"smell": FACTS}),
        (torch.zeros(D), []),
        (torch.zeros(D), {"image": 3}),
    ],
)
def test_a_damaged_file_is_named(tmp_path, mean, facts):
    path = tmp_path / "broken.safetensors"
    save_file({"mean.image": mean}, path, {"format": module.FORMAT, "space": "big-1f2e3d4c5b6a", "clouds": json.dumps(facts)})
    with pytest.raises(ValueError, match="broken.safetensors is a damaged calibration file"):
        Calibration.load(path, bare())


def test_a_truncated_file_is_named_and_a_full_disk_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    Calibration("big-1f2e3d4c5b6a", {"image": cloud()}).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    with pytest.raises(ValueError, match="is not a safetensors file"):
        Calibration.load(path, bare())
    path.write_bytes(whole)
    with pytest.raises(OSError, match="could not write"):
        Calibration("big-1f2e3d4c5b6a", {"image": cloud(2)}).save(tmp_path / "none" / "x.safetensors")
    assert path.read_bytes() == whole and load_file(path)["mean.image"].shape == (D,)


@pytest.mark.parametrize(
    "encoder, beside",
    [
        ("models/languagebind.safetensors", "models/languagebind.calibration.safetensors"),
        ("my.own.v2.safetensors", "my.own.v2.calibration.safetensors"),
        ("pytorch_model.bin", "pytorch_model.calibration.safetensors"),
        ("LanguageBind_Video_V1.5_FT", "LanguageBind_Video_V1.5_FT.calibration.safetensors"),
    ],
)
def test_the_sidecar_lies_beside_the_encoder(encoder, beside):
    assert sidecar(encoder).as_posix() == beside


def test_a_cloud_reads_in_one_line():
    assert str(Cloud(torch.tensor([0.6, 0.0]), 0.8, 0.0123, 4000, "x")) == "4000 measured, |mean| 0.600, radius 0.800, standard error 0.012"
    assert str(cloud()).endswith("(rough: 300 or more make a good estimate)")


def test_the_pockets_shipped_words_are_what_is_measured():
    """The weights ship the text mean and radius of the pack's vocabulary, in half precision."""
    pocket = load()
    found = measured([pocket.space.vocabulary.embeddings], "vocabulary")
    assert torch.allclose(found.mean, pocket.space.means["text"], atol=1e-6)
    assert found.radius == pytest.approx(pocket.space.radii["text"], abs=5e-4)
