"""A bar chart of a concept's features as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..rounding import rounded

WIDTH, ROW, PAD, SIZE = 640, 26, 12, 15
"""Pixels: of the picture, of a row, of its margins, of a letter."""
NAME, AMOUNT = 220, 56
"""Pixels: of the columns on both sides of the bars."""
THERE, TAKEN, INK, PALE = "#3b7dd8", "#d8703b", "#222222", "#777777"
ELLIPSIS = "..."

Amounts = Sequence[tuple[str, float]]


def chart(there: Amounts, taken: Amounts, title: str) -> Tensor:
    """Bars with name and amount under a title, as a picture [3, H, 640] in 0..1, one row a feature.

    there, taken: (name, amount > 0); what is taken away beyond what was there stands below in another colour. Lengths are
    shares of the largest amount. Letters that Pillow's own font lacks come out as boxes.
    """
    rows = [*((name, amount, THERE) for name, amount in there), *((name, amount, TAKEN) for name, amount in taken)]
    sheet = Image.new("RGB", (WIDTH, 2 * PAD + ROW * (1 + max(1, len(rows)))), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(SIZE)
    draw.text((PAD, PAD + ROW / 2), fitted(title, WIDTH - 2 * PAD, font), INK, font, anchor="lm")
    if not rows:
        draw.text((PAD, PAD + 1.5 * ROW), "no feature of the dictionary is in it", PALE, font, anchor="lm")
    most = max((amount for _, amount, _ in rows), default=1.0)
    left, room = PAD + NAME + 8, WIDTH - 2 * PAD - NAME - AMOUNT - 16
    for index, (name, amount, colour) in enumerate(rows, 1):
        top = PAD + ROW * index
        draw.text((PAD + NAME, top + ROW / 2), fitted(name, NAME, font), INK, font, anchor="rm")
        draw.rectangle((left, top + 4, left + max(1, round(room * amount / most)), top + ROW - 5), fill=colour)
        draw.text((WIDTH - PAD, top + ROW / 2), rounded(amount), PALE, font, anchor="rm")
    with torch.inference_mode(False):
        return torch.from_numpy(np.asarray(sheet, np.float32) / 255).movedim(-1, 0).contiguous()


def fitted(text: str, width: int, font: ImageFont.FreeTypeFont) -> str:
    """The text on one line, shortened to a width in pixels."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + ELLIPSIS) > width:
        text = text[:-1]
    return text + ELLIPSIS
