"""Probes where it is known what they should find, and the shipped ones on the pocket encoder."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize
from toys import SmallEncoder

from concept_algebra.ops.encoders.pocket import load
from concept_algebra.ops.encoders.vocabulary import shipped_words
from concept_algebra.ops.interpret import probes
from concept_algebra.ops.interpret.probes import SHIPPED, WORDS, Probe, from_sources, shipped, train
from concept_algebra.ops.media import write_png
from concept_algebra.ops.space import Space, SpaceMismatch
from concept_algebra.ops.written import lines_of

D = 32
SPACE = Space("probed", D, {"text": torch.zeros(D), "image": torch.zeros(D)})


def cloud(count, distance, seed):
    """Points around `distance` along the first axis."""
    rows = torch.randn(count, D, generator=torch.Generator().manual_seed(seed))
    rows[:, 0] += distance
    return rows


@pytest.fixture(scope="module")
def probe():
    return train("far along", cloud(60, 6.0, 0), cloud(40, -6.0, 1), "text", SPACE)


@pytest.fixture(scope="module")
def animal():
    encoder = load()
    return shipped("animal", encoder), encoder


def test_it_finds_the_direction_that_differs_and_says_how_sure_it_is(probe):
    assert normalize(probe.weight, dim=0)[0] > 0.9 and probe.counts == (60, 40)
    assert probe.accuracy.estimate > 0.97 and probe.accuracy.low > 0.9
    found = probe.probabilities(torch.cat([cloud(200, 6.0, 2), cloud(200, -6.0, 3)]), SPACE)
    assert found[:200].min() > 0.5 > found[200:].max() and found.min() > 0 and found.max() < 1


def test_of_one_cloud_it_knows_nothing_and_warns():
    guessed = [train("no different", cloud(40, 0.0, 2 * i), cloud(40, 0.0, 2 * i + 1), "text", SPACE) for i in range(20)]
    assert 0.4 < sum(p.accuracy.estimate for p in guessed) / 20 < 0.6
    # an interval misses the truth once in twenty
    assert sum(p.accuracy.low <= 0.5 <= p.accuracy.high for p in guessed) >= 16
    doubtful = next(p for p in guessed if p.accuracy.low <= 0.5)
    assert "only be guessing" in doubtful.answer(torch.ones(D), "text", SPACE).warning


def test_probabilities_are_as_often_right_as_they_say():
    # near clouds, so that many probabilities lie in the middle
    made = train("x", cloud(400, 0.8, 0), cloud(400, -0.8, 1), "text", SPACE)
    found = made.probabilities(torch.cat([cloud(4000, 0.8, 2), cloud(4000, -0.8, 3)]), SPACE)
    truth = torch.arange(8000) < 4000
    for low, high in ((0.1, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9)):
        among = (found >= low) & (found < high)
        assert among.sum() > 300
        assert truth[among].float().mean() == pytest.approx(float(found[among].mean()), abs=0.07)


@given(st.floats(0.1, 50))
def test_only_the_direction_counts(probe, length):
    row = cloud(1, 1.0, 5)
    assert probe.probabilities(length * row, SPACE).allclose(probe.probabilities(row, SPACE), atol=1e-5)


def test_sides_exchanged_give_the_opposite():
    yes, no = cloud(60, 1.0, 0), cloud(60, -1.0, 1)
    row = cloud(10, 0.0, 7)
    one, other = (train("x", *sides, "text", SPACE).probabilities(row, SPACE) for sides in ((yes, no), (no, yes)))
    assert one.allclose(1 - other, atol=1e-4)


def test_it_warns_outside_the_modality_it_was_trained_on(probe):
    assert probe.answer(torch.ones(D), "text", SPACE).warning is None
    warned = probe.answer(torch.ones(D), "image", SPACE)
    assert "trained on text and reads image" in warned.warning and "centred" not in warned.warning
    assert warned.what == "far along" and warned.probability == probe.answer(torch.ones(D), "text", SPACE).probability
    assert "does not know where its audio embeddings are centred" in probe.answer(torch.ones(D), "audio", SPACE).warning


@pytest.mark.parametrize("probability, told", [(0.8, "round"), (0.79, "undecided whether round"), (0.21, "undecided whether round"), (0.2, "not round")])
def test_a_side_is_named_where_the_other_is_one_in_five(probability, told):
    assert probes.Answer("round", probability, None).verdict == told


def test_there_and_back_through_a_file_it_is_the_same(probe, tmp_path):
    probe.save(tmp_path / "p.safetensors")
    again = Probe.load(tmp_path / "p.safetensors")
    assert again.weight.equal(probe.weight)
    assert [getattr(again, name) for name in ("what", "space", "modality", "counts", "accuracy", "bias", "slope", "offset")] == [
        getattr(probe, name) for name in ("what", "space", "modality", "counts", "accuracy", "bias", "slope", "offset")
    ]


@pytest.mark.parametrize("metadata", [{}, {"probe": "{"}, {"probe": "[]"}, {"probe": '{"modality": "smell"}'}, {"probe": '{"modality": "text"}'}])
def test_a_damaged_file_is_refused(tmp_path, metadata):
    from concept_algebra.ops.weights import packed

    file = tmp_path / "p.safetensors"
    file.write_bytes(packed({"weight": torch.ones(4)}, {"format": probes.FORMAT, **metadata}))
    with pytest.raises(ValueError, match="damaged probe"):
        Probe.load(file)
    file.write_bytes(packed({"weight": torch.ones(4)}, {"format": "other"}))
    with pytest.raises(ValueError, match="not a probe"):
        Probe.load(file)


def test_another_space_and_another_shape_are_refused(probe):
    with pytest.raises(SpaceMismatch):
        probe.probabilities(torch.ones(1, D), Space("other", D))
    with pytest.raises(ValueError, match="expected \\(N, 32\\)"):
        probe.probabilities(torch.ones(D), SPACE)
    with pytest.raises(ValueError, match="NaN"):
        probe.probabilities(torch.full((1, D), float("nan")), SPACE)


@pytest.mark.parametrize(
    "yes, no, told", [(torch.ones(9, D), torch.ones(20, D), "'yes' has shape"), (torch.ones(20, D), torch.ones(20, 4), "'no' has shape")]
)
def test_too_few_or_misshapen_rows_are_refused(yes, no, told):
    with pytest.raises(ValueError, match=told):
        train("x", yes, no, "text", SPACE)


def test_trained_under_a_hosts_inference_mode_it_serves_a_backward_pass():
    with torch.inference_mode():
        made = train("x", cloud(20, 2.0, 0), cloud(20, -2.0, 1), "text", SPACE)
    x = torch.ones(D, requires_grad=True)
    (made.weight @ x).backward()
    assert x.grad.equal(made.weight)


# --- from files


def test_two_folders_of_pictures_make_a_probe(tmp_path):
    encoder = SmallEncoder()
    for side, shade in (("red", (0.9, 0.1, 0.1)), ("blue", (0.1, 0.1, 0.9))):
        (tmp_path / side).mkdir()
        for i in range(34):
            noise = 0.1 * torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(i))
            write_png(tmp_path / side / f"{i:02}.png", torch.tensor(shade).view(3, 1, 1) * 0.9 + noise)
    heard = []
    made = from_sources("red", tmp_path / "red", tmp_path / "blue", encoder, lambda done, total, problems: heard.append((done, total, problems)))
    assert made.modality == "image" and made.counts == (34, 34) and made.accuracy.estimate == 1 and made.space == encoder.space.id
    assert heard[-1] == (34, 34, []) and len(heard) == 68
    words = tmp_path / "words.txt"
    words.write_text("\n".join(f"word{i}" for i in range(40)))
    with pytest.raises(ValueError, match="one modality"):
        from_sources("x", tmp_path / "red", words, encoder)
    with pytest.raises(ValueError, match="'word0' is on both sides"):
        from_sources("x", words, words, encoder)
    with pytest.raises(ValueError, match="expected media of one modality"):
        (tmp_path / "both").mkdir()
        for i in range(40):
            write_png(tmp_path / "both" / f"{i}.png", torch.rand(3, 8, 8))
            (tmp_path / "both" / f"{i}.wav").write_bytes(b"")
        from_sources("x", tmp_path / "both", words, encoder)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_lists_are_sixty_words_a_side_that_the_vocabulary_knows(name):
    sides = [lines_of((WORDS / f"{name}.{side}.txt").read_text("utf-8")) for side in ("yes", "no")]
    assert all(len(side) == len(set(side)) >= 60 for side in sides) and not set(sides[0]) & set(sides[1])
    assert set(sides[0]) | set(sides[1]) <= set(shipped_words())


def test_the_files_are_those_of_the_shipped_probes():
    assert {file.name for file in WORDS.iterdir()} == {f"{name}.{side}.txt" for name in SHIPPED for side in ("yes", "no")}


@pytest.mark.parametrize("word, high", [("hyena", True), ("walrus", True), ("harmonica", False), ("canyon", False), ("algebra", False)])
def test_the_animal_probe_tells_words_it_never_saw(animal, word, high):
    probe, encoder = animal
    known = lines_of((WORDS / "animal.yes.txt").read_text("utf-8")) + lines_of((WORDS / "animal.no.txt").read_text("utf-8"))
    found = probe.answer(encoder.space.centre(encoder.text([word]).pooled[0], "text"), "text", encoder.space)
    assert (found.probability > 0.5) is high and found.warning is None
    assert word not in known


def test_a_name_that_does_not_ship_is_refused():
    with pytest.raises(ValueError, match="expected one of animal, danger"):
        shipped("plant", SmallEncoder())
