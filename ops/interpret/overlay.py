"""An attribution map laid over its medium, as a picture."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn.functional import interpolate

from ..media import as_bytes
from ..rounding import rounded
from .attribution import Attribution
from .chart import INK, PAD, PALE, ROW, SIZE, fitted

SIDE, FRAME, COLUMNS = 512, 160, 4
"""Pixels: of a picture's longer side, of a frame's; frames in a row."""
SOUND = (256, 512)
"""Pixels down and across of a sound, whose two directions have no common unit."""
BAR, MARGIN = 200, 8
"""Pixels: length of the colour scale, room between frames."""
FOR, AGAINST = (0.86, 0.16, 0.08), (0.10, 0.35, 0.90)
STRONGEST = 0.8
"""How far the colour covers the medium where the map is largest."""


def overlay(attribution: Attribution, shown: Tensor) -> Tensor:
    """The medium in grey under its map, with a title and a colour scale, as a picture [3, H, W] in 0..1 on the CPU.

    shown: [T, 3, H, W] in 0..1, as `Seen.shown`. Red speaks for what is explained, blue against it; the largest magnitude of
    the map, all frames together, has the strongest colour, and its number stands at the end of the scale. Frames of a clip
    lie in rows; of a sound time runs to the right and pitch up.
    Raises ValueError for media with another number of frames than the map.
    """
    with torch.inference_mode(False), torch.no_grad():
        return _sheet(laid_over(attribution, shown), attribution)


def laid_over(attribution: Attribution, shown: Tensor, side: int | None = None) -> Tensor:
    """The same without title and scale: panels [T, 3, h, w] in 0..1, pitch of a sound running up.

    side: pixels of a picture's or a frame's longer side, `SIDE` or `FRAME` without; a sound is `SOUND`. ValueError as `overlay`.
    """
    values = attribution.values.reshape(-1, *attribution.values.shape[-2:])
    if shown.dim() != 4 or shown.shape[1] != 3 or len(shown) != len(values):
        wanted = f"({len(values)}, 3, H, W) for a map of shape {tuple(attribution.values.shape)}"
        raise ValueError(f"the medium has shape {tuple(shown.shape)}, expected {wanted}")
    with torch.inference_mode(False), torch.no_grad():
        most = float(values.abs().max())
        least, largest = (float(end) / (most or 1.0) for end in (values.min(), values.max()))
        size = SOUND if attribution.modality == "audio" else _size(shown, side or (SIDE if len(shown) == 1 else FRAME))
        grey = interpolate(shown.float().cpu().mean(1, keepdim=True), size, mode="bilinear", align_corners=False)
        # the cubic overshoots: unclamped, a map without negative values would have a blue rim
        smooth = interpolate(values[:, None] / (most or 1.0), size, mode="bicubic", align_corners=False).clamp(least, largest)
        panels = coloured(grey, smooth)
        return panels.flip(-2) if attribution.modality == "audio" else panels


def coloured(grey: Tensor, values: Tensor) -> Tensor:
    """[T, 3, H, W]: grey [T, 1, H, W] in 0..1 covered by the two colours as far as values [T, 1, H, W] in -1..1 are from 0."""
    hues = [torch.tensor(hue).view(3, 1, 1) for hue in (FOR, AGAINST)]
    cover = STRONGEST * values.abs()
    return grey * (1 - cover) + torch.where(values > 0, *hues) * cover


def _size(shown: Tensor, side: int) -> tuple[int, int]:
    height, width = shown.shape[-2:]
    scale = side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _sheet(panels: Tensor, attribution: Attribution) -> Tensor:
    most = float(attribution.values.abs().max())
    height, width = panels.shape[-2:]
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    across = max(columns * (width + MARGIN) - MARGIN, SIDE) + 2 * PAD
    top = PAD + 2 * ROW
    sheet = Image.new("RGB", (across, top + rows * (height + MARGIN) - MARGIN + PAD), "white")
    for index, panel in enumerate(as_bytes(panels)):
        place = PAD + index % columns * (width + MARGIN), top + index // columns * (height + MARGIN)
        sheet.paste(Image.fromarray(panel), place)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(SIZE)
    draw.text((PAD, PAD + ROW / 2), fitted(_title(attribution), across - 2 * PAD, font), INK, font, anchor="lm")
    signed = bool((attribution.values < 0).any())
    scale = torch.linspace(-1.0 if signed else 0.0, 1.0, BAR).expand(1, 1, ROW // 2, BAR)
    low, high = f"{-most if signed else 0:.2g}", f"{most:.2g} a patch"
    left = PAD + font.getlength(low) + 6
    draw.text((PAD, PAD + 1.4 * ROW), low, PALE, font, anchor="lm")
    sheet.paste(Image.fromarray(as_bytes(coloured(torch.ones_like(scale), scale))[0]), (round(left), round(PAD + 1.15 * ROW)))
    draw.text((left + BAR + 6, PAD + 1.4 * ROW), high, PALE, font, anchor="lm")
    return torch.from_numpy(np.asarray(sheet, np.float32) / 255).movedim(-1, 0).contiguous()


def _title(attribution: Attribution) -> str:
    if attribution.of is None or attribution.value is None:
        return "where the encoder looked (attention rollout, the same for every word)"
    title = f"{attribution.of}: {attribution.kind}, {rounded(attribution.value)}"
    if attribution.baseline is not None:
        title += f" against {rounded(attribution.baseline)} blurred"
    return title + ("" if attribution.active is not False else ", below its threshold")
