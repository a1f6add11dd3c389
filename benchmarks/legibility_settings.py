"""The settings that the legibility benchmark compares, one line each."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..ops.objective.alignment import Weights
from ..ops.objective.views import CUTOUTS
from ..ops.pyramid import Pyramid
from ..ops.priors.settings import BridgeSettings, FlairSettings, PriorSettings, VsdSettings
from ..ops.render import Settings, Track
from ..ops.tracks import settings

STEPS, QUICK_STEPS, LOOKS = 20, 4, 2
"""Steps of a render, and looks at the picture per step: what lets all settings, targets and seeds be drawn in an hour on two
cores. All but the natural track as it ships have the same number of looks; those with a prior spend them one a step, for it
wants steps."""
POOLED = Weights(pooled=1.0, patches=0.0)


@dataclass(frozen=True)
class Setting:
    """settings: as `render` takes them. said: what they are, for a table. figure: the name of its figures. coded: the target is
    taken apart into the features that ship with the pack."""

    figure: str
    said: str
    track: Track
    settings: Settings
    coded: bool = False


def table(quick: bool) -> tuple[Setting, ...]:
    """All settings. The figure `natural` is the natural track as it ships, and `honest` the honest objective; PRIORS are by figure."""
    steps = QUICK_STEPS if quick else STEPS
    honest = _unread(replace(settings("image", "honest", steps=steps), crops=LOOKS))
    hot = replace(honest.schedule, lr=0.07)
    return (
        Setting("natural", "natural, as it ships", "natural", _unread(settings("image", "natural", quick))),
        Setting("pooled_only", "pooled cosine alone", "honest", replace(honest, weights=POOLED)),
        Setting("honest", "+ patch tokens", "honest", honest),
        Setting("features", "+ features", "honest", replace(honest, weights=replace(honest.weights, features=0.5)), coded=True),
        Setting("flair", "+ flair", "natural", _under(FlairSettings(steps * LOOKS), steps)),
        Setting("flair_told", "+ flair, told", "natural", replace(_under(FlairSettings(steps * LOOKS), steps), told=True)),
        Setting("vsd", "+ vsd", "natural", _under(VsdSettings(), steps)),
        Setting("bridge", "+ bridge", "natural", _under(BridgeSettings(), steps)),
        # big-sleep's cut-outs and rate; its generator was BigGAN, and what is compared here is how it looks at what it draws
        Setting("cutouts", "cut-outs, pooled cosine", "honest", replace(honest, weights=POOLED, framing=CUTOUTS, schedule=hot)),
        # direct ascent synthesis: the sum of resolutions, here of the latent
        Setting("multires", "multi-resolution, pooled", "honest", replace(honest, weights=POOLED, schedule=replace(honest.schedule, parametrisation=Pyramid(4)))),
    )


def _under(prior: PriorSettings, steps: int) -> Settings:
    """The natural track under a prior that is told nothing, one render a seed."""
    return replace(_unread(settings("image", "natural", steps=steps * LOOKS, prior=prior)), crops=1, candidates=1, told=False)


def _unread(made: Settings) -> Settings:
    """The settings with looks at the first and the last step alone: each costs a reading."""
    return replace(made, schedule=replace(made.schedule, look_every=made.schedule.steps))


PRIORS = {"none": "honest", "flair": "flair", "flair_told": "flair_told", "vsd": "vsd", "bridge": "bridge"}
"""The figure of each prior's setting."""
WANTED = ("natural", "honest", "pooled_only", "cutouts", "multires")
"""The figures that a run is asked for; one without a setting is None."""
