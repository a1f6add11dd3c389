"""One descending sweep of noise levels, with the noise carried along: the natural track's prior.

The idea is FLAIR's (Erbach et al., arXiv 2506.02680): alternate prior steps and data steps on the
estimate of the clean latent, once through the noise levels from high to low. How much noise is
carried from level to level follows here from the schedule instead (see `Flair.step`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..generators.protocol import Generator
from .protocol import PriorStep

if TYPE_CHECKING:
    from .settings import FlairSettings


class Flair:
    """Replaces the latent, at so many evenly spaced steps of a run, by the generator's estimate of it from noise.

    The levels fall evenly from t = `highest` to highest / levels. With highest 1 the latent a run starts from is its
    first noise, so two tracks with one seed start from the same draw; below 1 it is the picture to start from, and that
    much noise is laid over it (SDEdit, Meng et al., arXiv 2108.01073). ValueError for a highest level outside 0..1.

    Between two prior steps the objective sees the denoised latent (`estimate`), and what the loop
    moves is the noisy one: a gradient that has come back through the denoiser points along what the
    generator can make, where one on the clean latent finds patterns only the encoder sees
    (the gradient of diffusion posterior sampling, Chung et al., arXiv 2209.14687).

    cond: what the generator is told besides, for its own steps alone, by classifier-free guidance of strength
    `settings.guidance` (Ho & Salimans, arXiv 2207.12598); the objective sees what it makes untold.
    """

    sweeps = True

    def __init__(self, generator: Generator, settings: FlairSettings, highest: float = 1.0, cond: Any = None):
        if not 0 < highest <= 1:
            raise ValueError(f"the highest noise level must lie above 0 and up to 1, not {highest}")
        self.generator, self.settings, self.highest = generator, settings, highest
        self.told, self._cond = cond is not None, cond

    def begin(self, z: Tensor, total_steps: int, rng: torch.Generator) -> None:
        self._null, self._rng = self.generator.condition(None), rng
        count = min(self.settings.levels, total_steps)
        self._times = {level * total_steps // count: self.highest * (1 - level / count) for level in range(count)}
        self._time = self.highest
        self._base = z.detach().clone()
        self._noise = self._base.clone() if self.highest == 1 else self.generator.sample_noise(len(z), rng).to(z)

    def wants(self, step: int) -> bool:
        return step in self._times

    def estimate(self, z: Tensor) -> Tensor:
        """The clean latent predicted from alpha base + sigma noise + (z - base): base is z as the last prior step left it."""
        return self._denoised(self._noisy(z))

    def step(self, z: Tensor, step: int) -> PriorStep:
        """The way from z to the clean latent predicted from it, and one level down.

        The new level's noise is keep * (the noise just seen) + sqrt(1 - keep^2) * fresh noise with
        keep = (alpha sigma') / (alpha' sigma), primes for the new level: the share that ancestral
        sampling keeps, under which an exact denoiser ends on its own data's law from any start.
        """
        time = self._times[step]
        with torch.no_grad():
            noisy = self._noisy(z)
            clean = self._denoised(noisy)
            if self.told:
                clean = clean + self.settings.guidance * (self._denoised(noisy, self._cond) - clean)
        if time < self._time:
            alpha, sigma = self._schedule(self._time, z)
            next_alpha, next_sigma = self._schedule(time, z)
            keep = float((alpha * next_sigma) / (next_alpha * sigma))
            seen = (noisy - alpha * clean) / sigma
            fresh = self.generator.sample_noise(len(z), self._rng).to(z)
            self._noise = keep * seen + math.sqrt(1 - keep**2) * fresh
        self._time, self._base = time, clean
        return PriorStep(clean - z, {"prior_time": time, "prior_pull": float((clean - z).square().mean().sqrt())})

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers under flat names; the randomness is the run's and not among them."""
        return {"noise": self._noise.clone(), "base": self._base.clone(), "time": self._time}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._noise, self._base = (state[name].to(self._noise).clone() for name in ("noise", "base"))
        self._time = float(state["time"])

    def _noisy(self, z: Tensor) -> Tensor:
        alpha, sigma = self._schedule(self._time, z)
        return alpha * self._base + sigma * self._noise + (z - self._base)

    def _denoised(self, noisy: Tensor, cond: Any = None) -> Tensor:
        times = torch.full((len(noisy),), self._time, device=noisy.device)
        return self.generator.predict_x0(noisy, times, self._null if cond is None else cond)

    def _schedule(self, time: float, like: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma = self.generator.noise(torch.tensor(time, device=like.device))
        return alpha, sigma
