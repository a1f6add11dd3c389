"""The expression language: text such as `0.3*sunset + 0.7*ocean` to a Concept.

    union    meet ("|" meet)*              the larger of each feature's amounts
    meet     sum ("&" sum)*                the smaller: what they have in common
    sum      product (("+" | "-") product)*
    product  factor ("*" factor)*          exactly one factor is a concept, the others are numbers
    factor   "-"* (number | atom)
    atom     phrase | "quoted phrase" | "(" union ")" | function
    function image("photo.jpg") | audio("thunder.wav") | video("clip.mp4") | slerp(union, union, number)
             feature("name") | without(union, union) | erased(union, union) | scaled(union, union, number) | coded(union[, number])

`|`, `&` and the functions of the last line work on codes (see `features`): without(dog, fur) switches off in dog the features
that fur has, erased also projects off what leaks along them, scaled makes them so many times as strong. coded(dog + cat) is
the code of their dense sum, where dog + cat would be the sum of their codes; its number, 0..1, is the weight of what has no
name.

A phrase is one or more bare words with spaces between: `sad clown + red balloon`. Hyphens and apostrophes inside a word
belong to it (`t-shirt`, `fire-water` is one word); a hyphen with a space on either side, or before a number with a `*`
after it (`fire-0.3*water`), is a minus. Words of letters and digits are words (`3d`, `covid-19`); a plain number is
always a weight. Anything else goes in quotes, where a quote is written twice and a backslash is only a backslash:
`"route 66"`, `image("C:\\pictures\\a.jpg")`.
"""

from __future__ import annotations

import difflib
import math
import os
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Union

from . import written
from .concept import Concept
from .space import Modality
from .written import NUMBER, Written

if TYPE_CHECKING:
    from .encoders.protocol import Encoder
    from .features.dictionary import Dictionary

LONGEST, DEEPEST = 10_000, 50
"""Bounds of what is parsed: characters, and parentheses or functions inside one another."""

MEDIA: tuple[Modality, ...] = ("image", "audio", "video")
EDITS = ("without", "erased", "scaled")
FUNCTIONS = (*MEDIA, "slerp", "feature", *EDITS, "coded")
OPERATORS = {"|": "|", "&": "&", "+": "+", "-": "-", "\u2212": "-", "*": "*", "\u00d7": "*", "(": "(", ")": ")", ",": ","}
AN_OPERATOR = "'+', '-', '*', '|', '&'"
A_CONCEPT = "a word, a quoted phrase, a number with '*', '(' or a function"


class ExpressionError(ValueError):
    """A mistake in an expression: what was expected, the expression, and a caret under the place.

    position: index of the character where it goes wrong; len(text) when the expression ends too early.
    """

    def __init__(self, message: str, text: str, position: int):
        self.position = position
        start = max(0, position - 60)
        shown = "".join(c if c.isprintable() else " " for c in text[start : position + 40])
        # East Asian letters take two columns of a terminal.
        columns = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in shown[: position - start])
        super().__init__(f"{message} (at character {position + 1})\n  {shown}\n  {' ' * columns}^")


@dataclass(frozen=True)
class Phrase:
    """A word or phrase, to be embedded as text."""

    text: str


@dataclass(frozen=True)
class Name:
    """A concept given from outside under this name."""

    text: str


@dataclass(frozen=True)
class Media:
    """A file of a modality, its path as written."""

    modality: Modality
    path: str


@dataclass(frozen=True)
class Scale:
    """weight * of; never of another Scale, and the weight is never 1."""

    weight: float
    of: Node


@dataclass(frozen=True)
class Sum:
    """Two terms or more, added from the left; the first is never a Sum."""

    terms: tuple[Node, ...]


@dataclass(frozen=True)
class Slerp:
    """The great circle from a to b at t in 0..1."""

    a: Node
    b: Node
    t: float


@dataclass(frozen=True)
class Feature:
    """A dictionary's feature by its name."""

    name: str


@dataclass(frozen=True)
class Join:
    """a | b."""

    a: Node
    b: Node


@dataclass(frozen=True)
class Meet:
    """a & b."""

    a: Node
    b: Node


@dataclass(frozen=True)
class Edit:
    """One of `EDITS`: a with the features of b switched off, erased, or `factor` times as strong."""

    function: str
    a: Node
    b: Node
    factor: float | None = None


@dataclass(frozen=True)
class Coded:
    """The code of what comes out densely, with this much of the residual; never of a leaf with all of it, which has that
    code without it."""

    of: Node
    residual: float = 1.0


Node = Union[Phrase, Name, Media, Feature, Scale, Sum, Slerp, Join, Meet, Edit, Coded]


LEAVES = (Phrase, Name, Media, Feature)


