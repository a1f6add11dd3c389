"""Writing files whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


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
    it is raised again with the name that the file would have had.
    """
    parent = folder.parent
    made = [path for path in (parent, *parent.parents) if not path.exists()]
    parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".", suffix=".part", dir=parent))
    try:
        whole, earlier = aside / "whole", aside / "earlier"
        whole.mkdir()
        yield whole
        if folder.exists():
            os.replace(folder, earlier)
        try:
            os.replace(whole, folder)
        except BaseException:
            if earlier.exists():
                os.replace(earlier, folder)
            raise
    except BaseException as error:
        shutil.rmtree(aside, ignore_errors=True)
        with suppress(OSError):  # somebody else has put something there: that is no news beside what went wrong
            for path in made:
                path.rmdir()
        if isinstance(error, OSError) and str(aside) in str(error):
            raise OSError(str(error).replace(str(aside / "whole"), str(folder))) from error
        raise
    shutil.rmtree(aside, ignore_errors=True)
