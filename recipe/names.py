"""Targets of the media towers: every name and keyword as a frozen text embedding, and which of them a picture bears."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from concept_algebra.ops.encoders.pocket_text import words_of

from .language import language

NAME, KEYWORDS = 0.6, 0.4


def clean(label: str) -> str:
    """A label as a plain phrase; "" where it holds nothing that the text tower can read."""
    plain = re.sub(r"[:,“”!?().]", "", label).replace("-", " ").strip().lower()
    return plain if words_of(plain) else ""


class Names:
    """The candidate phrases and their text embeddings [K, 768]; soft targets of pictures as sparse (index, weight) rows."""

    def __init__(self, rows: Iterable[dict], extra: Iterable[str] = ()):
        pairs = [(clean(r["label"]), [clean(t) for t in r["tags"]]) for r in rows]
        self.phrases = list(dict.fromkeys(p for label, tags in pairs for p in (label, *tags) if p) | dict.fromkeys(extra))
        self.index = {p: i for i, p in enumerate(self.phrases)}
        self.table = language(self.phrases)
        self.labels = [label for label, _ in pairs]
        self.tags = [[t for t in tags if t and t != label] for label, tags in pairs]

    def targets(self, rows: np.ndarray) -> Tensor:
        """Soft targets [B, K]: the name .6 and the keywords .4 together, a name alone 1."""
        y = torch.zeros(len(rows), len(self.phrases))
        for i, row in enumerate(rows):
            tags = self.tags[row]
            y[i, self.index[self.labels[row]]] += NAME if tags else 1.0
            for tag in tags:
                y[i, self.index[tag]] += KEYWORDS / len(tags)
        return y


def matching_loss(pooled: Tensor, scale: Tensor, table: Tensor, target: Tensor) -> Tensor:
    """Soft cross-entropy of embeddings [B, 768] over all candidates, plus the pull to the target's own direction."""
    logits = scale.exp().clamp(max=100) * pooled.float() @ table.T
    entropy = -(target * F.log_softmax(logits, -1)).sum(-1).mean()
    direction = F.normalize(target @ table, dim=-1)
    return entropy + (1 - (pooled.float() * direction).sum(-1)).mean()


def hits(pooled: Tensor, table: Tensor, truth: Tensor, k: int) -> float:
    """Share of embeddings [B, 768] whose true row of the table is among the k nearest."""
    return (pooled @ table.T).topk(k).indices.eq(truth[:, None]).any(1).float().mean().item()
