"""What a prior makes by itself: the control that says how much of a render is the prior's and not the target's."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .generators.protocol import Generator
from .particles import started
from .priors.protocol import Prior
from .priors.vsd import PriorAlarm
from .run_state import described
from .schedule import Schedule

KEPT = 64
_made: OrderedDict[tuple, Tensor] = OrderedDict()


def alone(
    generator: Generator,
    stages: Sequence[tuple[Schedule, Prior]],
    seeds: Sequence[int],
    told: str = "",
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """Latents [B, ...] on the CPU that the priors of a run's stages, not begun yet, make from its seeds when no objective pulls.

    Each stage is what `optimise` would do with its schedule and prior and a gradient of zero, and begins with what the
    one before it ended with. The last `KEPT` are remembered: they are the same for every target, unless the priors are told
    something; `told` then stands for what. `watch` is shown after each step how many of how many are done, and what it raises
    stops the run, of which nothing is then remembered; what is remembered is done at once.
    """
    # the weights that an id names can render at any size
    key = (generator.id, generator.latent_shape, tuple((schedule, described(prior)) for schedule, prior in stages), tuple(seeds), told)
    total = sum(schedule.steps for schedule, _ in stages)
    if key in _made:
        watch(total, total)
    else:
        z, done = None, 0
        # kept for good, so nothing may be born under a host's inference mode
        with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
            # an alarm here would be read as the render's
            warnings.simplefilter("ignore", PriorAlarm)
            for schedule, prior in stages:
                z, rng = started(generator, seeds, z)
                prior.begin(z, schedule.steps, rng)
                for index in range(schedule.steps):
                    if prior.wants(index):
                        z = z + schedule.strength * prior.step(z, index).delta
                    done += 1
                    watch(done, total)
                z = prior.estimate(z)
            _made[key] = z.cpu()
    _made.move_to_end(key)
    while len(_made) > KEPT:
        _made.popitem(last=False)
    return _made[key]
