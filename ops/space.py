"""A joint embedding space: its identity and, per modality, where its cloud lies."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import normalize

if TYPE_CHECKING:
    from .calibration import Calibration

Modality = Literal["text", "image", "audio", "video"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
CALIBRATED = "+"
"""In a space's id, what stands between the encoder's part and the fingerprint of a calibration."""


class SpaceMismatch(ValueError):
    """Two things of different embedding spaces were brought together."""

    def __init__(self, left: str, right: str):
        anew = left.partition(CALIBRATED)[0] == right.partition(CALIBRATED)[0]
        advice = "the encoder was calibrated between them: encode both again" if anew else "encode both with one encoder"
        super().__init__(f"concepts of different spaces do not mix: '{left}' and '{right}'; {advice}")


class UncalibratedSpace(UserWarning):
    """Concepts of several modalities were combined, and the space does not know where one of them is centred."""


class Vocabulary:
    """Words with their text embeddings, computed at the first use.

    words: V words or short phrases.
    embeddings: [V, D] pooled text embeddings of the words (L2-normalised, not centred), or a function that returns them.
    """

    def __init__(self, words: list[str] | tuple[str, ...], embeddings: Tensor | Callable[[], Tensor]):
        self.words = tuple(words)
        self._embeddings = embeddings

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def embeddings(self) -> Tensor:
        """[V, D] float32 pooled text embeddings. ValueError when there is not one finite row a word."""
        # kept for good, so it must not be born under a host's inference mode: autograd could not use it later
        with torch.inference_mode(False), torch.no_grad():
            source = self._embeddings
            rows = (source() if callable(source) else source).detach().float().cpu()
        if rows.ndim != 2 or rows.shape[0] != len(self.words):
            raise ValueError(f"vocabulary of {len(self.words)} words has embeddings of shape {tuple(rows.shape)}")
        return finite(rows, "vocabulary embeddings")


@dataclass(frozen=True)
class Space:
    """An encoder's joint space. Two spaces are equal when their ids are.

    id: encoder name and weights fingerprint, for example `pocket-1f2e3d4c5b6a`; once `calibrated`, with a fingerprint of
        the means and radii behind a plus sign.
    dimension: D.
    means: per modality, the mean [D] of its unit embeddings; an absent one counts as zero.
    radii: per modality, the mean length of its embeddings after that mean is taken away; an absent one counts as 1.
    vocabulary: what `nearest` reads directions with.

    Arithmetic happens in centred units, (x - mean) / radius, never across raw embeddings: each modality's cloud
    sits around its own mean, and without this step the offset between clouds drowns what a sum should say
    (Liang et al. 2022, "Mind the Gap"; Zhang et al. 2024, "C3").
    """

    id: str
    dimension: int = field(compare=False)
    means: Mapping[Modality, Tensor] = field(default_factory=dict, compare=False, repr=False)
    radii: Mapping[Modality, float] = field(default_factory=dict, compare=False, repr=False)
    vocabulary: Vocabulary | None = field(default=None, compare=False, repr=False)

    def __post_init__(self):
        for modality, mean in self.means.items():
            _known(modality)
            if tuple(mean.shape) != (self.dimension,):
                raise ValueError(f"{modality} mean has shape {tuple(mean.shape)}, expected ({self.dimension},)")
            finite(mean, f"{modality} mean")
            if mean.norm() >= 1:
                raise ValueError(f"{modality} mean has length {mean.norm():.3f}; a mean of unit vectors is shorter than 1")
        for modality, radius in self.radii.items():
            _known(modality)
            if not 0 < radius < float("inf"):
                raise ValueError(f"{modality} radius is {radius}, expected a positive number")

    def centre(self, x: Tensor, modality: Modality) -> Tensor:
        """Pooled embeddings [..., D] of one modality in centred units: (x - mean) / radius. Differentiable."""
        self._check(x)
        return (x - self._mean(modality, x)) / self.radii.get(modality, 1.0)

    def place(self, direction: Tensor, modality: Modality) -> Tensor:
        """The unit embedding [..., D] of a modality whose centred direction is `direction` [..., D]. Differentiable.

        The point lies where the ray from the modality's mean along the direction leaves the unit sphere, so that
        centring it gives the direction back exactly, which normalising mean + radius * direction would not.
        Raises ValueError for a zero direction.
        """
        self._check(direction)
        if (direction.norm(dim=-1) < 1e-12).any():
            raise ValueError("a zero vector has no direction to place")
        unit, mean = normalize(direction, dim=-1), self._mean(modality, direction)
        along = (unit * mean).sum(-1, keepdim=True)
        return mean + unit * (torch.sqrt(along.square() + 1 - mean.square().sum()) - along)

    def nearest(self, vector: Tensor, k: int) -> list[tuple[str, float]]:
        """The k vocabulary words whose centred directions lie nearest a centred vector [D], best first, with cosines.

        Raises ValueError without a vocabulary, for a zero vector or for k < 1; a k beyond the vocabulary gives all of it.
        """
        if self.vocabulary is None:
            raise ValueError(f"space '{self.id}' has no vocabulary to read with")
        if k < 1:
            raise ValueError(f"k is {k}, expected at least 1")
        vector = finite(vector.detach().float().cpu(), "vector")
        if tuple(vector.shape) != (self.dimension,):
            raise ValueError(f"vector has shape {tuple(vector.shape)}, expected ({self.dimension},)")
        if vector.norm() < 1e-12:
            raise ValueError("a zero vector is near no word")
        cosines = self.word_directions @ normalize(vector, dim=0)
        best = cosines.topk(min(k, len(self.vocabulary)))
        return [(self.vocabulary.words[i], c) for c, i in zip(best.values.tolist(), best.indices.tolist())]

    @cached_property
    def word_directions(self) -> Tensor:
        """[V, D] unit centred directions of the vocabulary."""
        with torch.inference_mode(False), torch.no_grad():
            return normalize(self.centre(self.vocabulary.embeddings, "text"), dim=-1)

    @property
    def words_embedded(self) -> bool:
        """Whether `word_directions` have been made, which takes the text tower when they are first asked for."""
        return "word_directions" in self.__dict__

    @property
    def encoder_id(self) -> str:
        """The id without that of a calibration: the same for every calibration of one encoder."""
        return self.id.partition(CALIBRATED)[0]

    def calibrated(self, calibration: Calibration) -> Space:
        """This space with the means and radii of a calibration; modalities it did not measure keep theirs.

        Vectors centred in two ways do not mix, so the id tells them apart: it ends with a fingerprint of all means and
        radii, and equal numbers give equal ids. Raises SpaceMismatch for a calibration of another encoder.
        """
        if calibration.space != self.encoder_id:
            raise SpaceMismatch(calibration.space, self.encoder_id)
        means = {**self.means, **{modality: cloud.mean for modality, cloud in calibration.clouds.items()}}
        radii = {**self.radii, **{modality: cloud.radius for modality, cloud in calibration.clouds.items()}}
        return self.centred_with(means, radii)

    def centred_with(self, means: Mapping[Modality, Tensor], radii: Mapping[Modality, float]) -> Space:
        """This space with these means and radii and no others, under the id that `calibrated` gives them."""
        numbers = {f"mean.{modality}": mean.float() for modality, mean in means.items()}
        numbers |= {f"radius.{modality}": torch.tensor(radius, dtype=torch.float32) for modality, radius in radii.items()}
        return replace(self, id=f"{self.encoder_id}{CALIBRATED}{fingerprint(numbers)[:8]}", means=means, radii=radii)

    def require(self, other: Space) -> None:
        """Raise SpaceMismatch unless `other` is this space."""
        if other != self:
            raise SpaceMismatch(self.id, other.id)

    def require_judge(self, judge: Space) -> None:
        """ValueError for a judge's space that is of the same encoder, however calibrated: it would find what it has asked for."""
        if judge.encoder_id == self.encoder_id:
            raise ValueError(f"the judge is '{self.encoder_id}', with which the render was made; another encoder has to judge it")

    def _mean(self, modality: Modality, like: Tensor) -> Tensor:
        mean = self.means.get(_known(modality))
        return like.new_zeros(self.dimension) if mean is None else mean.to(like)

    def _check(self, x: Tensor) -> None:
        if x.shape[-1:] != (self.dimension,):
            raise ValueError(f"vector has shape {tuple(x.shape)}, expected (..., {self.dimension}) for space '{self.id}'")


def finite(x: Tensor, name: str) -> Tensor:
    """x itself. Raises ValueError, with the name, when it holds NaN or infinity."""
    if not torch.isfinite(x).all():
        raise ValueError(f"{name} contains NaN or infinity")
    return x


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Twelve hexadecimal digits of the SHA-256 over names, types, shapes and bytes, in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:12]


def _known(modality: Modality) -> Modality:
    if modality not in MODALITIES:
        raise ValueError(f"unknown modality '{modality}', expected one of {', '.join(MODALITIES)}")
    return modality
