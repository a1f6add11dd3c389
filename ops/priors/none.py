"""The honest track's prior: none."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .protocol import PriorStep


class NoPrior:
    """Never displaces anything; what is rendered is what the objective alone asks for."""

    sweeps = False

    def begin(self, z: Tensor, total_steps: int, rng: torch.Generator) -> None:
        pass

    def estimate(self, z: Tensor) -> Tensor:
        return z

    def wants(self, step: int) -> bool:
        return False

    def step(self, z: Tensor, step: int) -> PriorStep:
        return PriorStep(torch.zeros_like(z))

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass
