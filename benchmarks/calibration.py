"""Whether what a render says of itself can be believed: `concept-algebra bench calibration`.

The readout on pictures and sounds that the pocket encoder never saw, the shipped probes on words held out and outside their
modality, and the card's intervals by simulation.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..ops.concept import Concept
from ..ops.encoders.pocket import PocketEncoder, load
from ..ops.evaluate.distractors import Bank
from ..ops.evaluate.intervals import Interval, balanced_interval, wilson
from ..ops.evaluate.score import score
from ..ops.evaluate.verdict import recognition
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
    verdict_recognised: how often the card's verdict is "recognised" for a medium by its true name; verdict_mistaken: by the name of
    another of them. The encoder has made none of these media, so that it may judge them.
    """
    known, bank = set(encoder.space.vocabulary.words), Bank(encoder)
    found: dict[str, list[bool]] = {}
    verdicts: dict[str, list[bool]] = {"verdict_recognised": [], "verdict_mistaken": []}
    for kind in ("style", "concept"):
        pixels, names = held_out().of(kind, 10_000)
        rows = [i for i, name in enumerate(names) if name in known][:: 4 if quick else 1]
        pooled = torch.cat([encoder.image(part).pooled for part in pixels[rows].split(32)])
        found[f"readout_top5_{kind}"] = _named(pooled, [names[i] for i in rows], "image", encoder)
        _judged(pooled, [names[i] for i in rows], "image", encoder, bank, verdicts)
    mels, truth, names = unseen_takes()
    rows = [i for i, name in enumerate(truth) if names[name] in known][:: 4 if quick else 1]
    pooled = torch.cat([encoder.audio_tower.from_log_mels(part[:, None].expand(-1, 3, -1, -1)).pooled for part in mels[rows].split(32)])
    found["readout_top5_sound"] = _named(pooled, [names[truth[i]] for i in rows], "audio", encoder)
    _judged(pooled, [names[truth[i]] for i in rows], "audio", encoder, bank, verdicts)
    every = [hit for hits in found.values() for hit in hits]
    return {name: wilson(sum(hits), len(hits)) for name, hits in {"readout_top5": every, **found, **verdicts}.items()}


def _named(pooled: Tensor, names: list[str], modality: Modality, encoder: PocketEncoder) -> list[bool]:
    space = encoder.space
    read = (readout(space.centre(row, modality), space, FIRST) for row in pooled)
    return [name in {word for word, _ in words} for name, words in zip(names, read)]


def _judged(pooled: Tensor, names: list[str], modality: Modality, encoder: PocketEncoder, bank: Bank, verdicts: dict[str, list[bool]]) -> None:
    """Adds, for each medium, whether it is recognised by its own name, and by that of one far from it in the list."""
    seen = normalize(encoder.space.centre(pooled, modality), dim=-1)
    concepts = {name: Concept.from_text(name, encoder) for name in dict.fromkeys(names)}
    for kind, ahead in (("verdict_recognised", 0), ("verdict_mistaken", len(names) // 2)):
        for i, row in enumerate(seen):
            told = names[(i + ahead) % len(names)]
            if ahead and told == names[i]:
                continue
            cosines = torch.cat([concepts[told].direction[None], bank.rivals(concepts[told])[1]]) @ row
            verdicts[kind].append(recognition(score(cosines[0], cosines[1:])).word == "recognised")


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
