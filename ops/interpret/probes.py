"""Linear probes: questions such as "is it an animal?" to a place in the space, learned from two lists of words or folders of media."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..atomic import write_bytes
from ..collection import Sample, Watch, collect, embedded
from ..encoders.protocol import Encoder
from ..evaluate.intervals import Interval, balanced_interval
from ..space import MODALITIES, Modality, Space, SpaceMismatch, finite
from ..weights import packed, unpacked
from .logistic import even, logistic, platt

FORMAT = "concept-algebra/probe/1"
WORDS = Path(__file__).parent / "words"
SHIPPED: dict[str, str] = {"animal": "an animal", "danger": "dangerous", "food": "food", "made": "made by people", "joy": "joyful"}
"""Probes whose word lists ship with the pack, and what each says of what is on its side."""
FOLDS, FEWEST = 5, 10
SURE = 0.8
"""Probability from which a side is named: right four times in five, by its own calibration."""
RIDGE = 1.0
"""On the pocket space, anything from .01 to 3 is right as often, held out, on all of `SHIPPED`: to two words in a hundred."""


@dataclass(frozen=True)
class Answer:
    """probability: that it is `what`, 0..1, at even odds. warning: why it may mean little; None where it is read as it was learned."""

    what: str
    probability: float
    warning: str | None

    @property
    def verdict(self) -> str:
        """On which side it is; undecided where the other one would be as much as one time in five."""
        if self.probability >= SURE:
            return self.what
        return f"not {self.what}" if 1 - self.probability >= SURE else f"undecided whether {self.what}"


@dataclass(frozen=True, eq=False)
class Probe:
    """A direction in a space with the score from which something counts as being on one side of it.

    what: what is said of the side where probabilities are high.
    space: id of the space; weight: [D] float32 on the CPU, of unit centred directions; bias, slope, offset: the probability is
    sigmoid(slope * (x @ weight + bias) + offset), the last two by Platt's method on held-out folds.
    modality: what it was trained on; counts: how many on each side.
    accuracy: balanced, each item told by a probe that never saw it (`FOLDS` folds), with its interval.
    """

    what: str
    space: str
    modality: Modality
    counts: tuple[int, int]
    accuracy: Interval
    bias: float
    slope: float
    offset: float
    weight: Tensor = field(repr=False)

    def probabilities(self, centred: Tensor, space: Space) -> Tensor:
        """[N] of vectors [N, D] in centred units of a space. SpaceMismatch for another; ValueError for another shape, or NaN."""
        if space.id != self.space:
            raise SpaceMismatch(self.space, space.id)
        if centred.dim() != 2 or centred.shape[1] != len(self.weight):
            raise ValueError(f"vectors have shape {tuple(centred.shape)}, expected (N, {len(self.weight)})")
        rows = normalize(finite(centred.detach().float().cpu(), "vectors"), dim=1)
        return torch.sigmoid(self.slope * (rows @ self.weight + self.bias) + self.offset)

    def answer(self, centred: Tensor, modality: Modality, space: Space) -> Answer:
        """What it says of one vector [D] in centred units, that comes from a modality. Errors as `probabilities`."""
        return Answer(self.what, float(self.probabilities(centred[None], space)[0]), self.warning(modality, space))

    def warning(self, modality: Modality, space: Space) -> str | None:
        """Why its answers of a modality may mean little."""
        told = []
        if self.accuracy.low <= 0.5:
            told.append(f"held out, it is right in {self.accuracy.estimate:.0%} (from {self.accuracy.low:.0%}): it may only be guessing")
        if modality != self.modality:
            told.append(f"it was trained on {self.modality} and reads {modality} here: its probability there was not measured")
            if lacking := sorted({modality, self.modality}.difference(space.means)):
                told.append(f"the space does not know where its {' and '.join(lacking)} embeddings are centred")
        return "; ".join(told) or None

    def save(self, path: str | os.PathLike) -> None:
        """Write it to one safetensors file, atomically. Raises OSError with one line when the file cannot be written."""
        facts = {name: value for name, value in asdict(self).items() if name != "weight"}
        write_bytes(path, packed({"weight": self.weight}, {"format": FORMAT, "probe": json.dumps(facts)}))

    @classmethod
    def load(cls, path: str | os.PathLike) -> Probe:
        """Read what `save` wrote. ValueError for any other file, OSError for one that is not there."""
        tensors, metadata = unpacked(path, FORMAT, "a probe")
        try:
            facts = json.loads(metadata["probe"])
            weight = finite(tensors["weight"], "weight")
            if weight.dim() != 1 or facts["modality"] not in MODALITIES:
                raise ValueError(f"a weight of shape {tuple(weight.shape)} of {facts['modality']}")
            numbers = {name: float(facts[name]) for name in ("bias", "slope", "offset")}
            counts = tuple(map(int, facts["counts"]))
            return cls(str(facts["what"]), str(facts["space"]), facts["modality"], counts, Interval(**facts["accuracy"]), **numbers, weight=weight)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{path} is a damaged probe: {error!r}; train it again") from error


def train(what: str, yes: Tensor, no: Tensor, modality: Modality, space: Space) -> Probe:
    """A probe that tells vectors [N, D] from [M, D], both in centred units of a space and of one modality.

    Nothing is drawn at random: the folds take every fifth row of each side, so that the rows' order should mean nothing.
    ValueError for fewer than `FEWEST` of a side, for another shape, and for NaN.
    """
    for name, rows in (("yes", yes), ("no", no)):
        if rows.dim() != 2 or rows.shape[1] != space.dimension or len(rows) < FEWEST:
            raise ValueError(f"'{name}' has shape {tuple(rows.shape)}, expected {FEWEST} or more rows of {space.dimension}")
        finite(rows, f"'{name}'")
    with torch.inference_mode(False), torch.no_grad():
        x = normalize(torch.cat([yes, no]).detach().float().cpu(), dim=1)
        positive = torch.arange(len(x)) < len(yes)
        fold = torch.cat([torch.arange(len(yes)), torch.arange(len(no))]) % FOLDS
        scores = torch.empty(len(x), dtype=torch.float64)
        for held in range(FOLDS):
            seen = fold != held
            w, b = logistic(x[seen], positive[seen].double(), even(positive[seen]), RIDGE)
            scores[~seen] = x[~seen].double() @ w + b
        right = (scores > 0) == positive
        sides = [(int(right[side].sum()), int(side.sum())) for side in (positive, ~positive)]
        slope, offset = platt(scores, positive)
        w, b = logistic(x, positive.double(), even(positive), RIDGE)
        return Probe(what, space.id, modality, (len(yes), len(no)), balanced_interval(*sides), b, slope, offset, w.float())


def from_sources(
    what: str, yes: str | os.PathLike, no: str | os.PathLike, encoder: Encoder, watch: Watch = lambda *_: None
) -> Probe:
    """A probe from two sources of one modality, each a text file with a word a line or a folder of pictures, sounds or clips.

    watch: as `collection.embedded` has it. ValueError as `collect` for what they hold, when they hold different modalities, and for
    an item that is on both sides.
    """
    samples = [_only(collect([source], encoder), source) for source in (yes, no)]
    kinds = [sample.modality for sample in samples]
    if kinds[0] != kinds[1]:
        raise ValueError(f"{yes} holds {kinds[0]} and {no} holds {kinds[1]}, expected two sides of one modality")
    if both := sorted(set(samples[0].items) & set(samples[1].items)):
        raise ValueError(f"'{both[0]}' is on both sides, in {yes} and in {no}")
    sides = []
    for sample in samples:
        items = tuple(dict.fromkeys(sample.items))
        rows = [pooled.float().cpu() for _, pooled in embedded(encoder, sample.modality, items, watch)]
        sides.append(encoder.space.centre(torch.cat(rows), sample.modality) if rows else torch.empty(0, encoder.space.dimension))
    return train(what, *sides, kinds[0], encoder.space)


def shipped(name: str, encoder: Encoder) -> Probe:
    """The probe of a name in `SHIPPED`, trained on the words that ship with the pack. ValueError for another name."""
    if name not in SHIPPED:
        raise ValueError(f"there is no probe '{name}', expected one of {', '.join(SHIPPED)}")
    return from_sources(SHIPPED[name], WORDS / f"{name}.yes.txt", WORDS / f"{name}.no.txt", encoder)


def every_shipped(encoder: Encoder) -> tuple[Probe, ...]:
    """All of `SHIPPED`, in their order: several hundred words are embedded and five probes trained."""
    return tuple(shipped(name, encoder) for name in SHIPPED)


def _only(samples: list[Sample], source: str | os.PathLike) -> Sample:
    if len(samples) != 1:
        raise ValueError(f"{source} holds {' and '.join(sample.modality for sample in samples)}, expected media of one modality")
    return samples[0]
