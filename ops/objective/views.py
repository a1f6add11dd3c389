"""Looking at media several times: crops, shifts and noise that a render has to survive.

An embedding of one fixed frame can be satisfied by a pattern nobody would recognise; one that is
asked of many differently framed looks has to be there at every scale. Losses are averaged over the
looks, never the embeddings: an averaged embedding can be right with every look wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, pad

from ..encoders.decoded import Rated, embed
from ..encoders.protocol import Encoder
from ..space import Modality
from .value import Measure, Moment, Objective

CLOSEST = 0.7
"""The smallest share of a frame's side that a look takes in. Closer looks ask for the concept inside itself: with 0.35
falling to 0.15, six pocket words ended at a mean cosine of 0.26 and with 0.7 at 0.34, and hearts and houses fell apart."""


SEEN = 8
"""Frames of a clip that an encoder sees at least, evenly spread from the first to the last."""


@dataclass(frozen=True)
class Framing:
    """How looks are drawn, and how that changes over a run.

    early, late: (smallest, largest) share of a frame's side that a look takes in, 0 < smallest <= largest <= 1, at the first
        and at the last step, linear in between; the place is drawn within the frame. Of a sound, the share that stays when it
        is shifted in time.
    whole: share of the drawn looks that are whole, 0..1, evenly spread; they are flipped and noisy like the others.
    noise: standard deviation of the noise on looks at the first and at the last step, in units of the media, 0 or more.
    untouched: whether the media as they are count as the first look. Without it they are looked at for the metrics alone.
    """

    early: tuple[float, float] = (CLOSEST, 1.0)
    late: tuple[float, float] = (CLOSEST, 1.0)
    whole: float = 0.25
    noise: tuple[float, float] = (0.1, 0.02)
    untouched: bool = True

    def __post_init__(self) -> None:
        for name in ("early", "late"):
            smallest, largest = getattr(self, name)
            if not 0 < smallest <= largest <= 1:
                raise ValueError(f"{name} is ({smallest}, {largest}), expected 0 < smallest <= largest <= 1")
        if not 0 <= self.whole <= 1:
            raise ValueError(f"whole is {self.whole}, expected a share in 0..1")
        if not all(0 <= deviation < math.inf for deviation in self.noise):
            raise ValueError(f"noise is {self.noise}, expected two numbers of 0 or more")

    def range(self, progress: float) -> tuple[float, float]:
        """The smallest and the largest share at a progress of 0..1."""
        smallest, largest = (_between(early, late, progress) for early, late in zip(self.early, self.late))
        return smallest, largest

    def deviation(self, progress: float) -> float:
        """The standard deviation of the noise at a progress of 0..1."""
        return _between(*self.noise, progress)


STEADY: dict[Modality, Framing] = {
    "image": Framing(),
    "video": Framing(),
    "audio": Framing((0.75, 1.0), (0.9, 1.0), 0.0, (0.01, 0.002)),
}
"""What is used unless told otherwise."""
SHRINKING = Framing((0.35, 1.0), (0.15, 0.6))
"""From large and whole to close: what larger encoders, which read parts, may want; see `CLOSEST` for the pocket's."""
CUTOUTS = Framing((0.5, 0.95), (0.5, 0.95), 0.0, (0.0, 0.0), untouched=False)
"""The cutouts of lucidrains/big-sleep, with sides drawn evenly; no look is whole."""

Glimpse = Callable[[Tensor, Moment, int, Framing], Tensor]


def views(objective: Objective, encoder: Encoder, generator: Rated, count: int = 8, framing: Framing | None = None) -> Objective:
    """Objective on media, from an objective on embeddings: its mean loss over `count` looks.

    framing: how they are drawn, by default as `STEADY` has it for the modality. The first look is the whole, untouched media,
    and with `count` 1 the only one, unless the framing leaves it out of the loss; the metrics are always those of it. Media as
    `generator` decodes them: image [B, 3, H, W], audio [B, C, T], video [B, T, 3, H, W].
    ValueError for a count below 1.
    """
    if count < 1:
        raise ValueError(f"count of views must be at least 1, not {count}")
    glimpse = _GLIMPSES[generator.modality]
    how = framing or STEADY[generator.modality]
    drawn = count - how.untouched

    def measure(media: Tensor, moment: Moment) -> Measure:
        looks = [media[None]] if how.untouched else []
        if drawn:
            looks.append(glimpse(media, moment, drawn, how))
        loss, metrics = objective(embed(encoder, generator, torch.cat(looks).flatten(0, 1)), moment)
        if not how.untouched:
            with torch.no_grad():
                metrics = objective(embed(encoder, generator, media), moment).metrics
        batch = len(media)
        return Measure(loss.view(count, batch).mean(0), {name: value[:batch] for name, value in metrics.items()})

    framed = "" if how == STEADY[generator.modality] else f" by {how}"
    return Objective(f"mean over {count} views{framed} of ({objective.description})", measure)


