"""Text to the tree of an expression; the grammar stands in expression.py."""

from __future__ import annotations

import difflib
import math
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from typing import NoReturn

from . import written
from .syntax import EDITS, LEAVES, MEDIA, Coded, Edit, Feature, Join, Media, Meet, Name, Node, Phrase, Scale, Slerp, Sum
from .written import NUMBER

LONGEST, DEEPEST = 10_000, 50
"""Bounds of what is parsed: characters, and parentheses or functions inside one another."""

FUNCTIONS = (*MEDIA, "slerp", "feature", *EDITS, "coded", "recoded")
OPERATORS = {"|": "|", "&": "&", "+": "+", "-": "-", "\u2212": "-", "*": "*", "\u00d7": "*", "(": "(", ")": ")", ",": ","}
OF_CODES = {"union": "|", "meet": "&", "intersection": "&"}
CALLED = {"picture": "image", "photo": "image", "sound": "audio", "clip": "video", "film": "video"}
QUOTES, DASHES = "'`\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb", "\u2010\u2011\u2012\u2013\u2014\u2015"
INSTEAD = {
    **dict.fromkeys(QUOTES, 'expected straight double quotes, as in "route 66"'),
    **dict.fromkeys(DASHES, "expected '-' for a minus"),
    **dict.fromkeys("/%\u00f7", "expected a weight as a number, as in 0.5*fire"),
}
"""What somebody wanted who wrote a character that no expression has; text editors make some of them by themselves."""
AN_OPERATOR = "'+', '-', '*', '|', '&'"
A_CONCEPT = "a word, a quoted phrase, a number with '*', '(' or a function"


class ExpressionError(ValueError):
    """A mistake in an expression: what was expected, the expression, and a caret under the place.

    position: index of the character where it goes wrong; len(text) when the expression ends too early.
    lines: the same in one line, where a caret could stand under nothing.
    """

    def __init__(self, message: str, text: str, position: int):
        self.position = position
        start = max(0, position - 60)
        shown = "".join(c if c.isprintable() else " " for c in text[start : position + 40])
        # East Asian letters take two columns of a terminal.
        columns = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in shown[: position - start])
        self.lines = [f"{message} (at character {position + 1} of: {shown.strip()})" if shown.strip() else message]
        super().__init__(f"{message} (at character {position + 1})\n  {shown}\n  {' ' * columns}^")


def parse(text: str, names: Collection[str] = ()) -> Node:
    """The tree of an expression; bare phrases among `names` become Name. Raises ExpressionError and nothing else."""
    if len(text) > LONGEST:
        raise ExpressionError(f"the expression has {len(text)} characters, expected up to {LONGEST}", text, LONGEST)
    parser = _Parser(text, names)
    if parser.token.kind == "end":
        parser.fail(f"the expression is empty, expected {A_CONCEPT}")
    node = parser.union()
    if parser.token.kind == ")":
        parser.fail(f"this ')' closes nothing, expected {AN_OPERATOR} or the end")
    if parser.token.kind != "end":
        parser.fail(f"expected {AN_OPERATOR} or the end{parser.found()}")
    return node


@dataclass(frozen=True)
class _Token:
    kind: str  # "word", "quoted", "number", "end" or the operator itself
    text: str
    start: int


