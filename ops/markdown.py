"""Text and tables as Markdown shows them."""

from __future__ import annotations

from collections.abc import Sequence


def escaped(text: str) -> str:
    """Text that Markdown shows as it is written: an expression has asterisks and bars of its own."""
    return "".join(f"\\{c}" if c in r"\`*_[]<>|#" else c for c in " ".join(text.split()))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under their heads, one line each; cells are taken as they are."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
