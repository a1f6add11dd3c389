"""The file that a command will write, checked before the work and not after it."""

from __future__ import annotations

import os
from pathlib import Path


def writable(out: Path) -> Path:
    """The path itself. Raises OSError, in a line that names --out, when no file can be written there."""
    folder = out.absolute().parent
    if out.is_dir() or not folder.is_dir():
        raise OSError(f"--out {out}: {'a folder, expected a file' if out.is_dir() else f'there is no folder {folder}'}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"--out {out}: {folder} cannot be written to")
    return out
