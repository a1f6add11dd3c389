"""Looking at media several times: crops, shifts and noise that a render has to survive.

An embedding of one fixed frame can be satisfied by a pattern nobody would recognise; one that is
asked of many differently framed looks has to be there at every scale. Losses are averaged over the
looks, never the embeddings: an averaged embedding can be right with every look wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, pad

from ..encoders.protocol import Embedding, Encoder
from ..space import Modality
from .value import Measure, Moment, Objective

CLOSEST = 0.7
"""The smallest share of a frame's side that a look takes in. Closer looks ask for the concept inside itself: with 0.35
falling to 0.15, six pocket words ended at a mean cosine of 0.26 and with 0.7 at 0.34, and hearts and houses fell apart."""

Glimpse = Callable[[Tensor, Moment, int], Tensor]


class Rated(Protocol):
    """The part of a Generator that says what its media are: audio has a rate in Hz, video an fps."""

    modality: Modality


def views(objective: Objective, encoder: Encoder, generator: Rated, count: int = 8) -> Objective:
    """Objective on media, from an objective on embeddings: its mean loss over `count` looks.

    The first look is always the whole, untouched media, and the metrics are those of that look;
    with `count` 1 it is the only one. Media as `generator` decodes them: image [B, 3, H, W],
    audio [B, C, T], video [B, T, 3, H, W]. The looks are noisy early in the run and clean
    late.
    """
    if count < 1:
        raise ValueError(f"count of views must be at least 1, not {count}")
    glimpse, encode = _LOOKS[generator.modality]

    def measure(media: Tensor, moment: Moment) -> Measure:
        looks = torch.cat([media[None], glimpse(media, moment, count - 1)]) if count > 1 else media[None]
        loss, metrics = objective(encode(encoder, generator, looks.flatten(0, 1)), moment)
        batch = len(media)
        return Measure(loss.view(count, batch).mean(0), {name: value[:batch] for name, value in metrics.items()})

    return Objective(f"mean over {count} views of ({objective.description})", measure)


def image_views(pixels: Tensor, moment: Moment, count: int) -> Tensor:
    """`count` framings of pixels [B, 3, H, W] -> [count, B, 3, H, W]: crops, flips, noise; every fourth is whole."""
    flips = torch.randint(0, 2, (count,), generator=moment.rng) * 2.0 - 1.0
    framed = _crop(pixels, _boxes(count, moment), flips)
    return framed + _noise(framed, _between(0.1, 0.02, moment.progress), moment)


def video_views(frames: Tensor, moment: Moment, count: int) -> Tensor:
    """`count` framings of frames [B, T, 3, H, W] -> [count, B, T, 3, H, W]; one crop for all frames of a look.

    No flips: left and right are part of what a motion means.
    """
    batch, time = frames.shape[:2]
    framed = _crop(frames.flatten(0, 1), _boxes(count, moment), torch.ones(count))
    framed = framed.unflatten(1, (batch, time))
    return framed + _noise(framed, _between(0.1, 0.02, moment.progress), moment)


def audio_views(wave: Tensor, moment: Moment, count: int) -> Tensor:
    """`count` takes of wave [B, C, T] -> [count, B, C, T]: shifted in time by up to a quarter, louder or softer, noisy."""
    length = wave.shape[-1]
    reach = _between(0.25, 0.1, moment.progress) * length
    shifts = (torch.rand(count, generator=moment.rng) * 2 - 1) * reach
    gains = torch.exp((torch.rand(count, generator=moment.rng) * 2 - 1) * 0.35)
    takes = []
    for shift, gain in zip(shifts.round().long().tolist(), gains.tolist()):
        moved = pad(wave, (shift, 0))[..., :length] if shift >= 0 else pad(wave, (0, -shift))[..., -shift:]
        takes.append(gain * moved)
    taken = torch.stack(takes)
    return taken + _noise(taken, _between(0.01, 0.002, moment.progress), moment)


_LOOKS: dict[Modality, tuple[Glimpse, Callable[[Encoder, Rated, Tensor], Embedding]]] = {
    "image": (image_views, lambda encoder, generator, media: encoder.image(media)),
    "video": (video_views, lambda encoder, generator, media: encoder.video(media, generator.fps)),
    "audio": (audio_views, lambda encoder, generator, media: encoder.audio(media, generator.rate)),
}


def _between(early: float, late: float, progress: float) -> float:
    return early + (late - early) * progress


def _boxes(count: int, moment: Moment) -> Tensor:
    """[count, 3]: side as a share of the frame, and the centre (x, y) in -1..1, so that the box stays inside."""
    side = CLOSEST + (1 - CLOSEST) * torch.rand(count, generator=moment.rng)
    side[3::4] = 1.0
    centre = (torch.rand(count, 2, generator=moment.rng) * 2 - 1) * (1 - side[:, None])
    return torch.cat([side[:, None], centre], dim=1)


def _crop(pixels: Tensor, boxes: Tensor, flips: Tensor) -> Tensor:
    """pixels [B, 3, H, W] cut along boxes [K, 3] and brought back to H x W -> [K, B, 3, H, W]."""
    batch, _, height, width = pixels.shape
    side, x, y = boxes[:, 0, None], boxes[:, 1, None], boxes[:, 2, None]
    across = x + side * flips[:, None] * torch.linspace(-1, 1, width)
    down = y + side * torch.linspace(-1, 1, height)
    grid = torch.stack(torch.broadcast_tensors(across[:, None, :], down[:, :, None]), dim=-1)
    grid = grid.to(pixels).repeat_interleave(batch, dim=0)
    # Corners aligned on pixel centres: a box inside the frame never samples beyond it, and the whole frame is itself.
    sampled = grid_sample(pixels.repeat(len(boxes), 1, 1, 1), grid, align_corners=True)
    return sampled.unflatten(0, (len(boxes), batch))


def _noise(like: Tensor, deviation: float, moment: Moment) -> Tensor:
    return deviation * torch.randn(like.shape, generator=moment.rng).to(like)
