"""How expressions are written: text together with how tightly its outermost operator binds, so that larger
expressions know where parentheses belong. `parse` in `expression` reads back all that is written here."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from .space import Modality

NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
WEIGHT = re.compile(NUMBER.pattern + r"\s*\*", re.ASCII)
JOINTS = ("-", "'", "\u2019")


@dataclass(frozen=True)
class Written:
    """An expression's text and its outermost form; "sum" wants parentheses inside a product."""

    text: str
    form: Literal["atom", "product", "sum"] = "atom"

    def __str__(self) -> str:
        return self.text


def phrase(text: str) -> Written:
    """A word or phrase: bare where it can stand so (`sad clown`, `t-shirt`), else in quotes."""
    words = text.split(" ")
    return Written(text if all(is_word(word) for word in words) else quoted(text))


def media(modality: Modality, path: str) -> Written:
    """A file: `image("photo.jpg")`."""
    return Written(f"{modality}({quoted(path)})")


def total(a: Written, b: Written) -> Written:
    """a + b, or a - c where b is -c."""
    if b.form == "sum":
        return Written(f"{a} + ({b})", "sum")
    return Written(f"{a} - {b.text[1:]}" if b.text.startswith("-") else f"{a} + {b}", "sum")


def product(weight: float, a: Written) -> Written:
    """weight * a; a weight of 1 is left out and one of -1 is a minus sign."""
    if weight == 1:
        return a
    text = f"({a})" if a.form == "sum" else a.text
    if weight == -1:
        return Written(text[1:] if text.startswith("-") else f"-{text}", "product")
    return Written(f"{number(weight)}*{text}", "product")


def slerp(a: Written, b: Written, t: float) -> Written:
    """slerp(a, b, t)."""
    return Written(f"slerp({a}, {b}, {number(t)})")


def number(value: float) -> str:
    """A finite number in as few digits as give it back: 0.3, 2, 1e-09."""
    return repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def lines_of(text: str) -> list[str]:
    """What is written one a line: stripped, without empty lines and lines that start with #."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def quoted(text: str) -> str:
    """Text in double quotes; a quote inside is doubled, and a backslash is only a backslash (Windows paths)."""
    return '"' + text.replace('"', '""') + '"'


def is_word(text: str) -> bool:
    """Whether text can stand as one bare word."""
    return bool(text) and word_end(text, 0) == len(text)


def word_end(text: str, start: int) -> int:
    """Where the bare word that begins at `start` ends; `start` itself when none begins there.

    A word is letters, digits, marks and emoji, with hyphens and apostrophes inside: t-shirt, o'clock, 3d, covid-19.
    A hyphen before a number with a `*` after it is a minus: fire-0.3*water.
    """
    figure = NUMBER.match(text, start)
    if figure and ("." in figure[0] or not _is_word_character(text, figure.end())):
        return start
    end = start
    while _is_word_character(text, end) or (
        end > start and text[end : end + 1] in JOINTS and _is_word_character(text, end + 1)
        and not (text[end] == "-" and WEIGHT.match(text, end + 1))
    ):
        end += 1
    return end


def _is_word_character(text: str, at: int) -> bool:
    if at >= len(text):
        return False
    if text[at] in "_\u200d":
        return True
    kind = unicodedata.category(text[at])
    # Sk holds the emoji skin tones, and in ASCII the caret and the backtick.
    return kind[0] in "LMN" or kind == "So" or (kind == "Sk" and text[at] > "\U0001f000")
