"""Generator From Checkpoint: a person's own model, from ComfyUI's loaders."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from . import host
from .host_models import LoadedGenerator, generator
from .sockets import ALGEBRA, GeneratorSocket, HostedGenerator


def size(name: str, most: int, step: int, what: str) -> io.Int.Input:
    return io.Int.Input(name, default=0, min=0, max=most, step=step, tooltip=f"{what} 0 takes the model's usual.")


class GeneratorFromCheckpoint(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_GeneratorFromCheckpoint",
            display_name="Generator From Checkpoint",
            category=ALGEBRA,
            description="Makes what draws of a model that ComfyUI has loaded: Stable Diffusion 3 and 3.5 or XL for pictures, Stable Audio Open 1.0 for sounds, LTX-Video 0.9 for clips.",
            inputs=[
                size("width", 8192, 8, "Of pictures and clips, in pixels; multiples of 8, of clips of 32."),
                size("height", 8192, 8, "Of pictures and clips, in pixels; multiples of 8, of clips of 32."),
                size("frames", 1025, 1, "Of clips: 1, 9, 17, 25 and so on."),
                io.Float.Input("seconds", default=0.0, min=0.0, max=47.5, step=0.1, tooltip="Of sounds. 0 takes the model's usual, 10."),
                io.Model.Input("model", tooltip="From Load Checkpoint or Load Diffusion Model. It is used for priors alone, and stays as it is."),
                io.Vae.Input("vae", tooltip="From the same checkpoint, or from Load VAE."),
                io.Clip.Input("clip", optional=True, tooltip="Its text encoders, for Bridge Prior, and for LTX-Video with any prior. Read once, then let go."),
                io.Conditioning.Input("conditioning", optional=True, tooltip="What priors tell the model when there is nothing to tell it, in place of what it was trained with for that."),
                io.Vae.Input("fast_vae", optional=True, tooltip="A tiny autoencoder, such as taesd3 or taesdxl from Load VAE: it decodes pictures for the first part of a run."),
            ],
            outputs=[GeneratorSocket.Output(display_name="generator", tooltip="The generator, for Latent Optimiser.")],
        )  # fmt: skip

    @classmethod
    @host.plain
    def execute(
        cls, width: int, height: int, frames: int, seconds: float, model: Any, vae: Any, clip: Any = None, conditioning: list | None = None,
        fast_vae: Any = None,
    ) -> io.NodeOutput:  # fmt: skip
        sizes = {"width": width, "height": height, "frames": frames, "seconds": seconds}
        return io.NodeOutput(hosted(generator(model, vae, sizes, clip, conditioning, fast_vae)))


def hosted(made: LoadedGenerator) -> HostedGenerator:
    """Its parts in ComfyUI's memory management, which has them already."""
    decoders = [each for each in (made.vae, made.fast) if each]
    return HostedGenerator(
        made,
        tuple(host.Resident(each.module, each.patcher) for each in decoders),
        (host.Resident(made.model, made.patcher),),
        made.bytes(natural=False),
        made.bytes(natural=True) - made.bytes(natural=False),
        candidates=1,  # of large ones several have no room
    )
