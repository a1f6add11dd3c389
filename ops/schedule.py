"""How long and how fast a latent is optimised, and when it is found to have stopped gaining."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from .pyramid import Pyramid

Descent = Literal["adam", "normalised"]
PATIENCE = 2
"""Windows in a row that gain too little before a run is stopped: one of them can be bad luck with the looks."""


@dataclass(frozen=True)
class Plateau:
    """When a run is stopped early: the loss, averaged over recent steps, fell by less than the share `gain` over
    `window` steps, `PATIENCE` times in a row.

    The average decays by 1 - 2 / window a step (0.99 for 200) and is without bias toward its start. window: 2 or more
    steps. gain: above 0, below 1. The usual figures are .2 % over 200 steps.
    """

    window: int = 200
    gain: float = 0.002

    def __post_init__(self) -> None:
        if self.window < 2:
            raise ValueError(f"a plateau's window must be at least 2 steps, not {self.window}")
        if not 0 < self.gain < 1:
            raise ValueError(f"a plateau's gain must lie between 0 and 1, not {self.gain}")


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a latent is optimised.

    steps: data steps. lr, final_lr: the rate per latent value, warmed up over `warmup` steps, 0 or more,
    then falling along a half cosine. descent: "adam", or "normalised": a step along the gradient itself, of root mean
    square `rate`, which keeps the gradient's shape where a prior moves the latent between steps and moments of earlier
    gradients would be of another picture. strength: the share of the prior's displacement that is
    applied, 0..1; a prior that sweeps takes all or nothing (see `render.stages` for what lies between). look_every: a
    preview, and a reading if there is a reader, every so many steps, and at the last.
    ema: decay per step, in [0, 1), of the latent's running mean, which is then previewed and is a candidate for the
    result where candidates are scored; 0 for none. It says nothing where a prior sweeps: earlier latents are another
    picture. plateau: when to stop early; None for never, as a sweep has to come down to its end.
    parametrisation: the latent as a sum of coarse and fine levels.
    """

    steps: int
    lr: float
    final_lr: float
    warmup: int = 10
    strength: float = 1.0
    look_every: int = 25
    descent: Descent = "adam"
    ema: float = 0.0
    plateau: Plateau | None = None
    parametrisation: Pyramid = Pyramid()

    def __post_init__(self) -> None:
        if self.steps < 1 or self.look_every < 1:
            raise ValueError(f"steps and look_every must be at least 1, not {self.steps} and {self.look_every}")
        if not 0 <= self.final_lr <= self.lr:
            raise ValueError(f"0 <= final_lr <= lr is needed, not lr {self.lr} and final_lr {self.final_lr}")
        if self.warmup < 0:
            raise ValueError(f"warmup must be 0 or more steps, not {self.warmup}")
        if self.descent not in get_args(Descent):
            raise ValueError(f"descent must be one of {', '.join(get_args(Descent))}, not {self.descent!r}")
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength must lie in 0..1, not {self.strength}")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must lie in 0..1 and below 1, not {self.ema}")

    def rate(self, step: int) -> float:
        """The learning rate at a step."""
        falling = self.final_lr + (self.lr - self.final_lr) * (1 + math.cos(math.pi * step / self.steps)) / 2
        return falling * min(1.0, (step + 1) / (self.warmup + 1))

    def looks(self, step: int) -> bool:
        """Whether a step comes with a preview."""
        return step % self.look_every == 0 or step == self.steps - 1


class Watch:
    """Follows the losses [B] of a run for a `Plateau`; a batch has stopped gaining when every particle has."""

    def __init__(self, plateau: Plateau, particles: int):
        self.plateau = plateau
        self._decay = 1 - 2 / plateau.window
        self._mean, self._marked = torch.zeros(particles), torch.zeros(particles)
        self._seen = self._flat = 0

    def stops(self, losses: Tensor) -> bool:
        """Whether the run should end after this step's losses [B]."""
        self._mean = self._decay * self._mean + (1 - self._decay) * losses.cpu().float()
        self._seen += 1
        if self._seen % self.plateau.window:
            return False
        now = self._mean / (1 - self._decay**self._seen)
        if self._seen > self.plateau.window:
            gained = (self._marked - now) >= self.plateau.gain * self._marked.abs()
            self._flat = 0 if bool(gained.any()) else self._flat + 1
        self._marked = now
        return self._flat >= PATIENCE

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self._mean.clone(), "marked": self._marked.clone(), "seen": self._seen, "flat": self._flat}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._mean, self._marked = state["mean"].clone(), state["marked"].clone()
        self._seen, self._flat = state["seen"], state["flat"]
