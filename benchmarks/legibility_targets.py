"""What the legibility benchmark renders: single words, sums, differences, and mixtures of media with words.

A target is an expression. In it `seen whale` is a picture of a whale and `heard rain` a recording of rain, both held out from
every tower, and any other phrase is text. What a render is judged by is the same expression in words alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import torch

from ..ops.concept import Concept
from ..ops.encoders.pocket import PocketEncoder
from ..ops.expression import evaluate
from ..ops.features.dictionary import Dictionary
from ..ops.written import Written
from .evaluation import held_out
from .pocket_audio import unseen_takes

Kind = Literal["word", "sum", "difference", "cross-modal"]
MEDIUM = re.compile(r"\b(seen|heard) (\w+)")


@dataclass(frozen=True)
class Target:
    """An expression as `evaluate` reads it, and its kind."""

    text: str
    kind: Kind

    @property
    def judged(self) -> str:
        """The expression in words alone: a picture or a sound of a thing stands for its name."""
        return MEDIUM.sub(r"\2", self.text)


# Class names of the judge, which the showcase has drawn since its first day, and three more.
WORD_TARGETS = (
    "cat dog fish bird horse butterfly snail octopus whale mushroom cactus banana pizza rocket airplane bicycle house mountain "
    "volcano sun star rainbow fire snowman skull ghost crown key bell guitar balloon umbrella rose cow frog penguin"
).split()
SUM_TARGETS = (
    "cat + crown", "house + fire", "skull + rose", "ghost + house", "fish + rainbow",
    "mountain + snowflake", "rocket + star", "dog + robot", "bird + balloon", "sun + umbrella",
)  # fmt: skip
DIFFERENCE_TARGETS = (
    "unicorn - horse", "volcano - fire", "castle - house", "mermaid - fish",
    "tiger - cat", "prince - man + woman", "dragon - lizard", "snowman - man",
)  # fmt: skip
CROSS_MODAL_TARGETS = (
    "seen whale + crown", "seen butterfly - rainbow", "seen mushroom + house", "seen octopus + fire",
    "heard rooster + crown", "heard rain + umbrella", "heard train - rocket", "heard frog + star",
)  # fmt: skip
TARGETS = tuple(
    Target(text, kind)
    for kind, texts in (
        ("word", WORD_TARGETS), ("sum", SUM_TARGETS), ("difference", DIFFERENCE_TARGETS), ("cross-modal", CROSS_MODAL_TARGETS)
    )
    for text in texts
)  # fmt: skip
QUICK = tuple(target for target in TARGETS if target.text in ("star", SUM_TARGETS[0], DIFFERENCE_TARGETS[0], CROSS_MODAL_TARGETS[0]))


def words_of(expression: str) -> list[str]:
    """The words of a `Target.judged`."""
    return re.findall(r"\w+", expression)


WORDS = tuple(dict.fromkeys(word for target in TARGETS for word in words_of(target.judged)))
"""Every word that an embedding of the judge's is wanted of."""


def concept(target: Target, encoder: PocketEncoder, dictionary: Dictionary | None = None) -> Concept:
    """The target in the encoder's space, its parts taken apart over a dictionary if there is one. ValueError, with the name, for a medium that there is no held-out one of."""
    names = {found.group(): _medium(*found.groups(), encoder) for found in MEDIUM.finditer(target.text)}
    return evaluate(target.text, encoder, names=names, dictionary=dictionary)


@torch.no_grad()
def _medium(sense: str, name: str, encoder: PocketEncoder) -> Concept:
    written = Written(f"{sense} {name}")
    if sense == "seen":
        shown = held_out()
        if name not in shown.names:
            raise ValueError(f"'{written}': there is no held-out picture of '{name}'")
        picture = shown.pixels[shown.names.index(name)].float() / 255
        return Concept.from_embedding(encoder.image(picture[None]), encoder.space, written)
    mels, takes, names = unseen_takes()
    if name not in names:
        raise ValueError(f"'{written}': there is no held-out recording of '{name}'")
    mel = mels[takes.index(names.index(name))]
    return Concept.from_embedding(encoder.audio_tower.from_log_mels(mel[None, None].expand(-1, 3, -1, -1)), encoder.space, written)
