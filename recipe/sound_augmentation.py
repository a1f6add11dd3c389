"""What happens to a sound on its way to a recording, done to log-mels in batches [B, MELS, FRAMES]; labels stay true."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from concept_algebra.ops.signal import FLOOR, FRAMES, MELS

SILENCE = math.log(FLOOR)


def loudness(mels: Tensor) -> Tensor:
    """The log of each clip's mean power [B, 1, 1]."""
    return mels.exp().mean((1, 2), keepdim=True).log()


def as_loud_as(mels: Tensor, other: Tensor) -> Tensor:
    """Other clips, each brought to the mean power of its neighbour in mels."""
    return other + (loudness(mels) - loudness(other))


def equalise(mels: Tensor, rng: torch.Generator) -> Tensor:
    """A smooth random gain along the mel axis, about 5 dB, and a shift of the axis by up to two bins."""
    knots = torch.randn(len(mels), 1, 7, generator=rng) * 1.2
    mels = mels + F.interpolate(knots, size=MELS, mode="linear", align_corners=True).transpose(1, 2)
    shift = torch.randint(-2, 3, (len(mels),), generator=rng).tolist()
    index = (torch.arange(MELS)[None] + torch.tensor(shift)[:, None]).clamp(0, MELS - 1)
    return mels.gather(1, index[:, :, None].expand(-1, -1, FRAMES))


def stretch(mels: Tensor, rng: torch.Generator) -> Tensor:
    """The same sound up to a third slower or faster, around again where it ends early."""
    pace = torch.exp((torch.rand(len(mels), 1, generator=rng) - 0.5) * 0.6)
    index = (torch.arange(FRAMES)[None] * pace).long() % FRAMES
    return mels.gather(2, index[:, None].expand(-1, MELS, -1))


def compress(mels: Tensor, rng: torch.Generator) -> Tensor:
    """What is quieter than the loudest is brought nearer to it, or moved away, as a recordist's compressor or gate does."""
    top = mels.amax((1, 2), keepdim=True)
    return top + (mels - top) * (0.65 + 0.5 * torch.rand(len(mels), 1, 1, generator=rng))


def smear(mels: Tensor, rng: torch.Generator) -> Tensor:
    """A room: each frame rings on at a level of its own and dies away with a time constant of 5 to 50 frames."""
    tail = torch.exp(-1 / (5 * 10 ** torch.rand(len(mels), 1, generator=rng)))
    wet = torch.exp(-3 * torch.rand(len(mels), 1, generator=rng)) * (1 - tail)
    power = mels.exp()
    rung, parts = torch.zeros_like(power[:, :, 0]), []
    for frame in power.unbind(-1):
        rung = rung * tail + frame
        parts.append(frame + wet * rung)
    return torch.stack(parts, -1).clamp_min(FLOOR).log()


def narrow(mels: Tensor, rng: torch.Generator) -> Tensor:
    """A recording that lacks its highest, or its lowest, bands: a fall of 1 to 6 dB a band from a random band on."""
    band = torch.arange(MELS)[None, :, None].float()
    slope = 0.25 + 1.2 * torch.rand(len(mels), 1, 1, generator=rng)
    place = torch.rand(len(mels), 1, 1, generator=rng)
    over = (band - MELS * (0.45 + 0.5 * place)).clamp_min(0)
    under = (MELS * 0.3 * place - band).clamp_min(0)
    return mels - slope * torch.where(torch.rand(len(mels), 1, 1, generator=rng) < 0.6, over, under)


def repeat(mels: Tensor, rng: torch.Generator) -> Tensor:
    """A stretch around the loudest frame, over and over, as a short file is heard."""
    length = torch.randint(20, 110, (len(mels),), generator=rng)
    loudest = mels.exp().sum(1).argmax(-1)
    start = (loudest - (length * torch.rand(len(mels), generator=rng) * 0.5).long()).clamp_min(0)
    start = torch.minimum(start, FRAMES - length)
    index = start[:, None] + torch.arange(FRAMES)[None] % length[:, None]
    return mels.gather(2, index[:, None].expand(-1, MELS, -1))


def hiss(mels: Tensor, rng: torch.Generator) -> Tensor:
    """Steady noise of a random tilt under the sound; power in a bin is exponentially distributed."""
    level = loudness(mels) - 2 - 5 * torch.rand(len(mels), 1, 1, generator=rng)
    tilt = torch.randn(len(mels), 1, 1, generator=rng) * 1.5 * torch.linspace(-1, 1, MELS)[None, :, None]
    fluctuation = torch.rand(mels.shape, generator=rng).clamp(1e-4, 1 - 1e-4).log().neg().log() * 0.5
    return torch.logaddexp(mels, level + tilt + fluctuation)


def mask(x: Tensor, rng: torch.Generator) -> Tensor:
    """SpecAugment (Park et al. 2019, arXiv 1904.08779): one band and one stretch of each clip become its mean."""
    for axis, widest, size in ((2, 9, MELS), (3, 24, FRAMES)):
        width = torch.randint(0, widest, (len(x), 1), generator=rng)
        start = (torch.rand(len(x), 1, generator=rng) * (size - width)).long()
        place = torch.arange(size)[None]
        hidden = (place >= start) & (place < start + width)
        shape = (len(x), 1, size, 1) if axis == 2 else (len(x), 1, 1, size)
        x = torch.where(hidden.view(shape), x.mean((1, 2, 3), keepdim=True), x)
    return x
