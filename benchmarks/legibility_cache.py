"""Renders that are kept: a picture and its record in one PNG file, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, PngImagePlugin
from torch import Tensor

from ..ops.atomic import write_aside
from ..ops.encoders.pocket import PocketEncoder
from ..ops.features.dictionary import Dictionary
from ..ops.generators.protocol import Generator
from ..ops.render import render
from .legibility_settings import Setting
from .legibility_targets import Target, concept

RECORD = "concept-algebra render"


@dataclass(frozen=True)
class Drawn:
    """pixels: [3, H, W] in 0..1, in 256 levels. cosine: with the target, by the encoder that was optimised. seconds: it took."""

    pixels: Tensor
    cosine: float
    seconds: float


@dataclass(frozen=True)
class Studio:
    """What draws, with the features that coded settings take targets apart into, and the folder where drawings are kept.

    A drawing is known by its setting, its target, its seed and the weights; a change of the code is not seen. Whoever changes
    how pictures are drawn begins another folder.
    """

    encoder: PocketEncoder
    generator: Generator
    dictionary: Dictionary
    folder: Path

    def key(self, setting: Setting, target: Target, seed: int) -> str:
        """Twenty hexadecimal digits that stand for all that decides a picture."""
        # the form of `repr` names the classes of nested settings, which equal numbers of two priors would not
        weights = (self.encoder.space.id, sorted(self.encoder.fingerprints.items()), self.generator.id)
        told = repr((setting.track, setting.settings, setting.coded and self.dictionary.id, target.text, seed, weights))
        return hashlib.sha256(told.encode()).hexdigest()[:20]

    def draw(self, setting: Setting, target: Target, seeds: list[int]) -> list[Drawn]:
        """One drawing a seed; those that are kept are read, the others made and kept. OSError when one cannot be written."""
        paths = {seed: self.folder / f"{self.key(setting, target, seed)}.png" for seed in seeds}
        if missing := [seed for seed in seeds if not paths[seed].exists()]:
            meant = concept(target, self.encoder, self.dictionary if setting.coded else None)
            for seed in missing:
                done = render(meant, self.encoder, self.generator, setting.track, setting.settings, seed)
                record = {"target": target.text, "setting": setting.said, "seed": seed, "cosine": done.cosine, "seconds": done.seconds}
                keep(paths[seed], done.media, record)
        # read back even when just made: a second run judges the very same pixels
        return [kept(paths[seed]) for seed in seeds]


def keep(path: Path, pixels: Tensor, record: dict[str, str | int | float]) -> None:
    """Write a picture [3, H, W] in 0..1 with its record, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = PngImagePlugin.PngInfo()
    text.add_text(RECORD, json.dumps(record))
    levels = (pixels.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    with write_aside(path) as temporary:
        Image.fromarray(levels).save(temporary, pnginfo=text)


def kept(path: Path) -> Drawn:
    """What `keep` wrote. ValueError, with the path, for a picture without a record."""
    with Image.open(path) as picture:
        levels, record = np.array(picture.convert("RGB")), picture.info.get(RECORD)
    if record is None:
        raise ValueError(f"{path} is not a render of this benchmark: delete it")
    record = json.loads(record)
    return Drawn(torch.from_numpy(levels).permute(2, 0, 1).float() / 255, record["cosine"], record["seconds"])
