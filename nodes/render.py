"""Latent Optimiser, Dual Track, Open Render: from a concept to pictures, sounds or clips."""

from __future__ import annotations

from dataclasses import replace
from math import nan

from comfy_api.latest import io

from ..ops.concept import Concept
from ..ops.objective.alignment import Weights
from ..ops.objective.views import CUTOUTS, SHRINKING
from ..ops.priors.settings import FlairSettings
from ..ops.render import render
from . import host
from .drawing import Watching, at_work, chosen, doubts, judged, kept, note, report, telling
from .media import latent_in, latent_out, outputs
from .priors import MOST_STEPS
from .read import beside, line, shown
from .sockets import (
    ADVANCED,
    RENDERING,
    ConceptSocket,
    EncoderSocket,
    GeneratorSocket,
    HostedEncoder,
    HostedGenerator,
    PriorChoice,
    PriorSocket,
    Rendered,
    RenderSocket,
)

FRAMINGS = {"steady": None, "shrinking": SHRINKING, "cutouts": CUTOUTS}
USUAL = PriorChoice(FlairSettings(MOST_STEPS), 1.0, told=True)
"""The natural track's prior where none is connected."""


def media() -> list[io.Output]:
    """The outputs that `opened` fills."""
    return [
        io.Image.Output(display_name="image", tooltip="The picture; of a clip its frames, of a sound its spectrogram."),
        io.Audio.Output(display_name="audio", tooltip="The sound, when the generator makes sounds."),
        io.Video.Output(display_name="video", tooltip="The clip, when the generator makes clips."),
        io.Latent.Output(display_name="latent", tooltip="The optimised latent, for VAE Decode with this generator's VAE."),
        io.String.Output(display_name="words", tooltip="The words nearest to what came out, best first."),
        io.String.Output(display_name="report", tooltip="What the instruments read, a line each, and what to doubt about the render."),
    ]


def opened(rendered: Rendered) -> tuple:
    """A render as `media` lists it."""
    made, drawing = rendered.render, rendered.generator
    return *outputs(made, drawing), latent_out(made.latent, drawing), rendered.words, report(rendered)


def looks() -> io.Int.Input:
    what = "Shifted and cropped looks at the medium in each step; 0 takes the usual number. More look steadier and take longer."
    return io.Int.Input("looks", default=0, min=0, max=32, tooltip=what, extra_dict=ADVANCED)


def target() -> list[io.Input]:
    """What is rendered, what looks at it, and what draws it."""
    return [
        ConceptSocket.Input("concept", tooltip="The target."),
        EncoderSocket.Input("encoder", tooltip="The encoder that looks at what is drawn; the one that made the concept."),
        GeneratorSocket.Input("generator", tooltip="What draws: from Load Generator or Generator From Checkpoint."),
    ]


def weight(name: str, what: str, most: float = 4.0) -> io.Float.Input:
    """A further weight of the objective: optional, because older graphs in API form do not have it."""
    usual = getattr(Weights(), name.removesuffix("_weight"))
    return io.Float.Input(name, default=usual, min=0.0, max=most, step=0.05, optional=True, tooltip=what, extra_dict=ADVANCED)


def candidates() -> io.Int.Input:
    """Optional, because older graphs in API form do not have it."""
    what = "Latents that are drawn at once, of which the best is kept; 0 takes the usual number. More take longer and more memory, and find better ones."
    return io.Int.Input("candidates", default=0, min=0, max=32, optional=True, tooltip=what, extra_dict=ADVANCED)


