"""Writing files whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PART, WHOLE, EARLIER = ".part", "whole", "earlier"
"""How the name of a folder ends in which `built_aside` works, and in it the new folder and the place of the one it takes away."""


@contextmanager
def write_aside(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write to; on success it takes the name `path`, on any error it is removed.

    The temporary name keeps the suffix, for writers that choose the format by it. An OSError (a full disk, a missing
    folder) is raised again with one line that names `path`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem[:40]}-{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(f"could not write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Write bytes atomically. Raises OSError with one line; leaves nothing half-written."""
    with write_aside(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write UTF-8 text with newlines as given, atomically. Raises OSError as `write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


@contextmanager
def built_aside(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder`; on success it takes that name and an earlier folder of that name goes.

    On any error it goes away without a trace, with the parents made for it, and an earlier folder stays. An OSError of a file in
    it is raised again with the name that the file would have had. Where the process is killed before the new folder has its
    name, `put_back` gives the earlier one its own again; the next call beside it begins with that.
    """
    parent = folder.parent
    made = [path for path in (parent, *parent.parents) if not path.exists()]
    parent.mkdir(parents=True, exist_ok=True)
    put_back(parent)
    aside = Path(tempfile.mkdtemp(prefix=".", suffix=PART, dir=parent))
    whole, earlier = aside / WHOLE, aside / EARLIER / folder.name
    try:
        whole.mkdir()
        earlier.parent.mkdir()
        yield whole
        try:
            if folder.exists():
                os.replace(folder, earlier)
            os.replace(whole, folder)
        except BaseException:
            if earlier.exists() and not folder.exists():
                os.replace(earlier, folder)
            raise
    except BaseException as error:
        shutil.rmtree(aside, ignore_errors=True)
        with suppress(OSError):  # somebody else has put something there: that is no news beside what went wrong
            for path in made:
                path.rmdir()
        if isinstance(error, OSError) and str(aside) in str(error):
            raise OSError(str(error).replace(str(whole), str(folder))) from error
        raise
    shutil.rmtree(aside, ignore_errors=True)


def put_back(parent: Path) -> None:
    """Give the folders in `parent` their names again that `built_aside` had taken away when its process was killed, and remove what
    it left. Raises OSError for one that cannot be renamed.

    A folder that has come under such a name since is left as it is, and so is the earlier one: neither is ours to delete.
    """
    for earlier in parent.glob(f".*{PART}/{EARLIER}/*"):
        aside, folder = earlier.parents[1], parent / earlier.name
        if (aside / WHOLE).exists():  # else the new one got its name, and the kill came after that
            if folder.exists():
                continue
            os.replace(earlier, folder)
        shutil.rmtree(aside, ignore_errors=True)