class _Parser:
    """Recursive descent, one token ahead."""

    def __init__(self, text: str, names: Collection[str]):
        self.text, self.names, self.at, self.depth = text, names, 0, 0
        self.last, self.token = None, self.scan()

    def union(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            self.fail(f"nested too deep, expected up to {DEEPEST} levels")
        node = self.meet()
        while self.token.kind == "|":
            self.next()
            node = Join(node, self.meet())
        self.depth -= 1
        return node

    def meet(self) -> Node:
        node = self.sum()
        while self.token.kind == "&":
            self.next()
            node = Meet(node, self.sum())
        return node

    def sum(self) -> Node:
        node = self.product()
        while self.token.kind in ("+", "-"):
            sign = -1.0 if self.next().kind == "-" else 1.0
            first = node.terms if isinstance(node, Sum) else (node,)
            node = Sum((*first, self.scaled(sign, self.product())))
        return node

    def product(self) -> Node:
        start, weight, node = self.token.start, 1.0, None
        while True:
            while self.token.kind == "-":
                self.next()
                weight = -weight
            if self.token.kind == "number":
                weight *= self.number()
                if not math.isfinite(weight):
                    self.fail("the weight is too large", start)
            elif node is None:
                node = self.atom()
            else:
                self.fail(f"expected a number: only numbers multiply a concept{self.found()}")
            if self.token.kind == "*":
                self.next()
            elif node is None and self.token.kind == "," and self.text[self.at : self.at + 1].isdigit():
                self.fail("expected a point before the decimals, as in 0.3*fire, found ','")
            elif node is None:
                self.fail(f"expected '*' after the number {self.last.text}{self.found()}")
            else:
                return self.scaled(weight, node, start)

    def atom(self) -> Node:
        token = self.token
        if token.kind == "(":
            self.next()
            node = self.union()
            self.close(token)
            return node
        if token.kind == "quoted":
            if not token.text.split():
                self.fail("the quoted phrase is empty, expected a word or phrase")
            self.next()
            return Phrase(" ".join(token.text.split()))
        if token.kind == "word":
            self.next()
            return self.function(token) if self.token.kind == "(" else self.phrase(token)
        self.fail(f"expected {A_CONCEPT}{self.found()}")

    def phrase(self, first: _Token) -> Node:
        words = [first.text]
        while self.token.kind == "word":
            words.append(self.next().text)
        text = " ".join(words)
        return Name(text) if text in self.names else Phrase(text)

    def function(self, name: _Token) -> Node:
        if name.text not in FUNCTIONS:
            called = CALLED.get(name.text.lower())
            near = [called] if called else difflib.get_close_matches(name.text.lower(), FUNCTIONS, 1)
            sign = OF_CODES.get(name.text.lower())
            hint = f"write a {sign} b" if sign else f"did you mean {near[0]}?" if near else f"expected {', '.join(FUNCTIONS)}, or quotes around a phrase"
            self.fail(f"unknown function '{name.text}', {hint}", name.start)
        opening = self.next()
        if name.text in (*MEDIA, "feature"):
            what = "name of a feature" if name.text == "feature" else "file name"
            if self.token.kind != "quoted" or not self.token.text.strip():
                self.fail(f'expected a {what} in quotes, as in {name.text}("{what.split()[0]}"){self.found()}')
            text = self.next().text
            node = Feature(text) if name.text == "feature" else Media(name.text, text)
        elif name.text in ("coded", "recoded"):
            of, residual = self.union(), 1.0
            if self.token.kind == ",":
                self.next()
                residual = self.fraction(f"{name.text}(photo, 0.5)")
            node = of if isinstance(of, LEAVES) and residual == 1 else Coded(of, residual, name.text == "recoded")
        elif name.text in EDITS:
            example = f"{name.text}(dog, fur{', 2' if name.text == 'scaled' else ''})"
            a, b, factor = self.argument("the concept to edit", example), self.union(), None
            if name.text == "scaled":
                self.comma("whose features are meant", example)
                if self.token.kind != "number":
                    self.fail(f"expected a number of 0 or more, as in {example}{self.found()}")
                factor = self.number()
            node = Edit(name.text, a, b, factor)
        else:
            example = "slerp(fire, water, 0.5)"
            a = self.argument("the concept to start from", example)
            b = self.argument("the concept to end at", example)
            node = Slerp(a, b, self.fraction(example))
        self.close(opening)
        return node

    def argument(self, what: str, example: str) -> Node:
        node = self.union()
        self.comma(what, example)
        return node

    def comma(self, what: str, example: str) -> None:
        if self.token.kind != ",":
            self.fail(f"expected ',' after {what}, as in {example}{self.found()}")
        self.next()

    def fraction(self, example: str) -> float:
        if self.token.kind != "number" or float(self.token.text) > 1:
            self.fail(f"expected a number from 0 to 1, as in {example}{self.found()}")
        return self.number()

    def number(self) -> float:
        value = float(self.next().text)
        if not math.isfinite(value):
            self.fail("the number is too large", self.last.start)
        return value

    def close(self, opening: _Token) -> None:
        if self.token.kind != ")":
            self.fail(f"expected ')' for the '(' at character {opening.start + 1}{self.found()}")
        self.next()

    def scaled(self, weight: float, node: Node, start: int = 0) -> Node:
        if isinstance(node, Scale):
            weight, node = weight * node.weight, node.of
        if not math.isfinite(weight):
            self.fail("the weight is too large", start)
        return node if weight == 1 else Scale(weight + 0.0, node)  # + 0.0 turns -0.0 into 0.0

    def next(self) -> _Token:
        self.last, self.token = self.token, self.scan()
        return self.last

    def scan(self) -> _Token:
        text = self.text
        while self.at < len(text) and text[self.at].isspace():
            self.at += 1
        start = self.at
        if start == len(text):
            return _Token("end", "", start)
        if (end := written.word_end(text, start)) > start:
            self.at = end
            return _Token("word", text[start:end], start)
        if figure := NUMBER.match(text, start):
            self.at = figure.end()
            return _Token("number", figure[0], start)
        if text[start] == '"':
            return self.scan_quoted()
        if text[start] in OPERATORS:
            self.at += 1
            return _Token(OPERATORS[text[start]], text[start], start)
        instead = INSTEAD.get(text[start], "put a phrase with such characters in double quotes")
        self.fail(f"{text[start]!r} cannot stand here; {instead}", start)

    def scan_quoted(self) -> _Token:
        start, self.at = self.at, self.at + 1
        while (end := self.text.find('"', self.at)) >= 0:
            self.at = end + 1
            if self.text[self.at : self.at + 1] != '"':
                return _Token("quoted", self.text[start + 1 : end].replace('""', '"'), start)
            self.at += 1
        self.fail("this quote is never closed, expected another '\"'", start)

    def found(self) -> str:
        if self.token.kind == "end":
            return ", but the expression ends"
        numbered = self.token.kind == "number" and self.last is not None and self.last.kind == "word"
        return f", found '{self.token.text}'" + ("; a phrase with a number in it goes in quotes" if numbered else "")

    def fail(self, message: str, position: int | None = None) -> NoReturn:
        raise ExpressionError(message, self.text, self.token.start if position is None else position)
