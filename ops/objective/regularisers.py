"""What is asked of media and latents whatever the concept: smooth, with a natural spectrum, on the shell of noise."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from ..space import Modality
from .value import Measure, Moment, Objective

NEIGHBOURS: dict[Modality, tuple[int, ...]] = {"image": (-1, -2), "video": (-1, -2, -4), "audio": (-1,)}
"""Axes of media along which neighbours are alike: across, down, from frame to frame; along a wave."""
FALL: dict[Modality, float] = {"image": 2.0, "video": 2.0, "audio": 1.0}
"""How fast natural power falls, as an exponent of 1 / frequency: of pictures Field 1987, "Relations between the statistics of
natural images and the response properties of cortical cells"; of sounds Voss & Clarke 1975, "'1/f noise' in music and speech"."""
FLOOR = 1e-6
"""Power that no band is said to lack: what eight-bit media have from rounding, (1 / 255)^2 / 12."""


def total_variation(modality: Modality) -> Objective:
    """Objective on media [B, ...] as a generator decodes them: the mean absolute difference of neighbours, summed over axes.

    0 for a flat picture, silence and a still; 2 for a chessboard of single pixels. The metric "variation" is the same.
    Source: Rudin, Osher & Fatemi 1992, in its anisotropic form.
    """
    axes = NEIGHBOURS[modality]

    def measure(media: Tensor, moment: Moment) -> Measure:
        loss = sum(media.diff(dim=axis).abs().flatten(1).mean(1) for axis in axes)
        return Measure(loss, {"variation": loss.detach()})

    return Objective("total variation", measure)


def spectrum(modality: Modality) -> Objective:
    """Objective on media [B, ...]: how far the power in octaves is from falling off as in nature, whatever the overall power.

    Of each channel (and frame) power is averaged over octaves of the radial frequency, in log2; the loss is the variance over
    octaves of the difference to power ~ 1 / frequency ^ FALL, averaged over channels: 0 at the natural slope, 1 when an octave
    is off by twice or half as a rule. Constant media have a gradient of 0. The metric "slope" is the exponent that fits best,
    -FALL in nature, towards 0 for static.
    """
    fall = FALL[modality]
    axes = 1 if modality == "audio" else 2

    def measure(media: Tensor, moment: Moment) -> Measure:
        octave, counts, natural, centres = (part.to(media.device) for part in octaves(tuple(media.shape[-axes:]), fall))
        waves = torch.fft.rfftn(media, dim=tuple(range(-axes, 0)), norm="ortho")
        power = torch.view_as_real(waves).square().sum(-1).flatten(-axes)
        # the last place gathers the mean of the media, which is of no frequency
        bands = power.new_zeros(*power.shape[:-1], len(counts) + 1).index_add(-1, octave, power)[..., :-1] / counts
        off = (bands + FLOOR).log2() - natural
        off = off - off.mean(-1, keepdim=True)
        slope = off.detach() @ centres.to(off) / centres.square().sum() - fall
        return Measure(off.square().mean(-1).flatten(1).mean(1), {"slope": slope.flatten(1).mean(1)})

    return Objective(f"spectrum falling as 1/f^{fall:g}", measure)


@lru_cache(maxsize=4)
def octaves(shape: tuple[int, ...], fall: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """How `spectrum` sorts the F frequencies of a real transform over `shape`: (octave [F], counts [K], natural [K], centres [K]).

    octave: of each frequency, rising, the corners of a picture in the last, and K for the mean of the media; octaves without a
    frequency are left out. counts: how many are in each. natural: log2 of the mean of 1 / f ^ fall. centres: mean log2 f, less
    the mean of these. ValueError for media so small that there are not two octaves.
    """
    # kept for good, so it must not be born under a host's inference mode
    with torch.inference_mode(False), torch.no_grad():
        sides = [torch.fft.fftfreq(side) for side in shape[:-1]] + [torch.fft.rfftfreq(shape[-1])]
        frequency = sum(part.square() for part in torch.meshgrid(*sides, indexing="ij")).sqrt().flatten()[1:]
        logs = frequency.log2()
        which = logs.floor().clamp(max=-2.0).unique(return_inverse=True)[1]
        counts = which.bincount()
        if len(counts) < 2:
            raise ValueError(f"media of {' x '.join(map(str, shape))} have no two octaves of frequencies to compare")
        mean = lambda values: torch.zeros(len(counts)).index_add(0, which, values) / counts  # noqa: E731
        centres = mean(logs)
        octave = torch.cat([which.new_full((1,), len(counts)), which])
        return octave, counts.float(), mean(frequency.pow(-fall)).log2(), centres - centres.mean()


def norm_shell() -> Objective:
    """Objective on the latent z of d numbers that media were decoded from: (|z| / sqrt(d) - 1)^2.

    0 on the shell where standard normal noise of many dimensions lies, and where a generator has learned to decode. ReNO (Eyring
    et al. 2024, arXiv 2406.04312) takes the chi law's likelihood instead, |z|^2 / 2 - (d - 1) log |z|, which near the shell is d
    times this; without the d one weight suits every latent. The loop logs the norm itself.
    ValueError when the moment has no latent.
    """

    def measure(media: Tensor, moment: Moment) -> Measure:
        if moment.latent is None:
            raise ValueError("the moment has no latent, expected what the media were decoded from: the norm shell is of latents")
        return Measure((moment.latent.flatten(1).square().mean(1).sqrt() - 1).square(), {})

    return Objective("norm shell", measure)
