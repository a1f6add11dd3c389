"""What a judged score costs: `concept-algebra bench cost`, steps and seconds of the natural track against plain ones.

Plain is the honest track on pooled cosine alone, one look a step, for 2000 steps; ours is the natural track as it ships. The score
is the mean, over words, of the classifier's log-probability of the word; of candidates that are drawn together, all of which take
their time, of the one that is kept. The goal is the best that plain's ever was, at any step,
but no less than what guessing gives: below that a ratio would say nothing. Plain is there when it first is; ours when it never
falls below again. `steps_ratio` and `seconds_ratio`: how many times as many plain took, which is at least so many when
`plain_arrived` is false and all its steps count; both are None when ours does not get there. `--quick` draws one word with 120 plain
steps. Seconds are of one run on one machine and leave out what judging costs.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace

from torch import Tensor
from tqdm import tqdm

from ..ops.concept import Concept
from ..ops.encoders.pocket import PocketEncoder, load
from ..ops.generators.pocket import load as load_generator
from ..ops.generators.protocol import Generator
from ..ops.optimise import Step
from ..ops.render import Settings, Track, render
from ..ops.tracks import settings
from .evaluation import judge
from .legibility_settings import POOLED
from .legibility_verdicts import log_probability

WORDS, QUICK_WORDS = ("fish", "star", "mushroom", "ghost", "cat", "rocket"), ("star",)
PLAIN, QUICK_PLAIN, LOOK_EVERY = 2000, 120, 20
Curve = list[tuple[int, float, float]]
"""Steps done, seconds spent, score."""


def run(quick: bool) -> tuple[list[tuple[str, ...]], dict[str, float | int | bool | None]]:
    encoder = load()
    generator = load_generator("image", encoder)
    words = QUICK_WORDS if quick else WORDS
    tracks = compared(quick)
    encoder.space.word_directions  # embedded at the first use, which is no part of a render
    curves = {}
    with tqdm(total=len(words) * sum(made.schedule.steps for _, made in tracks.values()), desc="steps") as bar:
        for name, (track, made) in tracks.items():
            curves[name] = mean([curve(word, seed, encoder, generator, track, made, bar) for seed, word in enumerate(words)])
    best = {name: max(score for _, _, score in points) for name, points in curves.items()}
    goal = max(best["plain"], sum(guessed(word) for word in words) / len(words))
    arrived = first(curves["plain"], goal)
    plain_there, ours_there = arrived or curves["plain"][-1][:2], for_good(curves["ours"], goal)
    rows = [("track", "steps", "best log-probability", f"steps to {goal:.3f}", "seconds to it")]
    for name, there in (("plain", arrived), ("ours", ours_there)):
        told = (str(there[0]), f"{there[1]:.1f}") if there else ("not reached", "")
        rows.append((name, str(curves[name][-1][0]), f"{best[name]:.3f}", *told))
    return rows, {
        "steps_ratio": plain_there[0] / ours_there[0] if ours_there else None,
        "seconds_ratio": plain_there[1] / ours_there[1] if ours_there else None,
        "plain_arrived": arrived is not None,
        "goal": goal,
        "plain_best": best["plain"],
        "ours_best": best["ours"],
        "plain_steps": curves["plain"][-1][0],
        "words": len(words),
    }


def compared(quick: bool) -> dict[str, tuple[Track, Settings]]:
    """What is compared, by name."""
    plain, ours = settings("image", "honest", steps=QUICK_PLAIN if quick else PLAIN), settings("image", "natural", quick)
    # without a plateau: curves are averaged over words, so all have to have looks at the same steps, and all the steps
    schedule = replace(plain.schedule, look_every=LOOK_EVERY, plateau=None)
    return {
        "plain": ("honest", replace(plain, crops=1, weights=POOLED, schedule=schedule)),
        "ours": ("natural", replace(ours, schedule=replace(ours.schedule, look_every=2))),
    }


def curve(word: str, seed: int, encoder: PocketEncoder, generator: Generator, track: Track, made: Settings, bar: tqdm) -> Curve:
    """The score of one render at each of its looks."""
    looks: list[tuple[int, float, Tensor]] = []
    judging, began = 0.0, time.perf_counter()

    def watch(step: Step) -> None:
        nonlocal judging
        bar.update()
        if step.preview is not None:
            now = time.perf_counter()
            looks.append((step.index + 1, now - began - judging, log_probability(step.preview, word)))
            judging += time.perf_counter() - now

    # which of the candidates is kept is known when all are drawn
    kept = render(Concept.from_text(word, encoder), encoder, generator, track, made, seed, watch).settings["candidate"]
    return [(steps, seconds, float(scores[kept])) for steps, seconds, scores in looks]


def mean(curves: list[Curve]) -> Curve:
    """Of curves with looks at the same steps: their mean seconds and scores."""
    return [(points[0][0], *(sum(point[i] for point in points) / len(points) for i in (1, 2))) for points in zip(*curves)]


def first(points: Curve, goal: float) -> tuple[int, float] | None:
    """Steps and seconds when a curve first has a score; None when it never does."""
    return next(((steps, seconds) for steps, seconds, score in points if score >= goal), None)


def for_good(points: Curve, goal: float) -> tuple[int, float] | None:
    """Steps and seconds from which on a curve never falls below a score; None when it ends below."""
    there = None
    for steps, seconds, score in reversed(points):
        if score < goal:
            break
        there = steps, seconds
    return there


def guessed(word: str) -> float:
    """The log-probability of a word to a classifier that finds all classes alike."""
    return math.log(sum(word in words for words in judge()[1]) / len(judge()[1]))
