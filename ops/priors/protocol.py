"""What every prior offers: a displacement of the latent toward what the generator finds natural."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor


@dataclass(frozen=True)
class PriorStep:
    """delta: a displacement of the latent in x0-space, already weighted. stats: what to log about it."""

    delta: Tensor
    stats: dict[str, float] = field(default_factory=dict)


@runtime_checkable
class Prior(Protocol):
    """Pulls a latent toward what its generator finds natural.

    The loop adds the displacement to the latent itself; it never goes through the objective's
    Adam, whose scale-free steps would undo the weighting (`z += strength * delta`).

    sweeps: it makes the latent anew at each of its steps, down to no noise: only the end of a run is finished.
    """

    sweeps: bool

    def begin(self, z: Tensor, total_steps: int, rng: torch.Generator) -> None:
        """Start a run of `total_steps` from latent z, drawing from the run's `rng`."""

    def estimate(self, z: Tensor) -> Tensor:
        """The clean latent that z stands for, differentiable in z: what is decoded and judged. z itself for most."""

    def wants(self, step: int) -> bool:
        """Whether the prior has something to say before this step."""

    def step(self, z: Tensor, step: int) -> PriorStep:
        """The displacement for latent z before this step."""

    def state_dict(self) -> dict[str, Any]:
        """What a run must keep to be taken up again after `begin`."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a run; the continuation is the one that would have been."""
