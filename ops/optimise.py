"""The loop: latents, an objective on what they decode to, and a prior that keeps them natural."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .generators.protocol import Generator
from .objective.value import Moment, Objective
from .particles import Best, Mean, Particles, rms, started
from .priors.protocol import Prior
from .run_state import OtherRun, RunState, described
from .schedule import PATIENCE, Schedule, Watch

FAST_SHARE = 0.8
"""The first part of a run decodes the generator's fast way, the rest as the result will be decoded."""
SAFE_EVERY = 25
"""Steps from one point that a run can fall back to to the next."""


@dataclass(frozen=True)
class Step:
    """One step of a run of B particles.

    latent: [B, ...], what was decoded when loss and metrics were measured. best: per particle the candidate of the
    highest score so far; without scores, the latent of lowest loss since the prior last moved it (a moved latent is
    another picture, and its losses are not comparable).
    losses: [B]. measured: the objective's metrics [B], "norm" [B] (root mean square of the latent), and the same for all
    particles the prior's stats and "rate". scores: [B] of `best`, on the CPU; None where candidates are not scored.
    preview: what the latent, or where there is one its running mean, decodes to as the generator gives it, on the steps
    that look; else None. reading: what the reader made of the preview, on the same steps; else None.
    stopped: why the run ends with this step before its time; None everywhere else.
    state: gives the run's `RunState` after this step, until the next step is asked for; RuntimeError later.
    """

    index: int
    total: int
    latent: Tensor
    best: Tensor
    losses: Tensor
    measured: dict[str, Tensor]
    scores: Tensor | None = None
    preview: Tensor | None = None
    reading: Any = None
    stopped: str | None = None
    state: Callable[[], RunState] = field(default=None, repr=False)

    @property
    def loss(self) -> float:
        """The mean loss of the particles."""
        return float(self.losses.mean())

    @property
    def metrics(self) -> dict[str, float]:
        """The mean of each metric over the particles."""
        return {name: float(values.mean()) for name, values in self.measured.items()}


class OptimisationError(ArithmeticError):
    """The loss or its gradient stopped being a number; `best` is the best latent seen before, [B, ...]."""

    def __init__(self, message: str, best: Tensor):
        super().__init__(message)
        self.best = best


