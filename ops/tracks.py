"""The two tracks: their settings per modality, and both of them from one call with what lies between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from .concept import Concept
from .encoders.protocol import Encoder
from .generators.protocol import Generator
from .instruments import Judge
from .optimise import Step
from .priors.settings import FlairSettings, PriorSettings
from .render import Render, Settings, Track, render
from .schedule import Plateau, Schedule
from .space import Modality

# (steps, looks at the media per step) of a full and of a quick honest render, and (steps, looks, candidates) of natural ones:
# what two CPU cores do in ten minutes and in one for all modalities together.
_HONEST = {"image": (100, 4), "audio": (150, 3), "video": (100, 2)}
_HONEST_QUICK = {"image": (40, 3), "audio": (24, 2), "video": (14, 1)}
_NATURAL = {"image": (60, 1, 4), "audio": (60, 1, 3), "video": (40, 1, 2)}
_NATURAL_QUICK = {"image": (24, 1, 2), "audio": (20, 1, 1), "video": (12, 1, 1)}
# Where time does not matter: the honest track's number is enough for every target, and a plateau ends most runs before.
_THOROUGH: dict[Track, int] = {"honest": 2000, "natural": 400}
_THOROUGH_LOOKS, _THOROUGH_CANDIDATES = 8, 8
_TRAVEL = {"image": 2.0, "audio": 5.0, "video": 2.0}
"""Rate times steps of a natural render: how far the objective may move the noisy latent in all. More brings the render nearer
to the concept for its encoder and for nobody else: of ten words from two seeds each, an independent judge knew .75 as pictures
among its five best at 2 and .55 at 4, and .18 of forty at 18; of sixteen sounds .62 at 2 and at .5, and .75 at 5. With four
candidates it knew .75 of forty pictures after 60 steps and .62 after 40."""


@dataclass(frozen=True)
class Hold:
    """What holds a natural render in place of what usually does. strength: 0..1, as `Schedule.strength`. told: as `Settings.told`."""

    prior: PriorSettings
    strength: float = 1.0
    told: bool = False


def settings(
    modality: Modality,
    track: Track,
    quick: bool = False,
    steps: int | None = None,
    thorough: bool = False,
    prior: PriorSettings | None = None,
) -> Settings:
    """The settings of one render; `steps` overrides the usual number. prior: of a natural render, in place of flair, with the
    schedule that suits it. ValueError for steps below 1, for quick and thorough at once, and for an honest render's prior."""
    if quick and thorough:
        raise ValueError("a render is quick or thorough, not both")
    usual, crops = (_HONEST_QUICK if quick else _HONEST)[modality]
    candidates = 1
    if track == "natural" and (prior is None or isinstance(prior, FlairSettings)):
        usual, crops, candidates = (_NATURAL_QUICK if quick else _NATURAL)[modality]
    if thorough:
        usual, crops, candidates = _THOROUGH[track], _THOROUGH_LOOKS, _THOROUGH_CANDIDATES if candidates > 1 else 1
    steps = usual if steps is None else steps
    look_every = max(1, -(-steps // 8))
    # the mean reaches back over a twentieth of the run, which at 2000 steps is the decay of .99 that others use
    honest = Schedule(steps, lr=0.1, final_lr=0.005, look_every=look_every, ema=max(0.0, 1 - 20 / max(1, steps)), plateau=Plateau())
    if track == "honest":
        if prior is not None:
            raise ValueError(f"an honest render has no prior, and this one has {type(prior).__name__}")
        return Settings(honest, crops)
    if prior is not None and not isinstance(prior, FlairSettings):
        # a hotter latent runs away from what follows it (research on two-dimensional distillation has .003 to .03)
        return Settings(replace(honest, lr=0.03, final_lr=0.003, plateau=None), crops, prior)
    # Many levels with one data step each: of equal cost, it draws better than few with several. Normalised steps came
    # nearer to the concept than Adam's at every rate tried.
    rate = min(0.3, _TRAVEL[modality] / steps)
    schedule = Schedule(steps, lr=rate, final_lr=0.0, warmup=0, look_every=look_every, descent="normalised")
    return Settings(schedule, crops, prior or FlairSettings(steps), told=True, candidates=candidates, opening=honest)


def held(modality: Modality, hold: Hold, quick: bool = False, steps: int | None = None, thorough: bool = False) -> Settings:
    """The settings of a natural render that is held so. Errors as in `settings`."""
    made = settings(modality, "natural", quick, steps, thorough, hold.prior)
    if isinstance(made.prior, FlairSettings):  # the record says how many there are, not how many were allowed
        made = replace(made, prior=replace(made.prior, levels=min(made.prior.levels, made.schedule.steps)))
    return replace(made, told=hold.told, schedule=replace(made.schedule, strength=hold.strength))


def dialled(
    modality: Modality,
    dial: float,
    quick: bool = False,
    steps: int | None = None,
    thorough: bool = False,
    hold: Hold | None = None,
) -> Settings:
    """The settings at a point between the tracks: dial 0 is the honest one, 1 the natural one, each as it is. hold: of a natural
    render, in place of the usual.

    Between them, with flair, a share 1 - dial of the steps draws without a prior and the rest is a sweep from noise of level
    `dial` (see `render.stages`): how much of what the objective alone drew is drawn anew by the prior. Other priors pull
    with that share of their strength. Errors as in `settings`, and ValueError for a dial outside 0..1.
    """
    if not 0 <= dial <= 1:
        raise ValueError(f"dial must lie in 0..1, from the honest to the natural track, not {dial}")
    if dial == 0:
        return settings(modality, "honest", quick, steps, thorough)
    natural = held(modality, hold, quick, steps, thorough) if hold else settings(modality, "natural", quick, steps, thorough)
    return replace(natural, schedule=replace(natural.schedule, strength=dial * natural.schedule.strength))


def both(
    concept: Concept,
    encoder: Encoder,
    generator: Generator,
    seed: int,
    dial: float | None = None,
    quick: bool = False,
    steps: int | None = None,
    thorough: bool = False,
    watch: Callable[[float, Step], None] = lambda dial, step: None,
    judge: Judge | None = None,
    candidates: int | None = None,
    hold: Hold | None = None,
    watch_alone: Callable[[int, int], None] = lambda done, total: None,
) -> list[Render]:
    """The honest and the natural render of one target from one seed, and with `dial` the one between them, in that place.

    `watch` is shown every step with the dial it belongs to. Those with a prior also say what it makes alone (their
    leakage). candidates: of those with a prior, in place of the usual number, which is the pocket's: all are in one batch, and
    a large generator has room for 1. hold: of those with a prior, in place of the usual. watch_alone: as in `render`.
    Raises what `render` and `dialled` raise.
    """
    dials = [0.0, 1.0] if dial is None else sorted({0.0, dial, 1.0})
    made = []
    for at in dials:
        track: Track = "natural" if at else "honest"
        chosen = dialled(generator.modality, at, quick, steps, thorough, hold)
        if at and candidates is not None:
            chosen = replace(chosen, candidates=candidates)
        result = render(
            concept, encoder, generator, track, chosen, seed, partial(watch, at), judge=judge, leakage=at > 0, watch_alone=watch_alone
        )  # fmt: skip
        made.append(result)
    return made
