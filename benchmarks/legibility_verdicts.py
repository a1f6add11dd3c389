"""What the two judges say of renders: the classifier of words, the judge encoder of every kind of target."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ..ops.pocket.store import read
from .evaluation import DATA, judge
from .legibility_judge import cosines, nearest, percentile
from .legibility_targets import Target

MEASURES = ("top1", "top5", "strict", "encoder_top1", "percentile")


@dataclass(frozen=True)
class Verdict:
    """Of the B renders of one target, each [B] float.

    top1, top5, strict: of words only, else NaN. Whether the classifier's best class of 1,644, or one of its five best, has
    the word in its name or among its keywords; and whether the best class is called just so.
    encoder_top1, percentile: the target's rank among its rivals by the judge encoder: nearer than all, and 0..100.
    """

    top1: Tensor
    top5: Tensor
    strict: Tensor
    encoder_top1: Tensor
    percentile: Tensor


@lru_cache(maxsize=1)
def class_names() -> tuple[str, ...]:
    """The names of the classifier's classes."""
    return tuple(c["label"] for c in json.loads(read("judge", DATA)[1]["classes"]))


@torch.no_grad()
def verdict(pixels: Tensor, target: Target) -> Verdict:
    """What the judges say of renders [B, 3, H, W] in 0..1 of a target."""
    near = cosines(pixels, target.judged)
    ranked = nearest(near).float(), percentile(near)
    if target.kind != "word":
        return Verdict(*[torch.full((len(pixels),), torch.nan)] * 3, *ranked)
    model, answers = judge()
    best = model(pixels).topk(5).indices
    answering = torch.tensor([target.text in words for words in answers])
    called = torch.tensor([name == target.text for name in class_names()])
    right = answering[best].float()
    return Verdict(right[:, 0], right.amax(1), called[best[:, 0]].float(), *ranked)


@torch.no_grad()
def log_probability(pixels: Tensor, word: str) -> Tensor:
    """[B, 3, H, W] -> [B]: the logarithm of how likely the classifier finds the classes that answer to a word."""
    model, answers = judge()
    answering = torch.tensor([word in words for words in answers])
    return model(pixels.clamp(0, 1)).log_softmax(-1)[:, answering].logsumexp(-1)


def interval(values: Tensor, draws: int = 2000) -> tuple[float, float, float]:
    """The mean of [T, S], S seeds of T targets, and the ends of its 95 % interval: a bootstrap over targets, which are a
    sample of what could be asked for, and whose seeds succeed or fail together (percentile method, Efron 1979)."""
    rng = torch.Generator().manual_seed(0)
    each = values.mean(1)
    means = each[torch.randint(len(each), (draws, len(each)), generator=rng)].mean(1)
    low, high = means.quantile(torch.tensor([0.025, 0.975])).tolist()
    return each.mean().item(), low, high
