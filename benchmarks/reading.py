"""Whether an encoder's towers belong together: media that ship with the pack, each to be told by its name among others.

A tower loaded into the wrong layout, or bound to another language, reads at chance; a right one far above it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..ops import signal
from ..ops.encoders.protocol import Encoder
from ..ops.runtime import keep_on
from ..ops.space import Modality
from .evaluation import held_out, top
from .pocket_audio import unseen_takes
from .pocket_video import TOLD_APART, in_motion

PICTURES, SOUNDS, CLIPS = 48, 32, 16
"""How many are shown; enough to tell knowing from guessing, and minutes on a CPU with the largest towers."""
WANTED = 8
"""Right answers from which a tower reads. Guessing is right once on average, whatever is shown (as many names as media), and
its count follows Poisson's law of mean 1: eight or more come once in a hundred thousand."""


@dataclass(frozen=True)
class Reading:
    """right: how many of `shown` were nearest to their own name, among as many names."""

    right: int
    shown: int

    @property
    def reads(self) -> bool:
        return self.right >= WANTED


@torch.no_grad()
def readings(encoder: Encoder, device: torch.device) -> dict[Modality, Reading]:
    """How well each media tower of an encoder reads: pictures on white, sounds put back together from log-mels, clips of
    pictures in motion. One tower after the other is on the device, with the text tower."""
    found: dict[Modality, Reading] = {}
    for modality, show in (("image", _pictures), ("audio", _sounds), ("video", _clips)):
        if modality in encoder.modalities:
            keep_on(device, encoder.towers, {"text", modality})
            pooled, names = show(encoder)
            words = encoder.text(names).pooled.to(pooled)
            # a cloud's own offset would favour the names that lie toward it
            pooled, words = (x - x.mean(0) for x in (pooled, words))
            words = torch.nn.functional.normalize(words, dim=-1)
            found[modality] = Reading(round(top(pooled, words, list(range(len(names))), 1) * len(names)), len(names))
    return found


def _different(names: list[str], count: int) -> list[int]:
    """Rows of `count` different names, spread evenly."""
    rows = list({name: row for row, name in enumerate(names)}.values())
    return rows[:: max(1, len(rows) // count)][:count]


def _pictures(encoder: Encoder) -> tuple[Tensor, list[str]]:
    pixels, names = held_out().of("style", 10_000)
    rows = _different(names, PICTURES)
    return torch.cat([encoder.image(pixels[row : row + 1]).pooled for row in rows]), [names[row] for row in rows]


def _sounds(encoder: Encoder) -> tuple[Tensor, list[str]]:
    mels, truth, names = unseen_takes()
    called = [names[index] for index in truth]
    rows = _different(called, SOUNDS)
    waves = (signal.invert(mels[row : row + 1])[:, None] for row in rows)
    return torch.cat([encoder.audio(wave, signal.RATE).pooled for wave in waves]), [called[row] for row in rows]


def _clips(encoder: Encoder) -> tuple[Tensor, list[str]]:
    pixels, names = held_out().of("style", 10_000)
    rows = _different(names, CLIPS)
    rng = torch.Generator().manual_seed(99)
    frames = (in_motion(pixels[row : row + 1], [TOLD_APART[i % len(TOLD_APART)]], rng) for i, row in enumerate(rows))
    return torch.cat([encoder.video(clip, 8.0).pooled for clip in frames]), [names[row] for row in rows]
