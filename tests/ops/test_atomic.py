import os
import resource
import stat
import subprocess
import sys

import pytest

from concept_algebra.ops.atomic import built_aside, put_back, write_aside, write_bytes, write_text

KILLED = """
import os, shutil, sys
from pathlib import Path
from concept_algebra.ops.atomic import built_aside

def dying(work, at):
    calls = []
    def run(*given, **more):
        calls.append(given)
        if len(calls) == at:
            os._exit(9)
        return work(*given, **more)
    return run

os.replace = dying(os.replace, int(sys.argv[2]))
shutil.rmtree = dying(shutil.rmtree, 1)
with built_aside(Path(sys.argv[1])) as aside:
    (aside / "new").write_text("new")
"""


def test_writes_whole_and_replaces(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "one\r\ntwo £")
    write_text(path, "three £\n")
    assert path.read_bytes() == "three £\n".encode()
    assert os.listdir(tmp_path) == ["a.txt"]
    (tmp_path / "plain").write_text("x")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_an_error_on_the_way_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError):
        with write_aside(path) as temporary:
            temporary.write_text("half")
            assert temporary.suffix == ".txt" and temporary.parent == tmp_path
            raise RuntimeError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match=r"^could not write .*a\.bin: File too large$"):
            write_bytes(path, bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.bin"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(OSError, match=r"^could not write .*none/a\.bin: No such file or directory$"):
        write_bytes(tmp_path / "none" / "a.bin", b"x")


def killed(folder, at):
    """A process that replaces a folder, killed between its two renames (at 2) or behind them (at 3)."""
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "old").write_text("old")
    assert subprocess.run([sys.executable, "-c", KILLED, str(folder), str(at)]).returncode == 9


def within(path):
    return sorted(found.relative_to(path).as_posix() for found in path.rglob("*") if found.is_file())


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path):
    killed(tmp_path / "a", at=2)
    assert not (tmp_path / "a").exists()
    put_back(tmp_path)
    assert os.listdir(tmp_path) == ["a"] and within(tmp_path) == ["a/in/old"]
    put_back(tmp_path / "none")


@pytest.mark.parametrize("at", [2, 3], ids=["between the renames", "behind them"])
def test_the_next_folder_built_there_leaves_no_strays(tmp_path, at):
    killed(tmp_path / "a", at)
    with built_aside(tmp_path / "b") as aside:
        assert within(tmp_path / "a") == (["in/old"] if at == 2 else ["new"])
        (aside / "other").write_text("other")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]
    with built_aside(tmp_path / "a") as aside:
        (aside / "again").write_text("again")
    assert within(tmp_path) == ["a/again", "b/other"] and sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_what_is_there_again_is_not_replaced_by_what_was(tmp_path):
    killed(tmp_path / "a", at=2)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "theirs").write_text("theirs")
    put_back(tmp_path)
    assert within(tmp_path / "a") == ["theirs"] and [path.name for path in tmp_path.rglob("old")] == ["old"]


def test_another_that_is_being_built_is_left_alone(tmp_path):
    with built_aside(tmp_path / "a") as aside:
        (aside / "half").write_text("half")
        put_back(tmp_path)
        with built_aside(tmp_path / "b"):
            pass
    assert within(tmp_path) == ["a/half"]


@pytest.mark.parametrize("at", [1, 2])
def test_an_interruption_at_either_rename_leaves_one_whole_folder(tmp_path, monkeypatch, at):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").write_text("old")
    calls, rename = [], os.replace

    def interrupted(*paths):
        rename(*paths)
        calls.append(paths)
        if len(calls) == at:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        with built_aside(tmp_path / "a") as aside:
            (aside / "new").write_text("new")
    assert within(tmp_path) == [["a/old"], ["a/new"]][at - 1] and os.listdir(tmp_path) == ["a"]
