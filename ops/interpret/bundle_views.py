"""A bundle for a person: its maps and charts as one picture, and its readings as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..rounding import rounded
from ..markdown import escaped, table
from .bundle import Bundle
from .chart import chart
from .overlay import overlay

ACROSS = 2
"""Pictures in a row of a figure."""
SAID = 8
"""Words and features in a view."""


def figure(bundle: Bundle) -> Tensor:
    """Nearest words, features of the output where there are any, and every map over its medium: a picture [3, H, W] in 0..1."""
    near = [(word.text, word.cosine) for word in bundle.words[:SAID] if word.cosine > 0]
    there = [(feature.name, feature.output) for feature in bundle.features[:SAID] if feature.output > 0]
    parts = [chart(near, (), f"{bundle.expression}, {bundle.modality} {bundle.track}: nearest words, by cosine")]
    if bundle.features:
        parts.append(chart(there, (), "features of it, in shares of its length"))
    if bundle.shown is not None:
        parts += [overlay(found, bundle.shown.float() / 255) for found in bundle.maps]
    rows = [_joined(parts[at : at + ACROSS], across=True) for at in range(0, len(parts), ACROSS)]
    return _joined(rows, across=False)


def markdown(bundle: Bundle, picture: str | None = None) -> str:
    """What it reads as, under a heading of the third level. picture: a path to its `figure`, as Markdown wants it."""
    near = ", ".join(f"{escaped(word.text)} {rounded(word.cosine)}" for word in bundle.words[:SAID])
    parts = ["### What it reads as", f"Cosine with the target {rounded(bundle.cosine)}, by the encoder it was made with. Nearest words: {near}."]
    if bundle.features:
        rows = [[escaped(feature.name), rounded(feature.target), rounded(feature.output)] for feature in bundle.features[:SAID]]
        parts.append(table(["feature", "target", "output"], rows))
    if bundle.answers:
        rows = [[escaped(answer.what), rounded(answer.probability, ".0%")] for answer in bundle.answers]
        parts.append(table(["probe", "probability"], rows))
        parts += [f"- {escaped(warning)}" for warning in dict.fromkeys(a.warning for a in bundle.answers if a.warning)]
    if picture:
        parts.append(f"![Where it was seen]({picture})")
    return "\n\n".join(parts) + "\n"


def _joined(pictures: Sequence[Tensor], across: bool) -> Tensor:
    """Pictures [3, h, w] beside or under each other, on white."""
    height, width = (max(picture.shape[side] for picture in pictures) for side in (1, 2))
    with torch.inference_mode(False):
        if across:
            return torch.cat([pad(picture, (0, 0, 0, height - picture.shape[1]), value=1.0) for picture in pictures], 2)
        return torch.cat([pad(picture, (0, width - picture.shape[2], 0, 0), value=1.0) for picture in pictures], 1)
