"""The cards of everything that one run made of a concept, with whether its outputs belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ..concept import Concept
from ..encoders.decoded import Played
from ..encoders.protocol import Embedding, Encoder
from ..features.dictionary import Dictionary
from ..render import Render
from ..space import Modality
from .agreement import Agreement
from .card import Card
from .distractors import Bank
from .judgement import Court
from .measure import agreements, card_of, card_of_phrase, stability_seen

Output = tuple[Render, Embedding, Played]


@torch.no_grad()
def cards_of(
    outputs: Sequence[Output],
    concept: Concept,
    encoder: Encoder,
    bank: Bank,
    courts: Sequence[Court] = (),
    phrase: tuple[str, Embedding] | None = None,
    dictionary: Dictionary | None = None,
    seed: int = 0,
) -> list[Card]:
    """A card of each modality and track, in the order they come in, and last one of the phrase, where there is one.

    outputs: renders with their embeddings by the encoder that they were made with; of those of one modality and track, which differ
    in their seeds, the first gets the card, and the others say how stable it is. bank: of that encoder's space. phrase: what the
    concept reads as, with its embedding; seed: for its card. Each card has the agreements of its render with the others of its track
    and with the phrase, and the phrase's those with the honest renders: by the encoder itself, and by every court that embeds two
    of them or more. A render is judged by the first court that can see it.
    """
    own = _View(dict(enumerate(embedding for _, embedding, _ in outputs)), phrase and phrase[1])
    views = [_view(court, outputs, phrase) for court in courts]
    seeds: dict[tuple[Modality, str], list[int]] = {}
    for i, (made, _, _) in enumerate(outputs):
        seeds.setdefault((made.modality, made.track), []).append(i)
    agreed = {}
    for track in dict.fromkeys(track for _, track in seeds):
        shown = {modality: group[0] for (modality, of), group in seeds.items() if of == track}
        agreed[track] = _agreed(own.of(shown), concept, bank, encoder, dictionary)
        for court, view in zip(courts, views):
            agreed[track] += _agreed(view.of(shown), _read(court, concept), court.bank, encoder)
    cards = []
    for (modality, track), group in seeds.items():
        made, _, played = outputs[group[0]]
        court, seen = next(((court, view.seen) for court, view in zip(courts, views) if group[0] in view.seen), (next(iter(courts), None), {}))
        stable = None
        if len(group) > 1:
            judged = [seen[i] for i in group] if seen else []
            stable = stability_seen([own.seen[i] for i in group], concept, encoder.space, court, judged, dictionary)
        mine = [each for each in agreed[track] if modality in each.modalities]
        cards.append(card_of(made, concept, played, court, agreed=mine, stable=stable, seen=seen.get(group[0])))
    if phrase:
        said = [each for each in agreed.get("honest", []) if "text" in each.modalities]
        cards.append(card_of_phrase(phrase[0], concept, seed, courts, said))
    return cards


@dataclass(frozen=True)
class _View:
    """How one encoder sees what it can of the outputs, by their places, and the phrase."""

    seen: Mapping[int, Embedding]
    phrase: Embedding | None

    def of(self, places: Mapping[Modality, int]) -> dict[Modality, Embedding]:
        found = {modality: self.seen[i] for modality, i in places.items() if i in self.seen}
        return found | ({"text": self.phrase} if self.phrase else {})


def _view(court: Court, outputs: Sequence[Output], phrase: tuple[str, Embedding] | None) -> _View:
    known = court.encoder.modalities
    seen = {i: court.see(made.media[None], played) for i, (made, _, played) in enumerate(outputs) if made.modality in known}
    return _View(seen, phrase and court.encoder.text([phrase[0]]))


def _read(court: Court, concept: Concept) -> Concept | None:
    try:
        return court.read(str(concept))
    except ValueError:
        # what it cannot read, the card's verdict already says
        return None


def _agreed(
    seen: Mapping[Modality, Embedding], concept: Concept | None, bank: Bank, encoder: Encoder, dictionary: Dictionary | None = None
) -> list[Agreement]:  # fmt: skip
    try:
        return list(agreements(seen, concept, bank, encoder.space, dictionary)) if concept else []
    except ValueError:
        # a target that names most of the distractors, or is nothing in a judge's space, leaves nothing to stand out from
        return []
