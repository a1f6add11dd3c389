"""Whether a natural render of a word is recognised by a classifier that shares nothing with the encoder."""

from __future__ import annotations

import torch
from torch import Tensor

from ..ops.concept import Concept
from ..ops.encoders.pocket import PocketEncoder
from ..ops.generators.pocket import load
from ..ops.render import render
from ..ops.tracks import settings
from .evaluation import recognised

TARGETS = (
    "cat dog fish bird horse butterfly snail octopus whale tree mushroom cactus apple banana pizza car rocket airplane "
    "bicycle house mountain volcano sun moon star rainbow fire snowman heart skull ghost crown key bell guitar balloon "
    "umbrella flower frog rose"
).split()
QUICK = 3


def figures(encoder: PocketEncoder, quick: bool) -> dict[str, float]:
    """showcase_top5 over 40 single words (a few when quick), each rendered as `showcase` renders its natural picture."""
    words = TARGETS[:: len(TARGETS) // QUICK] if quick else TARGETS
    known = recognised(natural(encoder, words, quick), list(words))
    return {"showcase_top5": sum(known) / len(known)}


def natural(encoder: PocketEncoder, words: list[str], quick: bool) -> Tensor:
    """The natural pictures [N, 3, 128, 128] of some words, seeds 0 to N - 1."""
    generator = load("image", encoder)
    made = settings("image", "natural", quick)
    return torch.stack(
        [
            render(Concept.from_text(word, encoder), encoder, generator, "natural", made, seed).media
            for seed, word in enumerate(words)
        ]
    )
