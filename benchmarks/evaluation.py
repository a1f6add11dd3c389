"""The held-out pictures and the independent judge that the pocket benchmarks share."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..ops.pocket.judge import Judge
from ..ops.pocket.store import read
from ..ops.weights import fill

DATA = Path(__file__).parent / "data"
TILE = 128


@dataclass(frozen=True)
class HeldOut:
    """pixels [N, 3, 128, 128] uint8 on white; kind "style" or "concept" and the true name of each; candidate names."""

    pixels: Tensor
    kinds: tuple[str, ...]
    names: tuple[str, ...]
    trained: tuple[str, ...]
    unseen: tuple[str, ...]

    def of(self, kind: str, limit: int) -> tuple[Tensor, list[str]]:
        """Up to `limit` pictures of a kind, evenly taken, in 0..1, with their names."""
        rows = [i for i, k in enumerate(self.kinds) if k == kind]
        rows = rows[:: max(1, len(rows) // limit)][:limit]
        return self.pixels[rows].float() / 255, [self.names[i] for i in rows]


@lru_cache(maxsize=1)
def held_out() -> HeldOut:
    document = json.loads((DATA / "pictures.json").read_text("utf-8"))
    sheet = np.asarray(Image.open(io.BytesIO((DATA / "pictures.webp").read_bytes())).convert("RGB"))
    rows, columns = sheet.shape[0] // TILE, sheet.shape[1] // TILE
    tiles = sheet.reshape(rows, TILE, columns, TILE, 3).transpose(0, 2, 4, 1, 3).reshape(-1, 3, TILE, TILE)
    tiles = tiles[: len(document["tiles"])]
    return HeldOut(
        torch.from_numpy(np.ascontiguousarray(tiles)),
        tuple(t["kind"] for t in document["tiles"]),
        tuple(t["name"] for t in document["tiles"]),
        tuple(document["trained"]),
        tuple(document["unseen"]),
    )


def top(pooled: Tensor, candidates: Tensor, truth: list[int], k: int) -> float:
    """Share of rows whose true candidate is among the k nearest by cosine."""
    return (pooled @ candidates.T).topk(k).indices.eq(torch.tensor(truth)[:, None]).any(1).float().mean().item()


@lru_cache(maxsize=1)
def judge() -> tuple[Judge, list[set[str]]]:
    """The classifier and, per class, the words it answers to: those of its name, and its keywords."""
    tensors, metadata = read("judge", DATA)
    classes = json.loads(metadata["classes"])
    model = fill(Judge.fitting(tensors), tensors, "judge")
    return model, [{c["label"], *c["label"].split(), *c["tags"]} for c in classes]


@torch.no_grad()
def recognised(pixels: Tensor, words: list[str], k: int = 5) -> list[bool]:
    """Whether one of the judge's k best classes for each picture [B, 3, H, W] has that word in its name or keywords."""
    model, answers = judge()
    best = model(pixels.clamp(0, 1)).topk(k).indices.tolist()
    return [any(word in answers[c] for c in row) for row, word in zip(best, words)]
