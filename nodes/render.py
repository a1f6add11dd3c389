"""FLAIR Prior, Latent Optimiser: from a concept to a picture, sound or clip."""

from __future__ import annotations

from dataclasses import replace

import torch
from comfy_api.latest import io

from ..ops.centring import off_centre
from ..ops.concept import Concept
from ..ops.grad import differentiable
from ..ops.interpret.readout import spoken
from ..ops.optimise import Step
from ..ops.render import Track, finished, render
from ..ops.showcase import picture
from ..ops.tracks import settings
from . import host
from .media import latent_in, latent_out, outputs
from .sockets import (
    RENDERING,
    ConceptSocket,
    EncoderSocket,
    FlairChoice,
    GeneratorSocket,
    HostedEncoder,
    HostedGenerator,
    PriorSocket,
    Rendered,
    RenderSocket,
)

WORKING = 2**30
"""Bytes asked for a generator's part of one step, forward and backward, beside the weights. Of the pocket's, clips keep
most: 0.4 GB with the looks that its own encoder takes."""


class FlairPrior(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_FlairPrior",
            display_name="FLAIR Prior",
            category=RENDERING,
            description="The natural track: pulls the latent toward what the generator finds natural, once through its noise levels.",
            inputs=[
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="The share of the pull that is applied. 1 is the natural track; lower lets through more of what only the encoder sees.",
                ),
            ],
            outputs=[PriorSocket.Output(display_name="prior", tooltip="For Latent Optimiser. Leave it unconnected there for the honest track.")],
        )

    @classmethod
    @host.plain
    def execute(cls, strength: float) -> io.NodeOutput:
        return io.NodeOutput(FlairChoice(strength))


class LatentOptimiser(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_LatentOptimiser",
            display_name="Latent Optimiser",
            category=RENDERING,
            description="Optimises a generator's latent until what it decodes to embeds at the concept. With a prior it is the natural track, without one the honest track.",
            inputs=[
                io.Int.Input("steps", default=0, min=0, max=10000, tooltip="Steps of the optimisation; 0 takes the usual number for the kind of medium. 30 give a first look."),
                io.Int.Input(
                    "seed", default=0, min=0, max=2**32 - 1, control_after_generate=True,
                    tooltip="The latent to start from and all that is drawn at random. Give both tracks the same seed.",
                ),  # fmt: skip
                io.Int.Input("looks", default=0, min=0, max=32, tooltip="Shifted and cropped looks at the medium in each step; 0 takes the usual number. More look steadier and take longer.", extra_dict={"advanced": True}),
                io.Float.Input("patch_weight", default=0.5, min=0.0, max=4.0, step=0.05, tooltip="How much every part of the medium should show the concept, beside the whole. 0 looks at the whole alone.", extra_dict={"advanced": True}),
                ConceptSocket.Input("concept", tooltip="The target."),
                EncoderSocket.Input("encoder", tooltip="The encoder that looks at what is drawn; the one that made the concept."),
                GeneratorSocket.Input("generator", tooltip="What draws: from Load Generator."),
                PriorSocket.Input("prior", optional=True, tooltip="From a prior node, for the natural track. Unconnected: the honest track, the encoder's view alone."),
                io.Latent.Input("latent", optional=True, tooltip="A latent to begin with in place of the seed's noise, from VAE Encode, Load Latent or another render."),
            ],
            outputs=[
                RenderSocket.Output(display_name="render", tooltip="The result with its history, for Compare Tracks."),
                io.Image.Output(display_name="image", tooltip="The picture; of a clip its frames, of a sound its spectrogram."),
                io.Audio.Output(display_name="audio", tooltip="The sound, when the generator makes sounds."),
                io.Video.Output(display_name="video", tooltip="The clip, when the generator makes clips."),
                io.Latent.Output(display_name="latent", tooltip="The optimised latent, for VAE Decode with this generator's VAE."),
                io.String.Output(display_name="words", tooltip="The words nearest to what came out, best first."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @host.plain
    def execute(
        cls, steps: int, seed: int, looks: int, patch_weight: float, concept: Concept, encoder: HostedEncoder,
        generator: HostedGenerator, prior: FlairChoice | None = None, latent: dict | None = None,
    ) -> io.NodeOutput:  # fmt: skip
        track: Track = "natural" if prior else "honest"
        drawing = generator.generator
        made = settings(drawing.modality, track, steps=steps or None)
        strength = prior.strength if prior else made.schedule.strength
        made = replace(
            made, schedule=replace(made.schedule, strength=strength), crops=looks or made.crops,
            weights=replace(made.weights, patches=patch_weight),
        )  # fmt: skip
        concept.space.require(encoder.encoder.space)
        start = None if latent is None else latent_in(latent, drawing)
        watching = Watching(cls.hidden.unique_id, made.schedule.steps, drawing, track)
        space = encoder.encoder.space
        if not space.words_embedded:  # rivals and readings are words: their tower is needed for this once
            host.load(encoder.of(["text"]))
            space.word_directions
        towers = encoder.of([drawing.modality])
        tower = encoder.encoder.towers[drawing.modality]
        device = host.load([*towers, generator.resident], working=WORKING + made.crops * tower.saved_bytes())
        try:
            with host.explained(watching.kept), differentiable(tower, drawing):
                start = None if start is None else start.to(device)
                result = render(concept, encoder.encoder, drawing, track, made, seed, watching, start)
        finally:
            host.release()
        rendered = Rendered(result, concept, seed)
        if problem := off_centre(space, concept.modalities | {drawing.modality}):
            host.note(f"{track}: {rendered.words}\n{problem}")
        return io.NodeOutput(rendered, *outputs(result, drawing), latent_out(result.latent, drawing), rendered.words)


class Watching:
    """What happens at each step: cancel, bar, preview, words; and the best latent, should the run fail."""

    def __init__(self, node_id: str, total: int, generator, track: Track):
        self.progress = host.Progress(node_id, total)
        self.generator, self.track = generator, track
        self.last: Step | None = None

    def __call__(self, step: Step) -> None:
        self.last = step
        host.stop_if_asked()
        preview = None
        if step.preview is not None:
            preview = picture(finished(step.preview, self.generator.modality), self.generator.modality)
        self.progress.show(step.index + 1, preview)
        if step.reading is not None:
            detail = {"step": step.index, "total": step.total, "loss": step.loss, "track": self.track, "words": step.reading}
            self.progress.say(f"{self.track}, step {step.index + 1} of {step.total}: {spoken(step.reading)}", detail)

    def kept(self) -> torch.Tensor | None:
        """The best latent so far, as LATENT's samples; None before the second step, when it is still noise."""
        return None if self.last is None else latent_out(self.last.best, self.generator)["samples"]