@torch.enable_grad()
def optimise(
    generator: Generator,
    objective: Objective,
    prior: Prior,
    schedule: Schedule,
    seed: int | Sequence[int],
    reader: Callable[[Tensor], Any] | None = None,
    start: Tensor | None = None,
    score: Callable[[Tensor], Tensor] | None = None,
    state: RunState | None = None,
) -> Iterator[Step]:
    """Optimise seeded latents, or `start`, until what they decode to satisfies the objective; one `Step` a step.

    seed: one, or several for as many particles in one batch; a particle starts where it would alone. start: [B, ...].
    Before a step that the prior wants, its displacement is added to the latents: z += strength * delta.
    Then the schedule's descent follows the objective's gradient through the decoder and the prior's estimate of the
    latent. The generator's starts and one CPU generator from the first seed are all the randomness there is: equal seeds
    give bit-equal runs on one machine. `reader` is shown each preview and its answer travels in the Step.
    score: media [B, ...] -> [B], higher is better; it is shown, at the steps that look and decoded in full, the latent and
    its running mean, and the result is what it liked best: the lowest loss belongs to what best deceives the encoder. It has
    nothing to choose where a prior sweeps: there, only the last latent is finished.
    state: of a run made with the same; the steps that were left follow, bit-equal on the CPU as long as numbers hold.

    A loss or gradient that is not finite throws all particles back to where they were up to `SAFE_EVERY` steps before,
    and halves the rate, once; the second time it is an OptimisationError.
    Closing the iterator stops the run. ValueError for no seeds, for a start of another shape or with NaN, for a state of a
    run that had ended, and (OtherRun) for one of another run.
    """
    seeds = [seed] if isinstance(seed, int) else list(seed)
    made_with = {
        "schedule": asdict(schedule), "seeds": seeds, "generator": generator.id, "prior": described(prior),
        "objective": objective.description, "result": "latest of lowest loss" if score is None else "best scored",
    }  # fmt: skip
    if state is not None:
        state.require(made_with)
        if state.ended:
            raise ValueError(f"the run had ended after {state.index} steps: nothing of it is left to do")
    first, rng = started(generator, seeds, start)
    particles, best = Particles(first, schedule), Best(first)
    mean = Mean(first, schedule.ema) if schedule.ema else None
    watch = Watch(schedule.plateau, len(seeds)) if schedule.plateau else None
    if state is not None and state.part("best")["latent"].shape != first.shape:
        theirs, ours = (" x ".join(map(str, latent.shape[1:])) for latent in (state.part("best")["latent"], first))
        raise OtherRun(f"the run cannot go on: its latents were {theirs}, and this generator's are {ours}; give the size it began with")
    parts = {name: part for name, part in (("particles", particles), ("best", best), ("mean", mean), ("watch", watch)) if part}
    begun, done, slowed = 0, 0, 1.0

    def state_after(index: int) -> RunState:
        if index != done:
            raise RuntimeError(f"the run has gone on from step {index} to {done}: its state is had before the next step is asked for")
        everything = {name: part.state_dict() for name, part in {**parts, "prior": prior}.items()}
        run = {"rng": rng.get_state(), "slowed": slowed, "ended": stopped is not None or index == schedule.steps}
        return RunState.of(index, made_with, everything | {"run": run})

    prior.begin(first.detach().clone(), schedule.steps, rng)
    if state is not None:
        for name, part in {**parts, "prior": prior}.items():
            part.load_state_dict(state.part(name))
        rng.set_state(state.part("run")["rng"])
        begun, slowed = state.index, state.part("run")["slowed"]

    index = done = begun
    while index < schedule.steps:
        if index % SAFE_EVERY == 0 or index == begun:
            safe = _point(particles, prior)
        stats: dict[str, float] = {}
        if prior.wants(index):
            pushed = prior.step(particles.latent().detach(), index)
            particles.move(schedule.strength * pushed.delta)
            stats = pushed.stats
            if score is None:
                best.forget()

        clean = prior.estimate(particles.latent())
        latent = clean.detach().clone()
        media = generator.decode(clean, fast=index < FAST_SHARE * schedule.steps)
        loss, metrics = objective(media, Moment(index / max(1, schedule.steps - 1), rng, clean))
        gradients = torch.autograd.grad(loss.sum(), particles.levels)
        losses = loss.detach()
        if broken := _broken(losses, gradients):
            if slowed < 1:
                raise OptimisationError(f"the {broken} is not a number at step {index} of {schedule.steps}", best.latent)
            slowed = 0.5
            # all but the randomness: not again the draws that may have broken it
            particles.load_state_dict(safe[0])
            prior.load_state_dict(safe[1])
            continue

        if mean:
            mean.add(latent)
        if score is None:
            best.offer(latent, losses)
        stopped = preview = reading = None
        if watch and watch.stops(losses) and index < schedule.steps - 1:
            stopped = (
                f"the loss gained less than {schedule.plateau.gain:.2%} over {schedule.plateau.window} steps, {PATIENCE} times in a row: "
                f"stopped after {index + 1} of {schedule.steps} steps"
            )
        if stopped or schedule.looks(index):
            preview = _looked(generator, score, best, latent, mean, media)
            reading = reader(preview) if reader else None
        rate = slowed * schedule.rate(index)
        alike = {name: torch.full((len(seeds),), value) for name, value in (stats | {"rate": rate}).items()}
        measured = {name: values.detach().float().cpu() for name, values in (metrics | {"norm": rms(latent)}).items()} | alike
        particles.descend(gradients, rate)
        index += 1
        done = index
        scores = None if score is None else -best.cost.cpu()
        yield Step(
            index - 1, schedule.steps, latent, best.latent, losses.float().cpu(), measured, scores, preview, reading, stopped,
            partial(state_after, index),
        )  # fmt: skip
        if stopped:
            return


@torch.no_grad()
def _looked(
    generator: Generator, score: Callable[[Tensor], Tensor] | None, best: Best, latent: Tensor, mean: Mean | None, media: Tensor
) -> Tensor:
    """What is shown of a step: its running mean where there is one, or itself; both are offered where candidates are scored."""
    candidates = [latent] * (score is not None) + [mean.latent for mean in [mean] if mean]
    if not candidates:
        return media.detach().clone()
    for candidate in candidates:
        shown = generator.decode(candidate)
        if score:
            scores = score(shown)
            if scores.shape != (len(latent),):
                raise ValueError(f"the score of {len(latent)} media has shape {tuple(scores.shape)}, expected one number for each")
            best.offer(candidate, -scores.to(best.cost))
    return shown


def _point(particles: Particles, prior: Prior) -> tuple[dict[str, Any], dict[str, Any]]:
    copied = lambda state: {name: x.clone() if isinstance(x, Tensor) else x for name, x in state.items()}  # noqa: E731
    return particles.state_dict(), copied(prior.state_dict())


def _broken(losses: Tensor, gradients: Sequence[Tensor]) -> str:
    """What of a step is not a number; "" if all of it is."""
    if not bool(torch.isfinite(losses).all()):
        return "loss"
    return "" if all(bool(torch.isfinite(gradient).all()) for gradient in gradients) else "gradient"