class LatentOptimiser(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_LatentOptimiser",
            display_name="Latent Optimiser",
            category=RENDERING,
            description="Optimises a generator's latent until what it decodes to embeds at the concept. With a prior it is the natural track, without one the honest track.",
            inputs=[
                io.Int.Input("steps", default=0, min=0, max=MOST_STEPS, tooltip="Steps of the optimisation; 0 takes the usual number for the kind of medium. 30 give a first look."),
                io.Int.Input(
                    "seed", default=0, min=0, max=2**32 - 1, control_after_generate=True,
                    tooltip="The latent to start from and all that is drawn at random. Give both tracks the same seed.",
                ),  # fmt: skip
                looks(),
                io.Float.Input("patch_weight", default=0.5, min=0.0, max=4.0, step=0.05, tooltip="How much every part of the medium should show the concept, beside the whole. 0 looks at the whole alone.", extra_dict=ADVANCED),
                *target(),
                weight("pooled_weight", "How much the cosine of the whole counts. 0 leaves the other terms alone at work."),
                weight("features_weight", "How much the concept's named features count: those it has up, those taken away down. Of a concept from SAE Decompose."),
                weight("contrast_weight", "How much it counts that the concept is nearest, among other words, and not only near."),
                weight("total_variation_weight", "How much differences between neighbouring values cost. Smooths."),
                weight("spectrum_weight", "How much a spectrum costs that does not fall as those of real media do. Works against static."),
                weight("norm_weight", "How much a latent costs whose values are larger or smaller than those of real media."),
                io.Combo.Input(
                    "framing", options=list(FRAMINGS), default="steady", optional=True, extra_dict=ADVANCED,
                    tooltip="How looks are cut: steady is measured for the pocket, shrinking goes from the whole to close, cutouts are those of Big Sleep.",
                ),  # fmt: skip
                candidates(),
                PriorSocket.Input("prior", optional=True, tooltip="From a prior node, for the natural track. Unconnected: the honest track, the encoder's view alone."),
                io.Latent.Input("latent", optional=True, tooltip="A latent to begin with in place of the seed's noise, from VAE Encode, Load Latent or another render."),
                EncoderSocket.Input("judge", optional=True, tooltip="Another encoder, to choose among the looks and to measure how far the first one was deceived. It reads the concept anew, so that has to be of words alone."),
            ],
            outputs=[
                RenderSocket.Output(display_name="render", tooltip="The result with its history, for Compare Tracks and Open Render."),
                *media(),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @host.plain
    def execute(
        cls, steps: int, seed: int, looks: int, patch_weight: float, concept: Concept, encoder: HostedEncoder,
        generator: HostedGenerator, prior: PriorChoice | None = None, latent: dict | None = None, judge: HostedEncoder | None = None,
        framing: str = "steady", candidates: int = 0, **weights: float,
    ) -> io.NodeOutput:  # fmt: skip
        if framing not in FRAMINGS:  # ComfyUI checks what is typed, and not what comes over a link
            raise ValueError(f"framing is '{framing}', expected {', '.join(FRAMINGS)}")
        generator = telling(generator, prior)
        drawing, track = generator.generator, "natural" if prior else "honest"
        made = chosen(generator, prior, steps, looks, candidates)
        terms = {name.removesuffix("_weight"): value for name, value in weights.items()}
        made = replace(made, weights=Weights(patches=patch_weight, **terms), framing=FRAMINGS[framing])
        concept.space.require(encoder.encoder.space)
        start = None if latent is None else latent_in(latent, drawing)
        judging = judged(judge, concept, encoder)
        watching = Watching(cls.hidden.unique_id, made.schedule.steps, drawing)
        with at_work(encoder, generator, [made], watching, judge) as device:
            start = None if start is None else start.to(device)
            result = render(concept, encoder.encoder, drawing, track, made, seed, watching.of(track), start, judging)
        rendered = kept(result, made, drawing, concept)
        watching.finished(beside(shown(rendered)))
        note({track: rendered})
        return io.NodeOutput(rendered, *opened(rendered))


class DualTrack(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_DualTrack",
            display_name="Dual Track",
            category=RENDERING,
            description="Renders one concept from one seed on both tracks, honest and natural, and one between them if asked.",
            inputs=[
                io.Int.Input("steps", default=0, min=0, max=MOST_STEPS, tooltip="Steps of each render; 0 takes the usual number for the kind of medium. 30 give a first look."),
                io.Int.Input("seed", default=0, min=0, max=2**32 - 1, control_after_generate=True, tooltip="The latent that all of them start from, and all that is drawn at random."),
                io.Float.Input("dial", default=0.0, min=0.0, max=1.0, step=0.05, tooltip="Where a third render lies between the honest track, 0, and the natural one, 1. At 0 and at 1 there is none between."),
                looks(),
                *target(),
                candidates(),
                PriorSocket.Input("prior", optional=True, tooltip="From a prior node, for the natural track. Unconnected: FLAIR Prior as it comes."),
            ],
            outputs=[
                RenderSocket.Output(display_name="honest", tooltip="What the concept alone asks for; for Compare Tracks and Open Render."),
                RenderSocket.Output(display_name="natural", tooltip="The same, held by the prior."),
                RenderSocket.Output(display_name="between", tooltip="The one that the dial asks for."),
                io.Image.Output(display_name="images", tooltip="All beside each other, from honest to natural; of clips every frame, of sounds the spectrograms."),
                io.Float.Output(display_name="leakage", tooltip="What the prior makes alone, as a share of the natural render's match: from 0, not a number where there is no match. Above 0.5 much of what is seen may be the prior's own."),
                io.String.Output(display_name="summary", tooltip="For each render its cosine and words, and what to doubt about it."),
            ],
            hidden=[io.Hidden.unique_id],
        )  # fmt: skip

    @classmethod
    @host.plain
    def execute(
        cls, steps: int, seed: int, dial: float, looks: int, concept: Concept, encoder: HostedEncoder, generator: HostedGenerator,
        prior: PriorChoice | None = None, candidates: int = 0,
    ) -> io.NodeOutput:  # fmt: skip
        if not 0 <= dial <= 1:  # ComfyUI checks what is typed, and not what comes over a link
            raise ValueError(f"dial must lie in 0..1, from the honest to the natural track, not {dial:g}")
        prior = prior or USUAL
        generator = telling(generator, prior)
        drawing = generator.generator
        concept.space.require(encoder.encoder.space)
        names = {0.0: "honest", dial: f"between, {dial:g}", 1.0: "natural"} | {0.0: "honest", 1.0: "natural"}
        dialled = {name: replace(prior, strength=at * prior.strength) if at else None for at, name in sorted(names.items())}
        todo = {name: chosen(generator, prior, steps, looks, candidates) for name, prior in dialled.items()}
        last = todo["natural"].schedule
        total = sum(made.schedule.steps for made in todo.values())
        watching = Watching(cls.hidden.unique_id, total + (last.steps if last.strength else 0), drawing)
        results, before = {}, 0
        with at_work(encoder, generator, [*todo.values()], watching):
            for name, made in todo.items():
                track = "honest" if name == "honest" else "natural"
                result = render(
                    concept, encoder.encoder, drawing, track, made, seed, watching.of(name, before), leakage=name == "natural",
                    watch_alone=watching.alone(name, total),
                )  # fmt: skip
                results[name] = kept(result, made, drawing, concept)
                before += made.schedule.steps
        honest, *middle, natural = results.values()
        between = middle[0] if middle else host.blocked("the dial is at an end, so there is no render between: set it above 0 and below 1")
        images = beside(*(shown(rendered) for rendered in results.values()))
        watching.finished(images)
        note(results)
        said = [f"{name}: {doubt}" for name, rendered in results.items() for doubt in doubts(rendered)]
        summary = "\n".join([*(line(rendered, name) for name, rendered in results.items()), *said])
        leakage = natural.render.instruments.leakage
        return io.NodeOutput(honest, natural, between, images, nan if leakage is None else leakage, summary)


class OpenRender(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_OpenRender",
            display_name="Open Render",
            category=RENDERING,
            description="Takes one render of Dual Track apart: its picture, sound or clip, its latent, its words, and what the instruments read.",
            inputs=[RenderSocket.Input("render", tooltip="From Dual Track or Latent Optimiser.")],
            outputs=media(),
        )

    @classmethod
    @host.plain
    def execute(cls, render: Rendered) -> io.NodeOutput:
        return io.NodeOutput(*opened(render))
