"""Whether what a render says of itself can be believed: `concept-algebra bench calibration`.

The readout on pictures and sounds that the pocket encoder never saw, the shipped probes on words held out and outside their
modality, and the card's intervals by simulation.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor

from ..ops.encoders.pocket import PocketEncoder, load
from ..ops.evaluate.intervals import Interval, balanced_interval, wilson
from ..ops.interpret.probes import SHIPPED, WORDS, shipped
from ..ops.interpret.readout import readout
from ..ops.space import Modality
from ..ops.written import lines_of
from . import interval_figures
from .evaluation import held_out
from .pocket_audio import unseen_takes

FIRST = 5


def run(quick: bool) -> tuple[list[tuple[str, ...]], dict[str, float | None]]:
    """A table (figure, value, interval, seconds of its part) and the figures; `quick` takes a part of every sample."""
    encoder = load()
    rows: list[tuple[str, ...]] = [("figure", "value", "95 % interval", "seconds")]
    figures: dict[str, float | None] = {}
    for part in (_readouts, _probes, _intervals):
        began = time.monotonic()
        found = part(encoder, quick)
        seconds = f"{time.monotonic() - began:.1f}"
        for name, value in found.items():
            bounds = f"{value.low:.3f}..{value.high:.3f}" if isinstance(value, Interval) else ""
            figures[name] = value.estimate if isinstance(value, Interval) else value
            rows.append((name, f"{figures[name]:.3f}", bounds, seconds))
    return rows, figures


@torch.no_grad()
def _readouts(encoder: PocketEncoder, quick: bool) -> dict[str, Interval]:
    """How often the true name is among the readout's first five of the whole vocabulary, of media whose name it holds.

    readout_top5: of pictures and sounds together. Pictures of known things in unknown styles, of things never seen, and sounds.
    """
    known = set(encoder.space.vocabulary.words)
    found: dict[str, list[bool]] = {}
    for kind in ("style", "concept"):
        pixels, names = held_out().of(kind, 10_000)
        rows = [i for i, name in enumerate(names) if name in known][:: 4 if quick else 1]
        pooled = torch.cat([encoder.image(part).pooled for part in pixels[rows].split(32)])
        found[f"readout_top5_{kind}"] = _named(pooled, [names[i] for i in rows], "image", encoder)
    mels, truth, names = unseen_takes()
    rows = [i for i, name in enumerate(truth) if names[name] in known][:: 4 if quick else 1]
    pooled = torch.cat([encoder.audio_tower.from_log_mels(part[:, None].expand(-1, 3, -1, -1)).pooled for part in mels[rows].split(32)])
    found["readout_top5_sound"] = _named(pooled, [names[truth[i]] for i in rows], "audio", encoder)
    every = [hit for hits in found.values() for hit in hits]
    return {name: wilson(sum(hits), len(hits)) for name, hits in {"readout_top5": every, **found}.items()}


def _named(pooled: Tensor, names: list[str], modality: Modality, encoder: PocketEncoder) -> list[bool]:
    space = encoder.space
    read = (readout(space.centre(row, modality), space, FIRST) for row in pooled)
    return [name in {word for word, _ in words} for name, words in zip(names, read)]


@torch.no_grad()
def _probes(encoder: PocketEncoder, quick: bool) -> dict[str, Interval | float]:
    """probe_balanced_accuracy: mean of the shipped probes on held-out words, and each by itself. probe_pictures: of the animal
    probe, trained on words, on held-out pictures of what its lists hold, told by a margin of even odds."""
    made = {name: shipped(name, encoder) for name in SHIPPED}
    found: dict[str, Interval | float] = {"probe_balanced_accuracy": sum(probe.accuracy.estimate for probe in made.values()) / len(made)}
    found |= {f"probe_{name}": probe.accuracy for name, probe in made.items()}
    sides = [set(lines_of((WORDS / f"animal.{side}.txt").read_text("utf-8"))) for side in ("yes", "no")]
    pixels, names = held_out().of("style", 10_000)
    counts = []
    for side, positive in zip(sides, (True, False)):
        rows = [i for i, name in enumerate(names) if name in side][:: 2 if quick else 1]
        pooled = torch.cat([encoder.image(part).pooled for part in pixels[rows].split(32)])
        told = made["animal"].probabilities(encoder.space.centre(pooled, "image"), encoder.space) > 0.5
        counts.append((int((told == positive).sum()), len(rows)))
    return found | {"probe_pictures": balanced_interval(*counts)}


def _intervals(encoder: PocketEncoder, quick: bool) -> dict[str, float]:
    return interval_figures.figures(quick)
