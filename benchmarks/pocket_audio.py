"""How well the pocket sound tower knows takes it never heard, and what the sound generator can make.

The real recordings are share-alike or GPL and are not part of the pack: their figure is measured where the recipe's
data folder (CONCEPT_RECIPE_DATA, else ./recipe-data) holds ready/real_sounds.npz, and is None elsewhere.
"""

from __future__ import annotations

import io
import json
import os
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..ops import signal
from ..ops.encoders.pocket import PocketEncoder
from ..ops.generators.pocket import load
from ..ops.pocket.judge import Judge
from ..ops.pocket.store import read
from ..ops.weights import fill
from .evaluation import top

DATA = Path(__file__).parent / "data"
COLUMNS = 16
QUIETEST, LOUDEST = float(np.log(signal.FLOOR)), 3.0


def quantise(log_mels: np.ndarray) -> np.ndarray:
    """Natural log-mels as bytes, 0 at the floor and 255 at LOUDEST."""
    return ((log_mels - QUIETEST) / (LOUDEST - QUIETEST) * 255).round().clip(0, 255).astype(np.uint8)


@lru_cache(maxsize=1)
def unseen_takes() -> tuple[Tensor, list[int], list[str]]:
    """Log-mels [N, 64, 128], the index of each one's name, and all names of sounds."""
    document = json.loads((DATA / "sounds.json").read_text("utf-8"))
    sheet = np.asarray(Image.open(io.BytesIO((DATA / "sounds.webp").read_bytes())).convert("L"))
    tiles = sheet.reshape(-1, signal.MELS, COLUMNS, signal.FRAMES).transpose(0, 2, 1, 3).reshape(-1, signal.MELS, signal.FRAMES)
    mels = torch.from_numpy(tiles[: len(document["takes"])] / np.float32(255)) * (LOUDEST - QUIETEST) + QUIETEST
    return mels, document["takes"], document["names"]


def real_recordings() -> tuple[Tensor, list[int]] | None:
    """Log-mels [N, 3, 64, 128] of the evaluation recordings and the index of each one's name, where they are at hand."""
    path = Path(os.environ.get("CONCEPT_RECIPE_DATA") or "recipe-data") / "ready" / "real_sounds.npz"
    if not path.is_file():
        return None
    with np.load(path) as kept:
        return torch.from_numpy(kept["mels"]).float(), kept["truth"].tolist()


@lru_cache(maxsize=1)
def judge() -> Judge:
    """An independent classifier of the same sounds, which shares nothing with the tower."""
    tensors = read("audio_judge", DATA)[0]
    return fill(Judge.fitting(tensors), tensors, "audio_judge")


def as_picture(log_mels: Tensor) -> Tensor:
    """Natural log-mels [B, 64, 128] as the judge's pictures [B, 3, 64, 128] in 0..1."""
    return (log_mels / -QUIETEST + 1).clamp(0, 1)[:, None].expand(-1, 3, -1, -1)


@torch.no_grad()
def figures(encoder: PocketEncoder, quick: bool) -> dict[str, float | None]:
    """audio_top1/top5 over unseen takes, audio_real_top1/top5 over real recordings (None where they are not at hand),
    audio_prior_top5: sounds drawn for a word with guidance 3, decoded to a wave, that the judge recognises."""
    mels, truth, names = unseen_takes()
    words = encoder.text(list(names)).pooled
    if quick:
        mels, truth = mels[::3], truth[::3]
    pooled = torch.cat([encoder.audio_tower.from_log_mels(part[:, None].expand(-1, 3, -1, -1)).pooled for part in mels.split(32)])
    found: dict[str, float | None] = {f"audio_top{k}": top(pooled, words, truth, k) for k in (1, 5)}
    real = real_recordings()
    if real is None:
        print(
            "audio_real_*: not measured; bash recipe/fetch.sh and python -m recipe.real_sounds fetch the recordings",
            file=sys.stderr,
        )
        found |= {"audio_real_top1": None, "audio_real_top5": None}
    else:
        pooled = torch.cat([encoder.audio_tower.from_log_mels(part).pooled for part in real[0].split(32)])
        found |= {f"audio_real_top{k}": top(pooled, words, real[1], k) for k in (1, 5)}
    generator = load("audio", encoder)
    asked = range(0, len(names), 8 if quick else 2)
    known = []
    for start in range(0, len(asked), 32):
        part = [asked[i] for i in range(start, min(start + 32, len(asked)))]
        drawn = generator.sample(words[part], len(part), seed=start)
        heard = signal.log_mel(generator.decode(drawn, fast=quick)[:, 0])
        known += judge()(as_picture(heard)).topk(5).indices.eq(torch.tensor(part)[:, None]).any(1).tolist()
    return {**found, "audio_prior_top5": sum(known) / len(known)}
