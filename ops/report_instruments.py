"""What the instruments of a render read, as lines for a page and for a node."""

from __future__ import annotations

from .instruments import Instruments

NOTHING = "–"
ROWS = (
    ("robust", "cosine, blurred and cropped", "{:.2f}"),
    ("robust_drop", "lost by that", "{:.0%}"),
    ("held_out_gap", "gap to the judge, in deviations", "{:+.1f}"),
    ("leakage", "the prior alone, of the match", "{:.0%}"),
    ("clipped", "values cut off", "{:.1%}"),
    ("norm", "root mean square of the latent", "{:.2f}"),
    ("round_trip", "off when encoded again", "{:.0%}"),
    ("slope", "slope of the spectrum", "{:.1f}"),
)
"""(field of Instruments, what it is called, how it is written)."""


def readings(read: Instruments) -> list[tuple[str, str]]:
    """(name, value as text) of every instrument; `NOTHING` for what could not be measured."""
    values = vars(read)
    return [(name, NOTHING if values[key] is None else form.format(values[key])) for key, name, form in ROWS]
