"""Whether attribution maps can be believed: completeness, insertion and deletion, and the pointing game. See ATTRIBUTION.md."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from scipy import stats
from tqdm import tqdm

from ..ops import features
from ..ops.concept import Concept
from ..ops.encoders.decoded import Played
from ..ops.encoders.pocket import PocketEncoder, load
from ..ops.features.trained import TrainedSAE
from ..ops.interpret.attribution import Attribution, integrated_gradients, relevance, rollout
from ..ops.interpret.detector import Detector, concept_detector, feature_detectors
from ..ops.interpret.seen import Seen, see
from ..ops.signal import RATE, invert
from ..ops.space import Modality
from .attribution_composites import LAYOUTS, composites
from .attribution_faithfulness import gains
from .evaluation import held_out
from .pocket_audio import unseen_takes
from .pocket_video import TOLD_APART, in_motion

METHODS = ("rollout", "relevance", "integrated gradients")
HEADLINE = METHODS[2]
COUNTS: dict[Modality, tuple[int, int]] = {"image": (8, 120), "audio": (3, 60), "video": (0, 12)}
"""Media whose maps are measured, with --quick and without; a clip costs as much as eight pictures."""
COMPOSITES = {"pair": (16, 150), "four": (0, 60)}
FEATURES = 1
"""Strongest features of a medium that are explained beside its name."""


@dataclass
class Found:
    """insertion, deletion: gains over random orders, by (modality, method); residuals: of every map of integrated gradients."""

    insertion: dict[tuple[Modality, str], list[float]] = field(default_factory=dict)
    deletion: dict[tuple[Modality, str], list[float]] = field(default_factory=dict)
    residuals: list[float] = field(default_factory=list)


def run(quick: bool) -> tuple[list[tuple[str, ...]], dict[str, float | int]]:
    """A table of measures by method with 95 % intervals, and the figures; those without a method's name are of `HEADLINE`.

    completeness_error: the largest residual of all maps of integrated gradients (concepts and features, all modalities).
    insertion_gain, deletion_gain: means over pictures, by the cosine with the picture's name, with the ends of t-intervals of
    the paired difference from random orders; positive is better than random. pointing: share of questions whose map has its
    peak in the half of the frame where the drawing asked for is; pointing_chance: the half's share of the area.
    """
    encoder, dictionary = features.load(features.POCKET, load())
    rng = torch.Generator().manual_seed(0)
    found = Found()
    shown = {modality: counts[not quick] for modality, counts in COUNTS.items() if counts[not quick]}
    for modality, count in shown.items():
        for medium, name in tqdm(media(encoder, modality, count), desc=modality, total=count):
            measure(medium, name, encoder, dictionary, rng, found)
    rows = [("measure", "media", "n", *METHODS)]
    figures: dict[str, float | int] = {"completeness_error": max(found.residuals), "maps": len(found.residuals)}
    for measure_name, gained in (("insertion", found.insertion), ("deletion", found.deletion)):
        for modality in shown:
            spans = {method: interval(gained[modality, method]) for method in METHODS}
            rows.append((f"{measure_name} gain", modality, str(len(gained[modality, HEADLINE])), *map(_shown, spans.values())))
            if modality == "image":
                for method, (mean, low, high) in spans.items():
                    end = "" if method == HEADLINE else f"_{method}"
                    figures |= {f"{measure_name}_gain{end}": mean, f"{measure_name}_gain_low{end}": low, f"{measure_name}_gain_high{end}": high}
    for layout in (layout for layout, counts in COMPOSITES.items() if counts[not quick]):
        right = pointing(encoder, layout, COMPOSITES[layout][not quick])
        spans = {method: interval(right[method]) for method in METHODS}
        asked, chance = len(LAYOUTS[layout]), 1 / len(LAYOUTS[layout])
        rows.append((f"pointing, chance {chance:g}", f"{asked} drawings", str(len(right[HEADLINE]) * asked), *map(_shown, spans.values())))
        for method, (mean, low, _) in spans.items():
            name = ("pointing" if layout == "pair" else f"pointing_{layout}") + ("" if method == HEADLINE else f"_{method}")
            figures |= {name: mean, f"{name}_low": low}
        figures["pointing_chance" if layout == "pair" else f"pointing_{layout}_chance"] = chance
    rows.append(("largest residual", "all", str(len(found.residuals)), "", "", f"{max(found.residuals):.2%}"))
    return rows, figures


def media(encoder: PocketEncoder, modality: Modality, count: int) -> Iterator[tuple[Seen, str]]:
    """`count` media that the encoder was not trained on, with their names."""
    if modality == "audio":
        mels, truth, names = unseen_takes()
        for row in range(0, len(mels), len(mels) // count)[:count]:
            yield see(encoder, invert(mels[row : row + 1])[:, None], Played("audio", rate=RATE)), names[truth[row]]
        return
    pixels, names = held_out().of("style", count)
    rng = torch.Generator().manual_seed(99)
    for row, name in enumerate(names[:count]):
        if modality == "image":
            yield see(encoder, pixels[row : row + 1], Played("image")), name
        else:
            yield see(encoder, in_motion(pixels[row : row + 1], [TOLD_APART[row % len(TOLD_APART)]], rng), Played("video", fps=8.0)), name


def measure(medium: Seen, name: str, encoder: PocketEncoder, dictionary: TrainedSAE, rng: torch.Generator, found: Found) -> None:
    """Put into `found` what one medium says of the maps of its name, and how complete those of its strongest features are."""
    with torch.no_grad():
        centred = encoder.space.centre(medium.pooled(medium.patches), medium.modality)
    strongest = dictionary.encode(centred, medium.modality)[0].topk(FEATURES).indices.tolist()
    asked = [concept_detector(Concept.from_text(name, encoder)), *feature_detectors(dictionary, strongest, medium.modality)]
    complete = integrated_gradients(medium, asked)
    found.residuals += [one.residual for one in complete]
    insertion, deletion = gains(medium, asked[0], [rollout(medium), relevance(medium, asked[:1])[0], complete[0]], rng)
    for method, inserted, deleted in zip(METHODS, insertion.tolist(), deletion.tolist()):
        found.insertion.setdefault((medium.modality, method), []).append(inserted)
        found.deletion.setdefault((medium.modality, method), []).append(deleted)


def pointing(encoder: PocketEncoder, layout: str, count: int) -> dict[str, list[float]]:
    """By method, for each composite the share of its drawings that the map of their name points at."""
    right: dict[str, list[float]] = {method: [] for method in METHODS}
    for composite in tqdm(composites(layout, count, torch.Generator().manual_seed(0)), desc=f"pointing, {layout}"):
        medium = see(encoder, composite.pixels, Played("image"))
        for method, maps in zip(METHODS, _maps(medium, [concept_detector(Concept.from_text(name, encoder)) for name in composite.names])):
            right[method].append(sum(composite.points_at(one) == part for part, one in enumerate(maps)) / len(maps))
    return right


def interval(values: list[float]) -> tuple[float, float, float]:
    """The mean and the ends of its 95 % t-interval; of one value there is none, and they are nan."""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, math.nan, math.nan
    half = float(stats.t.ppf(0.975, len(values) - 1)) * float(torch.tensor(values).std()) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def _maps(medium: Seen, asked: list[Detector]) -> tuple[list[Attribution], ...]:
    return [rollout(medium)] * len(asked), relevance(medium, asked), integrated_gradients(medium, asked)


def _shown(span: tuple[float, float, float]) -> str:
    mean, low, high = span
    return f"{mean:.3f} ({low:.3f}..{high:.3f})"
