"""Media a little worn: what a render must survive to be more than a pattern for one encoder."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import conv1d, conv2d, interpolate, pad

from .signal import RATE
from .space import Modality

CUT = 0.05
"""Share of a side, or of a sound's time, that is cut away."""
PIXELS, SAMPLES = 1.0, 0.5
"""Standard deviations of the blur. In samples at 16 kHz it is half that in pixels: it halves the power from 4.2 kHz on, where one
sample would from 2.1 kHz."""


def worn(media: Tensor, modality: Modality, rate: int = RATE) -> Tensor:
    """Media of the same shape, blurred with a Gaussian and with `CUT` of the frame lost; differentiable, nothing random.

    Image [B, 3, H, W] and video [B, T, 3, H, W]: blurred over `PIXELS`, the middle brought back to the full frame. Audio
    [B, C, T] at `rate` Hz: blurred over as much time as `SAMPLES` are at 16 kHz, silent for half of the cut at either end. The
    looks of an objective are never blurred (see objective/views.py), so that this one is new to what was optimised with them.
    """
    if modality == "audio":
        batch, channels, length = media.shape
        kernel = _gaussian(SAMPLES * rate / RATE).to(media)
        lines = pad(media.reshape(-1, 1, length), (len(kernel) // 2,) * 2, mode="replicate")
        edge = round(length * CUT / 2)
        return pad(conv1d(lines, kernel.view(1, 1, -1)).view(batch, channels, length)[..., edge : length - edge], (edge, edge))
    frames = media.flatten(0, -4)
    height, width = frames.shape[-2:]
    kernel = _gaussian(PIXELS).to(frames)
    reach = len(kernel) // 2
    planes = pad(frames.flatten(0, 1)[:, None], (reach,) * 4, mode="replicate")
    planes = conv2d(conv2d(planes, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))
    top, left = round(height * CUT / 2), round(width * CUT / 2)
    kept = planes[..., top : height - top, left : width - left]
    return interpolate(kept, size=(height, width), mode="bilinear", align_corners=False).view(media.shape)


@lru_cache
def _gaussian(deviation: float) -> Tensor:
    """A Gaussian sampled out to three deviations, of sum 1."""
    with torch.inference_mode(False):
        reach = round(3 * deviation + 0.5)
        kernel = torch.exp(-torch.arange(-reach, reach + 1).float().square() / (2 * deviation**2))
        return kernel / kernel.sum()
