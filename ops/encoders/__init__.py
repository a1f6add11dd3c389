"""The encoders, by name or file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from .protocol import Encoder

POCKET = "pocket"


def load(
    path: str | os.PathLike,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    tokenizer: str | os.PathLike | None = None,
) -> Encoder:
    """The encoder of a checkpoint; LanguageBind's with the calibration that lies beside it (`calibration.beside`).

    path: "pocket", the encoder that ships with the pack, or a folder with its weights; a file that `concept-algebra
        convert` wrote; a folder or file of LanguageBind as it is published, which has one medium and text.
    dtype: of LanguageBind's towers, `runtime.tower_dtype` of the device unless said. tokenizer: a folder with CLIP's
        merges, for a file that comes without.
    Raises ValueError for what is none of these, is damaged or does not fit.
    """
    from ..calibration import beside

    file = Path(path).resolve()
    if os.fspath(path) == POCKET or (file / "space.safetensors").is_file():
        from . import pocket

        return pocket.load(device) if os.fspath(path) == POCKET else pocket.load(device, file)
    if not file.exists():
        raise ValueError(f"no encoder '{path}': expected {POCKET}, a file from `concept-algebra convert`, or a LanguageBind folder")
    from .languagebind_file import load as load_languagebind

    return beside(file, load_languagebind(file, device, dtype, Path(tokenizer) if tokenizer else None))
