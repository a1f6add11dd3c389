"""Several targets in one go: where they are listed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def targets(given: Sequence[str], file: Path | None) -> list[str]:
    """The targets given and those that a file lists, a line each, # for remarks; one that is named twice counts once.

    ValueError for none, and for a file that cannot be read as text; OSError for one that is not there or is a folder.
    """
    from ..ops.written import lines_of

    listed = []
    if file is not None:
        try:
            listed = lines_of(file.read_text("utf-8-sig"))
        except OSError as error:
            raise OSError(f"--targets {file}: {error.strerror}, expected a text file") from error
        except UnicodeDecodeError:
            raise ValueError(f"--targets {file} is not text in UTF-8, expected an expression a line") from None
        if not listed:
            raise ValueError(f"--targets {file} lists no target, expected an expression a line")
    if not given and not listed:
        raise ValueError("no target was given: expected an expression, or --targets with a file of them")
    return list(dict.fromkeys([*given, *listed]))
