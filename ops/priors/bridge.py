"""The bridge between what looks wrong and what looks right, each described in words: no training, two predictions a step.

The second stage of McAllister et al. 2024, arXiv 2406.09417, in x0-space and with the descriptions alone: what is rendered is
the objective's affair, so no prompt names it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..generators.protocol import Generator
from .displacement import HIGHEST, LOWEST, moved, noised, rate, shifted
from .protocol import PriorStep

if TYPE_CHECKING:
    from .settings import BridgeSettings

TRAVEL = 10.0
"""How far a full difference would move each value over a run. Descriptions differ by a tenth of that or so, and more than one
deviation in one direction is off what is natural, wherever it leads."""


class Bridge:
    """Displaces the latent along E[x0 | x_t, positive] - E[x0 | x_t, negative] at a random noise level, normalised as VSD's.

    It is a direction and not an aim: a net that holds the two apart does so in a natural latent as well, and nothing but the
    run's end or the objective stops the latent from going on that way. It can only be as good as the net's words for
    qualities: the pocket's know things, and there it tints a picture and leaves noise as it was.
    stats: prior_time and prior_pull (root mean square of the displacement).

    ValueError for a generator that cannot be told anything in words, as it says it itself.
    """

    sweeps = False

    def __init__(self, generator: Generator, settings: BridgeSettings):
        self.generator, self.settings = generator, settings
        self._positive, self._negative = (generator.condition(words) for words in (settings.positive, settings.negative))

    def begin(self, z: Tensor, total_steps: int, rng: torch.Generator) -> None:
        self._rng, self._taken = rng, 0
        self._total = -(-total_steps // self.settings.every)

    def wants(self, step: int) -> bool:
        return step % self.settings.every == 0

    def estimate(self, z: Tensor) -> Tensor:
        return z

    @torch.no_grad()
    def step(self, z: Tensor, step: int) -> PriorStep:
        t = shifted(torch.rand(len(z), generator=self._rng), self.settings.shift).clamp(LOWEST, HIGHEST).to(z)
        noisy, _ = noised(self.generator, z, t, self._rng)
        right, wrong = (self.generator.predict_x0(noisy, t, words) for words in (self._positive, self._negative))
        delta = moved(z, right, right - wrong, rate(self._taken, self._total, TRAVEL))
        self._taken += 1
        return PriorStep(delta, {"prior_time": float(t.mean()), "prior_pull": float(delta.square().mean().sqrt())})

    def state_dict(self) -> dict[str, Any]:
        return {"taken": self._taken}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._taken = int(state["taken"])
