"""A medium as its tower takes it: where every attribution map begins, and the blurred medium it is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from ..constants import constant
from ..encoders.decoded import Rated, embed
from ..encoders.protocol import Encoder
from ..encoders.tower import VisionTower, beside
from ..grad import differentiable, thawed
from ..space import Modality, Space

BLUR = 0.125
"""Standard deviation of the baseline's blur, as a share of each side: of what is seen only the rough distribution of colour,
or of loudness over pitch and time, is left."""


@dataclass(frozen=True, eq=False)
class Seen:
    """One medium behind an encoder's preprocessing, on its tower's device.

    x: [T, C, H, W] float32, T = 1 but for clips: the normalised middle square of a picture, of a clip's chosen frames, or a
        sound's normalised log-mels, low to high. Of a sound longer than one window the three channels show three windows,
        and a map has them over each other.
    shown: [T, 3, H, W] in 0..1 on the CPU, the same for a person to see; a sound as grey log-mels, low to high.
    """

    tower: VisionTower
    space: Space
    modality: Modality
    x: Tensor
    shown: Tensor

    @cached_property
    def patches(self) -> Tensor:
        """[T, W, h, w] float32: the patch embeddings of x, before positions."""
        return self.embedded(self.x)

    @cached_property
    def blurred(self) -> Tensor:
        """[T, C, H, W]: x blurred by a Gaussian of `BLUR` of each side, frame by frame."""
        with torch.inference_mode(False), torch.no_grad():
            rows, columns = (constant(self.x, _gaussian, side) for side in self.x.shape[-2:])
            return rows @ self.x @ columns.T

    @cached_property
    def baseline(self) -> Tensor:
        """[T, W, h, w] float32: the patch embeddings of the blurred medium."""
        return self.embedded(self.blurred)

    def embedded(self, x: Tensor) -> Tensor:
        """Patch embeddings [M, W, h, w] of inputs [M, C, H, W], without a gradient."""
        with torch.inference_mode(False), torch.no_grad():
            return self.tower.vision_model.embeddings.patch_embedding(x.to(self._dtype)).float()

    def pooled(self, patches: Tensor) -> Tensor:
        """Embeddings [B, D] of B media by their patch embeddings [B * T, W, h, w]; differentiable."""
        # not the tower itself: the pocket's sound tower begins at the wave
        with _from_patches(self.tower):
            return VisionTower.forward(self.tower, patches.to(self._dtype))[0]

    @property
    def _dtype(self) -> torch.dtype:
        return self.tower.visual_projection.weight.dtype


def tower_of(encoder: Encoder, modality: Modality) -> VisionTower | None:
    """The tower whose attention `see` can show, None where the encoder has no such one for a modality."""
    # the towers of some are a ModuleDict, which has no `get`
    tower = encoder.towers[modality] if modality in encoder.towers else None
    return tower if isinstance(tower, VisionTower) else None


def see(encoder: Encoder, media: Tensor, rated: Rated) -> Seen:
    """One medium as `encoder` takes it in.

    media: pixels [1, 3, H, W], wave [1, C, T] or frames [1, T, 3, H, W], of the modality and at the rate that `rated` has.
    Raises ValueError for several media, a modality or an encoder whose tower is not one of this pack's vision transformers,
    and whatever the encoder raises for media of another shape.
    """
    modality = rated.modality
    tower = tower_of(encoder, modality)
    if tower is None:
        raise ValueError(f"encoder '{encoder.space.id}' has no vision transformer for {modality}, expected a pocket or LanguageBind tower")
    if len(media) != 1:
        raise ValueError(f"{modality} of shape {tuple(media.shape)} holds {len(media)} media, expected a batch of one")
    with differentiable(tower), torch.no_grad():
        media = thawed(beside(tower, media))
        x = _input(encoder, tower, media, rated)
        if modality == "audio":
            grey = x.mean(1, keepdim=True)
            shown = ((grey - grey.amin()) / (grey.amax() - grey.amin()).clamp_min(1e-6)).expand(-1, 3, -1, -1)
        else:
            # every preprocessing is affine in the colours: black and white say how
            black, white = (_input(encoder, tower, torch.full_like(media, level), rated) for level in (0.0, 1.0))
            shown = (x - black) / (white - black)
    return Seen(tower, encoder.space, modality, x, shown.clamp(0, 1).cpu())


class _Reached(Exception):
    """The tower's input is known; nothing behind it need be computed."""


def _input(encoder: Encoder, tower: VisionTower, media: Tensor, rated: Rated) -> Tensor:
    held: list[Tensor] = []

    def hold(module: nn.Module, inputs: tuple) -> None:
        held.append(inputs[0])
        raise _Reached

    handle = tower.vision_model.embeddings.register_forward_pre_hook(hold)
    try:
        embed(encoder, rated, media)
    except _Reached:
        pass
    finally:
        handle.remove()
    return held[0].float()


@contextmanager
def _from_patches(tower: VisionTower) -> Iterator[None]:
    """Within it the tower begins behind its patch embedding."""
    embeddings = tower.vision_model.embeddings
    kept, embeddings.patch_embedding = embeddings.patch_embedding, nn.Identity()
    try:
        yield
    finally:
        embeddings.patch_embedding = kept


def _gaussian(size: int) -> np.ndarray:
    """[size, size]: rows of a Gaussian around each place, cut at the border, each of sum 1."""
    place = np.arange(size)
    weights = np.exp(-0.5 * ((place - place[:, None]) / (BLUR * size)) ** 2)
    return weights / weights.sum(1, keepdims=True)
