"""The frozen words that a target has to stand out from, and the rivals of a target that are made of them."""

from __future__ import annotations

import zlib
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..concept import Concept
from ..encoders.protocol import Encoder
from ..encoders.vocabulary import embedded
from ..written import lines_of
from .stems import stems

FEWEST = 500
"""Rivals below which a percentile is no percentile of hundredths."""


@lru_cache(maxsize=1)
def distractors() -> tuple[str, ...]:
    """The 600 words and short phrases that ship with the pack."""
    return tuple(lines_of(Path(__file__).with_name("distractors.txt").read_text("utf-8")))


class Bank:
    """The distractors in one encoder's space, embedded once.

    words: V of them. directions: [V, D] float32 on the CPU, unit, centred as the space centres text.
    """

    def __init__(self, encoder: Encoder):
        self.space, self.words = encoder.space, distractors()
        known = encoder.space.vocabulary
        # kept for good, so they must not be born under a host's inference mode
        with torch.inference_mode(False), torch.no_grad():
            rows = known.embeddings if known is not None and known.words == self.words else embedded(list(self.words), encoder.text)
            self.directions = normalize(encoder.space.centre(rows, "text"), dim=-1)

    def rivals(self, concept: Concept) -> tuple[list[str], Tensor]:
        """What a medium of `concept` could as well be of: (K names, [K, D] unit directions), K of 500 or more.

        Of a single leaf, every distractor. Of a sum or difference, as many of the same form: the concept's weights on other
        words. Distractors that share a word with the concept, in singular or plural, are no rivals of it.
        SpaceMismatch for a concept of another space; ValueError for one that names so many distractors that fewer remain.
        """
        self.space.require(concept.space)
        rows = self.apart(str(concept))
        if len(concept.operands) < 2:
            return [self.words[row] for row in rows], self.directions[rows]
        # drawn from the text, so that every render of a target meets the same rivals
        rng = torch.Generator().manual_seed(zlib.crc32(str(concept).encode()))
        drawn = torch.rand(len(rows), len(rows), generator=rng).topk(len(concept.operands), dim=1).indices
        weights = torch.tensor([operand.weight for operand in concept.operands])
        sums = (self.directions[rows][drawn] * weights[:, None]).sum(1)
        return [", ".join(self.words[rows[i]] for i in picked) for picked in drawn.tolist()], normalize(sums, dim=-1)

    def apart(self, text: str) -> list[int]:
        """The rows of the distractors that share no word with a text, in singular or plural: `FEWEST` or more, else ValueError."""
        own = stems(text)
        rows = [row for row, word in enumerate(self.words) if not own & stems(word)]
        if len(rows) < FEWEST:
            raise ValueError(f"'{text}' leaves {len(rows)} of {len(self.words)} distractors, expected {FEWEST} or more to stand out from")
        return rows
