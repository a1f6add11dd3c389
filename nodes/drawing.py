"""What Latent Optimiser and Dual Track share: how a render is set up, put on the device, watched and told of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import torch

from ..ops.centring import off_centre
from ..ops.concept import Concept
from ..ops.expression import evaluate
from ..ops.generators.protocol import Generator
from ..ops.grad import differentiable
from ..ops.instruments import Judge
from ..ops.interpret.readout import spoken
from ..ops.optimise import Step
from ..ops.priors.settings import BridgeSettings, NoSettings
from ..ops.render import Render, Settings, finished
from ..ops.report_instruments import NOTHING, readings, stopped
from ..ops.rounding import rounded
from ..ops.showcase import picture
from ..ops.tracks import Hold, held, settings
from . import host
from .host_models import LoadedGenerator
from .media import latent_out
from .sockets import HostedEncoder, HostedGenerator, PriorChoice, Rendered

LESS = "Fewer looks or candidates need less."
"""Memory, by the inputs that both nodes have."""


def chosen(
    generator: HostedGenerator, prior: PriorChoice | None, steps: int, looks: int = 0, candidates: int = 0, quick: bool = False
) -> Settings:  # fmt: skip
    """The settings of the honest track, or of the natural one with a prior; for numbers that are 0 the usual ones."""
    modality = generator.generator.modality
    if prior is None:
        made = settings(modality, "honest", quick, steps or None)
    else:
        made = held(modality, hold(prior), quick, steps or None)
    return replace(made, crops=looks or made.crops, candidates=candidates or generator.candidates or made.candidates)


def hold(prior: PriorChoice) -> Hold:
    """What a prior node has chosen, as the core takes it."""
    return Hold(prior.settings, prior.strength, prior.told or prior.conditioning is not None)


def judged(judge: HostedEncoder | None, concept: Concept, encoder: HostedEncoder) -> Judge | None:
    """The judge with the target in its own space. ValueError for the encoder itself, and for a target that is not made of words
    alone: only those can be read again."""
    if judge is None:
        return None
    if judge.encoder.space.encoder_id == encoder.encoder.space.encoder_id:
        raise ValueError("the judge is the encoder itself, which cannot judge what it has asked for; load another one, or leave judge unconnected")
    if media := sorted(concept.modalities - {"text"}):
        raise ValueError(f"a judge reads the concept anew from its words, and '{concept}' has {' and '.join(media)} in it; leave judge unconnected")
    host.load(judge.of(["text"]))
    judge.encoder.space.word_directions  # noqa: B018
    return Judge(judge.encoder, evaluate(str(concept), judge.encoder))


def telling(generator: HostedGenerator, prior: PriorChoice | None) -> HostedGenerator:
    """The generator that tells a prior what the prior node was given in place of the concept. ValueError for one that cannot."""
    if prior is None or prior.conditioning is None:
        return generator
    if not isinstance(generator.generator, LoadedGenerator):
        raise ValueError("the prior was given conditioning, which only a generator from Generator From Checkpoint can read; leave it unconnected")
    return replace(generator, generator=generator.generator.telling(prior.conditioning))


@contextmanager
def at_work(
    encoder: HostedEncoder, generator: HostedGenerator, todo: Sequence[Settings], watching: Watching, judge: HostedEncoder | None = None,
    less: str = LESS,
) -> Iterator[torch.device]:
    """On the device, and ready to be differentiated, while it lasts: all that renders with these settings, one after the other, need.

    What fails in it is explained, and keeps the best latent. less: a sentence on what needs less memory.
    """
    space, drawing = encoder.encoder.space, generator.generator
    if not space.words_embedded:  # rivals and readings are words: their tower is needed for this once
        host.load(encoder.of(["text"]))
        space.word_directions
    natural = [made.prior for made in todo if not isinstance(made.prior, NoSettings)]
    if natural and isinstance(drawing, LoadedGenerator):
        drawing.condition(None)  # and so are the text encoders, where there are any
        for words in (words for prior in natural if isinstance(prior, BridgeSettings) for words in (prior.positive, prior.negative)):
            drawing.condition(words)
    towers = [tower for each in (encoder, judge) if each for tower in each.of([drawing.modality])]
    tower = encoder.encoder.towers[drawing.modality]
    stepping = generator.working + (generator.denoising if natural else 0)
    working = max(made.candidates * (stepping + made.crops * tower.saved_bytes()) for made in todo)
    with host.explained(less, watching.kept):
        device = host.load([*towers, *generator.residents(bool(natural))], working)
        try:
            with differentiable(tower, *generator.modules(bool(natural))):
                yield device
        finally:
            host.release()


class Watching:
    """What happens at each step: cancel, bar, preview, words; and the best latent, should a run fail."""

    def __init__(self, node_id: str, total: int, generator: Generator):
        self.progress = host.Progress(node_id, total)
        self.generator = generator
        self.last: Step | None = None

    def of(self, track: str, before: int = 0) -> Callable[[Step], None]:
        """For one run among several: what to call it, and how many steps lie before it."""
        self.last = None
        return partial(self._see, track, before)

    def alone(self, track: str, before: int) -> Callable[[int, int], None]:
        """For what a track's prior makes alone, with `before` steps before it; see `ops.alone`."""

        def see(done: int, total: int) -> None:
            host.stop_if_asked()
            self.progress.show(before + done)
            if done % -(-total // 8) == 0 and done < total:
                self.progress.say(f"{track}, the prior alone, step {done} of {total}")

        return see

    def _see(self, track: str, before: int, step: Step) -> None:
        self.last = step
        host.stop_if_asked()
        preview = None
        if step.preview is not None:
            preview = picture(finished(step.preview, self.generator.modality), self.generator.modality)
        self.progress.show(before + step.index + 1, preview)
        if step.reading is not None:
            detail = {"step": step.index, "total": step.total, "loss": step.loss, "track": track, "words": step.reading}
            self.progress.say(f"{track}, step {step.index + 1} of {step.total}: {spoken(step.reading)}", detail)

    def finished(self, image: torch.Tensor) -> None:
        """Leave on the node what came out, IMAGE: the last look was at the first of the candidates."""
        self.progress.show(self.progress.bar.total, image[len(image) // 2].movedim(-1, 0))

    def kept(self) -> torch.Tensor | None:
        """The best latent so far, as LATENT's samples; None before the second step, when it is still noise."""
        if self.last is None:
            return None
        best = int(self.last.losses.argmin())  # of the candidates
        return latent_out(self.last.best[best : best + 1], self.generator)["samples"]


def kept(made: Render, settings: Settings, generator: Generator, concept: Concept) -> Rendered:
    """A render with all that it was made from."""
    # a loaded model reads words, and no embedding: that it is told nothing is as it should be
    untold = settings.told and settings.schedule.strength > 0 and not made.settings["told"] and not isinstance(generator, LoadedGenerator)
    return Rendered(made, generator, concept, made.seed, untold)


def doubts(rendered: Rendered) -> list[str]:
    """A sentence for each thing to doubt about a render, and why it ended early if it did."""
    made, space = rendered.render, rendered.concept.space
    said = [*made.instruments.alarms, *stopped(made), off_centre(space, rendered.concept.modalities | {made.modality})]
    if rendered.untold:
        said.append("The prior was told nothing, though told is on: this generator does not read the concepts of this encoder.")
    moves = [row for row in made.trajectory if "prior_alarm" in row]  # of a prior that does not move at every step, not the last row
    if moves and moves[-1]["prior_alarm"]:
        said.append(f"The prior's M ended at {moves[-1]['prior_m']:.2f}: its LoRA knows the latent by heart (near 0) or nothing of it (near 1).")
    return [sentence for sentence in said if sentence]


def note(renders: Mapping[str, Rendered]) -> None:
    """Write on the node that runs what is to be doubted about renders, by their names; without doubts, leave what stands there."""
    lines = [f"{name}: {doubt}" for name, rendered in renders.items() for doubt in doubts(rendered)]
    if lines:  # first, for a node shows few lines at once
        host.note("\n".join([*lines, *(f"{name}: {rendered.words}" for name, rendered in renders.items())]))


def report(rendered: Rendered) -> str:
    """A render's cosine and the readings of its instruments, a line each, and what is to be doubted."""
    made = rendered.render
    rows = [("cosine with the concept", rounded(made.cosine)), *((name, value) for name, value in readings(made.instruments) if value != NOTHING)]
    return "\n".join([*(f"{value}  {name}" for name, value in rows), *doubts(rendered)])
