"""Where the embeddings of each modality lie: measured, kept in a file beside the encoder, and put into its space."""

from __future__ import annotations

import copy
import json
import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from .atomic import write_bytes
from .encoders.protocol import Encoder
from .space import MODALITIES, Modality, Space, SpaceMismatch, UncalibratedSpace, finite
from .weights import packed, unpacked

FORMAT = "concept-algebra/calibration/1"
ENDING = ".calibration.safetensors"
ROUGH = 300
"""Embeddings below which an estimate is called rough: its mean is off by a seventeenth of the radius or more."""

AnyEncoder = TypeVar("AnyEncoder", bound=Encoder)


class OtherSpace(SpaceMismatch):
    """A calibration file belongs to another encoder."""

    def __init__(self, path: str | os.PathLike, theirs: str, ours: str):
        ValueError.__init__(self, f"{path} was measured with the encoder '{theirs}', and this one is '{ours}': delete the file, and calibrate anew")


@dataclass(frozen=True, eq=False)
class Cloud:
    """Where the unit embeddings of one modality lie.

    mean: [D] float32 on the CPU, shorter than 1.
    radius: mean length of what is left of an embedding without the mean; 0..2, not 0.
    standard_error: root mean square distance of such a mean from the one that ever more media would give, estimated as
        the root mean square of those lengths over sqrt(count - 1); it assumes media drawn independently.
    count: how many embeddings were measured.
    source: what they were embeddings of, for a person to read.
    tower: fingerprint of the tower that made them, "" where that tells nothing more than the space's id.
    """

    mean: Tensor = field(repr=False)
    radius: float
    standard_error: float
    count: int
    source: str
    tower: str = ""

    def __post_init__(self):
        if self.mean.dim() != 1 or not self.mean.is_floating_point():
            raise ValueError(f"mean is {self.mean.dtype} of shape {tuple(self.mean.shape)}, expected one vector of floats")
        length = float(finite(self.mean, "mean").norm())
        if length >= 1:
            raise ValueError(f"mean has length {length:.3f}; a mean of unit vectors is shorter than 1")
        if not 0 < self.radius <= 2 or not 0 <= self.standard_error < float("inf") or self.count < 2:
            raise ValueError(
                f"radius {self.radius}, standard error {self.standard_error} and count {self.count} are not of unit vectors"
            )

    @property
    def rough(self) -> bool:
        """Whether it was measured on fewer than `ROUGH`."""
        return self.count < ROUGH

    def __str__(self) -> str:
        figures = f"|mean| {float(self.mean.norm()):.3f}, radius {self.radius:.3f}, standard error {self.standard_error:.3f}"
        return f"{self.count} measured, {figures}" + (f" (rough: {ROUGH} or more make a good estimate)" if self.rough else "")


