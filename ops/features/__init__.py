"""Dictionaries of named features, by name or file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..calibration import AnyEncoder
    from .dictionary import Dictionary

WORDS, POCKET = "vocabulary", "pocket"
SHIPPED = Path(__file__).parents[1] / "pocket" / "sae.safetensors"


def load(path: str | os.PathLike, encoder: AnyEncoder) -> tuple[AnyEncoder, Dictionary]:
    """(the encoder, centred as the dictionary wants it, and the dictionary).

    path: "vocabulary", the words of the encoder's space without any training; "pocket", what was learned for the pocket
        encoder and ships with the pack; or a file that `concept-algebra sae train` wrote.
    Raises ValueError for a path that is none of these or a damaged file, SpaceMismatch for another encoder's features.
    """
    if os.fspath(path) == WORDS:
        from .pursuit import Pursuit

        return encoder, Pursuit(encoder.space)
    from .trained import TrainedSAE

    file = SHIPPED if os.fspath(path) == POCKET else Path(path)
    if not file.is_file():
        raise ValueError(f"no features '{path}': expected {WORDS}, {POCKET}, or a file from `concept-algebra sae train`")
    return TrainedSAE.load(file, encoder)
