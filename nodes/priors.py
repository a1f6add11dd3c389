"""VSD Prior, FLAIR Prior, Bridge Prior: what holds a render to what its generator finds natural."""

from __future__ import annotations

from comfy_api.latest import io

from ..ops.priors.settings import BridgeSettings, FlairSettings, VsdSettings
from . import host
from .sockets import ADVANCED, RENDERING, PriorChoice, PriorSocket

MOST_STEPS = 10000
TOLD = (
    "Also tell the generator the concept itself, where it can be told, as the pocket can: no prompt. It then draws it by itself too; "
    "leakage says how much."
)


def strength(what: str) -> io.Float.Input:
    return io.Float.Input("strength", default=1.0, min=0.0, max=1.0, step=0.05, tooltip=what)


def every(what: str) -> io.Int.Input:
    return io.Int.Input("every", default=1, min=1, max=100, tooltip=what)


def shift() -> io.Float.Input:
    what = "Above 1 higher noise levels are drawn, which generators of large latents want."
    return io.Float.Input("shift", default=1.0, min=0.1, max=10.0, step=0.1, tooltip=what, extra_dict=ADVANCED)


def conditioning() -> io.Conditioning.Input:
    what = "What the generator is told in place of the concept, from CLIP Text Encode, with guidance. Only Generator From Checkpoint can read it. It then draws that by itself."
    return io.Conditioning.Input("conditioning", optional=True, tooltip=what)


def prior() -> io.Output:
    what = "For Latent Optimiser or Dual Track. Leave it unconnected at a Latent Optimiser for the honest track."
    return PriorSocket.Output(display_name="prior", tooltip=what)


class VsdPrior(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_VsdPrior",
            display_name="VSD Prior",
            category=RENDERING,
            description="A natural track by variational score distillation: a small LoRA learns what the render looks like, and the latent is moved from there to what the generator finds natural.",
            inputs=[
                strength("The share of the prior's displacement that is applied. 0 is none at all."),
                io.Boolean.Input("told", default=False, tooltip=TOLD),
                every("Steps from one move of the prior to the next. More is faster; keep a hundred moves or more in a run."),
                io.Int.Input("rank", default=8, min=1, max=128, tooltip="Rank of the LoRA. Low, so that it learns what the render shares with its own past and not the render by heart.", extra_dict=ADVANCED),
                io.Int.Input("replay", default=64, min=0, max=1024, tooltip="How many latents of the run's past the LoRA is also shown; 0 for none.", extra_dict=ADVANCED),
                io.Float.Input("learning_rate", default=0.001, min=0.0001, max=0.1, step=0.0001, tooltip="Of the LoRA, in runs of up to 200 moves; longer ones take proportionally less.", extra_dict=ADVANCED),
                io.Float.Input("guidance", default=1.0, min=0.0, max=30.0, step=0.1, tooltip="Where the generator is told the concept: 1 takes it as it is told, more exaggerates it.", extra_dict=ADVANCED),
                shift(),
                conditioning(),
            ],
            outputs=[prior()],
        )  # fmt: skip

    @classmethod
    @host.plain
    def execute(
        cls, strength: float, told: bool, every: int, rank: int, replay: int, learning_rate: float, guidance: float, shift: float,
        conditioning: list | None = None,
    ) -> io.NodeOutput:  # fmt: skip
        made = VsdSettings(rank=rank, every=every, lr=learning_rate, replay=replay, shift=shift, guidance=guidance)
        return io.NodeOutput(PriorChoice(made, strength, told, conditioning))


class FlairPrior(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_FlairPrior",
            display_name="FLAIR Prior",
            category=RENDERING,
            description="The usual natural track: the generator draws the latent anew, once down through its noise levels, while the concept steers.",
            # those that older graphs do not have are optional, so that a graph in API form still runs
            inputs=[
                strength("How far up the noise levels the way down begins. 1 is the natural track; lower keeps more of what the concept alone has drawn before."),
                io.Boolean.Input("told", default=True, optional=True, tooltip=TOLD),
                io.Int.Input("levels", default=0, min=0, max=MOST_STEPS, optional=True, tooltip="Noise levels on the way down; 0 for one at every step. Fewer are faster and draw less cleanly.", extra_dict=ADVANCED),
                io.Float.Input("guidance", default=FlairSettings.guidance, min=0.0, max=30.0, step=0.1, optional=True, tooltip="Where the generator is told the concept: 1 takes it as it is told, more exaggerates it, 0 does not listen.", extra_dict=ADVANCED),
                conditioning(),
            ],
            outputs=[prior()],
        )  # fmt: skip

    @classmethod
    @host.plain
    def execute(
        cls, strength: float, told: bool = True, levels: int = 0, guidance: float = FlairSettings.guidance, conditioning: list | None = None
    ) -> io.NodeOutput:
        return io.NodeOutput(PriorChoice(FlairSettings(levels or MOST_STEPS, guidance), strength, told, conditioning))


class BridgePrior(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_BridgePrior",
            display_name="Bridge Prior",
            category=RENDERING,
            description="Moves the latent away from one description and toward another, both in the generator's words. It trains nothing, and is as good as the generator's words for qualities.",
            inputs=[
                strength("The share of the prior's displacement that is applied. 0 is none at all."),
                io.String.Input("positive", default=BridgeSettings.positive, multiline=True, tooltip="What the latent is led to: a quality, not the concept."),
                io.String.Input("negative", default=BridgeSettings.negative, multiline=True, tooltip="What it is led away from."),
                every("Steps from one move of the prior to the next. More is faster."),
                shift(),
            ],
            outputs=[prior()],
        )  # fmt: skip

    @classmethod
    @host.plain
    def execute(cls, strength: float, positive: str, negative: str, every: int, shift: float) -> io.NodeOutput:
        return io.NodeOutput(PriorChoice(BridgeSettings(positive, negative, every, shift), strength, told=False))
