"""Whether a feature's name is true: texts that say the name have to fire it, and another feature's name must not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..encoders.protocol import Embedding, Encoder
from ..encoders.vocabulary import embedded
from ..runtime import rng

TEMPLATES = ("a photo of {}", "a drawing of {}", "the sound of {}", "a clip of {}", "this is about {}")
"""What makes texts of a name. The bare name is left out: a name is chosen by it."""
PHRASES = 5
"""Vocabulary phrases with the name in them that count as texts of it, at most."""
STRANGERS = 200
"""Random vocabulary words that must fire the feature less."""
PASSES = 0.9
"""The area under the curve from which a name passes."""
FEATURES = 64
"""Features whose texts are looked at at once."""


def auc(positive: Tensor, negative: Tensor) -> Tensor:
    """The chance that a random one of the positives [..., P] exceeds a random one of the negatives [..., N], ties counting
    half: the area under the ROC curve [...], which is Mann and Whitney's U over P * N. ValueError without either."""
    if not positive.shape[-1] or not negative.shape[-1]:
        raise ValueError(f"{positive.shape[-1]} positives and {negative.shape[-1]} negatives, expected one or more of each")
    above = positive[..., :, None] - negative[..., None, :]
    return ((above > 0).float() + 0.5 * (above == 0).float()).mean((-2, -1))


@dataclass(frozen=True, eq=False)
class Detection:
    """Of n named features: auc [n] for texts of its own name, shuffled [n] for texts of another feature's, against the same
    strangers; 0..1. The mean of `shuffled` is near a half unless all features fire alike."""

    auc: Tensor
    shuffled: Tensor

    @property
    def passing(self) -> Tensor:
        """[n] bool: its own name exceeds `PASSES`, and the other one does not."""
        return (self.auc > PASSES) & ~(self.shuffled > PASSES)

    @property
    def share(self) -> float:
        """The share of features that pass."""
        return float(self.passing.float().mean())

    def __str__(self) -> str:
        means = f"mean AUC {float(self.auc.mean()):.3f}, {float(self.shuffled.mean()):.3f} with names shuffled"
        return f"{self.share:.1%} of {len(self.auc)} names pass; {means}"


@torch.no_grad()
def detection(
    words: Sequence[str], features: Sequence[int], respond: Callable[[Tensor], Tensor], encoder: Encoder, seed: int = 0,
    watch: Callable[[], None] = lambda: None,
) -> Detection:  # fmt: skip
    """Try the words as names of features, two or more, each word by `TEMPLATES` and by vocabulary phrases that contain it.

    features: which column of a response each word names.
    respond: centred text vectors [N, D] -> responses [N, m], signed and dense where there is a choice: before the gate of an
        autoencoder, for a gate hides how near a miss was.
    seed: of the strangers and of the shuffle, which leaves no name in its place.
    watch: is called before every batch of texts that is embedded and every `FEATURES` tried; it may raise to stop.
    ValueError for fewer than two names, as many features, or no vocabulary.
    """
    space, vocabulary = encoder.space, encoder.space.vocabulary
    if len(words) < 2 or len(words) != len(features):
        raise ValueError(f"{len(words)} words for {len(features)} features, expected two or more, a word each")
    if vocabulary is None:
        raise ValueError(f"space '{space.id}' has no vocabulary to draw strangers from")
    draw, columns = rng(seed), torch.tensor(list(features))
    order = torch.randperm(len(words), generator=draw)
    other = torch.empty_like(order).scatter(0, order, order.roll(1))
    strangers = vocabulary.embeddings[torch.randperm(len(vocabulary), generator=draw)[:STRANGERS]]
    quiet = respond(space.centre(strangers, "text"))[:, columns].T

    def text(batch: list[str]) -> Embedding:
        watch()
        return encoder.text(batch)

    made = embedded([template.format(word) for word in words for template in TEMPLATES], text).unflatten(0, (len(words), -1))
    with_phrases = [torch.cat([texts, vocabulary.embeddings[phrases]]) for texts, phrases in zip(made, _phrases(words, vocabulary.words))]
    own, shuffled = torch.empty(len(words)), torch.empty(len(words))
    for start in range(0, len(words), FEATURES):
        watch()
        part = range(start, min(start + FEATURES, len(words)))
        responses = respond(space.centre(torch.cat([with_phrases[i] for i in part]), "text"))
        for i, response in zip(part, responses.split([len(with_phrases[i]) for i in part])):
            # the feature that is called by this word only in the control
            mistaken = int(other[i])
            own[i] = auc(response[:, columns[i]], quiet[i])
            shuffled[mistaken] = auc(response[:, columns[mistaken]], quiet[mistaken])
    return Detection(own, shuffled)


def rise(atoms: Tensor, names: Tensor, bases: Tensor, distractors: Tensor, strength: float = 1.0) -> Tensor:
    """How far adding each atom lifts its name among distractors [n], -1..1, the mean over bases.

    atoms, names: [n, D] unit rows, the directions of features and of their words. bases: [B, D] centred unit vectors that
    the atoms are added to, `strength` long. distractors: [K, D] unit directions of other words.
    A name's place is the share of distractors that lie farther from the vector than it does, ties counting half.
    """
    lifted = []
    for atom, name in zip(atoms, names):
        before, after = (auc((x @ name)[:, None], x @ distractors.T) for x in (bases, bases + strength * atom))
        lifted.append((after - before).mean())
    return torch.stack(lifted)


def _phrases(words: Sequence[str], entries: Sequence[str]) -> list[list[int]]:
    """Per word, the first `PHRASES` longer vocabulary entries that hold it as whole words; the commonest stand first."""
    padded = [(i, f" {entry} ") for i, entry in enumerate(entries) if " " in entry]
    return [[i for i, entry in padded if f" {word} " in entry and entry != f" {word} "][:PHRASES] for word in words]
