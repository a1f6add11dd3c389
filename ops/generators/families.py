"""What is known of each family of generators before any weights are: medium, latent space, rates and noise schedule.

Both doors, ComfyUI's loaded models and the diffusers library, read it here. Sources: the published configurations of the
models named, in the diffusers library and in ComfyUI's `latent_formats.py` and `supported_models.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor

from ..space import Modality
from .parametrisation import cosine

Schedule = Callable[[Tensor], tuple[Tensor, Tensor]]


def flow(t: Tensor) -> tuple[Tensor, Tensor]:
    """(alpha, sigma) = (1 - t, t): rectified flow. t is the level after any shift, what the networks call sigma."""
    return 1 - t, t


def scaled_linear(t: Tensor, first: float, last: float, steps: int = 1000) -> tuple[Tensor, Tensor]:
    """(alpha, sigma) of a discrete schedule whose betas are evenly spaced in their square roots, at t 0..1 of its steps.

    Step i = t * (steps - 1); between two steps log(sigma / alpha) is interpolated, as samplers of the models do.
    """
    logs = _log_sigmas(first, last, steps).to(t.device)
    position = t.clamp(0, 1) * (steps - 1)
    low = position.floor().clamp(0, steps - 2).long()
    part = position - low
    ratio = torch.exp((1 - part) * logs[low] + part * logs[low + 1])
    alpha = torch.rsqrt(1 + ratio.square())
    return alpha, ratio * alpha


def index(t: Tensor, steps: int = 1000) -> Tensor:
    """The step of a discrete schedule nearest to t in 0..1, as its network is given the time: it has learned whole ones alone, and
    ComfyUI gives it no others."""
    return (t.clamp(0, 1) * (steps - 1)).round()


@lru_cache(maxsize=8)
def _log_sigmas(first: float, last: float, steps: int) -> Tensor:
    with torch.inference_mode(False):
        # in double on the CPU: the product of a thousand factors
        betas = torch.linspace(first**0.5, last**0.5, steps, dtype=torch.float64).square()
        kept = torch.cumprod(1 - betas, 0)
        return (((1 - kept) / kept).log() / 2).float()


@dataclass(frozen=True)
class Family:
    """One kind of generator.

    name: as `--generator` and records have it; title: as people know it. channels: of a latent. cell: pixels, or samples of
    a sound, that a latent cell covers along each axis. period: frames that a latent frame stands for, after the first, which
    stands for one. rate: samples a second; fps: frames a second. schedule: (alpha, sigma) at times t, see protocol.py.
    """

    name: str
    title: str
    modality: Modality
    channels: int
    cell: int
    schedule: Schedule
    period: int = 1
    rate: int = 0
    fps: float = 0.0

    def picture(self, width: int, height: int) -> tuple[int, ...]:
        """The latent shape (C, H, W) of pictures. ValueError for sides that are no multiples of `cell`."""
        return (self.channels, *self._cells(width, height))

    def clip(self, width: int, height: int, frames: int) -> tuple[int, ...]:
        """The latent shape (T, C, H, W) of clips. ValueError as in `picture`, and for a number of frames that does not fit."""
        if frames < 1 or (frames - 1) % self.period:
            raise ValueError(f"{self.title} makes 1 frame or {self.period} n + 1 of them, not {frames}")
        return ((frames - 1) // self.period + 1, self.channels, *self._cells(width, height))

    def sound(self, seconds: float) -> tuple[int, ...]:
        """The latent shape (C, L) of sounds: the nearest even number of cells, as the family's own tools have it."""
        if not 0 < seconds < float("inf"):
            raise ValueError(f"seconds must be a number above 0, not {seconds}")
        return (self.channels, max(2, round(seconds * self.rate / self.cell / 2) * 2))

    def _cells(self, width: int, height: int) -> tuple[int, int]:
        for name, side in (("width", width), ("height", height)):
            if side < self.cell or side % self.cell:
                raise ValueError(f"{name} {side}: {self.title} takes multiples of {self.cell}")
        return height // self.cell, width // self.cell


SD3 = Family("sd35", "Stable Diffusion 3", "image", 16, 8, flow)
SDXL = Family("sdxl", "Stable Diffusion XL", "image", 4, 8, partial(scaled_linear, first=0.00085, last=0.012))
STABLE_AUDIO = Family("stable-audio", "Stable Audio Open", "audio", 64, 2048, cosine, rate=44100)
LTX = Family("ltx", "LTX-Video", "video", 128, 32, flow, period=8, fps=25.0)
AUDIO_LDM2 = Family("audioldm2", "AudioLDM 2", "audio", 8, 640, partial(scaled_linear, first=0.0015, last=0.0195), rate=16000)
SVD = Family("svd", "Stable Video Diffusion", "video", 4, 8, cosine, fps=7.0)
"""Trained on sigma / alpha up to 700, which is tan(pi t / 2) here: the same rotation as `cosine`."""
