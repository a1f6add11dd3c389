"""Names for learned features: where its decoder points and what fires it have to say the same word."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..runtime import rng
from ..space import Modality
from .dictionary import Dictionary

TOP = 40
"""Items of each feature that count as what fires it."""
ROWS = 2048
"""Vectors coded at once."""
FEATURES = 256
"""Features compared with the vocabulary at once: 20 MB with 20 thousand words."""
FEWEST = 2.5
"""Items below which nothing is said of a feature, the strongest counting one and others their share of it: three of about
one strength are enough."""
CAPTIONED = 0.05
"""What a nat of the captions' score weighs beside a cosine. Measured on 1435 media features of a pocket autoencoder: with
captions of every other top item, the best word is in .47 of the captions of the rest, and without any in .32."""
HEARD, FIRED, POINTED = 0.15, 0.25, 0.4
"""Scores from which the items count where the decoder agrees, from which they put a word forward alone, and from which the
decoder does. The mean of forty random items stays under .11 with its best word, 99 times of 100, and a mixture of 24 random
items, taken for a decoder row, under .41, 19 times of 20."""
CLOSE = 0.8
"""Share of the best word's score from which another agreed word may stand in for it."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What fires each of m features most, whatever its decoder says.

    direction: [m, D] mean of the unit vectors of its `TOP` strongest items, weighted by activation; zero without evidence.
    said: per feature, the vocabulary entries (by index) that the captions of these items hold more often than all captions
        do, each with its share of the items times the log of how many times more often, in nats.
    """

    direction: Tensor
    said: tuple[dict[int, float], ...]

    def shuffled(self, seed: int) -> Evidence:
        """A control: every feature with the evidence of another, drawn with a seed."""
        order = torch.randperm(len(self.said), generator=rng(seed)).tolist()
        return Evidence(self.direction[order], tuple(self.said[j] for j in order))


@dataclass(frozen=True)
class FeatureName:
    """What a feature is called, and why.

    name: unique among the features: a word, two routes agreeing; `word?` by one route alone; or `unnamed 7 (nearest: word)`.
    word: the vocabulary entry in it.
    routes: how many of the two routes put the word forward; 2 is agreed, 0 unnamed.
    confidence: 0..1, one over the geometric mean of the places that the two routes give the word among all entries: 1 when
        both put it first. 0 for an unnamed feature.
    others: runners-up, best first.
    """

    name: str
    word: str
    routes: int
    confidence: float
    others: tuple[str, ...]

    @property
    def agreed(self) -> bool:
        return self.routes == 2


@torch.no_grad()
def evidence(dictionary: Dictionary, data: Mapping[Modality, Tensor], captions: Mapping[Modality, Sequence[str]]) -> Evidence:
    """Gathered over probe items: centred vectors [N, D] of any modalities, a caption each ("" where there is none).

    Raises ValueError without items or where captions are not as many, and what `dictionary.encode` raises.
    """
    if not any(map(len, data.values())) or any(len(captions[modality]) != len(x) for modality, x in data.items()):
        counts = {modality: (len(x), len(captions[modality])) for modality, x in data.items()}
        raise ValueError(f"probe items and captions number {counts}, expected one item or more and a caption each")
    # kept for good, so nothing may be born under a host's inference mode
    with torch.inference_mode(False):
        best, where = _strongest(dictionary, data)
        weights = best / best[:, :1].clamp_min(torch.finfo(best.dtype).tiny)
        weights = weights * (weights.sum(1, keepdim=True) >= FEWEST)
        share = weights / weights.sum(1, keepdim=True).clamp_min(1)
        direction = torch.stack([a @ normalize(_taken(data, i), dim=1) for a, i in zip(share, where)])
        held = [_entries(dictionary.space.vocabulary.words, captions[modality]) for modality in data]
        return Evidence(direction, _said(share, where, [entries for part in held for entries in part]))


def named(dictionary: Dictionary, fired: Evidence) -> tuple[FeatureName, ...]:
    """A name for each of the m features.

    The decoder's route ranks the vocabulary by cosine with the atom, the items' route by cosine with what fires the feature
    plus `CAPTIONED` times what the captions said. A word that both have among their first sqrt(V / 180) agrees: two
    unrelated routes would do so for one feature in 180. Of agreed words the items' favourite is taken, or one `CLOSE` to it
    when a more confident feature has that name; else the name is numbered.

    Sources: the decoder's route as in Rao et al. 2024 (Discover-then-Name), the items' as in Oikarinen and Weng 2023
    (CLIP-Dissect), whose soft-WPMI with geometric means ranks words as this cosine does. Cosines with words are not
    standardised: that changed the share of agreed features by .003.
    ValueError when the evidence is of another number of features.
    """
    if fired.direction.shape != dictionary.atoms.shape:
        raise ValueError(f"evidence of shape {tuple(fired.direction.shape)} for atoms of shape {tuple(dictionary.atoms.shape)}, expected the same")
    found = [_Found(j, *scores, dictionary.space.vocabulary.words) for j, scores in enumerate(_scores(dictionary, fired))]
    names: dict[str, FeatureName] = {}
    by_feature: dict[int, FeatureName] = {}
    for one in sorted(found, key=lambda one: -one.confidence):
        name, word = one.called(names)
        others = tuple(other for other in one.order if other != word)[:4]
        by_feature[one.feature] = names[name] = FeatureName(name, word, one.routes, one.confidence, others)
    return tuple(by_feature[j] for j in range(len(found)))


class _Found:
    """What both routes say of one feature: pointed and fired [V], their scores of all words."""

    def __init__(self, feature: int, pointed: Tensor, fired: Tensor, words: tuple[str, ...]):
        first = max(1, math.isqrt(len(words) // 180))
        by_decoder, by_items = pointed.topk(first).indices.tolist(), fired.topk(first).indices.tolist()
        both = [i for i in by_items if i in by_decoder and fired[i] >= HEARD]
        if both:
            self.routes, order = 2, [*both, *by_items, *by_decoder]
        elif fired[by_items[0]] >= FIRED:
            self.routes, order = 1, [*by_items, *by_decoder]
        else:
            self.routes, order = int(pointed[by_decoder[0]] >= POINTED), [*by_decoder, *by_items]
        # of equals the last: a route that knows nothing puts no word forward
        places = (int((scores >= scores[order[0]]).sum()) for scores in (pointed, fired))
        self.confidence = 1 / math.sqrt(math.prod(places)) if self.routes else 0.0
        self.feature, self.order = feature, [*dict.fromkeys(words[i] for i in order)]
        self.agreed = [words[i] for i in both if fired[i] >= CLOSE * fired[both[0]]]

    def called(self, taken: Mapping[str, FeatureName]) -> tuple[str, str]:
        """(a name that is not taken, the word in it)."""
        word = self.order[0]
        if self.routes == 0:
            return f"unnamed {self.feature} (nearest: {word})", word
        if free := [agreed for agreed in self.agreed if agreed not in taken]:
            return free[0], free[0]
        name = word if self.agreed else f"{word}?"
        return next(n for n in chain([name], (f"{name} {i}" for i in count(2))) if n not in taken), word


def _scores(dictionary: Dictionary, fired: Evidence) -> Iterator[tuple[Tensor, Tensor]]:
    words = dictionary.space.word_directions
    for start in range(0, len(dictionary.atoms), FEATURES):
        part = slice(start, start + FEATURES)
        by_items = fired.direction[part] @ words.T
        for row, said in zip(by_items, fired.said[part]):
            for entry, nats in said.items():
                row[entry] += CAPTIONED * nats
        yield from zip(dictionary.atoms[part] @ words.T, by_items)


def _strongest(dictionary: Dictionary, data: Mapping[Modality, Tensor]) -> tuple[Tensor, Tensor]:
    """(activations, items) [m, at most TOP] that fire each feature most, items counted through all modalities."""
    width, start = len(dictionary.atoms), 0
    best, where = torch.zeros(width, 0), torch.zeros(width, 0, dtype=torch.long)
    for modality, x in data.items():
        for rows in x.split(ROWS):
            code = dictionary.encode(rows.float(), modality).detach()
            found = code.T.topk(min(TOP, len(rows)), dim=1)
            best, where = torch.cat([best, found.values], 1), torch.cat([where, found.indices + start], 1)
            best, kept = best.topk(min(TOP, best.shape[1]), dim=1)
            where, start = where.gather(1, kept), start + len(rows)
    return best, where


def _taken(data: Mapping[Modality, Tensor], items: Tensor) -> Tensor:
    """The vectors [n, D] of items that are counted through all modalities."""
    rows, start = torch.empty(len(items), next(iter(data.values())).shape[1]), 0
    for x in data.values():
        here = (items >= start) & (items < start + len(x))
        rows[here] = x[items[here] - start].float()
        start += len(x)
    return rows


def _entries(words: tuple[str, ...], captions: Sequence[str]) -> Iterator[set[int]]:
    """Per caption, the vocabulary entries that it holds as whole words."""
    index = {word: i for i, word in enumerate(words)}
    longest = max(len(word.split()) for word in words)
    for caption in captions:
        said = re.findall(r"[\w'-]+", caption.lower())
        runs = (" ".join(said[i : i + n]) for n in range(1, longest + 1) for i in range(len(said) - n + 1))
        yield {index[run] for run in runs if run in index}


def _said(share: Tensor, where: Tensor, held: list[set[int]]) -> tuple[dict[int, float], ...]:
    everywhere = Counter(entry for entries in held for entry in entries)
    scored = []
    for weights, items in zip(share.tolist(), where.tolist()):
        here: Counter[int] = Counter()
        for weight, item in zip(weights, items):
            here.update(dict.fromkeys(held[item], weight))
        times = {entry: part * len(held) / everywhere[entry] for entry, part in here.items()}
        scored.append({entry: here[entry] * math.log(more) for entry, more in times.items() if more > 1})
    return tuple(scored)
