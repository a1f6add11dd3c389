"""The cards of everything that one run made of a concept, with whether its outputs belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from ..concept import Concept
from ..encoders.decoded import Played, embed
from ..encoders.protocol import Embedding, Encoder
from ..features.dictionary import Dictionary
from ..render import Render
from ..space import Modality
from .agreement import Agreement
from .card import Card
from .distractors import Bank
from .judgement import Court, unjudged
from .measure import agreements, card_of

PHRASE = unjudged("text", "a phrase is words").verdict
"""Of a composed phrase."""
Output = tuple[Render, Embedding, Played]


def cards_of(
    outputs: Sequence[Output],
    concept: Concept,
    encoder: Encoder,
    bank: Bank,
    courts: Sequence[Court] = (),
    phrase: tuple[str, Embedding] | None = None,
    dictionary: Dictionary | None = None,
) -> tuple[list[Card], list[Agreement]]:
    """(a card of each render, in their order; the agreements of the phrase with the honest renders).

    outputs: renders with their embeddings by the encoder that they were made with; bank: of its space. phrase: what the concept
    reads as, with its embedding. Each card has the agreements of its render with the others of its track and with the phrase: by the
    encoder itself, and by every court that embeds two of them or more. A render is judged by the first court that can see it.
    """
    cards, said = [], []
    for track in dict.fromkeys(made.track for made, _, _ in outputs):
        own = {played.modality: (made, embedding, played) for made, embedding, played in outputs if made.track == track}
        found = agreed(own, concept, encoder, bank, courts, phrase, dictionary)
        said += [each for each in found if "text" in each.modalities and track == "honest"]
        for made, _, played in own.values():
            mine = [each for each in found if made.modality in each.modalities]
            cards.append(card_of(made, concept, played, _court(courts, made.modality), agreed=mine))
    order = [(made.modality, made.track) for made, _, _ in outputs]
    return sorted(cards, key=lambda card: order.index((card.modality, card.track))), said


@torch.no_grad()
def agreed(
    own: Mapping[Modality, Output],
    concept: Concept,
    encoder: Encoder,
    bank: Bank,
    courts: Sequence[Court] = (),
    phrase: tuple[str, Embedding] | None = None,
    dictionary: Dictionary | None = None,
) -> list[Agreement]:
    """Of every two outputs of one concept, one of each modality: by the encoder that they were made with, then by every court that
    embeds two of them or more. The arguments are those of `cards_of`; none of what cannot be told."""
    seen = {modality: embedding for modality, (_, embedding, _) in own.items()}
    if phrase:
        seen["text"] = phrase[1]
    found = list(_known(seen, concept, bank, encoder, dictionary))
    for court in courts:
        known = {m: embed(court.encoder, played, made.media[None]) for m, (made, _, played) in own.items() if m in court.encoder.modalities}
        if phrase and "text" in court.encoder.modalities:
            known["text"] = court.encoder.text([phrase[0]])
        try:
            target = court.read(str(concept))
        except ValueError:
            # what it cannot read, the card's verdict already says
            continue
        found += _known(known, target, court.bank, encoder, None)
    return found


def _known(
    seen: Mapping[Modality, Embedding], concept: Concept, bank: Bank, encoder: Encoder, dictionary: Dictionary | None
) -> tuple[Agreement, ...]:  # fmt: skip
    try:
        return agreements(seen, concept, bank, encoder.space, dictionary)
    except ValueError:
        # a target that names most of the distractors, or is nothing in a judge's space, leaves nothing to stand out from
        return ()


def _court(courts: Sequence[Court], modality: Modality) -> Court | None:
    """The first that can see a modality; of none, the first, whose judgement says why there is no verdict."""
    return next((court for court in courts if modality in court.encoder.modalities), courts[0] if courts else None)
