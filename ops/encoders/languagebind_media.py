"""Pictures, clips and sounds as LanguageBind's towers take them: tensor to tensor, differentiable, the same every time.

The transforms of PKU-YuanGroup/LanguageBind (Zhu et al. 2023, arXiv 2310.01852), without their chance: the reference
mirrors clips and places the crops of long sounds at random, also when it only embeds. Whatever the input's
floating-point type and whatever autocast is on, they compute in float32 (float64 stays, for numerical checks).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .. import kaldi
from ..constants import constant
from ..runtime import full_precision
from .preprocessing import cubic, linear, resize_middle


def pixels(image: Tensor, size: int) -> Tensor:
    """Images [B, 3, H, W] in 0..1 as the picture tower takes them, [B, 3, size, size].

    The shorter side resized to `size` (antialiased bicubic, as torchvision does since 0.17: what the CLIP underneath was
    trained with), the middle cut out, CLIP's mean and deviation taken out. Overshoot is not clamped. Raises ValueError
    for another shape, no pixels or whole numbers.
    """
    if image.dim() != 4 or image.shape[1] != 3 or 0 in image.shape:
        raise ValueError(f"image has shape {tuple(image.shape)}, expected [B, 3, H, W], none of them 0")
    image = _floating(image, "image", "0..1")
    short = min(image.shape[-2:])
    height, width = (int(size * n / short) for n in image.shape[-2:])
    # autocast would take the products of a transform in half precision: a log-mel would lose its quiet bands
    with full_precision(image.device):
        return _normalise(resize_middle(image, height, width, size, cubic))


def frames(video: Tensor, count: int, size: int) -> Tensor:
    """Clips [B, T, 3, H, W] in 0..1 as the clip tower takes them, [B, count, 3, size, size], frame before channel.

    `count` frames evenly spread from the first to the last, repeated where T < count; each with its shorter side resized
    to `size` (bilinear, not antialiased: the reference's ShortSideScale), the middle cut out, CLIP's mean and deviation
    taken out. Raises ValueError for another shape, no frames or whole numbers.
    """
    if video.dim() != 5 or video.shape[2] != 3 or 0 in video.shape:
        raise ValueError(f"video has shape {tuple(video.shape)}, expected [B, T, 3, H, W], none of them 0")
    video = _floating(video[:, frame_indices(video.shape[1], count)], "video", "0..1")
    short = min(video.shape[-2:])
    # not the image's order of operations: where the floats round differently, a side is one pixel longer
    height, width = (int(n / short * size) for n in video.shape[-2:])
    with full_precision(video.device):
        return _normalise(resize_middle(video, height, width, size, linear))


def frame_indices(frames: int, count: int) -> list[int]:
    """Which `count` of a clip's frames are seen: evenly spread from the first to the last, rounded down."""
    return np.linspace(0, frames - 1, count, dtype=int).tolist()


def spectrogram(
    wave: Tensor, rate: int, bins: int, length: int, mean: float, deviation: float
) -> Tensor:
    """Sounds [B, C, T] in -1..1 at `rate` Hz as the sound tower takes them: log-mels [B, 3, bins, length], low to high.

    Of several channels the first is heard and the others get no gradient (the reference's way; mix down before if they
    should count). Resampled to 16 kHz, mean taken away, `kaldi.fbank`, then (x - mean) / (2 deviation). A sound of at
    most `length` frames is repeated, frame by frame, until it fills them, and all three channels show it. Of a longer one
    the channels show `length` frames from each of `starts`; what lies in none of the three gets no gradient.

    Digital silence is finite, the constant log of the floor, and its gradient exactly zero: begin a render from noise.
    Raises ValueError for another shape, whole numbers, a rate that is not a positive whole number, or less than 25 ms.
    """
    if wave.dim() != 3 or 0 in wave.shape:
        raise ValueError(f"wave has shape {tuple(wave.shape)}, expected [B, C, T], none of them 0")
    heard = _floating(wave[:, 0], "wave", "-1..1")
    with full_precision(wave.device):
        heard = kaldi.resample(heard, rate, kaldi.RATE)
        if heard.shape[-1] < kaldi.WINDOW:
            least = (kaldi.WINDOW - 1) * rate // kaldi.RATE + 1
            raise ValueError(f"wave has {wave.shape[-1]} samples at {rate} Hz, expected at least {least} (25 ms)")
        # the filter bank does so frame by frame, but of a large offset float32 would leave the rounding behind
        heard = heard - heard.mean(-1, keepdim=True)
        count = kaldi.frame_count(heard.shape[-1])
        if count > length:
            # cut before the filter bank: what no window shows is never computed
            span = (length - 1) * kaldi.HOP + kaldi.WINDOW
            windows = [heard[:, first : first + span] for first in (kaldi.HOP * k for k in starts(count, length))]
            log_mels = kaldi.fbank(torch.stack(windows, 1), bins)
        else:
            log_mels = kaldi.fbank(heard, bins).repeat(1, -(-length // count), 1)[:, None, :length]
        return ((log_mels - mean) / (2 * deviation)).transpose(-1, -2).expand(-1, 3, -1, -1)


def starts(count: int, length: int) -> list[int]:
    """Where the three windows of `length` frames begin in a sound of `count` > length frames.

    The places at which one can begin are split into thirds, of which each gives its first; the reference draws one from
    each at random. A third that is empty, with only one or two places, counts as the beginning.
    """
    thirds = np.array_split(np.arange(count - length + 1), 3)
    return [int(third[0]) if len(third) else 0 for third in thirds]


def _floating(media: Tensor, name: str, wanted: str) -> Tensor:
    if not media.is_floating_point():
        raise ValueError(f"{name} has values of type {media.dtype}, expected floating point in {wanted}")
    return media.to(torch.promote_types(media.dtype, torch.float32))


def _normalise(rgb: Tensor) -> Tensor:
    return (rgb - constant(rgb, _clip_mean)) / constant(rgb, _clip_deviation)


def _clip_mean() -> np.ndarray:
    return np.array([0.48145466, 0.4578275, 0.40821073])[:, None, None]


def _clip_deviation() -> np.ndarray:
    return np.array([0.26862954, 0.26130258, 0.27577711])[:, None, None]
