"""Which prior, and how: what a person chooses before there is a generator."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..generators.protocol import Generator
from .bridge import Bridge
from .flair import Flair
from .none import NoPrior
from .protocol import Prior
from .vsd import Vsd


@dataclass(frozen=True)
class VsdSettings:
    """Variational score distillation (see vsd.py)."""

    rank: int = 8
    """Of the LoRA, 1 or more: low, so that it learns what the render shares with its own past, and not the render by heart."""
    every: int = 1
    """Steps of the run from one prior step to the next, 1 or more. With 100 prior steps or more left the way over the run is as
    long; with fewer it is shorter, and noise may not become a thing."""
    lr: float = 1e-3
    """The LoRA's learning rate in runs of up to 200 prior steps; longer ones take proportionally less. Above 0."""
    replay: int = 64
    """How many latents of the run's past the LoRA is also shown; 0 for none."""
    shift: float = 1.0
    """Above 0. Above 1 noise levels are drawn higher, which a generator of large latents wants (3 for Stable Diffusion 3.5, 2.4 for LTX-Video)."""
    guidance: float = 1.0
    """Of the frozen net, where conditioning is given: 1 takes it as it is, more exaggerates it. 0 or more."""

    def __post_init__(self) -> None:
        _whole("rank", self.rank, 1)
        _whole("every", self.every, 1)
        _whole("replay", self.replay, 0)
        _positive("lr", self.lr)
        _positive("shift", self.shift)
        _guidance(self.guidance)


@dataclass(frozen=True)
class FlairSettings:
    """One descending sweep of noise levels (see flair.py)."""

    levels: int = 50
    """Of noise, 1 or more: the prior's steps, spread evenly over the run."""
    guidance: float = 4.0
    """Of the generator, where it is told something: 1 takes it as it is told, more exaggerates it, 0 does not listen."""

    def __post_init__(self) -> None:
        _whole("levels", self.levels, 1)
        _guidance(self.guidance)


@dataclass(frozen=True)
class BridgeSettings:
    """The difference between two descriptions (see bridge.py); the default ones are those of arXiv 2406.09417."""

    positive: str = "detailed high resolution, high quality, sharp"
    """What the latent is led to, in words that the generator knows."""
    negative: str = "oversaturated, smooth, pixelated, cartoon, foggy, hazy, blurry, bad structure, noisy, malformed"
    """What it is led away from."""
    every: int = 1
    """Steps of the run from one prior step to the next, 1 or more."""
    shift: float = 1.0
    """As in `VsdSettings`."""

    def __post_init__(self) -> None:
        for name, words in (("positive", self.positive), ("negative", self.negative)):
            if not isinstance(words, str) or not words.strip():
                raise ValueError(f"{name} must be a description in words, not {words!r}")
        if self.positive == self.negative:
            raise ValueError(f"positive and negative are both {self.positive!r}: between equal descriptions there is no way")
        _whole("every", self.every, 1)
        _positive("shift", self.shift)


@dataclass(frozen=True)
class NoSettings:
    """No prior: what the objective alone asks for."""


PriorSettings = VsdSettings | FlairSettings | BridgeSettings | NoSettings
TELLABLE = (VsdSettings, FlairSettings)
"""Priors that can do with more conditioning than none."""


def recorded(settings: PriorSettings) -> dict[str, Any]:
    """The settings with the prior's `name`, for a record of a run."""
    return {"name": type(settings).__name__.removesuffix("Settings").lower(), **asdict(settings)}


def make(settings: PriorSettings, generator: Generator, highest: float = 1.0, cond: Any = None) -> Prior:
    """The prior of these settings for a generator.

    highest: the noise level, above 0 and up to 1, at which flair's sweep begins; the others have no sweep. cond: what the
    generator's `condition` or `told` gives, for VSD and flair instead of no prompt; the others take none. ValueError for
    what a prior cannot use, for bridge with a generator that takes no words, and for settings of no prior.
    """
    if cond is not None and not isinstance(settings, TELLABLE):
        raise ValueError(f"cond: only VSD and flair take conditioning, and these are {type(settings).__name__}")
    if isinstance(settings, VsdSettings):
        return Vsd(generator, settings, cond)
    if isinstance(settings, FlairSettings):
        return Flair(generator, settings, highest, cond)
    if isinstance(settings, BridgeSettings):
        return Bridge(generator, settings)
    if isinstance(settings, NoSettings):
        return NoPrior()
    raise ValueError(f"settings is a {type(settings).__name__}, expected VsdSettings, FlairSettings, BridgeSettings or NoSettings")


def _whole(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number from {least}, not {value!r}")


def _guidance(value: float) -> None:
    if not 0 <= value < float("inf"):
        raise ValueError(f"guidance must be a number from 0, not {value!r}")


def _positive(name: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be a number above 0, not {value!r}")
