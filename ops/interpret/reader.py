"""Reading an output back: the questions that are put to every output of one concept, and the bundle of their answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..concept import Concept
from ..encoders.decoded import Played
from ..encoders.protocol import Embedding, Encoder
from ..expression import evaluate
from ..features.dictionary import Dictionary
from ..grad import thawed
from ..space import Modality
from .attribution import Attribution, integrated_gradients, relevance, rollout
from .bundle import Bundle, Feature, Look, Word
from .detector import Detector, concept_detector, feature_detectors
from .probes import Probe, every_shipped
from .readout import COMPOSED
from .seen import see, tower_of

if TYPE_CHECKING:
    from ..render import Render
    from .readout import Composition

WORDS, FEATURES, PARTS = 12, 24, 3
"""How many are read: nearest words, strongest features, parts of the target that have a map of their own."""
NODES: dict[Modality, int] = {"image": 32, "audio": 32, "video": 8}
"""Of maps of integrated gradients. Eight leave them up to 4 % from adding up on the pocket's pictures and sounds; its clips, at eight
times the cost, they leave under 1 %. A bundle says how near its own came."""
Watch = Callable[[int, int, str], None]
"""Told before each map: how many there are, of how many, and what this one is of."""


class Reader:
    """What is asked of every output of a concept, with the encoder that they are made with.

    dictionary: names features; of a concept with a code, its own. probes: those that ship, unless they are given. The text tower is
    at work here and not later.
    SpaceMismatch for a dictionary of another space.
    """

    def __init__(self, concept: Concept, encoder: Encoder, dictionary: Dictionary | None = None, probes: Sequence[Probe] | None = None):
        self.concept, self.encoder = concept, encoder
        self.dictionary = concept.code.dictionary if concept.code else dictionary
        self.probes = every_shipped(encoder) if probes is None else probes
        self.target = None if self.dictionary is None else _shares(concept.decomposed(self.dictionary).code.amounts[0], concept.vector)
        self.parts = [] if concept.code else _words_of(concept, encoder)

    def render(
        self, made: Render, embedding: Embedding, played: Played, watch: Watch = lambda done, total, what: None,
        check: Callable[[], None] = lambda: None,
    ) -> Bundle:  # fmt: skip
        """The bundle of a render, embedded with the encoder.

        Its maps are integrated gradients of the target, relevance of each part (the target's strongest features where it has a
        code, else its words where it has several) and rollout. Needs the tower of its modality. check: called before each map, and
        before each pass through the tower within one that takes several; what it raises ends the reading.
        """
        looks = tuple(Look(step, tuple(Word(*word) for word in reading)) for step, _, reading in made.looks)
        maps, shown = self._maps(made.media, played, watch, check)
        return self._bundle(embedding, made.track, made.seed, looks, maps, shown)

    def phrase(self, said: Composition, embedding: Embedding, seed: int) -> Bundle:
        """The bundle of a composed phrase; its looks are the phrases that each round of the search kept."""
        looks = tuple(Look(i, tuple(Word(*kept) for kept in found)) for i, found in enumerate(said.rounds))
        return self._bundle(embedding, COMPOSED, seed, looks)

    def _bundle(
        self, embedding: Embedding, track: str, seed: int, looks: tuple[Look, ...], maps: Sequence[Attribution] = (), shown: Tensor | None = None
    ) -> Bundle:  # fmt: skip
        space, modality = self.encoder.space, embedding.modality
        centred = space.centre(embedding.pooled[0].detach().float().cpu(), modality)
        unit = normalize(centred, dim=0)
        near = space.word_directions @ unit
        best = near.topk(min(WORDS, len(near)))
        levels = (best.values - near.mean()) / near.std()
        words = tuple(Word(space.vocabulary.words[i], c, z) for i, c, z in zip(best.indices.tolist(), best.values.tolist(), levels.tolist()))
        answers = tuple(probe.answer(centred, modality, space) for probe in self.probes)
        name = None if self.dictionary is None else self.dictionary.id
        return Bundle(
            str(self.concept), modality, track, seed, space.id, float(unit @ self.concept.direction),
            words, looks, name, self._features(centred, modality), answers, tuple(maps), shown,
        )  # fmt: skip

    def _features(self, centred: Tensor, modality: Modality) -> tuple[Feature, ...]:
        if self.dictionary is None:
            return ()
        output = _shares(self.dictionary.encode(centred[None], modality)[0].float().cpu(), centred)
        either = torch.maximum(self.target, output)
        strongest = either.topk(min(FEATURES, len(either))).indices.tolist()
        return tuple(Feature(self.dictionary.names[j], float(self.target[j]), float(output[j])) for j in strongest if either[j] > 0)

    def _maps(
        self, media: Tensor, played: Played, watch: Watch, check: Callable[[], None]
    ) -> tuple[list[Attribution], Tensor | None]:  # fmt: skip
        if tower_of(self.encoder, played.modality) is None:
            return [], None
        seen = see(self.encoder, media[None], played)
        asked = self._detectors(played.modality)
        total, maps = len(asked) + 2, []

        def begin(what: str) -> None:
            check()
            watch(len(maps), total, what)

        begin(str(self.concept))
        maps += integrated_gradients(seen, [concept_detector(self.concept)], NODES[played.modality], check)
        # one at a time, so that each can be watched: what they share is one pass in dozens
        for detector in asked:
            begin(detector.name)
            maps += relevance(seen, [detector])
        begin("whatever is looked at")
        maps.append(rollout(seen))
        # kept for good, it must not be born under a host's inference mode
        return maps, thawed((seen.shown * 255).round().to(torch.uint8))

    def _detectors(self, modality: Modality) -> list[Detector]:
        if self.concept.code is None:
            return [concept_detector(part) for part in self.parts]
        strongest = self.target.topk(min(PARTS, len(self.target))).indices.tolist()
        return feature_detectors(self.dictionary, [j for j in strongest if self.target[j] > 0], modality)


def _shares(amounts: Tensor, vector: Tensor) -> Tensor:
    return amounts / vector.norm()


def _words_of(concept: Concept, encoder: Encoder) -> list[Concept]:
    """The heaviest words of a concept that has several operands; of one alone there is nothing but the whole to ask for."""
    words = sorted((o for o in concept.operands if o.modality == "text"), key=lambda o: -abs(o.weight))
    return [evaluate(operand.written, encoder) for operand in words[:PARTS]] if len(concept.operands) > 1 else []