def image_views(pixels: Tensor, moment: Moment, count: int, framing: Framing = STEADY["image"]) -> Tensor:
    """`count` framings of pixels [B, 3, H, W] -> [count, B, 3, H, W]: crops, flips, noise."""
    flips = torch.randint(0, 2, (count,), generator=moment.rng) * 2.0 - 1.0
    framed = _crop(pixels.expand(count, *pixels.shape), _boxes(count, moment, framing), flips)
    return framed + _noise(framed, framing, moment)


def video_views(frames: Tensor, moment: Moment, count: int, framing: Framing = STEADY["video"]) -> Tensor:
    """`count` framings of frames [B, T, 3, H, W] -> [count, B, T, 3, H, W]; one crop for all frames of a look.

    No flips: left and right are part of what a motion means. A clip of more than `SEEN` frames is a few frames late or early in each
    look: encoders see the same few of it every time, and the others would be nothing's business.
    """
    batch, time = frames.shape[:2]
    boxes = _boxes(count, moment, framing)
    apart = -(-(time - 1) // (SEEN - 1))
    moved = frames.expand(count, *frames.shape)
    if apart > 1:
        shifts = torch.randint(-(apart // 2), apart - apart // 2, (count,), generator=moment.rng)
        moved = torch.stack([_later(frames, shift) for shift in shifts.tolist()])
    framed = _crop(moved.flatten(1, 2), boxes, torch.ones(count)).unflatten(1, (batch, time))
    return framed + _noise(framed, framing, moment)


def audio_views(wave: Tensor, moment: Moment, count: int, framing: Framing = STEADY["audio"]) -> Tensor:
    """`count` takes of wave [B, C, T] -> [count, B, C, T]: shifted in time to and fro, louder or softer, noisy."""
    length = wave.shape[-1]
    smallest, largest = framing.range(moment.progress)
    drawn = torch.rand(count, generator=moment.rng) * 2 - 1
    shifts = (drawn * (largest - smallest) + drawn.sign() * (1 - largest)) * length
    shifts[_whole(count, framing)] = 0
    gains = torch.exp((torch.rand(count, generator=moment.rng) * 2 - 1) * 0.35)
    takes = []
    for shift, gain in zip(shifts.round().long().tolist(), gains.tolist()):
        moved = pad(wave, (shift, 0))[..., :length] if shift >= 0 else pad(wave, (0, -shift))[..., -shift:]
        takes.append(gain * moved)
    taken = torch.stack(takes)
    return taken + _noise(taken, framing, moment)


_GLIMPSES: dict[Modality, Glimpse] = {"image": image_views, "video": video_views, "audio": audio_views}


def _between(early: float, late: float, progress: float) -> float:
    return early + (late - early) * progress


def _boxes(count: int, moment: Moment, framing: Framing) -> Tensor:
    """[count, 3]: side as a share of the frame, and the centre (x, y) in -1..1, so that the box stays inside."""
    smallest, largest = framing.range(moment.progress)
    side = smallest + (largest - smallest) * torch.rand(count, generator=moment.rng)
    side[_whole(count, framing)] = 1.0
    centre = (torch.rand(count, 2, generator=moment.rng) * 2 - 1) * (1 - side[:, None])
    return torch.cat([side[:, None], centre], dim=1)


def _whole(count: int, framing: Framing) -> list[int]:
    """Which of `count` looks are whole: every fourth for a share of a quarter."""
    return [i for i in range(count) if int((i + 1) * framing.whole + 1e-9) > int(i * framing.whole + 1e-9)]


def _later(frames: Tensor, shift: int) -> Tensor:
    """Frames [B, T, ...] from the one at `shift` on, or before the first by as many; where there are none, the last or the first."""
    if not shift:
        return frames
    if shift > 0:
        return torch.cat([frames[:, shift:], frames[:, -1:].expand(-1, shift, *frames.shape[2:])], 1)
    return torch.cat([frames[:, :1].expand(-1, -shift, *frames.shape[2:]), frames[:, :shift]], 1)


def _crop(pixels: Tensor, boxes: Tensor, flips: Tensor) -> Tensor:
    """pixels [K, B, 3, H, W], each of the K cut along its own of boxes [K, 3] and brought back to H x W."""
    _, batch, _, height, width = pixels.shape
    side, x, y = boxes[:, 0, None], boxes[:, 1, None], boxes[:, 2, None]
    across = x + side * flips[:, None] * torch.linspace(-1, 1, width)
    down = y + side * torch.linspace(-1, 1, height)
    grid = torch.stack(torch.broadcast_tensors(across[:, None, :], down[:, :, None]), dim=-1)
    grid = grid.to(pixels).repeat_interleave(batch, dim=0)
    # Corners aligned on pixel centres: a box inside the frame never samples beyond it, and the whole frame is itself.
    sampled = grid_sample(pixels.flatten(0, 1), grid, align_corners=True)
    return sampled.unflatten(0, (len(boxes), batch))


def _noise(like: Tensor, framing: Framing, moment: Moment) -> Tensor:
    return framing.deviation(moment.progress) * torch.randn(like.shape, generator=moment.rng).to(like)
