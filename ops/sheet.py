"""Pictures in rows on one sheet, each with a line under it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .interpret.chart import INK, fitted
from .media import as_bytes

LEAST, GAP, LINE = 256, 12, 26
"""Pixels: of a picture's width at the least, between pictures, of a line's height."""
SIZE = 15

Captioned = tuple[Tensor, str]


def sheet(rows: Sequence[Sequence[Captioned]]) -> Tensor:
    """Pictures [3, H, W] in 0..1 with their captions, row under row on white, as [3, H, W] in 0..1.

    All are drawn as wide as the widest, none smaller than it is. ValueError for no picture.
    """
    pictures = [picture for row in rows for picture, _ in row]
    if not pictures:
        raise ValueError("a sheet of no pictures was asked for, expected one or more")
    width = max(LEAST, *(picture.shape[-1] for picture in pictures))
    drawn = [[(_as_wide(picture, width), caption) for picture, caption in row] for row in rows]
    heights = [max(picture.height for picture, _ in row) + LINE for row in drawn]
    made = Image.new("RGB", (GAP + max(map(len, drawn)) * (width + GAP), GAP + sum(heights) + GAP * len(drawn)), "white")
    pen, font, top = ImageDraw.Draw(made), ImageFont.load_default(SIZE), GAP
    for row, height in zip(drawn, heights):
        for place, (picture, caption) in enumerate(row):
            left = GAP + place * (width + GAP)
            made.paste(picture, (left, top))
            pen.text((left, top + picture.height + LINE / 2), fitted(caption, width, font), INK, font, anchor="lm")
        top += height + GAP
    with torch.inference_mode(False):
        return torch.from_numpy(np.asarray(made, np.float32) / 255).movedim(-1, 0).contiguous()


def _as_wide(picture: Tensor, width: int) -> Image.Image:
    image = Image.fromarray(as_bytes(picture))
    if image.width == width:
        return image
    return image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
