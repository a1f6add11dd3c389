"""A file of targets: read whole or refused, begun again where it stopped, and judged by those who were asked to."""

import json
from functools import cache
from pathlib import Path

import pytest

from concept_algebra.cli import main
from concept_algebra.commands.batch import targets
from concept_algebra.ops import encoders


@pytest.fixture(autouse=True, scope="module")
def read_once():
    """The encoder with its vocabulary is embedded once for all the commands here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoders, "load", cache(encoders.load))
        yield


def test_a_line_is_a_target_and_remarks_are_none(tmp_path):
    file = tmp_path / "targets.txt"
    file.write_bytes("\ufefffire\n# a remark\n\n  ice - cold \nfire\n".encode())
    assert targets([], file) == ["fire", "ice - cold"]
    assert targets(["ghost", "fire"], file) == ["ghost", "fire", "ice - cold"]
    assert targets(["ghost"], None) == ["ghost"]


def test_no_target_is_an_error_that_says_what_is_wanted(tmp_path):
    (tmp_path / "empty.txt").write_text("# nothing\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    for given, told in ((tmp_path / "empty.txt", "lists no target"), (tmp_path / "binary.txt", "UTF-8"), (None, "no target was given")):
        with pytest.raises(ValueError, match=told):
            targets([], given)
    for given, told in ((tmp_path / "nowhere", "nowhere: No such file"), (tmp_path, ": Is a directory")):
        with pytest.raises(OSError, match=f"^--targets .*{told}.*, expected a text file$"):
            targets([], given)


def test_a_batch_goes_on_where_it_stopped(tmp_path, capsys):
    file, out = tmp_path / "targets.txt", tmp_path / "out"
    file.write_text("fire\n")
    options = ["--targets", str(file), "--out", str(out), "--modality", "text"]
    assert main(["showcase", *options]) == 0
    (out / "fire" / "mine.txt").write_text("still here")
    file.write_text("fire\nice\n")
    capsys.readouterr()
    assert main(["showcase", *options]) == 0
    told = capsys.readouterr()
    assert "fire: finished before with the same settings, left alone" in told.err and (out / "fire" / "mine.txt").exists()
    assert told.out.splitlines() == [str(out / name) for name in (Path("fire/index.html"), Path("ice/index.html"), "index.html")]
    # another seed is another showcase, and without a file nothing is left alone
    assert main(["showcase", *options, "--seed", "1"]) == 0
    assert json.loads((out / "fire" / "run.json").read_text())["seed"] == 1 and not (out / "fire" / "mine.txt").exists()
    # so is one from more seeds
    (out / "fire" / "mine.txt").write_text("not for long")
    assert main(["showcase", *options, "--seed", "1", "--seeds", "2"]) == 0
    assert json.loads((out / "fire" / "run.json").read_text())["seeds"] == 2 and not (out / "fire" / "mine.txt").exists()
    (out / "fire" / "mine.txt").write_text("not for long")
    assert main(["showcase", "fire", *options[2:], "--seed", "1", "--seeds", "2"]) == 0
    assert not (out / "fire" / "mine.txt").exists()


def test_a_judge_judges_what_it_can_see(tmp_path):
    pytest.importorskip("transformers", reason="judges are read by transformers: pip install transformers")
    tiny = pytest.importorskip("tiny_judges")
    (tmp_path / "siglip").mkdir()
    tiny.siglip(tmp_path / "siglip")
    asked = ["--judge", str(tmp_path / "siglip"), "--out", str(tmp_path / "out"), "--steps", "1", "--modality", "image,audio"]
    assert main(["showcase", "fire + ice", *asked]) == 0
    made = tmp_path / "out" / "fire-plus-ice"
    run = json.loads((made / "run.json").read_text())
    words = {(each["modality"], each["track"]): each["verdict"] for each in run["renders"]}
    assert run["judges"][0].startswith("siglip-")
    assert words["audio", "natural"]["word"] == "not judged" and words["image", "honest"]["word"] in ("recognised", "partly", "not recognised")
    assert words["image", "honest"]["rule"][1:] in (made / "index.html").read_text()
    card = json.loads((made / "readings" / "image-honest" / "card.json").read_text())
    assert card["judgement"]["judge"] == run["judges"][0] and card["edit"]["verdict"]["word"] in ("succeeded", "partly", "failed")


def test_a_judge_that_is_none_is_refused_before_anything_is_drawn(tmp_path, capsys):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert main(["showcase", "fire", "--judge", str(tmp_path), "--out", str(tmp_path / "out"), "--modality", "image"]) == 2
    assert "holds no judge" in capsys.readouterr().err and not (tmp_path / "out").exists()
