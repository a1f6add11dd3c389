"""The frozen language tower that every media tower and prior learns toward: the text tower as it ships.

LanguageBind's arrangement (Zhu et al. 2023, arXiv 2310.01852): language is trained first and then held still. The
teacher of `recipe.text` is only the text tower's; what people type at run time is embedded by the text tower.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from concept_algebra.ops.encoders.pocket_text import PocketText
from concept_algebra.ops.pocket.store import read

BATCH = 1024
_known: dict[str, Tensor] = {}


@lru_cache(maxsize=1)
def tower() -> PocketText:
    return PocketText.from_tensors(*read("text")).requires_grad_(False)


def language(phrases: Sequence[str]) -> Tensor:
    """Unit vectors [N, 768] of N phrases, float32. Phrases already asked for are not computed again."""
    # phrases of like length together: a batch is padded to its longest
    missing = sorted({p for p in phrases if p not in _known}, key=len)
    for start in range(0, len(missing), BATCH):
        part = missing[start : start + BATCH]
        _known.update(zip(part, tower()(part).pooled.clone()))
    return torch.stack([_known[p] for p in phrases]) if phrases else torch.zeros(0, 768)
