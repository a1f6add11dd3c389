"""The settings that the legibility benchmark compares, one line each."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..ops.render import Settings, Track
from ..ops.tracks import settings

STEPS, QUICK_STEPS, LOOKS = 30, 10, 2
"""Steps of a render, and looks at the picture per step: what lets all settings, targets and seeds be drawn in an hour on two
cores. Every setting has the same number of both, so that none wins by looking longer."""


@dataclass(frozen=True)
class Setting:
    """settings: as `render` takes them. said: what they are, for a table. figure: the name of its figures."""

    figure: str
    said: str
    track: Track
    settings: Settings


def table(quick: bool) -> tuple[Setting, ...]:
    """All settings. The figure `natural` is the natural track as it ships, and `honest` the honest one; PRIORS are by figure."""
    steps = QUICK_STEPS if quick else STEPS
    # a look costs a reading: only the first and the last step have one
    honest, natural = (
        replace(made, crops=LOOKS, schedule=replace(made.schedule, look_every=steps))
        for made in (settings("image", track, steps=steps) for track in ("honest", "natural"))
    )
    return (
        Setting("pooled_only", "pooled cosine alone", "honest", replace(honest, patch_weight=0.0)),
        Setting("honest", "+ patch tokens", "honest", honest),
        Setting("natural", "+ flair", "natural", natural),
    )


PRIORS = {"flair": "natural"}
"""The figure of each prior's setting."""
WANTED = ("natural", "honest", "pooled_only", "cutouts", "multires")
"""The figures that a run is asked for; one without a setting is None."""