def measured(batches: Iterable[Tensor], source: str) -> Cloud:
    """The cloud of unit embeddings that come in batches [B, D]; bit for bit the same however they are batched.

    A radius is about the mean, which is known only at the end, so the rows are kept until then: 4 * D bytes each, 300 MB
    for a hundred thousand. Sums over rows run in double precision, in numpy: no float64 tensor is made.
    Raises ValueError for fewer than two embeddings, NaN, rows that are not of unit length, or none that differ.
    """
    # kept for good, so nothing may be born under a host's inference mode
    with torch.inference_mode(False), torch.no_grad():
        kept = [finite(rows.detach().float().cpu(), f"an embedding of {source}") for rows in batches]
        count = sum(map(len, kept))
        if count < 2:
            raise ValueError(f"{source}: {count} embeddings have no spread, expected two or more")
        rows = torch.cat(kept).numpy()
        lengths = np.linalg.norm(rows, axis=1)
        # a tower in half precision is off by a thousandth
        if abs(lengths - 1).max() > 0.02:
            raise ValueError(f"embeddings of {source} have lengths {lengths.min():.3g}..{lengths.max():.3g}, expected unit vectors")
        mean = rows.mean(0, dtype=np.float64).astype(np.float32)
        away = np.linalg.norm(rows - mean, axis=1).astype(np.float64)
        if away.max() < 1e-4:
            raise ValueError(f"{source}: all {count} embeddings are the same, expected different media")
        error = float(np.sqrt(np.square(away).mean() / (count - 1)))
        return Cloud(torch.from_numpy(mean), float(away.mean()), error, count, source)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Clouds measured with one encoder.

    space: the `encoder_id` of its space, whatever calibration it had before.
    clouds: per measured modality; one at least.
    """

    space: str
    clouds: Mapping[Modality, Cloud]

    def __post_init__(self):
        if not self.clouds or self.clouds.keys() - set(MODALITIES):
            raise ValueError(f"a calibration of {sorted(self.clouds)}, expected one or more of {', '.join(MODALITIES)}")

    def merged(self, other: Calibration) -> Calibration:
        """Both, where `other` is the newer: what it measured replaces what was there. SpaceMismatch for another encoder."""
        if other.space != self.space:
            raise SpaceMismatch(self.space, other.space)
        return Calibration(self.space, {**self.clouds, **other.clouds})

    def save(self, path: str | os.PathLike) -> None:
        """Write it to one safetensors file, atomically. Raises OSError with one line when the file cannot be written."""
        facts = {
            modality: {"radius": cloud.radius, "standard_error": cloud.standard_error, "count": cloud.count, "source": cloud.source, "tower": cloud.tower}
            for modality, cloud in self.clouds.items()
        }
        metadata = {"format": FORMAT, "space": self.space, "clouds": json.dumps(facts)}
        write_bytes(path, packed({f"mean.{modality}": cloud.mean for modality, cloud in self.clouds.items()}, metadata))

    @classmethod
    def load(cls, path: str | os.PathLike, space: Space) -> Calibration:
        """Read what `save` wrote. OtherSpace (a SpaceMismatch) when it was measured with another encoder; ValueError for
        any other file, and OSError for one that is not there."""
        tensors, metadata = unpacked(path, FORMAT, "a calibration")
        if metadata.get("space") != space.encoder_id:
            raise OtherSpace(path, str(metadata.get("space")), space.encoder_id)
        try:
            facts = json.loads(metadata["clouds"])
            clouds = {modality: Cloud(tensors[f"mean.{modality}"], **fact) for modality, fact in facts.items()}
            found = cls(space.encoder_id, clouds)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{path} is a damaged calibration file: {error!r}; delete it, and calibrate anew") from error
        for modality, cloud in clouds.items():
            if len(cloud.mean) != space.dimension:
                raise ValueError(f"{path} is a damaged calibration file: its {modality} mean has {len(cloud.mean)} numbers, not {space.dimension}")
        return found

    def add_to(self, path: str | os.PathLike, space: Space) -> Calibration:
        """Write it into a file: what an earlier calibration there measured of other modalities stays. Returns both.

        A file that would say the same is left as it is. Raises what `load` and `save` raise.
        """
        whole = self
        if os.path.exists(path):
            earlier = Calibration.load(path, space)
            whole = earlier.merged(self)
            if space.calibrated(whole) == space.calibrated(earlier):
                return whole
        whole.save(path)
        return whole


def sidecar(path: str | os.PathLike) -> Path:
    """The calibration file that belongs to an encoder's file or folder: `x.calibration.safetensors` beside x.safetensors."""
    path = Path(path)
    stem = path.stem if path.suffix in (".safetensors", ".bin") else path.name
    return path.with_name(stem + ENDING)


def beside(path: str | os.PathLike, encoder: AnyEncoder) -> AnyEncoder:
    """The encoder with the calibration that lies beside its file; as it is without one.

    What was measured with towers that the encoder no longer has, and a file that is another encoder's or damaged, is left
    out with a warning: an encoder that does not load could not be calibrated anew.
    """
    file = sidecar(path)
    if not file.exists():
        return encoder
    try:
        found = Calibration.load(file, encoder.space)
    except ValueError as error:
        warnings.warn(f"{error}. It was left out", UncalibratedSpace, stacklevel=2)
        return encoder
    kept = {m: cloud for m, cloud in found.clouds.items() if cloud.tower == encoder.fingerprints.get(m, "")}
    if stale := sorted(found.clouds.keys() - kept.keys()):
        warnings.warn(f"{file} measured {' and '.join(stale)} with other towers than the encoder has now: calibrate anew", UncalibratedSpace, stacklevel=2)
    return calibrated(encoder, Calibration(found.space, kept)) if kept else encoder


def calibrated(encoder: AnyEncoder, calibration: Calibration) -> AnyEncoder:
    """The encoder, with shared weights, in its calibrated space. The one given stays as it is. Errors as `Space.calibrated`."""
    return moved(encoder, encoder.space.calibrated(calibration))


def moved(encoder: AnyEncoder, space: Space) -> AnyEncoder:
    """The encoder, with shared weights, in another calibration of its space. The one given stays as it is.

    Raises SpaceMismatch for a space of another encoder.
    """
    if space.encoder_id != encoder.space.encoder_id:
        raise SpaceMismatch(space.encoder_id, encoder.space.encoder_id)
    twin = copy.copy(encoder)
    twin.space = space
    return twin
