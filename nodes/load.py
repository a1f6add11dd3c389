"""Load Concept Encoder, Load Generator."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from comfy_api.latest import io

from ..ops.calibration import ENDING, sidecar
from ..ops.encoders import POCKET
from . import host
from .sockets import ALGEBRA, EncoderSocket, GeneratorSocket, HostedEncoder, HostedGenerator
from .vae import GeneratorVAE

ABSENT = "languagebind (not installed)"
GENERATORS = {"pocket image": "image", "pocket audio": "audio", "pocket video": "video"}
PACK = Path(__file__).parents[1]
WEIGHTS = PACK / "ops" / "pocket" / "weights"


def mark(files: list[Path]) -> str:
    """Changes when one of the files does; a large file is told by its size and time, not by its content."""
    return " ".join(f"{f.name}:{f.stat().st_size}:{f.stat().st_mtime_ns}" for f in files if f.exists())


def weights_mark() -> str:
    """Changes when a shipped weights file does."""
    return mark(sorted(WEIGHTS.glob("*.safetensors")))


def encoders() -> list[str]:
    """What Load Concept Encoder offers: the pocket, then converted files; without any, a line that leads to how to get one."""
    files = [name for name in host.encoder_files() if not name.endswith(ENDING)]
    return [POCKET, *(files or [ABSENT])]


def how_to_install() -> str:
    """What to download and what to run for LanguageBind, with the paths of this installation."""
    from ..ops.encoders.languagebind import REPOSITORIES

    wanted = os.path.join(host.encoder_folder(), "languagebind.safetensors")
    repositories = list(dict.fromkeys(REPOSITORIES.values()))
    folders = " ".join(name.partition("/")[2] for name in repositories)
    return (
        f"To get LanguageBind, download these from huggingface.co, whole folders: {', '.join(repositories)} (about 2 GB each; any of "
        f'them will do, for its medium). Then run, where they lie: "{sys.executable}" "{PACK}" convert languagebind {folders} -o "{wanted}" '
        "and press R."
    )


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
                    options=encoders(),
                    default=POCKET,
                    tooltip="Which encoder. 'pocket' ships with the pack, knows pictograms and everyday sounds, and needs no download. "
                    "The others are converted files in models/concept_encoders.",
                ),
            ],
            outputs=[EncoderSocket.Output(display_name="encoder", tooltip="The encoder, for Encode, Expression, Readout and Latent Optimiser.")],
        )

    @classmethod
    def validate_inputs(cls, encoder: str | None = None) -> bool | str:
        if encoder in (None, POCKET) or host.encoder_path(encoder):  # None: another node says it when this one runs
            return True
        return how_to_install() if encoder == ABSENT else f"There is no {encoder} in {host.encoder_folder()}. {how_to_install()}"

    @classmethod
    def fingerprint_inputs(cls, encoder: str | None = None) -> str:
        path = host.encoder_path(encoder) if encoder else None
        return mark([Path(path), sidecar(path)]) if path else weights_mark()

    @classmethod
    @host.plain
    def execute(cls, encoder: str) -> io.NodeOutput:
        from ..ops.encoders import load

        if (said := cls.validate_inputs(encoder)) is not True:
            raise ValueError(said)
        path = None if encoder == POCKET else Path(host.encoder_path(encoder))
        module = load(path or POCKET, dtype=host.encoder_dtype(), tokenizer=host.tokenizer_folder())
        residents = {modality: host.Resident(tower) for modality, tower in module.towers.items()}
        return io.NodeOutput(HostedEncoder(module, residents, path))


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
        hosted = HostedGenerator(module, (host.Resident(module),))
        return io.NodeOutput(hosted, GeneratorVAE(hosted))
