"""Whether an edit does what it says: take one word away, put another in, keep the rest.

Every two picture names that differ in one word give an expression, `image(yellow heart) - yellow + purple`, once from the
picture and once from its name as text. The edited concept's nearest picture is shown to a classifier that took no part in
the edit. An edit succeeds when the classifier finds the removed word less, the added word more, and the kept words as before.
The same expressions are done on codes and on dense vectors, at the same weights.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..ops.concept import CROSS_MODAL_STRENGTH, Concept
from ..ops.encoders.pocket import PocketEncoder, load
from ..ops.encoders.protocol import Embedding
from ..ops.features.dictionary import Dictionary
from ..ops.features.pursuit import Pursuit
from ..ops.written import Written
from .evaluation import held_out, judge

SEEN, MOVED = 95.0, 5.0
"""Percentile from which the classifier sees a word in a picture, and by how much one must change to have changed."""
WEIGHTS = (0.5, 1.0, 2.0, CROSS_MODAL_STRENGTH, 4.0)
Edit = tuple[int, str, str, frozenset[str]]
"""The picture, the word that goes, the word that comes, the words that stay."""


@dataclass(frozen=True)
class Outcome:
    """Per edit whether the removed word fell, the added rose, the kept stayed, and whether the top picture has the new name."""

    fell: Tensor
    rose: Tensor
    stayed: Tensor
    named: Tensor

    @property
    def success(self) -> Tensor:
        return self.fell & self.rose & self.stayed


class Gallery:
    """The pictures of an unseen style, how the encoder sees them, and which words the classifier finds in each."""

    @torch.no_grad()
    def __init__(self, encoder: PocketEncoder):
        self.encoder = encoder
        pixels, self.names = held_out().of("style", 10_000)
        parts = [encoder.image(part) for part in pixels.split(32)]
        self.embeddings = [
            Embedding(p.pooled[i : i + 1], p.tokens[i : i + 1], p.dense[i : i + 1], p.grid, "image") for p in parts for i in range(len(p.pooled))
        ]
        centred = encoder.space.centre(torch.cat([part.pooled for part in parts]), "image")
        self.directions = normalize(centred, dim=-1)
        model, answers = judge()
        words = sorted(set().union(*answers))
        self.index = {word: i for i, word in enumerate(words)}
        chances = torch.cat([model(part).softmax(-1) for part in pixels.split(64)])
        score = torch.stack([chances[:, [w in a for a in answers]].amax(1) for w in words], 1)
        # the share of all words that the classifier finds less likely in this picture; equal scores share the lowest
        self.percentile = torch.searchsorted(score.sort(dim=1).values, score) / score.shape[1] * 100

    def edits(self) -> list[Edit]:
        """Pairs of names a word apart whose words the classifier sees in the picture, and not yet the one to come."""
        spelt = [frozenset(name.split()) for name in self.names]
        known = set(spelt)
        found = []
        for picture, words in enumerate(spelt):
            for goes in sorted(words):
                kept = words - {goes}
                for other in sorted(known - {words}, key=sorted):
                    if kept and len(other) == len(words) and kept < other:
                        (comes,) = other - kept
                        found.append((picture, goes, comes, kept))
        return [edit for edit in found if self.visible(edit)]

    def visible(self, edit: Edit) -> bool:
        picture, goes, comes, kept = edit
        if not {goes, comes, *kept} <= self.index.keys():
            return False
        seen = self.percentile[picture]
        return all(seen[self.index[word]] >= SEEN for word in (goes, *kept)) and seen[self.index[comes]] < SEEN

    def outcome(self, edits: list[Edit], concepts: list[Concept]) -> Outcome:
        """What the classifier says of the picture nearest to each edited concept, against the one that was edited."""
        likeness = torch.stack([concept.direction for concept in concepts]) @ self.directions.T
        likeness[torch.arange(len(edits)), torch.tensor([edit[0] for edit in edits])] = -2
        fell, rose, stayed, named = [], [], [], []
        for (picture, goes, comes, kept), now in zip(edits, likeness.argmax(1).tolist()):
            change = self.percentile[now] - self.percentile[picture]
            fell.append(bool(change[self.index[goes]] < -MOVED))
            rose.append(bool(change[self.index[comes]] > 0 and self.percentile[now, self.index[comes]] >= SEEN))
            stayed.append(all(bool(change[self.index[word]] > -MOVED) for word in kept))
            named.append(set(self.names[now].split()) == kept | {comes})
        return Outcome(*(torch.tensor(rows) for rows in (fell, rose, stayed, named)))


def wilson(rate: float, count: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a rate (Wilson 1927)."""
    middle, spread = (rate + z * z / (2 * count)) / (1 + z * z / count), z / (1 + z * z / count)
    half = spread * (rate * (1 - rate) / count + z * z / (4 * count * count)) ** 0.5
    return middle - half, middle + half


def edited(gallery: Gallery, edits: list[Edit], source: str, weight: float, dictionary: Dictionary | None) -> list[Concept]:
    """`source + weight * (comes - goes)` of every edit, on codes where there is a dictionary."""
    space, words = gallery.encoder.space, {}

    def coded(concept: Concept) -> Concept:
        return concept.decomposed(dictionary) if dictionary else concept

    def word(text: str) -> Concept:
        if text not in words:
            words[text] = coded(Concept.from_text(text, gallery.encoder))
        return words[text]

    made = []
    for picture, goes, comes, _ in edits:
        if source == "image":
            start = coded(Concept.from_embedding(gallery.embeddings[picture], space, Written(f"picture {picture}")))
        else:
            start = word(gallery.names[picture])
        made.append(start + weight * (word(comes) - word(goes)))
    return made


def run(quick: bool) -> tuple[list[list[str]], dict[str, float | int]]:
    """A table of every source, weight and arithmetic; figures of the pocket's own features at the weights that are the
    default: `CROSS_MODAL_STRENGTH` for words on a picture, 1 among words."""
    gallery = Gallery(load())
    edits = gallery.edits()
    edits = edits[:: max(1, len(edits) // 200)] if quick else edits
    space = gallery.encoder.space
    ways: dict[str, Dictionary | None] = {"dense": None, "features": shipped(space), "words": Pursuit(space)}
    rows = [["source", "weight", "arithmetic", "success", "95 %", "fell", "rose", "stayed", "named right"]]
    chosen: dict[str, list[Tensor]] = defaultdict(list)
    for source, usual in (("image", CROSS_MODAL_STRENGTH), ("text", 1.0)):
        for weight in (usual,) if quick else WEIGHTS:
            for way, dictionary in ways.items():
                outcome = gallery.outcome(edits, edited(gallery, edits, source, weight, dictionary))
                rate = outcome.success.float().mean().item()
                low, high = wilson(rate, len(edits))
                parts = [f"{part.float().mean():.3f}" for part in (outcome.fell, outcome.rose, outcome.stayed, outcome.named)]
                rows.append([source, f"{weight:g}", way, f"{rate:.3f}", f"{low:.3f}..{high:.3f}", *parts])
                if weight == usual:
                    chosen[way].append(outcome.success)
    figures: dict[str, float | int] = {"n": 2 * len(edits)}
    for way, name in (("features", "feature"), ("dense", "dense"), ("words", "words")):
        rate = torch.cat(chosen[way]).float().mean().item()
        low, high = wilson(rate, 2 * len(edits))
        figures |= {f"{name}_success": rate, f"{name}_success_low": low, f"{name}_success_high": high}
    return rows, figures
