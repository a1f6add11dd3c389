"""From renders to what their cards say."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor

from ..concept import Concept
from ..encoders.decoded import Rated, embed
from ..encoders.protocol import Embedding, Encoder
from ..features.dictionary import Dictionary
from ..interpret.readout import COMPOSED
from ..render import Render
from ..space import MODALITIES, Modality, Space
from .agreement import Agreement, agreement
from .card import Card
from .distractors import Bank
from .edit import edit_success
from .judgement import Court, unjudged
from .stability import DEPTH, Stability, stability


def card_of(
    made: Render,
    concept: Concept,
    rated: Rated,
    court: Court | None = None,
    base: Render | None = None,
    base_dir: str | os.PathLike | None = None,
    agreed: Sequence[Agreement] = (),
    stable: Stability | None = None,
    seen: Embedding | None = None,
) -> Card:
    """The card of a render of a concept in the space that it was optimised in.

    rated: its generator. court: without one, it is not judged. base: a render, made in the same way, of what an edit keeps
    (`edit.roles`). base_dir: where the expression's relative file names begin. seen: the render as the court sees it, where that is
    known already. ValueError for a base of another modality.
    """
    if base is not None and base.modality != made.modality:
        raise ValueError(f"the base is {base.modality}, and the render {made.modality}: expected one made in the same way")
    expression = str(concept)
    if court is None or made.modality not in court.encoder.modalities:
        judgement, edit = unjudged(made.modality, court), None
    else:
        seen = seen or court.see(made.media[None], rated)
        judgement = court.judge(expression, seen, base_dir)
        edit = edit_success(court, expression, seen, None if base is None else court.see(base.media[None], rated), base_dir)
    return Card(
        expression, made.modality, made.track, made.seed, concept.space.id, judgement, made.instruments, edit, tuple(agreed), stable
    )  # fmt: skip


def card_of_phrase(
    phrase: str, concept: Concept, seed: int, courts: Sequence[Court] = (), agreed: Sequence[Agreement] = ()
) -> Card:  # fmt: skip
    """The card of a phrase that was composed for a concept, judged by the first court that can. seed: of the renders beside it."""
    judged = [court.judge_phrase(str(concept), phrase) for court in courts]
    judgement = next((found for found in judged if found.score), judged[0] if judged else unjudged("text"))
    return Card(str(concept), "text", COMPOSED, seed, concept.space.id, judgement, agreement=tuple(agreed))


def agreements(
    outputs: Mapping[Modality, Embedding], concept: Concept, bank: Bank, made_with: Space, dictionary: Dictionary | None = None
) -> tuple[Agreement, ...]:
    """Of every two of a concept's outputs, in the order of `MODALITIES`; all embedded with one encoder, whose `bank` and concept
    these are. made_with: the space that the outputs were optimised in. Raises as `Bank.rivals` and `agreement`.
    """
    _, rivals = bank.rivals(concept)
    independent = bank.space.encoder_id != made_with.encoder_id
    centred = {m: bank.space.centre(outputs[m].pooled[0], m) for m in sorted(outputs, key=MODALITIES.index)}
    return tuple(
        agreement((centred[a], centred[b]), (a, b), concept.direction, rivals, bank.space.id, independent, dictionary)
        for a, b in combinations(centred, 2)
    )


@torch.no_grad()
def stability_of(
    renders: Sequence[Render],
    concept: Concept,
    encoder: Encoder,
    rated: Rated,
    court: Court | None = None,
    dictionary: Dictionary | None = None,
    base_dir: str | os.PathLike | None = None,
) -> Stability:
    """Of renders of one concept, two or more, that differ in their seeds only.

    ValueError for fewer, for two of one seed, and for different modalities.
    """
    if len(renders) < 2 or len({made.seed for made in renders}) < len(renders) or len({made.modality for made in renders}) > 1:
        raise ValueError("two or more renders of one modality from different seeds were expected")
    media = [made.media[None] for made in renders]
    seen = [court.see(each, rated) for each in media] if court and rated.modality in court.encoder.modalities else []
    return stability_seen([embed(encoder, rated, each) for each in media], concept, encoder.space, court, seen, dictionary, base_dir)


def stability_seen(
    embeddings: Sequence[Embedding],
    concept: Concept,
    space: Space,
    court: Court | None = None,
    seen: Sequence[Embedding] = (),
    dictionary: Dictionary | None = None,
    base_dir: str | os.PathLike | None = None,
) -> Stability:
    """The same of renders that are embedded already: by the encoder of `space`, which they were made with, and by the court
    (seen). ValueError for fewer than two."""
    centred = torch.stack([space.centre(each.pooled[0].float().cpu(), each.modality) for each in embeddings])
    judgements = [court.judge(str(concept), each, base_dir) for each in seen] if court else []
    scores = [judgement.score for judgement in judgements if judgement.score]
    features = [] if dictionary is None else [_strongest(row) for row in dictionary.encode(centred, embeddings[0].modality)]
    return stability(centred, space.id, scores, features)


def _strongest(code: Tensor) -> list[int]:
    """Indices of the features that are there, the strongest first, `DEPTH` at most."""
    order = code.sort(descending=True, stable=True)
    return [index for index, amount in zip(order.indices[:DEPTH].tolist(), order.values[:DEPTH].tolist()) if amount > 0]
