"""`concept-algebra convert` and `check`, from published folders to a concept."""

import subprocess
import sys
from pathlib import Path

import pytest
import tiny_languagebind

from concept_algebra.cli import main
from concept_algebra.ops.encoders import load

PACK = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("few_words")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return list(map(str, tiny_languagebind.folders(tmp_path_factory.mktemp("published"))))


def test_folders_become_a_file_that_loads(folders, tmp_path, capsys):
    out = tmp_path / "concept_encoders" / "bind.safetensors"
    assert main(["convert", "languagebind", *folders, "-o", str(out)]) == 0
    said = capsys.readouterr().out.splitlines()
    encoder = load(out)
    assert said[-1] == str(out) and f"space: {encoder.space.encoder_id}" in said
    assert [line.split(":")[0] for line in said[:4]] == ["text", "image", "audio", "video"]
    assert f"calibrate {out}" in said[-2] and "centres image, audio, video" in said[-2]
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["{image}", "{image}", "-o", "{tmp}/a.safetensors"], "both hold the image tower"),
        (["{tmp}/none", "-o", "{tmp}/a.safetensors"], "no such file or folder"),
        (["{image}", "-o", "{tmp}/none/none/a.safetensors"], "there is no folder"),
        (["{image}", "-o", "{tmp}/a.bin"], "has to end in .safetensors"),
        (["{image}"], "required: -o/--out"),
        (["{image}", "-o", "{tmp}/a.safetensors", "--dtype", "fp8"], "invalid choice: 'fp8'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(arguments, said, folders, tmp_path, capsys):
    given = [part.format(image=folders[0], tmp=tmp_path) for part in arguments]
    try:
        code = main(["convert", "languagebind", *given])
    except SystemExit as stopped:
        code = stopped.code
    told = capsys.readouterr().err
    assert code == 2 and said in told and len(told.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_check_tells_weights_that_have_learned_nothing(folders, tmp_path, capsys, monkeypatch):
    for count in ("PICTURES", "SOUNDS", "CLIPS"):
        monkeypatch.setattr(f"concept_algebra.benchmarks.reading.{count}", 8)
    out = tmp_path / "bind.safetensors"
    assert main(["convert", "languagebind", folders[0], "-o", str(out)]) == 0
    capsys.readouterr()
    assert main(["check", str(out), "--device", "cpu"]) == 2
    told = capsys.readouterr()
    assert "image: " in told.out and "of 8 are nearest to their own name" in told.out and "float32 on cpu" in told.out
    assert told.err.strip() == "concept-algebra: image read no better than guessing: wrong weights, or towers that do not belong together"


def test_showcase_takes_an_encoder_and_names_what_it_cannot_embed(folders, tmp_path, capsys):
    out = tmp_path / "bind.safetensors"
    assert main(["convert", "languagebind", folders[0], "-o", str(out)]) == 0
    page = tmp_path / "page"
    told = ["showcase", "fire", "--encoder", str(out), "--out", str(page), "--device", "cpu", "--steps", "2"]
    assert main([*told, "--modality", "audio"]) == 2
    assert "--modality audio: " in capsys.readouterr().err
    assert main(told) == 0
    assert {path.name for path in (page / "fire").iterdir()} >= {"image-honest.png", "image-natural.png", "phrase.txt", "run.json"}
    assert not (page / "fire" / "audio-honest.wav").exists()


def test_the_folder_itself_runs_as_a_command(tmp_path):
    """What people run who have the pack in custom_nodes, under whatever name, and nothing installed."""
    link = tmp_path / "some-pack"
    link.symlink_to(PACK)
    made = subprocess.run([sys.executable, str(link), "convert", "languagebind", "--help"], capture_output=True, text=True, cwd=tmp_path)
    assert made.returncode == 0 and "--tokenizer FOLDER" in made.stdout
