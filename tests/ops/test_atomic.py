import os
import resource
import stat

import pytest

from concept_algebra.ops.atomic import write_aside, write_bytes, write_text


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
