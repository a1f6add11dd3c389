"""A trained autoencoder as a dictionary of named features, and its file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..atomic import write_bytes
from ..calibration import AnyEncoder, moved
from ..space import CALIBRATED, MODALITIES, Modality, Space, SpaceMismatch, fingerprint, finite
from ..weights import packed, unpacked
from .sae import ANY, ROWS, SparseAutoencoder
from .statistics import Statistics, statistics

if TYPE_CHECKING:
    from .naming import FeatureName

FORMAT = "concept-algebra/sae/1"
MATRICES = ("encoder", "decoder")
"""Kept in half precision."""


@dataclass(frozen=True, eq=False)
class TrainedSAE:
    """A `Dictionary` whose atoms were learned.

    autoencoder: as a file keeps it (`SparseAutoencoder.rounded`). space: what its vectors are centred in.
    thresholds: per modality [m], and `ANY` for modalities it was not calibrated on.
    statistics: per modality that it was observed on. names: m, unique, not empty. confidence: [m], 0..1, of the names.
    metrics: whatever was measured, for JSON. towers: fingerprints, per modality, of the encoder's towers that can change
    while the space stays the same.

    ValueError for parts that do not fit each other.
    """

    autoencoder: SparseAutoencoder
    space: Space
    thresholds: Mapping[str, Tensor]
    statistics: Mapping[Modality, Statistics]
    names: tuple[str, ...]
    confidence: Tensor
    metrics: Mapping[str, Any] = field(default_factory=dict)
    towers: Mapping[Modality, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        width = self.autoencoder.width
        if self.autoencoder.dimension != self.space.dimension:
            raise ValueError(f"an autoencoder of dimension {self.autoencoder.dimension} does not fit '{self.space.id}' of {self.space.dimension}")
        if ANY not in self.thresholds or self.thresholds.keys() - {ANY, *MODALITIES}:
            raise ValueError(f"thresholds of {sorted(self.thresholds)}, expected '{ANY}' and any of {', '.join(MODALITIES)}")
        for name, threshold in self.thresholds.items():
            if tuple(threshold.shape) != (width,) or finite(threshold, f"{name} threshold").min() < 0:
                raise ValueError(f"the {name} threshold has shape {tuple(threshold.shape)}, expected {width} numbers, none negative")
        if self.statistics.keys() - set(MODALITIES) or any(len(found.examples) != width for found in self.statistics.values()):
            raise ValueError(f"statistics of {sorted(self.statistics)}, expected some of {', '.join(MODALITIES)}, of {width} latents each")
        if len(self.names) != width or len(set(self.names)) != width or not all(self.names):
            raise ValueError(f"{len(self.names)} names, {len(set(self.names))} of them different, expected {width} unique ones, none empty")
        if tuple(self.confidence.shape) != (width,) or not ((self.confidence >= 0) & (self.confidence <= 1)).all():
            raise ValueError(f"confidence has shape {tuple(self.confidence.shape)}, expected {width} numbers in 0..1")

    @classmethod
    def observed(
        cls,
        autoencoder: SparseAutoencoder,
        thresholds: Mapping[str, Tensor],
        space: Space,
        data: Mapping[Modality, Tensor],
        captions: Mapping[Modality, Sequence[str]],
        metrics: Mapping[str, Any] | None = None,
        towers: Mapping[Modality, str] | None = None,
    ) -> TrainedSAE:
        """A dictionary without names yet, with the statistics of centred vectors [N, D] per modality, a caption each."""
        seen = {m: statistics(autoencoder, thresholds.get(m, thresholds[ANY]), x, captions[m]) for m, x in data.items()}
        names = tuple(f"unnamed {j}" for j in range(autoencoder.width))
        with torch.inference_mode(False):
            confidence = torch.zeros(autoencoder.width)
        return cls(autoencoder, space, dict(thresholds), seen, names, confidence, metrics or {}, towers or {})

    def called(self, names: Sequence[FeatureName]) -> TrainedSAE:
        """The same dictionary with a name for each feature."""
        with torch.inference_mode(False):
            confidence = torch.tensor([name.confidence for name in names])
        return replace(self, names=tuple(name.name for name in names), confidence=confidence)

    @cached_property
    def id(self) -> str:
        """`sae-` and a fingerprint of all that a code depends on; names and statistics are no part of it."""
        parts = {"groups": torch.tensor(self.autoencoder.groups), **_weights(self.autoencoder)}
        parts |= {f"threshold.{name}": threshold for name, threshold in self.thresholds.items()}
        parts["space"] = torch.frombuffer(bytearray(self.space.id.encode()), dtype=torch.uint8)
        return f"sae-{fingerprint(parts)}"

    @property
    def atoms(self) -> Tensor:
        """[m, D] float32, the unit decoder rows."""
        return self.autoencoder.decoder

    def encode(self, x: Tensor, modality: Modality) -> Tensor:
        """Codes [N, m] of vectors [N, D] that come from one modality, in the space's centred units.

        Nonnegative and mostly zero; `autoencoder.decode(code)` plus what is left of x is x. Differentiable where a latent is
        on. Raises ValueError for another shape, NaN and an unknown modality.
        """
        if modality not in MODALITIES:
            raise ValueError(f"unknown modality '{modality}', expected one of {', '.join(MODALITIES)}")
        if x.dim() != 2 or x.shape[1] != self.autoencoder.dimension:
            raise ValueError(f"vectors have shape {tuple(x.shape)}, expected (N, {self.autoencoder.dimension})")
        threshold = self.thresholds.get(modality, self.thresholds[ANY])
        rows = finite(x, "vectors").to("cpu", torch.float32)
        return torch.cat([self.autoencoder.encode(part, threshold) for part in rows.split(ROWS)])

    def save(self, path: str | os.PathLike) -> None:
        """Write it to one safetensors file, atomically; equal dictionaries give equal bytes. OSError with one line."""
        tensors = {**_weights(self.autoencoder), "confidence": self.confidence}
        tensors |= {f"threshold.{name}": threshold for name, threshold in self.thresholds.items()}
        tensors |= {f"mean.{modality}": mean.float() for modality, mean in self.space.means.items()}
        for modality, seen in self.statistics.items():
            tensors |= {f"{name}.{modality}": getattr(seen, name) for name in ("rate", "maximum")} | {f"activation.{modality}": seen.mean}
        about = {
            "space": self.space.id,
            "radii": dict(self.space.radii),
            "groups": self.autoencoder.groups,
            "names": self.names,
            "counts": {modality: seen.count for modality, seen in self.statistics.items()},
            "examples": {modality: seen.examples for modality, seen in self.statistics.items()},
            "metrics": self.metrics,
            "towers": dict(self.towers),
        }
        write_bytes(path, packed(tensors, {"format": FORMAT, "about": json.dumps(about, sort_keys=True, ensure_ascii=False)}))

    @classmethod
    def load(cls, path: str | os.PathLike, encoder: AnyEncoder) -> tuple[AnyEncoder, TrainedSAE]:
        """(the encoder, calibrated as the dictionary's vectors were, and the dictionary) from what `save` wrote.

        The encoder comes back as it is when its space is the dictionary's already. Raises SpaceMismatch for a dictionary of
        another encoder or another tower of it, and as `read`.
        """
        found = cls.read(path)
        space = _joined(encoder.space, found.space)
        for modality, tower in found.towers.items():
            if encoder.fingerprints.get(modality, tower) != tower:
                theirs = found.space.id
                raise SpaceMismatch(f"{theirs} with the {modality} tower {tower}", f"{theirs} with {encoder.fingerprints[modality]}")
        return (encoder if encoder.space == space else moved(encoder, space)), replace(found, space=space)

    @classmethod
    def read(cls, path: str | os.PathLike) -> TrainedSAE:
        """What `save` wrote, without an encoder: its space has the means and radii, and no vocabulary.

        Raises ValueError for any other file and a folder, OSError for one that is not there.
        """
        if os.path.isdir(path):
            raise ValueError(f"{path} is a folder, expected a file that `concept-algebra sae train` wrote")
        tensors, metadata = unpacked(path, FORMAT, "a dictionary of features")
        try:
            about = json.loads(metadata["about"])
            _check(about)
            weights = [tensors["encoder"], tensors["encoder_bias"], normalize(tensors["decoder"], dim=-1), tensors["decoder_bias"]]
            seen = {}
            for modality, rows in about["examples"].items():
                figures = (tensors[f"{name}.{modality}"] for name in ("rate", "activation", "maximum"))
                seen[modality] = Statistics(*figures, tuple(map(tuple, rows)), about["counts"][modality])
            autoencoder, names = SparseAutoencoder(*weights, about["groups"]), tuple(about["names"])
            thresholds, metrics, towers = _named(tensors, "threshold"), about["metrics"], about["towers"]
            space = _space(about["space"], tensors, about["radii"])
            return cls(autoencoder, space, thresholds, seen, names, tensors["confidence"], metrics, towers)
        except (LookupError, TypeError, AttributeError, ValueError, RuntimeError, OverflowError) as error:
            raise ValueError(f"{path} is a damaged dictionary of features: {error!r}") from error


def _weights(autoencoder: SparseAutoencoder) -> dict[str, Tensor]:
    return {name: part.half() if name in MATRICES else part for name, part in autoencoder.state_dict().items()}


def _named(tensors: Mapping[str, Tensor], kind: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{kind}."): tensor for name, tensor in tensors.items() if name.startswith(f"{kind}.")}


def _check(about: Mapping[str, Any]) -> None:
    """Raise unless what nothing else looks at while a file is read is what `save` writes."""
    for part in ("metrics", "towers", "radii"):
        if not isinstance(about[part], dict):
            raise ValueError(f"its {part} are {about[part]!r}, expected an object")
    if about["towers"].keys() - set(MODALITIES) or not all(isinstance(tower, str) for tower in about["towers"].values()):
        raise ValueError(f"its towers are {about['towers']}, expected fingerprints of any of {', '.join(MODALITIES)}")
    captions = [caption for rows in about["examples"].values() for row in rows for caption in row]
    if not all(isinstance(text, str) for text in (about["space"], *about["names"], *captions)):
        raise ValueError("its space, names and examples are not all text")


def _space(name: str, tensors: Mapping[str, Tensor], radii: Mapping[Modality, float]) -> Space:
    means = cast("Mapping[Modality, Tensor]", _named(tensors, "mean"))
    if radii.keys() != means.keys():
        raise ValueError(f"it has radii of {sorted(radii)} and means of {sorted(means)}, expected the same modalities")
    space = Space(name, len(tensors["decoder_bias"]), means, radii)
    if CALIBRATED in name and space.centred_with(means, radii).id != name:
        raise ValueError(f"its means and radii are not those of '{name}'")
    return space


def _joined(ours: Space, theirs: Space) -> Space:
    """The space of a file, with the vocabulary of `ours`."""
    if ours == theirs:
        return ours
    if ours.encoder_id != theirs.encoder_id:
        raise SpaceMismatch(theirs.id, ours.id)
    return replace(theirs, vocabulary=ours.vocabulary)
