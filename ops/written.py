"""How expressions are written: text together with how tightly its outermost operator binds, so that larger
expressions know where parentheses belong. `parse` in `expression` reads back all that is written here."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal, get_args

from .space import Modality

NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
WEIGHT = re.compile(NUMBER.pattern + r"\s*\*", re.ASCII)
JOINTS = ("-", "'", "\u2019")
Form = Literal["atom", "product", "sum", "meet", "union"]
FORMS: tuple[Form, ...] = get_args(Form)
"""What binds tightest first, as in Python."""


@dataclass(frozen=True)
class Written:
    """An expression's text and its outermost form, which tells where it wants parentheses."""

    text: str
    form: Form = "atom"

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
    left, right = _inside(a, "sum"), _inside(b, "product")
    return Written(f"{left} - {right[1:]}" if right.startswith("-") else f"{left} + {right}", "sum")


def meet(a: Written, b: Written) -> Written:
    """a & b."""
    return Written(f"{_inside(a, 'meet')} & {_inside(b, 'sum')}", "meet")


def union(a: Written, b: Written) -> Written:
    """a | b."""
    return Written(f"{_inside(a, 'union')} | {_inside(b, 'meet')}", "union")


def product(weight: float, a: Written) -> Written:
    """weight * a; a weight of 1 is left out and one of -1 is a minus sign."""
    if weight == 1:
        return a
    text = _inside(a, "product")
    if weight == -1:
        return Written(text[1:] if text.startswith("-") else f"-{text}", "product")
    return Written(f"{number(weight)}*{text}", "product")


def slerp(a: Written, b: Written, t: float) -> Written:
    """slerp(a, b, t)."""
    return call("slerp", a, b, t)


def feature(name: str) -> Written:
    """A named feature of a dictionary: `feature("fur")`."""
    return Written(f"feature({quoted(name)})")


def call(function: str, *arguments: Written | float) -> Written:
    """A function of expressions and numbers: `without(dog, fur)`."""
    said = (argument.text if isinstance(argument, Written) else number(argument) for argument in arguments)
    return Written(f"{function}({', '.join(said)})")


def _inside(a: Written, loosest: Form) -> str:
    """The text, in parentheses when it binds more loosely than `loosest`."""
    return a.text if FORMS.index(a.form) <= FORMS.index(loosest) else f"({a})"


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
