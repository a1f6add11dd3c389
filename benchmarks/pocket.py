"""All that the pocket backbone was asked to reach, measured: `concept-algebra bench pocket`."""

from __future__ import annotations

import time

from ..ops.encoders.pocket import load
from . import pocket_audio, pocket_generators, pocket_image, pocket_showcase, pocket_text, pocket_video

PARTS = (pocket_text, pocket_image, pocket_audio, pocket_video, pocket_generators, pocket_showcase)

# What was wanted of each figure when the backbone was planned.
WANTED = {
    "text_common_agreement": 0.8,
    "image_style_top1": 0.60,
    "image_style_top5": 0.80,
    "image_concept_top1": 0.40,
    "audio_top1": 0.80,
    "audio_real_top5": 0.50,
    "video_top1": 0.50,
    "motion_accuracy": 0.80,
    "autoencoder_psnr": 25.0,
    "prior_top5": 0.50,
    "showcase_top5": 0.70,
}


def run(quick: bool) -> tuple[list[tuple[str, ...]], dict[str, float | None]]:
    """A table (figure, value, wanted, seconds of its part) and the figures; `quick` takes a part of every sample.

    A figure whose evaluation set is not at hand is None.
    """
    encoder = load()
    rows: list[tuple[str, ...]] = [("figure", "value", "wanted", "seconds")]
    figures: dict[str, float | None] = {}
    for part in PARTS:
        began = time.monotonic()
        found = part.figures(encoder, quick)
        seconds = time.monotonic() - began
        for name, value in found.items():
            wanted = f">= {WANTED[name]:g}" if name in WANTED else ""
            shown = "not measured" if value is None else f"{value:.3f}"
            rows.append((name, shown, wanted, f"{seconds:.1f}"))
        figures |= found
    return rows, figures
