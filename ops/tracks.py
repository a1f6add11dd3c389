"""The two tracks: their settings per modality, and both of them from one call with what lies between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from .concept import Concept
from .encoders.protocol import Encoder
from .generators.protocol import Generator
from .instruments import Judge
from .optimise import Step
from .priors.settings import FlairSettings
from .render import Render, Settings, Track, render
from .schedule import Plateau, Schedule
from .space import Modality

# (steps, looks at the media per step) of a full and of a quick render: what two CPU cores do in
# ten minutes and in one for all modalities together.
_FULL = {"image": (100, 4), "audio": (150, 3), "video": (100, 2)}
_QUICK = {"image": (40, 3), "audio": (24, 2), "video": (14, 1)}
# Where time does not matter: the honest track's number is enough for every target, and a plateau ends most runs before.
_THOROUGH: dict[Track, int] = {"honest": 2000, "natural": 400}
_THOROUGH_LOOKS = 8


def settings(modality: Modality, track: Track, quick: bool = False, steps: int | None = None, thorough: bool = False) -> Settings:
    """The settings of one render; `steps` overrides the usual number. ValueError if it is below 1, or for both kinds at once."""
    if quick and thorough:
        raise ValueError("a render is quick or thorough, not both")
    usual, crops = (_QUICK if quick else _FULL)[modality]
    if thorough:
        usual, crops = _THOROUGH[track], _THOROUGH_LOOKS
    steps = usual if steps is None else steps
    look_every = max(1, -(-steps // 8))
    # the mean reaches back over a twentieth of the run, which at 2000 steps is the decay of .99 that others use
    honest = Schedule(steps, lr=0.1, final_lr=0.005, look_every=look_every, ema=max(0.0, 1 - 20 / max(1, steps)), plateau=Plateau())
    if track == "honest":
        return Settings(honest, crops)
    # Many levels with one data step each: of equal cost, it draws better than few with several. Normalised steps came
    # nearer to the concept than Adam's at every rate tried (pictures: cosine .37 and .30, sounds .26 and .20, at 60
    # steps). The rate times the steps is held: at 30 pictures lost their white grounds, at 9 their forms were weak.
    schedule = Schedule(steps, lr=min(0.3, 18 / steps), final_lr=0.0, warmup=0, look_every=look_every, descent="normalised")
    return Settings(schedule, crops, FlairSettings(steps), told=True, opening=honest)


def dialled(modality: Modality, dial: float, quick: bool = False, steps: int | None = None, thorough: bool = False) -> Settings:
    """The settings at a point between the tracks: dial 0 is the honest one, 1 the natural one, each as it is.

    Between them, the first share 1 - dial of the steps is the honest track's and the rest a sweep from noise of level
    `dial` (see `render.stages`): how much of what the objective alone drew is drawn anew by the prior.
    Errors as in `settings`, and ValueError for a dial outside 0..1.
    """
    if not 0 <= dial <= 1:
        raise ValueError(f"dial must lie in 0..1, from the honest to the natural track, not {dial}")
    if dial == 0:
        return settings(modality, "honest", quick, steps, thorough)
    natural = settings(modality, "natural", quick, steps, thorough)
    return replace(natural, schedule=replace(natural.schedule, strength=dial))


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
) -> list[Render]:
    """The honest and the natural render of one target from one seed, and with `dial` the one between them, in that place.

    `watch` is shown every step with the dial it belongs to. Those with a prior also say what it makes alone (their
    leakage). Raises what `render` and `dialled` raise.
    """
    dials = [0.0, 1.0] if dial is None else sorted({0.0, dial, 1.0})
    made = []
    for at in dials:
        track: Track = "natural" if at else "honest"
        chosen = dialled(generator.modality, at, quick, steps, thorough)
        made.append(render(concept, encoder, generator, track, chosen, seed, partial(watch, at), judge=judge, leakage=at > 0))
    return made
