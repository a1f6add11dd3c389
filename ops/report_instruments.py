"""What the instruments of a render read, as lines for a node and as a table for a page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import isfinite

from .instruments import Instruments
from .render import Render
from .rounding import rounded

NOTHING = "–"
ROWS = (
    ("robust", "cosine, blurred and cropped", ".2f"),
    ("robust_drop", "lost by that", ".0%"),
    ("held_out_gap", "gap to the judge, in deviations", "+.1f"),
    ("leakage", "the prior alone, of the match", ".0%"),
    ("clipped", "values cut off", ".1%"),
    ("norm", "root mean square of the latent", ".2f"),
    ("round_trip", "off when encoded again", ".0%"),
    ("slope", "slope of the spectrum", ".1f"),
)
"""(field of Instruments, what it is called, its format specification)."""


def readings(read: Instruments) -> list[tuple[str, str]]:
    """(name, value as text) of every instrument; `NOTHING` for what could not be measured."""
    measured = {key: value for key, value in vars(read).items() if key != "alarms" and value is not None and isfinite(value)}
    return [(name, rounded(measured[key], form) if key in measured else NOTHING) for key, name, form in ROWS]


def stopped(made: Render) -> list[str]:
    """Why a render ended before its time, as a sentence; none if it did not."""
    return [f"{made.stopped[0].upper()}{made.stopped[1:]}."] if made.stopped else []


def table(renders: Sequence[Render]) -> str:
    """HTML: the readings of renders of one modality beside each other, under their tracks, then what to doubt about each."""
    heads = "".join(f'<th scope="col" class="{made.track}">{made.track}</th>' for made in renders)
    rows = []
    for read in zip(*(readings(made.instruments) for made in renders)):
        if any(value != NOTHING for _, value in read):
            cells = "".join(f"<td>{value}</td>" for _, value in read)
            rows.append(f'<tr><th scope="row">{read[0][0]}</th>{cells}</tr>')
    said = [(made.track, sentence) for made in renders for sentence in (*made.instruments.alarms, *stopped(made))]
    doubts = "".join(f'<li><b class="{track}">{track}</b> {escape(sentence)}</li>' for track, sentence in said)
    return (
        f'<table class="instruments"><thead><tr><td></td>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
        + (f'<ul class="alarms">{doubts}</ul>' if doubts else "")
    )  # fmt: skip
