"""The expression language: text such as `0.3*sunset + 0.7*ocean` to a Concept.

    union    meet ("|" meet)*              the larger of each feature's amounts
    meet     sum ("&" sum)*                the smaller: what they have in common
    sum      product (("+" | "-") product)*
    product  factor ("*" factor)*          exactly one factor is a concept, the others are numbers
    factor   "-"* (number | atom)
    atom     phrase | "quoted phrase" | "(" union ")" | function
    function image("photo.jpg") | audio("thunder.wav") | video("clip.mp4") | slerp(union, union, number)
             feature("name") | without(union, union) | erased(union, union) | scaled(union, union, number) | coded(union[, number])
             recoded(union[, number])

`|`, `&` and the functions of the last two lines work on codes (see `features`): without(dog, fur) switches off in dog the features
that are more fur's than dog's, erased also projects off what leaks along them, scaled makes them so many times as strong.
coded(dog + cat) is the code of their dense sum, where dog + cat would be the sum of their codes, and recoded(dog - cat) that of
what the codes came to; the number, 0..1, is the weight of what has no name.

A phrase is one or more bare words with spaces between: `sad clown + red balloon`. Hyphens and apostrophes inside a word
belong to it (`t-shirt`, `fire-water` is one word); a hyphen with a space on either side, or before a number with a `*`
after it (`fire-0.3*water`), is a minus. Words of letters and digits are words (`3d`, `covid-19`); a plain number is
always a weight. Anything else goes in quotes, where a quote is written twice and a backslash is only a backslash:
`"route 66"`, `image("C:\\pictures\\a.jpg")`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from . import written
from .concept import Concept
from .parser import parse
from .syntax import Coded, Edit, Feature, Join, Media, Meet, Name, Node, Phrase, Scale, Slerp, Sum, to_text, wants_codes

if TYPE_CHECKING:
    from .encoders.protocol import Encoder
    from .features.dictionary import Dictionary


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
            case Coded(of, residual, again):
                return value(of, dictionary if again or wants_codes(of) else None).decomposed(dictionary, residual)
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
