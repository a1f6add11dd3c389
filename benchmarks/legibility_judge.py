"""The judge encoder: how near a picture lies to an expression, in a space that no optimiser here has seen.

The judge's convolutions, and a map of its own from them to where two sentence models put the names of emoji (see
recipe/train_judge_encoder.py). It shares no weight, no text tower and no training run with the pocket encoder, and it learned
from other mixtures of picture styles; of the classifier it is no second witness, for they see with the same eyes. Expressions
are evaluated in its space as they are in the encoder's, by the same code.
"""

from __future__ import annotations

import json
import zlib
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..ops.concept import Concept
from ..ops.encoders.protocol import Embedding
from ..ops.expression import evaluate
from ..ops.pocket.judge import Judge
from ..ops.pocket.store import read
from ..ops.space import Modality, Space, fingerprint
from ..ops.weights import WeightsError, fill
from .evaluation import DATA

RIVALS = 500


class JudgeEncoder:
    """Pictures, and the phrases it has a place for, as embeddings of its own space.

    phrases: what `text` knows: the names of 1,644 emoji and the words of the benchmark's targets.
    unseen_tiles: which of `evaluation.held_out` no training of its weights has shown.
    """

    modalities: frozenset[Modality] = frozenset({"text", "image"})

    def __init__(self, net: Judge, phrases: list[str], table: Tensor, unseen_tiles: tuple[int, ...]):
        """net: pixels -> [B, D]. phrases: P, with their unit vectors table [P, D]."""
        self.net, self.phrases, self.unseen_tiles = net, phrases, unseen_tiles
        self._row = {phrase: i for i, phrase in enumerate(phrases)}
        self._table = table
        # the sentence models' means over the vocabulary are off the table already, and toward it pictures were learned
        clouds = {modality: torch.zeros(table.shape[1]) for modality in self.modalities}
        self.space = Space("judge-" + fingerprint({**net.state_dict(), "table": table}), table.shape[1], clouds)

    def text(self, texts: list[str]) -> Embedding:
        """ValueError for a phrase without a place."""
        if unknown := [text for text in texts if text not in self._row]:
            raise ValueError(f"the judge has no place for '{unknown[0]}', only for names of emoji and the words of targets")
        rows = self._table[[self._row[text] for text in texts]]
        return Embedding(rows, rows[:, None], rows[:, None], (1,), "text")

    def image(self, pixels: Tensor) -> Embedding:
        """Embed pixels [B, 3, H, W] in 0..1; any size, averaged down to 64 px inside."""
        rows = normalize(self.net(pixels), dim=-1)
        return Embedding(rows, rows[:, None], rows[:, None], (1, 1), "image")


@lru_cache(maxsize=1)
def judge_encoder() -> JudgeEncoder:
    """The judge encoder that ships with the benchmark. WeightsError when a file is missing or damaged, or when the map was
    learned from another judge."""
    eyes = {name: tensor for name, tensor in read("judge", DATA)[0].items() if name.startswith("features.")}
    tensors, metadata = read("judge_encoder", DATA)
    if metadata["judge"] != fingerprint(eyes):
        raise WeightsError("judge_encoder.safetensors was learned from another judge.safetensors: train it again with the recipe")
    table = normalize(tensors.pop("table").float(), dim=-1)
    net = fill(Judge.fitting({**eyes, **tensors}), {**eyes, **tensors}, "judge_encoder")
    return JudgeEncoder(net, json.loads(metadata["phrases"]), table, tuple(json.loads(metadata["unseen_tiles"])))


def rivals(concept: Concept, encoder: JudgeEncoder, count: int = RIVALS) -> Tensor:
    """Directions [K, D] of other targets that a picture of `concept` has to be told from.

    concept: an expression of one-word phrases in the encoder's space. The rivals of a single word are all other one-word
    names. Those of a sum or difference are `count` expressions of the same form in other words, and the words themselves
    that were added: a picture of a sum should be nearer to the sum than to either part.
    """
    words = [phrase for phrase in encoder.phrases if " " not in phrase]
    own = [operand.written for operand in concept.operands]
    places = encoder.text(words).pooled
    if len(own) == 1:
        return places[[word != own[0] for word in words]]
    # drawn from the text, so that every render of a target meets the same rivals
    rng = torch.Generator().manual_seed(zlib.crc32(str(concept).encode()))
    index = {word: i for i, word in enumerate(words)}
    truth = torch.tensor([index[word] for word in own])
    drawn = torch.rand(2 * count, len(words), generator=rng).topk(len(own), dim=1).indices
    drawn = drawn[(drawn.sort(1).values != truth.sort().values).any(1)][:count]
    weights = torch.tensor([operand.weight for operand in concept.operands])
    others = (places[drawn] * weights[:, None]).sum(1)
    return normalize(torch.cat([others, places[truth[weights > 0]]]), dim=-1)


@torch.no_grad()
def cosines(pixels: Tensor, expression: str, encoder: JudgeEncoder | None = None) -> Tensor:
    """How near pictures [B, 3, H, W] lie to an expression of words, in column 0, and to its K rivals: [B, 1 + K]."""
    encoder = encoder or judge_encoder()
    concept = evaluate(expression, encoder)
    return encoder.image(pixels).pooled @ torch.cat([concept.direction[None], rivals(concept, encoder)]).T


def percentile(cosines: Tensor) -> Tensor:
    """[B, 1 + K] -> [B] in 0..100: the share of rivals that lie farther than the target does; an equal one counts half."""
    target, others = cosines[:, :1], cosines[:, 1:]
    return 100 * ((others < target).float() + 0.5 * (others == target).float()).mean(1)


def nearest(cosines: Tensor) -> Tensor:
    """[B, 1 + K] -> [B] bool: whether no rival is as near as the target."""
    return (cosines[:, :1] > cosines[:, 1:]).all(1)
