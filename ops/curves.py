"""Curves as inline SVG that takes its colours from the page around it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 360, 190
LEFT, RIGHT, TOP, BOTTOM = 54, 66, 10, 24


def curves(series: Mapping[str, Sequence[tuple[float, float]]], label: str) -> str:
    """An <svg> of named series of (x, y) points, each drawn with the CSS class of its name and labelled at its end.

    label: what a screen reader says. Points that are not finite are left out; "" if none is left.
    """
    kept = {
        name: [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)] for name, points in series.items()
    }
    kept = {name: points for name, points in kept.items() if points}
    if not kept:
        return ""
    xs = [x for points in kept.values() for x, _ in points]
    ys = [y for points in kept.values() for _, y in points]
    ticks = ticked(min(ys), max(ys))
    low, high, last = ticks[0], ticks[-1], max(max(xs), 1)

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (WIDTH - LEFT - RIGHT) * x / last
        return across, TOP + (HEIGHT - TOP - BOTTOM) * (high - y) / (high - low)

    parts = [f'<svg class="curves" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label, quote=True)}">']
    for tick in ticks:
        _, y = place(0, tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{tick:g}</text>')
    for x, anchor in ((0, "start"), (last, "end")):
        parts.append(f'<text x="{place(x, low)[0]:.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{x:g}</text>')
    ends = _apart({name: place(*points[-1])[1] for name, points in kept.items()})
    for name, points in kept.items():
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
        parts.append(f'<polyline class="{escape(name, quote=True)}" points="{path}"/>')
        end = f'x="{place(*points[-1])[0] + 6:.1f}" y="{ends[name] + 3.5:.1f}"'
        parts.append(f'<text class="{escape(name, quote=True)}" {end}>{escape(name)}</text>')
    return "".join(parts) + "</svg>"


def ticked(low: float, high: float) -> list[float]:
    """Three to six round numbers from at or below low to at or above high."""
    span = max(high - low, 1e-3)
    step = 10 ** math.floor(math.log10(span))
    step = next(step * part for part in (0.25, 0.5, 1, 2.5) if span / (step * part) <= 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * index, 10) for index in range(first, max(last, first + 1) + 1)]


def _apart(heights: dict[str, float], gap: float = 13) -> dict[str, float]:
    """The same heights, moved just far enough for their labels not to overlap."""
    placed: dict[str, float] = {}
    for name, height in sorted(heights.items(), key=lambda item: item[1]):
        placed[name] = max([height, *(other + gap for other in placed.values())])
    overflow = max(0.0, max(placed.values()) - (HEIGHT - BOTTOM))
    return {name: height - overflow for name, height in placed.items()}
