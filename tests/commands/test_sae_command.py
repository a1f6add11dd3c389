"""`concept-algebra sae`, from folders and phrases on disk to a file of features, a card and a list of them."""

import os
import re
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from concept_algebra.cli import main
from concept_algebra.commands import progress
from concept_algebra.ops import encoders
from concept_algebra.ops.encoders import pocket
from concept_algebra.ops.features.card import Card
from concept_algebra.ops.features.learn import AFTER
from concept_algebra.ops.features.trained import TrainedSAE
from concept_algebra.ops.media import write_png

SMALL = ["--width", "32", "--k", "4", "--steps", "40", "--device", "cpu"]
PICTURES, PHRASES = 64, 400


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A folder of captioned pictures, one of them broken, and a list of phrases."""
    folder = tmp_path_factory.mktemp("sources") / "pictures"
    folder.mkdir()
    rng = torch.Generator().manual_seed(0)
    words = pocket.load().space.vocabulary.words
    for index in range(PICTURES):
        write_png(folder / f"{index:02d}.png", torch.rand(3, 2, 2, generator=rng).repeat_interleave(8, 1).repeat_interleave(8, 2))
        (folder / f"{index:02d}.txt").write_text(f"a {words[7 * index]} thing")
    (folder / "broken.png").write_bytes(b"not a picture")
    phrases = folder.with_name("phrases.txt")
    phrases.write_text("\n".join(words[:PHRASES]))
    return [str(folder), str(phrases)]


@pytest.fixture(scope="module")
def trained(sources, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "features.safetensors"
    assert main(["sae", "train", "pocket", *sources, "-o", str(out), *SMALL]) == 0
    return out


@pytest.fixture
def asked(monkeypatch, sources):
    """How many phrases and pictures of the sources the pocket encoder embeds, while it is loaded through `encoders.load`."""
    opened, counts = encoders.load, {"text": 0, "image": 0}
    captions = {path.read_text() for path in Path(sources[0]).glob("*.txt")}
    phrases = captions | set(Path(sources[1]).read_text().splitlines())

    def load(*arguments, **more):
        encoder = opened(*arguments, **more)
        embeds = {modality: getattr(encoder, modality) for modality in counts}
        for modality, embed in embeds.items():

            def counted(batch, modality=modality, embed=embed):
                found = embed(batch)  # what cannot be read is not counted
                counts[modality] += sum(text in phrases for text in batch) if modality == "text" else len(batch)
                return found

            object.__setattr__(encoder, modality, counted)
        return encoder

    monkeypatch.setattr(encoders, "load", load)
    return counts


def stopping(monkeypatch, at, stage):
    """The next command is interrupted at a step of a training, as by Ctrl-C."""
    steps = progress.steps

    @contextmanager
    def stopped():
        with steps() as watch:

            def stop(name, told):
                watch(name, told)
                if told and told.index == at and name.startswith(stage):
                    raise KeyboardInterrupt

            yield stop

    monkeypatch.setattr(progress, "steps", stopped)


def test_a_file_a_card_and_the_cache_are_written(sources, tmp_path, capsys, trained):
    out = tmp_path / "features.safetensors"
    assert main(["sae", "train", "pocket", *sources, "-o", str(out), *SMALL]) == 0
    told = capsys.readouterr()
    card = out.with_suffix(".md").read_text("utf-8")
    assert told.out == f"{card}\n{out}\n{out.with_suffix('.md')}\n" and card.startswith("# features\n")
    assert "concept-algebra: skipped: " in told.err and "broken.png is not a picture" in told.err
    assert all(stage in told.err for stage in AFTER), "what comes after training is told too"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["features.cache", "features.md", "features.safetensors"]
    assert not list(out.with_suffix(".cache").glob("*.checkpoint.safetensors"))
    assert out.read_bytes() == trained.read_bytes()

    encoder = pocket.load()
    same, sae = TrainedSAE.load(out, encoder)
    assert same is encoder and sae.autoencoder.width == 32
    found = Card.from_dict(sae.metrics["card"])
    assert found.markdown("features") == card and found.fidelity.keys() == {"text", "image"}
    assert found.stability is not None and found.overlap["image"].count >= 2
    assert sae.metrics["recipe"]["k"] == 4 and abs(found.fidelity["image"].l0 - 4) < 0.5
    assert sae.metrics["sources"] == {"text": "phrases.txt, captions in pictures", "image": "pictures"}
    assert sae.statistics["image"].count == PICTURES and sae.statistics["text"].count == PHRASES + PICTURES
    captions = {caption for row in sae.statistics["image"].examples for caption in row}
    assert captions and all(re.fullmatch("a .* thing", caption) for caption in captions)


def test_a_second_training_from_one_cache_embeds_nothing(sources, tmp_path, asked):
    again = ["sae", "train", "pocket", *sources, "--cache", str(tmp_path / "cache"), *SMALL, "--once"]
    assert main([*again, "-o", str(tmp_path / "a.safetensors")]) == 0
    assert asked == {"text": PHRASES + PICTURES, "image": PICTURES}
    assert main([*again, "-o", str(tmp_path / "b.safetensors"), "--seed", "1"]) == 0
    assert asked == {"text": PHRASES + PICTURES, "image": PICTURES}
    a, b = (TrainedSAE.read(tmp_path / name) for name in ("a.safetensors", "b.safetensors"))
    assert a.id != b.id and Card.from_dict(a.metrics["card"]).stability is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.md", "a.safetensors", "b.md", "b.safetensors", "cache"]


@pytest.mark.parametrize("stage", ["training", "once more"])
def test_an_interrupted_training_goes_on_and_ends_the_same(sources, tmp_path, monkeypatch, capsys, trained, stage):
    out = tmp_path / "features.safetensors"
    command = ["sae", "train", "pocket", *sources, "-o", str(out), *SMALL]
    with monkeypatch.context() as patched:
        stopping(patched, 25, stage)
        assert main(command) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "concept-algebra: interrupted, nothing half-written"
    assert [path.name for path in tmp_path.iterdir()] == ["features.cache"]
    assert len(list(tmp_path.glob("features.cache/*.checkpoint.safetensors"))) == (1 if stage == "training" else 2)
    steps, seen = progress.steps, []

    @contextmanager
    def listening():
        with steps() as watch:
            yield lambda name, told: (seen.append((name.split(",")[0], told and told.index)), watch(name, told))

    monkeypatch.setattr(progress, "steps", listening)
    assert main(command) == 0
    assert seen[0] == (stage, 26) and out.read_bytes() == trained.read_bytes()
    assert not list(tmp_path.glob("features.cache/*.checkpoint.safetensors"))


def test_a_stop_while_embedding_costs_what_was_not_yet_embedded(sources, tmp_path, monkeypatch, asked, trained):
    items = progress.items

    @contextmanager
    def stopped(title, total):
        with items(title, total) as watch:

            def stop(done, total, problems):
                watch(done, total, problems)
                if title == "image" and done == 20:
                    raise KeyboardInterrupt

            yield stop

    out = tmp_path / "features.safetensors"
    command = ["sae", "train", "pocket", *sources, "-o", str(out), *SMALL]
    with monkeypatch.context() as patched:
        patched.setattr(progress, "items", stopped)
        assert main(command) == 130
    assert asked == {"text": PHRASES + PICTURES, "image": 20}
    assert main(command) == 0
    assert asked == {"text": PHRASES + PICTURES, "image": PICTURES}
    assert out.read_bytes() == trained.read_bytes()


def test_an_encoder_without_means_is_centred_by_the_corpus_and_by_the_file_ever_after(sources, tmp_path, monkeypatch):
    opened = encoders.load

    def load(name, device="cpu", dtype=None):
        encoder = opened(name, device)
        encoder.space = replace(encoder.space, id="big-0", means={}, radii={})
        return encoder

    monkeypatch.setattr(encoders, "load", load)
    out = tmp_path / "features.safetensors"
    assert main(["sae", "train", "pocket", *sources, "-o", str(out), *SMALL, "--once"]) == 0
    bare = load("pocket")
    encoder, sae = TrainedSAE.load(out, bare)
    assert encoder.space.means.keys() == {"text", "image"} and encoder.space.id.startswith("big-0+") and not bare.space.means
    assert sae.space == encoder.space == sae.read(out).space


def test_show_prints_the_card_and_a_line_for_each_feature(trained, capsys):
    assert main(["sae", "show", str(trained)]) == 0
    card, features = capsys.readouterr().out.split("\n\n    0  ")
    assert f"{card}\n" == trained.with_suffix(".md").read_text("utf-8")
    lines = f"    0  {features}".splitlines()
    sae = TrainedSAE.read(trained)
    assert len(lines) == 32
    for j, line in enumerate(lines):
        number, name, confidence, rest = re.fullmatch(r" *(\d+)  (.+?)  +(\d\.\d\d)  (.*)", line).groups()
        assert int(number) == j and name == sae.names[j] and float(confidence) == pytest.approx(float(sae.confidence[j]), abs=0.006)
        for modality, seen in sae.statistics.items():
            assert (f"{modality} {100 * seen.rate[j]:.2f} %: {''.join(seen.examples[j][:1])}" in rest) == (seen.rate[j] > 0)


def test_a_reader_that_goes_away_is_no_error(trained, monkeypatch, capsys):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as stdout, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", stdout)
        assert main(["sae", "show", str(trained)]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["train", "nothing", "WORDS", "-o", "x.safetensors"], "no encoder 'nothing'"),
        (["train", "pocket", "none", "-o", "x.safetensors"], "none: no such file or folder"),
        (["train", "pocket", "WORDS"], "required: -o/--out"),
        (["train", "pocket", "WORDS", "-o", "x.bin"], "--out x.bin: has to end in .safetensors"),
        (["train", "pocket", "WORDS", "-o", "none/x.safetensors"], "there is no folder"),
        (["train", "pocket", "WORDS", "-o", "x.safetensors", "--width", "8"], "a whole number from 16 up was expected, not '8'"),
        (["train", "pocket", "WORDS", "-o", "x.safetensors", "--width", "32", "--k", "32"], "k is 32, expected 1..31"),
        (["train", "pocket", "WORDS", "-o", "x.safetensors", "--steps", "0"], "from 1 up was expected"),
        (["train", "pocket", "WORDS", "-o", "x.safetensors", "--modality", "image"], "holds text, and pictures were asked for"),
        (["train", "pocket", "few.txt", "-o", "x.safetensors"], "40 phrases in few.txt, expected 64 or more to learn from: give 24 more"),
        (["train", "pocket", "WORDS", "-o", "x.safetensors", "--cache", "few.txt"], "could not make the cache"),
        (["train", "pocket", "WORDS", "-o", "x.safetensors", "--width", "401"], "width is 401, expected at most 400"),
        (["import", "pocket", "few.txt", "-o", "x.bin"], "--out x.bin: has to end in .safetensors"),
        (["import", "pocket", "few.txt", "-o", "x.safetensors"], "few.txt is not a state dict of weights alone"),
        (["import", "pocket", ".", "-o", "x.safetensors"], "is a folder without ae.pt"),
        (["import", "pocket", "none", "-o", "x.safetensors"], "none: there is no such file or folder"),
        (["show", "none.safetensors"], "none.safetensors"),
        (["show", "."], "is a folder, expected a file"),
        (["show", "few.txt"], "few.txt is not a safetensors file"),
        ([], "required: WHAT"),
    ],
)
def test_bad_input_gets_a_line_and_writes_nothing(sources, tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "few.txt").write_text("\n".join(f"word {index}" for index in range(40)))
    try:
        code = main(["sae", *(sources[1] if argument == "WORDS" else argument for argument in arguments)])
    except SystemExit as stopped:  # argparse's way out
        code = stopped.code
    told = capsys.readouterr()
    assert code == 2 and told.out == "" and re.search(said, told.err.splitlines()[-1])
    assert {path.name for path in tmp_path.iterdir()} <= {"few.txt", "x.cache"}


def test_text_only_plans_by_what_it_learns_from(sources, tmp_path, asked):
    out = tmp_path / "features.safetensors"
    command = ["sae", "train", "pocket", *sources, "-o", str(out), "--steps", "2", "--device", "cpu", "--once"]
    assert main([*command, "--text-only", "--width", str(PHRASES + PICTURES + 1)]) == 2
    assert asked == {"text": 0, "image": 0} and not list(tmp_path.iterdir())
    assert main([*command, "--text-only"]) == 0
    plan = TrainedSAE.read(out).metrics["recipe"]
    assert plan["batch"] == max(64, (PHRASES + PICTURES) // 8) < 66 == (PHRASES + 2 * PICTURES + 1) // 8


def test_text_only_without_phrases_or_captions_is_refused_before_anything_is_embedded(sources, tmp_path, capsys, asked):
    bare = tmp_path / "bare"
    bare.mkdir()
    for picture in Path(sources[0]).glob("*.png"):
        (bare / picture.name).write_bytes(picture.read_bytes())
    assert main(["sae", "train", "pocket", str(bare), "-o", str(tmp_path / "x.safetensors"), *SMALL, "--text-only"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 and "no phrases to learn from" in told[0] and "a cat.txt beside cat.jpg" in told[0]
    assert asked == {"text": 0, "image": 0} and [path.name for path in tmp_path.iterdir()] == ["bare"]


def test_an_import_is_written_named_and_shown(tmp_path, monkeypatch, capsys):
    loaded = pocket.load()
    monkeypatch.setattr(encoders, "load", lambda *_, **more: loaded)  # so that its words are embedded once
    rows = loaded.space.word_directions[:400:4]
    state = {"W_enc": rows.T.contiguous(), "b_enc": torch.zeros(100), "W_dec": rows, "b_dec": torch.zeros(768)}
    torch.save(state | {"threshold": torch.tensor(-1.0), "group_sizes": torch.tensor([100])}, tmp_path / "ae.pt")
    out = tmp_path / "features.safetensors"
    assert main(["sae", "import", "pocket", str(tmp_path), "-o", str(out)]) == 2
    told = capsys.readouterr()
    assert re.search("has dense codes: .* of 100 latents.* give k", told.err) and told.out == "" and not out.exists()
    assert main(["sae", "import", "pocket", str(tmp_path), "-o", str(out), "--k", "3"]) == 0
    encoder, sae = TrainedSAE.load(out, loaded)
    named = int((sae.confidence > 0).sum())
    assert capsys.readouterr().out == f"100 features, {named} named; 3.0 active for a word on average\n{out}\n" and named > 90
    words = encoder.space.vocabulary.words[:400:4]
    assert sum(word in name for word, name in zip(words, sae.names)) > 50
    assert main(["sae", "show", str(out)]) == 0
    assert sae.names[0] in capsys.readouterr().out


def test_a_file_without_a_card_says_so(trained, tmp_path, capsys):
    replace(TrainedSAE.read(trained), metrics={}).save(tmp_path / "x.safetensors")
    assert main(["sae", "show", str(tmp_path / "x.safetensors")]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{tmp_path / 'x.safetensors'} came without a card"
