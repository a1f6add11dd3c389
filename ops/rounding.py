"""How numbers are written where people read them."""

from __future__ import annotations

import re


def rounded(value: float, form: str = ".2f") -> str:
    """A number by a format specification; what that rounds to nothing has no minus: 0.00, and +0.0 where a sign is asked for."""
    text = format(value, form)
    return text if re.search("[1-9a-z]", text) else format(0.0, form)