def evaluate(
    text: str,
    encoder: Encoder,
    base_dir: str | os.PathLike | None = None,
    names: Mapping[str, Concept] | None = None,
    dictionary: Dictionary | None = None,
) -> Concept:
    """The concept that an expression describes.

    base_dir: where relative file names begin; by default the working directory. Provenance keeps names as written.
    names: concepts that bare phrases stand for, before they are read as text.
    dictionary: what every operand is decomposed with. Without one, operands are dense, unless the expression asks for codes:
        then they are read in the words of the space's vocabulary (`features.pursuit`).

    Raises ExpressionError for a mistake in the text, MediaError for a file, SpaceMismatch for a name of another space,
    ValueError for slerp between opposite concepts or a modality that the encoder lacks.
    """
    names = names or {}
    made: dict[Node, Concept] = {}
    tree = parse(text, names)
    if dictionary is None and wants_codes(tree):
        from .features.pursuit import Pursuit

        dictionary = Pursuit(encoder.space)

    def value(node: Node, dictionary: Dictionary | None) -> Concept:
        def part(of: Node) -> Concept:
            return value(of, dictionary)

        match node:
            case Feature(name):
                return Concept.feature(name, dictionary)
            case Coded(of, residual):
                return value(of, None).decomposed(dictionary, residual)
            case Scale(weight, of):
                return weight * part(of)
            case Sum((first, *others)):
                concept = part(first)
                for term in others:
                    concept = concept + part(term)
                return concept
            case Slerp(a, b, t):
                return Concept.slerp(part(a), part(b), t)
            case Join(a, b):
                return part(a) | part(b)
            case Meet(a, b):
                return part(a) & part(b)
            case Edit("scaled", a, b, factor):
                return part(a).scaled(part(b), factor)
            case Edit(function, a, b):
                return part(a).without(part(b), erase=function == "erased")
        concept = dense(node)
        return concept.decomposed(dictionary) if dictionary else concept

    def dense(node: Name | Phrase | Media) -> Concept:
        if isinstance(node, Name):
            encoder.space.require(names[node.text].space)
            return names[node.text]
        if node not in made:
            made[node] = leaf(node)
        return made[node]

    def leaf(node: Phrase | Media) -> Concept:
        modality = node.modality if isinstance(node, Media) else "text"
        if modality not in encoder.modalities:
            raise ValueError(f"'{to_text(node)}': this encoder reads {', '.join(sorted(encoder.modalities))}, not {modality}")
        if isinstance(node, Phrase):
            return Concept.from_text(node.text, encoder)
        read = {"image": Concept.from_image, "audio": Concept.from_audio, "video": Concept.from_video}[modality]
        return read(Path(base_dir or "") / node.path, encoder).called(written.media(modality, node.path))

    return value(tree, dictionary)


def leaves(node: Node) -> list[Phrase | Name | Media | Feature]:
    """What an expression is made of, in the order written, repetitions included."""
    parts = _parts(node)
    return [leaf for part in parts for leaf in leaves(part)] if parts else [node]


def wants_codes(node: Node) -> bool:
    """Whether an expression can only be understood of codes: it holds `|`, `&`, a feature or an edit of features."""
    return isinstance(node, (Feature, Join, Meet, Edit, Coded)) or any(map(wants_codes, _parts(node)))


def _parts(node: Node) -> tuple[Node, ...]:
    match node:
        case Scale(_, of) | Coded(of):
            return (of,)
        case Sum(terms):
            return terms
        case Slerp(a, b) | Join(a, b) | Meet(a, b) | Edit(_, a, b):
            return a, b
    return ()


def to_text(node: Node) -> str:
    """The node as text, which `parse` reads back to an equal node."""
    return _written(node).text


def _written(node: Node) -> Written:
    match node:
        case Phrase(text):
            return written.phrase(text)
        case Name(text):
            return Written(text)
        case Media(modality, path):
            return written.media(modality, path)
        case Scale(weight, of):
            return written.product(weight, _written(of))
        case Sum((first, *others)):
            result = _written(first)
            for term in others:
                result = written.total(result, _written(term))
            return result
        case Slerp(a, b, t):
            return written.slerp(_written(a), _written(b), t)
        case Feature(name):
            return written.feature(name)
        case Join(a, b):
            return written.union(_written(a), _written(b))
        case Meet(a, b):
            return written.meet(_written(a), _written(b))
        case Coded(of, residual):
            return written.call("coded", _written(of), *(() if residual == 1 else (residual,)))
        case Edit(function, a, b, factor):
            return written.call(function, _written(a), _written(b), *(() if factor is None else (factor,)))


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
            near = difflib.get_close_matches(name.text.lower(), FUNCTIONS, 1)
            hint = f"did you mean {near[0]}?" if near else f"expected {', '.join(FUNCTIONS)}, or quotes around a phrase"
            self.fail(f"unknown function '{name.text}', {hint}", name.start)
        opening = self.next()
        if name.text in (*MEDIA, "feature"):
            what = "name of a feature" if name.text == "feature" else "file name"
            if self.token.kind != "quoted" or not self.token.text.strip():
                self.fail(f'expected a {what} in quotes, as in {name.text}("{what.split()[0]}"){self.found()}')
            text = self.next().text
            node = Feature(text) if name.text == "feature" else Media(name.text, text)
        elif name.text == "coded":
            of, residual = self.union(), 1.0
            if self.token.kind == ",":
                self.next()
                residual = self.fraction("coded(photo, 0.5)")
            node = of if isinstance(of, LEAVES) and residual == 1 else Coded(of, residual)
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
        self.fail(f"{text[start]!r} cannot stand here; put a phrase with such characters in double quotes", start)

    def scan_quoted(self) -> _Token:
        start, self.at = self.at, self.at + 1
        while (end := self.text.find('"', self.at)) >= 0:
            self.at = end + 1
            if self.text[self.at : self.at + 1] != '"':
                return _Token("quoted", self.text[start + 1 : end].replace('""', '"'), start)
            self.at += 1
        self.fail("this quote is never closed, expected another '\"'", start)

    def found(self) -> str:
        return ", but the expression ends" if self.token.kind == "end" else f", found '{self.token.text}'"

    def fail(self, message: str, position: int | None = None) -> NoReturn:
        raise ExpressionError(message, self.text, self.token.start if position is None else position)
