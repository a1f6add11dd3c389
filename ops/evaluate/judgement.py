"""What an encoder that a render was not made with says of it."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..concept import Concept
from ..encoders.decoded import Rated, embed
from ..encoders.protocol import Encoder
from ..expression import evaluate
from ..space import Modality, Space
from .distractors import Bank
from .score import Score, score
from .verdict import Verdict, not_judged, recognition

_SIGLIP = "download google/siglip2-base-patch16-224 from Hugging Face (1.5 GB) and give its folder as a judge: with --judge, or in Load Judge"
_CLAP = "download laion/clap-htsat-unfused from Hugging Face (0.6 GB) and give its folder as a judge: with --judge, or in Load Judge"
GET: dict[Modality, str] = {"image": _SIGLIP, "audio": _CLAP, "video": _SIGLIP, "text": "no judge reads text: read it yourself"}
"""How to get a judge, by what it is to judge."""
NEAREST = 5


@dataclass(frozen=True)
class Judgement:
    """A verdict with what it rests on.

    judge: id of the judge's space; None, like all that follows, where nothing was judged.
    nearest: of target and rivals, what the judge puts nearest, best first.
    """

    verdict: Verdict
    judge: str | None = None
    score: Score | None = None
    nearest: tuple[str, ...] = ()


class Court:
    """A judge's encoder with the distractors in its space, kept for all that it is to judge.

    made_with: the space that the renders were optimised in. ValueError when the judge's is the same, whatever the calibration:
    its numbers would be what the optimiser pushed up.
    """

    def __init__(self, encoder: Encoder, made_with: Space):
        made_with.require_judge(encoder.space)
        self.encoder, self.bank = encoder, Bank(encoder)
        self._read: dict[tuple[str, str | None], Concept] = {}

    def read(self, expression: str, base_dir: str | os.PathLike | None = None) -> Concept:
        """An expression in the judge's space, evaluated once. Raises as `expression.evaluate`."""
        key = expression, None if base_dir is None else os.fspath(base_dir)
        if key not in self._read:
            self._read[key] = evaluate(expression, self.encoder, base_dir)
        return self._read[key]

    def judge(self, expression: str, media: Tensor, rated: Rated, base_dir: str | os.PathLike | None = None) -> Judgement:
        """Judge one medium [1, ...], of the modality and rate of `rated`, by an expression evaluated in the judge's space.

        Not judged, with the reason, where the judge cannot see the medium or read the expression: a file of a modality that it
        lacks, a feature by name, which no other space has, or what comes out as zero there.
        """
        if rated.modality not in self.encoder.modalities:
            return unjudged(rated.modality, f"the judge '{self.encoder.space.id}' embeds {', '.join(sorted(self.encoder.modalities))}")
        try:
            target = self.read(expression, base_dir)
            names, rivals = self.bank.rivals(target)
            directions = torch.cat([target.direction[None], rivals])
        except ValueError as error:
            told = str(error).partition("\n")[0]
            return Judgement(not_judged(f"the judge '{self.encoder.space.id}' cannot read the target: {told}", "write it in words"))
        cosines = directions @ self.seen(media, rated)
        found = score(cosines[0], cosines[1:])
        said = [expression, *names]
        nearest = tuple(said[i] for i in cosines.topk(NEAREST).indices.tolist())
        return Judgement(recognition(found), self.encoder.space.id, found, nearest)

    @torch.no_grad()
    def seen(self, media: Tensor, rated: Rated) -> Tensor:
        """[D] on the CPU: the unit centred direction in which the judge sees one medium [1, ...]."""
        embedding = embed(self.encoder, rated, media)
        return normalize(self.encoder.space.centre(embedding.pooled, embedding.modality)[0].float().cpu(), dim=-1)


def unjudged(modality: Modality, why: str = "no judge was given") -> Judgement:
    """No judgement, and how to get one."""
    return Judgement(not_judged(why, GET[modality]))
