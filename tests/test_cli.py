"""The command as a person meets it: one clear line for every mistake, exit codes, nothing half-written."""

import importlib
import inspect
import json
import os
import re
import resource
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from concept_algebra import benchmarks
from concept_algebra.cli import main
from concept_algebra.ops.media import write_mp4, write_wav
from concept_algebra.ops.pocket.store import FOLDER

SHIPPED = sorted(FOLDER.glob("*.safetensors"))
QUICKLY = ["--steps", "2", "--modality", "image"]


def refused(capsys, *arguments):
    """The one line of stderr with which a command is refused."""
    try:
        code = main(list(arguments))
    except SystemExit as stop:  # argparse's way out
        code = stop.code
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    lines = [line for line in re.split(r"[\r\n]", captured.err) if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("concept-algebra"), captured.err
    return lines[0]


@pytest.fixture
def silent(tmp_path):
    write_wav(tmp_path / "silent.wav", torch.zeros(1, 16000), 16000)
    return tmp_path / "silent.wav"


@pytest.fixture
def one_frame(tmp_path):
    write_mp4(tmp_path / "one.mp4", torch.rand(1, 3, 32, 32), 8.0)
    return tmp_path / "one.mp4"


@pytest.mark.parametrize(
    "expression, words",
    [
        ("", "empty"),
        ("   ", "empty"),
        ("fire +", r"expected.*\(at character 7 of: fire \+\)$"),
        ("fire - fire", "zero"),
        ('image("no such file.png")', "no such file.png"),
    ],
)
def test_bad_expressions_get_a_line(capsys, tmp_path, expression, words):
    assert re.search(words, refused(capsys, "showcase", expression, "--out", str(tmp_path / "out"), *QUICKLY))
    assert not (tmp_path / "out").exists()


def test_a_typo_in_the_last_target_stops_before_the_first_is_rendered(capsys, tmp_path):
    refused(capsys, "showcase", "fire", "fire +", "--out", str(tmp_path / "out"), *QUICKLY)
    assert not (tmp_path / "out").exists()


def test_silent_sound_gets_a_line(capsys, tmp_path, silent):
    assert "silent" in refused(capsys, "showcase", f'audio("{silent}")', "--out", str(tmp_path / "out"), *QUICKLY)
    assert not (tmp_path / "out").exists()


def test_clip_of_one_frame_gets_a_line(capsys, tmp_path, one_frame):
    assert "frame" in refused(capsys, "showcase", f'video("{one_frame}")', "--out", str(tmp_path / "out"), *QUICKLY)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options, word",
    [
        (["--modality", "smell"], "smell"),
        (["--modality", "image,smell"], "smell"),
        (["--steps", "0"], "from 1 up"),
        (["--steps", "many"], "many"),
        (["--seed", "-1"], "-1"),
        (["--seeds", "0"], "from 1 up"),
        (["--device", "abacus"], "abacus"),
        (["--colour"], "--colour"),
    ],
)
def test_bad_options_get_a_line(capsys, tmp_path, options, word):
    assert word in refused(capsys, "showcase", "fire", "--out", str(tmp_path / "out"), *options)
    assert not (tmp_path / "out").exists()


