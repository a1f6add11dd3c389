"""What an encoder that a render was not made with says of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..concept import Concept
from ..encoders.decoded import Rated, embed
from ..encoders.protocol import Embedding, Encoder
from ..expression import evaluate
from ..space import Modality, Space
from .distractors import Bank
from .score import Score, score
from .stems import repeated
from .verdict import Verdict, not_judged, recognition

_SIGLIP = "download google/siglip2-base-patch16-224 from Hugging Face (1.5 GB) and give its folder as a judge: with --judge, or in Load Judge"
_CLAP = "download laion/clap-htsat-unfused from Hugging Face (0.6 GB) and give its folder as a judge: with --judge, or in Load Judge"
GET: dict[Modality, str] = {"image": _SIGLIP, "audio": _CLAP, "video": _SIGLIP, "text": _SIGLIP}
"""How to get a judge, by what it is to judge."""
NEAREST = 5


@dataclass(frozen=True)
class Judgement:
    """A verdict with what it rests on.

    judge: id of the judge's space; None, like all that follows, where nothing was judged.
    nearest: of target and rivals, what the judge puts nearest to the medium, best first; of a phrase, what it puts nearest to the target.
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
        self._read: dict[str, Concept] = {}

    def read(self, expression: str, base_dir: str | os.PathLike | None = None) -> Concept:
        """An expression in the judge's space; of words alone it is evaluated once, while a file may have changed. Raises as
        `expression.evaluate`."""
        if expression in self._read:
            return self._read[expression]
        found = evaluate(expression, self.encoder, base_dir)
        if found.modalities == {"text"}:
            self._read[expression] = found
        return found

    def judge(self, expression: str, seen: Embedding, base_dir: str | os.PathLike | None = None) -> Judgement:
        """Judge one medium, as the judge has `see`n it, by an expression evaluated in the judge's space.

        Not judged, with the reason, where the judge cannot read the expression: a file of a modality that it lacks, a feature by
        name, which no other space has, or what comes out as zero there.
        """
        try:
            target = self.read(expression, base_dir)
            names, rivals = self.bank.rivals(target)
            directions = torch.cat([target.direction[None], rivals])
        except ValueError as error:
            return self._illegible(error)
        return self._found(directions @ self.direction(seen), [expression, *names])

    @torch.no_grad()
    def judge_phrase(self, expression: str, phrase: str, base_dir: str | os.PathLike | None = None) -> Judgement:
        """Judge a phrase that was composed for an expression: where it stands among the distractors by how near each is to the target.

        All that is compared is text, so a target that is a medium can be named too. Words that the phrase has from the expression
        (`repeated`) prove nothing, for any reader would put them first: what is judged is the rest of it, and the rule says so. Not
        judged where nothing else is left, nor where `judge` would not.
        """
        try:
            said, rest = repeated(phrase, expression)
            told = f"the target's own words ({', '.join(said)})"
            if not rest:
                return Judgement(not_judged(f"the phrase only repeats {told}, so that any judge would know it again", "read it yourself"))
            target = self.read(expression, base_dir).direction
            rows = self.bank.apart(f"{expression}, {phrase}")
        except ValueError as error:
            return self._illegible(error)
        words = [rest, *(self.bank.words[row] for row in rows)]
        own = self.direction(self.encoder.text([rest]))
        what = f"'{rest}', which is all that the phrase says beside {told}," if said else "the phrase"
        return self._found(torch.cat([own[None], self.bank.directions[rows]]) @ target, words, what)

    @torch.no_grad()
    def see(self, media: Tensor, rated: Rated) -> Embedding:
        """How the judge sees one medium [1, ...], of the modality and rate of `rated`."""
        return embed(self.encoder, rated, media)

    def direction(self, seen: Embedding) -> Tensor:
        """[D] on the CPU: the unit centred direction of what was seen."""
        return normalize(self.encoder.space.centre(seen.pooled, seen.modality)[0].float().cpu(), dim=-1)

    def _found(self, cosines: Tensor, words: Sequence[str], what: str = "the target") -> Judgement:
        found = score(cosines[0], cosines[1:])
        nearest = tuple(words[i] for i in cosines.topk(NEAREST).indices.tolist())
        return Judgement(recognition(found, what), self.encoder.space.id, found, nearest)

    def _illegible(self, error: ValueError) -> Judgement:
        told = str(error).partition("\n")[0]
        return Judgement(not_judged(f"the judge '{self.encoder.space.id}' cannot read the target: {told}", "write it in words"))


def unjudged(modality: Modality, court: Court | None = None) -> Judgement:
    """No judgement, without a judge or by one that cannot see the modality, and how to get one."""
    why = f"the judge '{court.encoder.space.id}' embeds {', '.join(sorted(court.encoder.modalities))}" if court else "no judge was given"
    return Judgement(not_judged(why, GET[modality]))
