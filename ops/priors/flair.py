"""One descending sweep of noise levels, with the noise carried along: the natural track's prior.

The idea is FLAIR's (Erbach et al., arXiv 2506.02680): alternate prior steps and data steps on the
estimate of the clean latent, once through the noise levels from high to low. How much noise is
carried from level to level follows here from the schedule instead (see `Flair.step`).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..generators.protocol import Generator
from .protocol import PriorStep


class Flair:
    """Replaces the latent, at `levels` evenly spaced steps of a run, by the generator's estimate of it from noise.

    The levels fall evenly from t = 1 to 1 / levels. The latent a run starts from is its first noise, so
    two tracks with one seed start from the same draw. ValueError for fewer than one level.
    """

    def __init__(self, generator: Generator, levels: int = 50):
        if levels < 1:
            raise ValueError(f"levels must be at least 1, not {levels}")
        self.generator = generator
        self.levels = levels

    def begin(self, z: Tensor, cond: Any, total_steps: int, rng: torch.Generator) -> None:
        self._cond, self._rng = cond, rng
        self._noise = z.detach().clone()
        count = min(self.levels, total_steps)
        self._times = {level * total_steps // count: 1 - level / count for level in range(count)}

    def wants(self, step: int) -> bool:
        return step in self._times

    def step(self, z: Tensor, step: int) -> PriorStep:
        """The way from z to the clean latent predicted from alpha z + sigma noise.

        The next level's noise is keep * (the noise just seen) + sqrt(1 - keep^2) * fresh noise with
        keep = (alpha sigma') / (alpha' sigma), primes for the next level: the share that ancestral
        sampling keeps, under which an exact denoiser ends on its own data's law from any start.
        """
        time = self._times[step]
        later = [t for t in self._times.values() if t < time]
        alpha, sigma = self._schedule(time, z)
        noisy = alpha * z + sigma * self._noise
        with torch.no_grad():
            clean = self.generator.predict_x0(noisy, torch.full((len(z),), time, device=z.device), self._cond)
        if later:
            next_alpha, next_sigma = self._schedule(max(later), z)
            keep = float((alpha * next_sigma) / (next_alpha * sigma))
            seen = (noisy - alpha * clean) / sigma
            fresh = torch.randn(z.shape, generator=self._rng).to(z)
            self._noise = keep * seen + math.sqrt(1 - keep**2) * fresh
        delta = clean - z
        return PriorStep(delta, {"prior_time": time, "prior_pull": float(delta.square().mean().sqrt())})

    def state_dict(self) -> dict[str, Any]:
        return {"noise": self._noise.clone(), "rng": self._rng.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._noise = state["noise"].to(self._noise).clone()
        self._rng.set_state(state["rng"])

    def _schedule(self, time: float, like: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma = self.generator.noise(torch.tensor(time, device=like.device))
        return alpha, sigma
