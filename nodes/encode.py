"""Encode Text, Encode Image, Encode Audio, Encode Video: a medium in, a concept out."""

from __future__ import annotations

from collections.abc import Callable

from comfy_api.latest import io
from torch import Tensor

from ..ops import written
from ..ops.concept import Concept
from ..ops.space import Modality
from . import host
from .media import frames_of, pixels_of, wave_of
from .sockets import MEDIA, ConceptSocket, EncoderSocket, HostedEncoder

ENCODER = EncoderSocket.Input("encoder", tooltip="From Load Concept Encoder. Concepts mix only when one encoder made them all.")
CONCEPT = ConceptSocket.Output(display_name="concept", tooltip="The concept, for arithmetic, readout or Latent Optimiser.")


def name_input(example: str) -> io.String.Input:
    return io.String.Input(
        "name",
        default="",
        tooltip=f"How it is written in the concept's expression, for example {example}. Empty: a name made from its content.",
    )


def encoded(hosted: HostedEncoder, work: Callable[[], Concept], modality: Modality, name: str = "") -> io.NodeOutput:
    """The output of an encode node; the encoder is brought onto the device first."""
    host.load(hosted.of([modality]))
    concept = work()
    return io.NodeOutput(concept.called(written.media(modality, name.strip())) if name.strip() else concept)


class EncodeText(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_EncodeText",
            display_name="Encode Text",
            category=MEDIA,
            description="The concept of a word or short phrase.",
            inputs=[
                io.String.Input("text", default="fire", tooltip="A word or short phrase, such as fire or sad clown. For sums use Concept Expression."),
                ENCODER,
            ],
            outputs=[CONCEPT],
        )

    @classmethod
    @host.plain
    def execute(cls, text: str, encoder: HostedEncoder) -> io.NodeOutput:
        return encoded(encoder, lambda: Concept.from_text(text, encoder.encoder), "text")


class EncodeImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_EncodeImage",
            display_name="Encode Image",
            category=MEDIA,
            description="The concept of a picture; of a batch, the mean of its pictures' concepts.",
            inputs=[
                name_input("photo.jpg"),
                io.Image.Input("image", tooltip="A picture, or a batch whose mean is taken. The middle square is seen."),
                ENCODER,
            ],
            outputs=[CONCEPT],
        )

    @classmethod
    @host.plain
    def execute(cls, name: str, image: Tensor, encoder: HostedEncoder) -> io.NodeOutput:
        pixels = pixels_of(image)
        if len(pixels) == 1:
            return encoded(encoder, lambda: Concept.from_image(pixels, encoder.encoder), "image", name)

        def mean() -> Concept:
            total = None
            for index, one in enumerate(pixels):
                concept = Concept.from_image(one, encoder.encoder)
                if name.strip():
                    concept = concept.called(written.media("image", f"{name.strip()}#{index + 1}"))
                total = concept * (1 / len(pixels)) if total is None else total + concept * (1 / len(pixels))
            return total

        return encoded(encoder, mean, "image")


class EncodeAudio(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_EncodeAudio",
            display_name="Encode Audio",
            category=MEDIA,
            description="The concept of a sound.",
            inputs=[
                name_input("thunder.wav"),
                io.Audio.Input("audio", tooltip="A sound that is not silent. Of a long one the beginning, middle and end are heard."),
                ENCODER,
            ],
            outputs=[CONCEPT],
        )

    @classmethod
    @host.plain
    def execute(cls, name: str, audio: dict, encoder: HostedEncoder) -> io.NodeOutput:
        wave, rate = wave_of(audio)
        return encoded(encoder, lambda: Concept.from_audio(wave, encoder.encoder, rate), "audio", name)


class EncodeVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_EncodeVideo",
            display_name="Encode Video",
            category=MEDIA,
            description="The concept of a clip: what it shows and how it moves.",
            inputs=[
                name_input("clip.mp4"),
                io.Video.Input("video", tooltip="A clip of two frames or more. Eight frames, evenly spread, are seen."),
                ENCODER,
            ],
            outputs=[CONCEPT],
        )

    @classmethod
    @host.plain
    def execute(cls, name: str, video, encoder: HostedEncoder) -> io.NodeOutput:
        frames, fps = frames_of(video)
        return encoded(encoder, lambda: Concept.from_video(frames, encoder.encoder, fps), "video", name)
