"""Whether an edit does what it says: take one word away, put another in, keep the rest.

Every two picture names that differ in one word give an expression, `image(yellow heart) - yellow + purple`, once from the
picture and once from its name as text. The edited concept's nearest picture is shown to a classifier that took no part in
the edit. An edit succeeds when the classifier finds the removed word less, the added word more, and the kept words as before.
The same expressions are done on codes and on dense vectors. A weight means less on codes, where a difference is truncated, so
each way is judged at weight 1, as people write it, and at the best weight of its own, chosen on other edits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..ops import features
from ..ops.concept import Concept
from ..ops.encoders.pocket import PocketEncoder, load
from ..ops.encoders.protocol import Embedding
from ..ops.features.dictionary import Dictionary
from ..ops.features.pursuit import Pursuit
from ..ops.written import Written
from .evaluation import held_out, judge

SEEN, MOVED = 95.0, 5.0
"""Percentile from which the classifier sees a word in a picture, and by how much one must change to have changed."""
WEIGHTS = (0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
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
    """Pictures that the encoder never saw, how it sees them, and which words the classifier finds in each."""

    @torch.no_grad()
    def __init__(self, encoder: PocketEncoder):
        self.encoder = encoder
        shown = held_out()
        pixels, self.names = shown.pixels.float() / 255, list(shown.names)
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
        if not {goes, comes, *kept} <= self.index.keys() or not all(word[0].isalpha() for word in (goes, comes)):
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


def interval(success: Tensor, pictures: Tensor, draws: int = 2000) -> tuple[float, float, float]:
    """The mean of a success or a difference of two [n], and the ends of its 95 % interval: a bootstrap over pictures, for the
    edits of one picture succeed or fail together."""
    rng = torch.Generator().manual_seed(0)
    _, cluster = pictures.unique(return_inverse=True)
    count = int(cluster.max()) + 1
    sums = torch.zeros(count).index_add(0, cluster, success.float())
    sizes = torch.zeros(count).index_add(0, cluster, torch.ones(len(success)))
    drawn = torch.randint(count, (draws, count), generator=rng)
    means = sums[drawn].sum(1) / sizes[drawn].sum(1)
    low, high = means.quantile(torch.tensor([0.025, 0.975])).tolist()
    return success.float().mean().item(), low, high


@dataclass(frozen=True)
class Way:
    """Arithmetic on codes over a dictionary, with this much of the residuals, or dense; what a subtracted word counts; and
    whether codes are thrown away once the residuals are."""

    dictionary: Dictionary | None
    residual: float = 1.0
    subtracted: float = 1.0
    forgotten: bool = False

    def taken(self, concept: Concept) -> Concept:
        if not self.dictionary:
            return concept
        coded = concept.decomposed(self.dictionary, self.residual)
        return replace(coded, code=None) if self.forgotten else coded


def edited(gallery: Gallery, edits: list[Edit], source: str, way: Way) -> Callable[[float], list[Concept]]:
    """`source + weight * (comes - goes)` of every edit, for a weight."""
    words: dict[str, Concept] = {}

    def word(text: str) -> Concept:
        if text not in words:
            words[text] = way.taken(Concept.from_text(text, gallery.encoder))
        return words[text]

    def start(picture: int) -> Concept:
        if source == "text":
            return word(gallery.names[picture])
        return way.taken(Concept.from_embedding(gallery.embeddings[picture], gallery.encoder.space, Written(f"picture {picture}")))

    starts = {picture: start(picture) for picture in {edit[0] for edit in edits}}
    return lambda weight: [starts[p] + (weight * word(comes) - weight * way.subtracted * word(goes)) for p, goes, comes, _ in edits]


def crossed(found: dict[float, Tensor], pictures: Tensor) -> Tensor:
    """Success of every edit at the weight that does best on the other half of the pictures, so that no edit chose its own."""
    halves = [pictures % 2 == side for side in (0, 1)]
    best = [max(found, key=lambda weight: found[weight][half].float().mean().item()) for half in halves]
    return torch.where(halves[0], found[best[1]], found[best[0]])


def run(quick: bool) -> tuple[list[list[str]], dict[str, float | int]]:
    """A table of every source, weight and way; figures over both sources, at weight 1 and at the best weight of each way
    (`_at_best`), with the ends of their intervals; and the paired difference of features and dense arithmetic."""
    gallery = Gallery(load())
    edits = gallery.edits()
    edits = edits[:: len(edits) // 100] if quick else edits
    learned = features.load(features.POCKET, gallery.encoder)[1]
    ways = {"dense": Way(None), "feature": Way(learned, residual=0.0)}
    if not quick:  # other features, and what is behind the difference
        words = Pursuit(gallery.encoder.space)
        ways |= {
            "word": Way(words, residual=0.0),
            "feature_with_residual": Way(learned),
            "dense_named_part": Way(learned, residual=0.0, forgotten=True),
            "dense_named_part_subtracting_half": Way(learned, residual=0.0, subtracted=0.5, forgotten=True),
            "dense_subtracting_half": Way(None, subtracted=0.5),
        }
    rows = [["way", "source", "weight", "success", "95 %", "fell", "rose", "stayed", "named right"]]
    pictures = torch.tensor([edit[0] for edit in edits])
    figures: dict[str, float | int] = {"n": 2 * len(edits)}
    found: dict[str, Tensor] = {}
    for name, way in ways.items():
        written, best = [], []
        for source in ("image", "text"):
            made = edited(gallery, edits, source, way)
            outcomes = {weight: gallery.outcome(edits, made(weight)) for weight in (WEIGHTS[2::2] if quick else WEIGHTS)}
            for weight, outcome in outcomes.items():
                parts = [f"{part.float().mean():.3f}" for part in (outcome.fell, outcome.rose, outcome.stayed, outcome.named)]
                rate, low, high = interval(outcome.success, pictures)
                rows.append([name, source, f"{weight:g}", f"{rate:.3f}", f"{low:.3f}..{high:.3f}", *parts])
            written.append(outcomes[1.0].success)
            best.append(crossed({weight: outcome.success for weight, outcome in outcomes.items()}, pictures))
        found |= {f"{name}_success": torch.cat(written), f"{name}_success_at_best": torch.cat(best)}
    for end in ("", "_at_best"):
        more = found[f"feature_success{end}"].float() - found[f"dense_success{end}"].float()
        found[f"feature_less_dense{end}"] = more
    for called, success in found.items():
        figures |= dict(zip((called, f"{called}_low", f"{called}_high"), interval(success, pictures.repeat(2))))
    return rows, figures
