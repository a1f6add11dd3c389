"""Load Concept Encoder, Load Generator."""

from __future__ import annotations

from pathlib import Path

from comfy_api.latest import io

from . import host
from .sockets import ALGEBRA, EncoderSocket, GeneratorSocket, HostedEncoder, HostedGenerator
from .vae import GeneratorVAE

POCKET = "pocket"
GENERATORS = {"pocket image": "image", "pocket audio": "audio", "pocket video": "video"}
WEIGHTS = Path(__file__).parents[1] / "ops" / "pocket" / "weights"


def weights_mark() -> str:
    """Changes when a shipped weights file does."""
    return " ".join(f"{f.name}:{f.stat().st_size}:{f.stat().st_mtime_ns}" for f in sorted(WEIGHTS.glob("*.safetensors")))


class LoadConceptEncoder(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_LoadEncoder",
            display_name="Load Concept Encoder",
            category=ALGEBRA,
            description="Loads an encoder: it turns words, pictures, sounds and clips into concepts of one space.",
            inputs=[
                io.Combo.Input(
                    "encoder",
                    options=[POCKET],
                    default=POCKET,
                    tooltip="Which encoder. 'pocket' ships with the pack, knows pictograms and everyday sounds, and needs no download.",
                ),
            ],
            outputs=[EncoderSocket.Output(display_name="encoder", tooltip="The encoder, for Encode, Expression, Readout and Latent Optimiser.")],
        )

    @classmethod
    def fingerprint_inputs(cls, encoder: str) -> str:
        return weights_mark()

    @classmethod
    @host.plain
    def execute(cls, encoder: str) -> io.NodeOutput:
        from ..ops.encoders.pocket import load

        module = load()
        return io.NodeOutput(HostedEncoder(module, host.Resident(module)))


class LoadGenerator(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_LoadGenerator",
            display_name="Load Generator",
            category=ALGEBRA,
            description="Loads what draws: a generator of pictures, sounds or clips whose latent is optimised toward a concept.",
            inputs=[
                io.Combo.Input(
                    "generator",
                    options=list(GENERATORS),
                    default="pocket image",
                    tooltip="What to make: pictures of 128 px, sounds of 2 s, or clips of 8 frames. The pocket generators ship with the pack.",
                ),
                EncoderSocket.Input("encoder", tooltip="The encoder that reads prompts for this generator's prior. Usually the one in use everywhere."),
            ],
            outputs=[
                GeneratorSocket.Output(display_name="generator", tooltip="The generator, for Latent Optimiser."),
                io.Vae.Output(display_name="vae", tooltip="Its autoencoder, for VAE Decode, VAE Encode and the audio versions of both."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, generator: str, encoder=None) -> str:
        return weights_mark()

    @classmethod
    @host.plain
    def execute(cls, generator: str, encoder: HostedEncoder) -> io.NodeOutput:
        from ..ops.generators.pocket import load

        module = load(GENERATORS[generator], encoder.encoder)
        hosted = HostedGenerator(module, host.Resident(module))
        return io.NodeOutput(hosted, GeneratorVAE(hosted))
