"""How fast the spectrum of media falls: natural pictures fall as 1 / f^2, static does not fall at all."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from .space import Modality

LEAST = 8
"""Fourier coefficients that a third of an octave needs for its mean to say something."""
_LUMINANCE = np.array([0.299, 0.587, 0.114])


def slope(media: Tensor, modality: Modality) -> float | None:
    """d log(power) / d log(frequency): 0 for white noise, -2 for what is usual in photographs.

    media: image [3, H, W] (its luminance, over all directions), video [T, 3, H, W] (the mean of its frames' power), audio
    [C, T] (mixed down). Under a Hann window; a straight line through the mean power of each third of an octave from two
    periods a side up to the Nyquist frequency. None for media without any contrast, or too small to tell.
    """
    values = media.detach().float().cpu().numpy().astype(np.float64)
    if modality == "audio":
        planes = values.mean(0)[None]
    else:
        planes = np.einsum("c,...chw->...hw", _LUMINANCE, values).reshape(-1, *values.shape[-2:])
    sides = planes.shape[1:]
    window = np.ones(())
    for side in sides:
        window = window[..., None] * np.hanning(side + 2)[1:-1]
    axes = tuple(range(1, planes.ndim))
    planes = planes - planes.mean(axes, keepdims=True)
    if not planes.any():
        return None
    power = (np.abs(np.fft.fftn(planes * window, axes=axes)) ** 2).mean(0)
    # in periods per shorter side, so that a wide picture has one scale in both directions
    across = np.meshgrid(*(np.fft.fftfreq(side) * min(sides) for side in sides), indexing="ij")
    frequency = np.sqrt(sum(axis**2 for axis in across)).ravel()
    thirds = np.floor(3 * np.log2(np.maximum(frequency, 1) / 2)).astype(int)
    inside = (frequency >= 2) & (frequency <= min(sides) / 2)
    points = []
    for third in np.unique(thirds[inside]):
        members = inside & (thirds == third)
        mean = power.ravel()[members].mean()
        if members.sum() >= LEAST and mean > 0:
            points.append((np.log(frequency[members]).mean(), math.log(mean)))
    return float(np.polyfit(*zip(*points), 1)[0]) if len(points) > 2 else None
