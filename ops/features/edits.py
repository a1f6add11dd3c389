"""Edits of a concept's features, written one a line: switch off, erase, scale, add."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ..concept import Concept
from ..rounding import rounded
from ..written import NUMBER
from .code import Code

Kind = Literal["off", "erased", "scaled", "added"]
# kept in step with web/edits.js, and the order matters: one dash is the beginning of two
FORMS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("erased", re.compile(r"--\s*(?P<name>[^-\s].*)")),
    ("off", re.compile(r"-\s*(?P<name>[^-\s].*)")),
    ("scaled", re.compile(rf"(?P<amount>{NUMBER.pattern})\s*\*\s*(?P<name>\S.*)", re.ASCII)),
    ("added", re.compile(rf"\+\s*(?P<amount>{NUMBER.pattern})\s+(?P<name>\S.*)", re.ASCII)),
)
EXPECTED = "'- fur' (off), '-- fur' (off and erased), '2 * fur' (twice as strong) or '+ 0.5 purple' (added)"


class EditError(ValueError):
    """A line of edits that cannot be done; the message quotes it with its number."""

    def __init__(self, number: int, line: str, problem: object):
        super().__init__(f"line {number}, '{line}': {problem}")


@dataclass(frozen=True)
class Edit:
    """One line. amount: the factor of `scaled`, how much is `added`; 0 else."""

    kind: Kind
    name: str
    amount: float
    number: int
    line: str


def edits(text: str) -> list[Edit]:
    """What the lines say, in order; empty lines and lines that start with # are skipped. EditError for any other line."""
    found = []
    for number, line in enumerate(map(str.strip, text.split("\n")), 1):
        if line and not line.startswith("#"):
            found.append(_edit(number, line))
    return found


def edited(concept: Concept, wanted: Sequence[Edit]) -> Concept:
    """The concept with its features edited, in this order whatever the lines': scaled, switched off, added, erased.

    Erasing comes last and at once, because what is erased stays gone only if nothing that lies partly along it comes after.
    EditError for a name that the concept's dictionary lacks, ValueError for a concept without a code.
    """
    dictionary = _code(concept).dictionary
    for edit in wanted:
        try:
            Concept.feature(edit.name, dictionary)
        except ValueError as error:
            raise EditError(edit.number, edit.line, error) from None
    for edit in _of("scaled", wanted):
        concept = concept.scaled(edit.name, edit.amount)
    if off := _names("off", wanted):
        concept = concept.without(off)
    for edit in _of("added", wanted):
        concept = concept + edit.amount * Concept.feature(edit.name, dictionary)
    if erased := _names("erased", wanted):
        concept = concept.without(erased, erase=True)
    return concept


def told(wanted: Iterable[Edit], before: Concept, after: Concept) -> list[str]:
    """A line for each feature that was edited: how much there was and is, how much was and is taken away beyond that, and of one
    that was switched off how much still points along it (`Code.leak`), which other features and the residual carry."""
    code, now = _code(before), _code(after)
    off = {edit.name for edit in wanted if edit.kind in ("off", "erased")}
    lines = []
    for name in dict.fromkeys(edit.name for edit in wanted):
        index = code.dictionary.names.index(name)
        rows = zip(("", "taken away "), code.amounts[:, index].tolist(), now.amounts[:, index].tolist())
        changes = [f"{row}{rounded(had)} to {rounded(has)}" for row, had, has in rows if had or has]
        line = f"{name}: {', '.join(changes) or 'was not there'}"
        if name in off:
            line += f"; still along it {rounded(float(now.leak([index])))} of {rounded(float(code.leak([index])))}"
        lines.append(line)
    return lines


def _edit(number: int, line: str) -> Edit:
    for kind, form in FORMS:
        if match := form.fullmatch(line):
            amount = float(match.groupdict().get("amount") or 0)
            if not math.isfinite(amount):
                raise EditError(number, line, "the number is too large")
            return Edit(kind, match["name"], amount, number, line)
    raise EditError(number, line, f"expected {EXPECTED}")


def _code(concept: Concept) -> Code:
    if concept.code is None:
        raise ValueError(f"'{concept}' has no features to edit; decompose it first (SAE Decompose)")
    return concept.code


def _of(kind: Kind, wanted: Iterable[Edit]) -> list[Edit]:
    return [edit for edit in wanted if edit.kind == kind]


def _names(kind: Kind, wanted: Iterable[Edit]) -> list[str]:
    return list(dict.fromkeys(edit.name for edit in _of(kind, wanted)))
