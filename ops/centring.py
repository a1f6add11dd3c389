"""Whether modalities can be brought together in a space: only around centres that it knows."""

from __future__ import annotations

import warnings
from functools import lru_cache

from .space import Modality, Space, UncalibratedSpace


def off_centre(space: Space, modalities: frozenset[Modality]) -> str:
    """What is wrong with bringing these modalities together, and the way out; "" when all of them can be centred, or there
    is but one, whose offset a difference cancels. They come together in arithmetic, and when a concept is rendered."""
    lacking = sorted(modalities.difference(space.means))
    if len(modalities) < 2 or not lacking:
        return ""
    source = "vocabulary" if lacking == ["text"] else "FOLDER-OF-MEDIA" if "text" not in lacking else "FOLDER-OF-MEDIA vocabulary"
    return (
        f"{' and '.join(sorted(modalities))} come together, but the space '{space.id}' does not know where its {' and '.join(lacking)} "
        f"embeddings are centred, so their common offset is in what comes of it; measure it with "
        f"'concept-algebra calibrate ENCODER {source}' or, in ComfyUI, with Calibrate Encoder"
    )


@lru_cache(maxsize=None)
def say_once(problem: str) -> None:
    """Warn of what `off_centre` found, the first time that it is found in this process."""
    # remembered here and not by the warning filter, which would forget whenever a host resets it
    warnings.warn(problem, UncalibratedSpace, stacklevel=4)
