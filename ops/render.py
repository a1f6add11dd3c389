"""One render: a concept, a generator and a track, from the seeded latent to media with its history."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from .alone import alone
from .centring import off_centre, say_once
from .concept import Concept
from .encoders.decoded import embed
from .encoders.protocol import Encoder
from .generators.protocol import Generator
from .instruments import Instruments, Judge, cosines, fitted, likeness, measure, weathered
from .interpret.readout import readout
from .objective.alignment import Weights, alignment
from .objective.views import Framing
from .optimise import Step, optimise
from .priors.none import NoPrior
from .priors.protocol import Prior
from .priors.settings import TELLABLE, FlairSettings, NoSettings, PriorSettings, make, recorded
from .run_state import RunState
from .schedule import Schedule
from .space import Modality, fingerprint

Track = Literal["honest", "natural"]
Reading = list[tuple[str, float]]
APART = 1_000_003
"""Between the seeds of candidates: further than people count up."""
RESTART = 0.6
"""Noise level laid over a given starting latent: what it shows as a whole is kept, and its parts can still change."""


@dataclass(frozen=True)
class Settings:
    """How a render is made, apart from the concept and the seed.

    prior: which, and how. crops: looks at the media per step; framing: how they are cut, None for what suits the medium.
    weights: of the terms of the objective. words: how many a reading has. told: the prior is told the concept, as the
    generator reads it (`Generator.told`; no prompt): it then also draws it by itself, which is what leakage measures.
    candidates: latents drawn for each seed, of which the best is kept, by the score that also chooses among looks; the first
    starts where the seed says, the others from seeds of their own.
    opening: the schedule of the steps before a sweep whose strength is below 1 (see `stages`), which must be there then.
    """

    schedule: Schedule
    crops: int
    prior: PriorSettings = NoSettings()
    weights: Weights = Weights()
    framing: Framing | None = None
    told: bool = False
    candidates: int = 1
    words: int = 6
    opening: Schedule | None = None

    def __post_init__(self) -> None:
        if self.candidates < 1:
            raise ValueError(f"candidates must be at least 1, not {self.candidates}")
        if isinstance(self.prior, FlairSettings) and self.schedule.strength < 1 and self.opening is None:
            raise ValueError(f"a sweep of strength {self.schedule.strength} needs an opening, the schedule of the steps before it")


@dataclass(frozen=True)
class Render:
    """What came of it.

    media: image [3, H, W] or video [T, 3, H, W] in 0..1, audio [1, T] in -1..1, on the CPU.
    latent: [1, ...] that decodes to it. cosine: of the finished media with the concept, centred.
    trajectory: each step's loss and metrics. looks: previews as media, with the step and the words read from it; the
    last is the finished media. seconds: of the whole batch it was made in. score: what it was chosen by among the looks,
    the cosine of the worn media with the concept, or a judge's; None where the last is taken. stopped: why it ended
    early, if it did.
    """

    modality: Modality
    track: Track
    media: Tensor
    latent: Tensor
    cosine: float
    trajectory: list[dict[str, float]]
    looks: list[tuple[int, Tensor, Reading]]
    settings: dict[str, Any]
    seconds: float
    seed: int
    instruments: Instruments
    score: float | None = None
    stopped: str | None = None


def render(
    concept: Concept,
    encoder: Encoder,
    generator: Generator,
    track: Track,
    settings: Settings,
    seed: int,
    watch: Callable[[Step], None] = lambda step: None,
    start: Tensor | None = None,
    judge: Judge | None = None,
    leakage: bool = False,
    state: RunState | None = None,
    watch_alone: Callable[[int, int], None] = lambda done, total: None,
) -> Render:
    """The one of `renders` from a single seed."""
    return renders(concept, encoder, generator, track, settings, [seed], watch, start, judge, leakage, state, watch_alone)[0]


def renders(
    concept: Concept,
    encoder: Encoder,
    generator: Generator,
    track: Track,
    settings: Settings,
    seeds: Sequence[int],
    watch: Callable[[Step], None] = lambda step: None,
    start: Tensor | None = None,
    judge: Judge | None = None,
    leakage: bool = False,
    state: RunState | None = None,
    watch_alone: Callable[[int, int], None] = lambda done, total: None,
) -> list[Render]:
    """Render a concept from each seed, in one batch; `watch` is shown every step, with the first seed's reading.

    start: latents [B, ...] to begin with in place of the seeds' noise; a prior then begins at the noise level `RESTART`, at
    most. judge: an encoder that the latents are not optimised with; it chooses among the looks, and measures the gap.
    Without one, they are chosen by the encoder's own cosine with the media worn (blurred and cropped, as the objective
    never shows them). After a sweep there is nothing to choose but among candidates: only its end is finished. leakage: also measure what the
    prior makes alone, by a second sweep (remembered for the next concept with the same generator, settings and seeds),
    with `watch_alone` as in `alone`; not of a given start, which has something to say itself.
    state: of such a render that was stopped; its trajectory and looks begin where it goes on.
    Raises what `optimise` raises, and ValueError for a zero concept, for no seeds and for a judge that says nothing here
    (`Judge.require_apart`).
    """
    concept.space.require(encoder.space)
    if not seeds:
        raise ValueError("no seed was given, expected one for each render")
    if judge is not None:
        judge.require_apart(encoder, generator.modality)
    if problem := off_centre(concept.space, concept.modalities | {generator.modality}):
        say_once(problem)
    began = time.monotonic()
    drawn = [seed + k * APART for seed in seeds for k in range(settings.candidates)]
    start = None if start is None else start.repeat_interleave(settings.candidates, 0)
    objective = alignment(concept, encoder, generator, settings.weights, settings.crops, seeds[0], settings.framing)
    mark = fingerprint({"": concept.direction})
    # a stopped run is not taken up for another target, from another start or with another judge
    begins = "" if start is None else f", from a latent {fingerprint({'': start})}"
    judges = "" if judge is None else f", judged by {judge.encoder.space.encoder_id}"
    named = replace(objective, description=f"{objective.description} at {concept} ({mark}){begins}{judges}")
    chooser = judge or Judge(encoder, concept)
    shown = lambda media: fitted(media, generator.modality)  # noqa: E731
    presented = shown if judge else lambda media: weathered(shown(media), generator)
    score = lambda media: cosines(presented(media), chooser.concept.direction, chooser.encoder, generator)  # noqa: E731
    reader = lambda media: [readout(embed(encoder, generator, each[None]), encoder.space, settings.words) for each in media]  # noqa: E731
    trajectories, looks = [[] for _ in drawn], [[] for _ in drawn]
    cond = generator.told(concept.direction, concept.space) if settings.told and isinstance(settings.prior, TELLABLE) else None
    todo, before, step = stages(settings, generator, start is not None, cond), 0, None
    if state is not None:
        # of a state that fits none, the first tells what is wrong with it
        at = next((i for i, (schedule, _) in enumerate(todo) if state.made_with.get("schedule") == asdict(schedule)), 0)
        before, todo = sum(schedule.steps for schedule, _ in todo[:at]), todo[at:]
        if state.ended and len(todo) > 1:
            before, todo, start, state = state.index, todo[1:], state.part("best")["latent"], None
    for schedule, prior in todo:
        chooses = None if prior.sweeps else score
        for step in optimise(generator, named, prior, schedule, drawn, reader, step.best if step else start, chooses, state):
            step = replace(step, index=before + step.index, total=settings.schedule.steps)
            rows = zip(step.losses.tolist(), *(values.tolist() for values in step.measured.values()))
            for trajectory, (loss, *values) in zip(trajectories, rows):
                trajectory.append({"step": step.index, "loss": loss, **dict(zip(step.measured, values))})
            for i, reading in enumerate(step.reading or ()):
                looks[i].append((step.index, finished(step.preview[i : i + 1], generator.modality), reading))
            watch(replace(step, reading=step.reading and step.reading[0]))
        before, state = step.index + 1, None
    kept = _kept(score, generator, step.best, settings.candidates)
    described_as = asdict(settings) | {"prior": recorded(settings.prior), "objective": objective.description, "told": cond is not None}
    lone = None
    if leakage and settings.schedule.strength and not isinstance(settings.prior, NoSettings) and start is None:
        own = [drawn[row] for row in kept]
        with torch.no_grad():
            latents = alone(generator, stages(settings, generator, False, cond), own, "" if cond is None else mark, watch_alone)
            media = fitted(generator.decode(latents.to(step.best)), generator.modality)
            lone = cosines(media, concept.direction, encoder, generator).tolist()
    made = []
    for i, (seed, row) in enumerate(zip(seeds, kept)):
        latent = step.best[row : row + 1]
        with torch.no_grad():
            media = finished(generator.decode(latent), generator.modality)
            embedding = embed(encoder, generator, media[None].to(latent))
            cosine = float(likeness(embedding, concept.direction, encoder.space))
            reading = readout(embedding, encoder.space, settings.words)
        looks[row][-1] = (step.index, media, reading)
        read = measure(latent, concept, encoder, generator, judge, lone and lone[i])
        scored = None if step.scores is None else float(step.scores[row])
        made.append(
            Render(
                generator.modality, track, media, latent, cosine, trajectories[row], looks[row], described_as | {"candidate": row % settings.candidates},
                time.monotonic() - began, seed, read, scored, step.stopped,
            )  # fmt: skip
        )
    return made


@torch.no_grad()
def _kept(score: Callable[[Tensor], Tensor], generator: Generator, latents: Tensor, candidates: int) -> list[int]:
    """Of latents [seeds * candidates, ...], the row of the best scored candidate of each seed."""
    if candidates == 1:
        return list(range(len(latents)))
    # one at a time: a score looks at a medium several times, and a batch of clips does not fit everywhere
    scores = torch.cat([score(generator.decode(latent[None])).float().cpu() for latent in latents]).view(-1, candidates)
    return [i * candidates + int(row.argmax()) for i, row in enumerate(scores)]


def stages(settings: Settings, generator: Generator, started: bool, cond: Any = None) -> list[tuple[Schedule, Prior]]:
    """What a render runs through, one after the other: schedules with the priors they have; cond: as `priors.settings.make`.

    A sweep that displaced the latent in part would leave between its levels what it takes for the objective's own moves.
    So a strength d below 1 is read as how far up the sweep begins: the opening's schedule draws for a share 1 - d of the
    steps without a prior, then noise of level d is laid over that, and the prior comes down from there in the rest
    (SDEdit, Meng et al., arXiv 2108.01073). 0 is the opening alone and 1 the sweep alone, in all bits; so is a d that leaves
    less than half a step for the other: nothing was drawn then that noise could be laid over. started: whether the
    render has a latent of its own to begin with, under no more noise than `RESTART`.
    """
    whole, prior = settings.schedule, settings.prior
    if not isinstance(prior, FlairSettings):
        return [(whole, make(prior, generator, cond=cond))]
    sweeping = round(whole.steps * whole.strength)
    todo = []
    if sweeping < whole.steps:
        todo.append((replace(settings.opening, steps=whole.steps - sweeping), NoPrior()))
    if sweeping:
        highest = min(whole.strength, RESTART) if started else whole.strength if todo else 1.0
        levels = max(1, round(prior.levels * sweeping / whole.steps))
        todo.append((replace(whole, steps=sweeping, strength=1.0), make(replace(prior, levels=levels), generator, highest, cond)))
    return todo


def finished(media: Tensor, modality: Modality) -> Tensor:
    """The first of a batch as it is shown: pictures clamped to 0..1, sounds brought below full scale, on the CPU."""
    return fitted(media[:1].detach().float().cpu(), modality)[0]
