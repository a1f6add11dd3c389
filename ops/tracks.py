"""The settings of the two tracks, per modality: a full render and a quick first look."""

from __future__ import annotations

from .optimise import Schedule
from .render import Settings, Track
from .space import Modality

# (steps, looks at the media per step) of a full and of a quick render: what two CPU cores do in
# ten minutes and in one for all modalities together.
_FULL = {"image": (100, 4), "audio": (150, 3), "video": (100, 2)}
_QUICK = {"image": (40, 3), "audio": (24, 2), "video": (14, 1)}


def settings(modality: Modality, track: Track, quick: bool = False, steps: int | None = None) -> Settings:
    """The settings of one render; `steps` overrides the usual number. ValueError if it is below 1."""
    usual, crops = (_QUICK if quick else _FULL)[modality]
    steps = usual if steps is None else steps
    look_every = max(1, -(-steps // 8))
    if track == "honest":
        schedule = Schedule(steps, lr=0.1, final_lr=0.005, look_every=look_every)
        return Settings(schedule, levels=0, crops=crops)
    # Many levels with one data step each: of equal cost, it draws better than few with several. Normalised steps came
    # nearer to the concept than Adam's at every rate tried (pictures: cosine .37 and .30, sounds .26 and .20, at 60
    # steps). The rate times the steps is held: at 30 pictures lost their white grounds, at 9 their forms were weak.
    schedule = Schedule(steps, lr=min(0.3, 18 / steps), final_lr=0.0, warmup=0, look_every=look_every, descent="normalised")
    return Settings(schedule, levels=steps, crops=crops)