def test_out_that_is_a_file_gets_a_line(capsys, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert "file" in refused(capsys, "showcase", "fire", "--out", str(tmp_path / "file" / "deeper"))
    assert (tmp_path / "file").read_text() == "mine"


def test_somebody_elses_page_is_not_replaced_by_the_gallery(capsys, tmp_path):
    (tmp_path / "index.html").write_text("mine")
    assert "no gallery" in refused(capsys, "showcase", "fire", "--out", str(tmp_path), *QUICKLY)
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"] and (tmp_path / "index.html").read_text() == "mine"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_out_without_permission_gets_a_line(capsys, tmp_path):
    tmp_path.chmod(0o500)
    try:
        assert "written" in refused(capsys, "showcase", "fire", "--out", str(tmp_path / "out"))
    finally:
        tmp_path.chmod(0o700)


def test_no_command_gets_a_line(capsys):
    assert "COMMAND" in refused(capsys)


def test_unknown_benchmark_gets_a_line_with_the_known_ones(capsys):
    for name in ("weather", "evaluation", "memory_measured"):  # the last two are parts of others
        told, listed = refused(capsys, "bench", name).split("; there are: ")
        assert f"no benchmark '{name}'" in told and {"pocket", "sae"} <= set(listed.split(", ")) and name not in listed.split(", ")


@pytest.mark.parametrize("name", sorted(path.stem for path in Path(benchmarks.__file__).parent.glob("*.py")))
def test_what_a_benchmark_runs_by_asks_for_a_quick_one(name):
    module = importlib.import_module(f"{benchmarks.__name__}.{name}")
    if hasattr(module, "run"):
        first, *others = inspect.signature(module.run).parameters.values()
        assert first.name == "quick" and all(other.default is not other.empty for other in others)


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert f"torch {torch.__version__}" in capsys.readouterr().out


def heeds_interrupts():
    """A shell's background job, as a test run may be, hands down an ignored SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def command(*arguments, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "concept_algebra.cli", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more,
    )  # fmt: skip


def test_benchmarks_print_a_table_and_one_json_line(capsys, monkeypatch):
    made = types.ModuleType("made")
    made.run = lambda quick: ([("figure", "value"), ("speed", "1.5")], {"speed": 1.5, "quick": quick, "none": float("nan")})
    monkeypatch.setitem(sys.modules, f"{benchmarks.__name__}.pocket", made)
    assert main(["bench", "pocket", "--quick"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["figure  value", "speed   1.5"]
    assert json.loads(lines[-1]) == {"speed": 1.5, "quick": True, "none": None}


def test_weights_with_nan_get_a_line(capsys, tmp_path, monkeypatch):
    from concept_algebra.ops.encoders import pocket

    for path in SHIPPED:
        (tmp_path / path.name).symlink_to(path)
    broken = load_file(FOLDER / "image.safetensors")
    name = next(name for name, tensor in broken.items() if tensor.is_floating_point())
    broken[name].view(-1)[0] = float("nan")
    (tmp_path / "image.safetensors").unlink()
    save_file(broken, tmp_path / "image.safetensors")
    monkeypatch.setattr(pocket.load, "__defaults__", ("cpu", tmp_path))
    said = refused(capsys, "showcase", "fire", "--out", str(tmp_path / "out"))
    assert "image.safetensors" in said and "NaN" in said
    assert not (tmp_path / "out").exists()


def small_disk():
    """No file may grow beyond four kilobytes: what a full disk looks like to a program, without one."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


def test_full_disk_gets_a_line_and_leaves_nothing(tmp_path):
    ran = command("showcase", "fire", "--out", str(tmp_path / "out"), *QUICKLY, preexec_fn=small_disk)
    _, said = ran.communicate(timeout=300)
    assert ran.returncode == 2
    last = re.split(r"[\r\n]", said.strip())[-1]
    assert last.startswith("concept-algebra: could not write"), said
    assert not (tmp_path / "out").exists()


def test_interruption_exits_with_130_and_leaves_nothing(tmp_path):
    arguments = ["showcase", "fire", "--out", str(tmp_path / "out"), "--steps", "3000", "--modality", "image"]
    ran = command(*arguments, preexec_fn=heeds_interrupts)
    try:
        said = ""
        while "step" not in said:  # the first step is done
            read = ran.stderr.read(1)
            assert read, said
            said += read
        ran.send_signal(signal.SIGINT)
        said += ran.communicate(timeout=60)[1]
    finally:
        ran.kill()
    assert ran.returncode == 130
    assert "interrupted" in re.split(r"[\r\n]", said.strip())[-1] and "Traceback" not in said
    assert not (tmp_path / "out").exists()


def test_showcase_renders_every_modality_of_several_targets(capsys, tmp_path):
    assert main(["showcase", "fire + water", "ghost", "--out", str(tmp_path), "--steps", "2", "--seed", "5"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        str(tmp_path / "fire-plus-water" / "index.html"), str(tmp_path / "ghost" / "index.html"), str(tmp_path / "index.html"),
    ]  # fmt: skip
    assert "image natural" in captured.err
    for folder in ("fire-plus-water", "ghost"):
        names = {path.name for path in (tmp_path / folder).iterdir()}
        assert {"image-honest.png", "audio-natural.wav", "video-honest.mp4", "phrase.txt", "run.json", "index.html"} <= names
        run = json.loads((tmp_path / folder / "run.json").read_text())
        assert run["seed"] == 5 and run["space"].startswith("pocket-")
        assert {made["modality"] for made in run["renders"]} == {"image", "audio", "video"}


def test_modalities_can_be_chosen(tmp_path):
    assert main(["showcase", "fire", "--out", str(tmp_path), "--steps", "1", "--modality", "text", "--modality", "image"]) == 0
    names = {path.name for path in (tmp_path / "fire").iterdir()}
    assert names == {"image-honest.png", "image-natural.png", "phrase.txt", "run.json", "index.html", "README.md", "readings"}
