"""The loop: a latent, an objective on what it decodes to, and a prior that keeps it natural."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from . import runtime
from .generators.protocol import Generator
from .objective.value import Moment, Objective
from .priors.protocol import Prior
from .space import finite


FAST_SHARE = 0.8
"""The first part of a run decodes the generator's fast way, the rest as the result will be decoded."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a latent is optimised.

    steps: data steps. lr, final_lr: the rate per latent value, warmed up over `warmup` steps,
    then falling along a half cosine. descent: "adam", or "normalised": a step along the gradient itself, of root mean
    square `rate`, which keeps the gradient's shape where a prior moves the latent between steps and moments of earlier
    gradients would be of another picture. strength: the share of the prior's displacement that is
    applied, 0..1. look_every: a preview, and a reading if there is a reader, every so many steps,
    and at the last.
    """

    steps: int
    lr: float
    final_lr: float
    warmup: int = 10
    strength: float = 1.0
    look_every: int = 25
    descent: Literal["adam", "normalised"] = "adam"

    def __post_init__(self) -> None:
        if self.steps < 1 or self.look_every < 1:
            raise ValueError(f"steps and look_every must be at least 1, not {self.steps} and {self.look_every}")
        if not 0 <= self.final_lr <= self.lr:
            raise ValueError(f"0 <= final_lr <= lr is needed, not lr {self.lr} and final_lr {self.final_lr}")
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength must lie in 0..1, not {self.strength}")

    def rate(self, step: int) -> float:
        """The learning rate at a step."""
        falling = self.final_lr + (self.lr - self.final_lr) * (1 + math.cos(math.pi * step / self.steps)) / 2
        return falling * min(1.0, (step + 1) / (self.warmup + 1))

    def looks(self, step: int) -> bool:
        """Whether a step comes with a preview."""
        return step % self.look_every == 0 or step == self.steps - 1


@dataclass(frozen=True)
class Step:
    """One step of a run.

    latent: [1, ...], what was decoded when loss and metrics were measured. best: the latent of lowest loss since the
    prior last moved it (a moved latent is another picture, and its losses are not comparable).
    metrics: the objective's, the prior's, "rate" and "norm" (root mean square of the latent).
    preview: what the latent decodes to, as the generator gives it, on the steps that look; else None.
    reading: what the reader made of the preview, on the same steps; else None.
    """

    index: int
    total: int
    latent: Tensor
    best: Tensor
    loss: float
    metrics: dict[str, float]
    preview: Tensor | None = None
    reading: Any = None


class OptimisationError(ArithmeticError):
    """The loss or its gradient stopped being a number; `best` is the best latent seen before."""

    def __init__(self, message: str, best: Tensor):
        super().__init__(message)
        self.best = best


@torch.enable_grad()
def optimise(
    generator: Generator,
    objective: Objective,
    prior: Prior,
    schedule: Schedule,
    seed: int,
    reader: Callable[[Tensor], Any] | None = None,
    start: Tensor | None = None,
) -> Iterator[Step]:
    """Optimise a seeded latent, or `start` [1, *latent_shape], until what it decodes to satisfies the objective; one `Step` a step.

    Before a step that the prior wants, its displacement is added to the latent: z += strength * delta.
    Then the schedule's descent follows the objective's gradient through the decoder and the prior's estimate of the latent. The generator's start and one
    CPU generator, both from `seed`, are all the randomness there is: equal seeds give bit-equal runs on
    one machine. `reader` is shown each preview and its answer travels in the Step.
    Closing the iterator stops the run. ValueError for a start of another shape or with NaN. OptimisationError when the loss or the gradient is not finite.
    """
    rng = runtime.rng(seed)
    first = generator.start(1, seed)
    if start is not None:
        if start.shape != first.shape:
            raise ValueError(f"the starting latent has shape {tuple(start.shape)}, this generator's is {tuple(first.shape)}")
        first = finite(start, "the starting latent").to(first)
    z = first.detach().clone().requires_grad_()
    adam = torch.optim.Adam([z], lr=schedule.lr, betas=(0.9, 0.99))
    prior.begin(z.detach(), generator.condition(None), schedule.steps, rng)
    best, lowest = z.detach().clone(), math.inf
    for index in range(schedule.steps):
        stats: dict[str, float] = {}
        if prior.wants(index):
            pushed = prior.step(z.detach(), index)
            with torch.no_grad():
                z += schedule.strength * pushed.delta
            stats, lowest = pushed.stats, math.inf

        clean = prior.estimate(z)
        latent = clean.detach().clone()
        media = generator.decode(clean, fast=index < FAST_SHARE * schedule.steps)
        loss, metrics = objective(media, Moment(index / max(1, schedule.steps - 1), rng, clean))
        (z.grad,) = torch.autograd.grad(loss.sum(), z)
        value = float(loss.detach().mean())
        if not (math.isfinite(value) and bool(torch.isfinite(z.grad).all())):
            what = "loss" if not math.isfinite(value) else "gradient"
            raise OptimisationError(f"the {what} is not a number at step {index} of {schedule.steps}", best)
        if value < lowest:
            best, lowest = latent, value
        preview = reading = None
        if schedule.looks(index):
            preview = media.detach().clone()
            reading = reader(preview) if reader else None
        numbers = {name: float(metric.mean()) for name, metric in metrics.items()}
        numbers |= stats | {"rate": schedule.rate(index), "norm": float(latent.square().mean().sqrt())}
        if schedule.descent == "adam":
            adam.param_groups[0]["lr"] = schedule.rate(index)
            adam.step()
        else:
            with torch.no_grad():
                z -= schedule.rate(index) * z.grad / z.grad.square().mean().sqrt().clamp_min(1e-12)
        yield Step(index, schedule.steps, latent, best, value, numbers, preview, reading)
