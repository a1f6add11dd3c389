"""The figure and the contact sheet of the legibility benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..ops.interpret.chart import fitted

Interval = tuple[float, float, float]
ROW, LEFT, PLOT, GAP = 26, 190, 300, 40
TILE, NAME, HEAD = 80, 190, 24
INK, PALE, COLOUR = "#222222", "#bbbbbb", "#3b7dd8"


def figure(panels: Mapping[str, Mapping[str, Interval]]) -> str:
    """An SVG with a panel for each measure, beside each other: one line a setting, its mean as a dot and its interval as a bar.

    panels: measure -> setting -> (mean, low, high), all in 0..1; every panel has the same settings.
    """
    names = list(next(iter(panels.values())))
    width, height = LEFT + len(panels) * (PLOT + GAP), ROW * (len(names) + 3)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="13" fill="{INK}">']
    parts.append(f'<rect width="{width}" height="{height}" fill="white"/>')
    for row, name in enumerate(names):
        parts.append(f'<text x="{LEFT - 12}" y="{ROW * (row + 2) + 4}" text-anchor="end">{escape(name)}</text>')
    for column, (measure, settings) in enumerate(panels.items()):
        left, foot = LEFT + column * (PLOT + GAP), ROW * (len(names) + 1.5)
        parts.append(f'<text x="{left}" y="{ROW - 8}" font-weight="bold">{escape(measure)}</text>')
        for tick in range(0, 101, 25):
            x = left + PLOT * tick / 100
            parts.append(f'<path d="M{x:.1f} {ROW} V{foot:.1f}" stroke="{PALE}"/>')
            parts.append(f'<text x="{x:.1f}" y="{foot + 16:.1f}" text-anchor="middle">{tick}</text>')
        for row, (mean, low, high) in enumerate(settings.values()):
            y = ROW * (row + 2)
            parts.append(f'<path d="M{left + PLOT * low:.1f} {y} H{left + PLOT * high:.1f}" stroke="{COLOUR}" stroke-width="4" opacity=".45"/>')
            parts.append(f'<circle cx="{left + PLOT * mean:.1f}" cy="{y}" r="5" fill="{COLOUR}"/>')
    return "\n".join([*parts, "</svg>", ""])


def contact_sheet(columns: Sequence[str], rows: Sequence[tuple[str, Sequence[Tensor]]]) -> Image.Image:
    """One picture [3, H, W] in 0..1 a setting and target: a column each, a row each, with their names."""
    sheet = Image.new("RGB", (NAME + TILE * len(columns), HEAD + TILE * len(rows)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for column, name in enumerate(columns):
        draw.text((NAME + TILE * (column + 0.5), HEAD / 2), fitted(name, TILE - 4, font), INK, font, anchor="mm")
    for row, (name, pictures) in enumerate(rows):
        draw.text((NAME - 8, HEAD + TILE * (row + 0.5)), fitted(name, NAME - 12, font), INK, font, anchor="rm")
        for column, pixels in enumerate(pictures):
            levels = (pixels.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
            tile = Image.fromarray(np.ascontiguousarray(levels)).resize((TILE - 2, TILE - 2), Image.Resampling.BOX)
            sheet.paste(tile, (NAME + TILE * column + 1, HEAD + TILE * row + 1))
    return sheet
