"""The words that every space is read with, and their embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor

from ..space import Vocabulary
from .protocol import Embedding

WORDS = Path(__file__).parents[1] / "pocket" / "vocabulary.txt"
BATCH = 2048


def shipped_words() -> list[str]:
    """The words and short phrases that ship with the pack."""
    return [word for word in WORDS.read_text("utf-8").split("\n") if word]


def embedded(words: list[str], text: Callable[[list[str]], Embedding], batch: int = BATCH, watch: Callable[[Iterable], Iterable] = iter) -> Tensor:
    """[V, D] pooled text embeddings on the CPU, in the order of the words. `watch` is passed the batches, for a bar."""
    # short phrases together: no row pays for another's length
    order = sorted(range(len(words)), key=lambda i: len(words[i]))
    parts = [order[start : start + batch] for start in range(0, len(order), batch)]
    with torch.no_grad():
        pooled = torch.cat([text([words[i] for i in part]).pooled.float().cpu() for part in watch(parts)])
    rows = torch.empty_like(pooled)
    rows[order] = pooled
    return rows


def vocabulary(text: Callable[[list[str]], Embedding]) -> Vocabulary:
    """The shipped words, embedded at the first use."""
    words = shipped_words()
    return Vocabulary(words, lambda: embedded(words, text))
