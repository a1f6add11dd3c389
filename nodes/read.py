"""Concept Readout, Compare Tracks: what came out, in words and side by side."""

from __future__ import annotations

import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ..ops.concept import Concept
from ..ops.rounding import rounded
from ..ops.interpret.readout import compose, readout, spoken
from ..ops.showcase import picture
from . import host
from .sockets import READING, ConceptSocket, EncoderSocket, HostedEncoder, Rendered, RenderSocket

GAP = 8


class ConceptReadout(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_Readout",
            display_name="Concept Readout",
            category=READING,
            description="Reads a concept in words: the nearest of the vocabulary, with cosines, and a short phrase composed to lie as near as it can.",
            inputs=[
                io.Int.Input("words", default=8, min=1, max=100, tooltip="How many of the nearest words to list."),
                ConceptSocket.Input("concept", tooltip="The concept to read."),
                EncoderSocket.Input("encoder", tooltip="The encoder that made it: its vocabulary is read with."),
            ],
            outputs=[
                io.String.Output(display_name="words", tooltip="The nearest words, best first, separated by commas."),
                io.String.Output(display_name="phrase", tooltip="One to three words that lie nearest together."),
            ],
            is_output_node=True,
        )

    @classmethod
    @host.plain
    def execute(cls, words: int, concept: Concept, encoder: HostedEncoder) -> io.NodeOutput:
        host.load(encoder.of(["text"]))
        found = readout(concept, encoder.encoder.space, words)
        said = compose(concept, encoder.encoder)
        lines = [str(concept), f"{rounded(said.score)}  {said.phrase}  (composed)", *(f"{rounded(cosine)}  {word}" for word, cosine in found)]
        if concept.uncentred:
            lines.append(f"off centre: {', '.join(sorted(concept.uncentred))} (Calibrate Encoder measures it)")
        # the page shows a preview text on its own preview nodes only
        host.note("\n".join(lines))
        return io.NodeOutput(spoken(found), said.phrase, ui=ui.PreviewText("\n".join(lines)))


class CompareTracks(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_CompareTracks",
            display_name="Compare Tracks",
            category=READING,
            description="Honest beside natural: both renders in one picture, with their cosines and words. The contrast is the artefact.",
            inputs=[
                RenderSocket.Input("honest", tooltip="A render made without a prior; it stands left."),
                RenderSocket.Input("natural", tooltip="A render of the same concept made with a prior; it stands right."),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="Both beside each other; of clips every frame, of sounds the spectrograms."),
                io.String.Output(display_name="summary", tooltip="A line for each: track, cosine with the concept, words."),
            ],
            is_output_node=True,
        )

    @classmethod
    @host.plain
    def execute(cls, honest: Rendered, natural: Rendered) -> io.NodeOutput:
        if honest.render.modality != natural.render.modality:
            raise ValueError(f"one render is of kind {honest.render.modality}, the other {natural.render.modality}: compare two of a kind")
        honest.concept.space.require(natural.concept.space)
        image = beside(shown(honest), shown(natural))
        lines = [line(rendered, rendered.render.track) for rendered in (honest, natural)]
        if str(honest.concept) != str(natural.concept):
            lines.append("note: these are renders of two different concepts")
        elif honest.seed != natural.seed:
            lines.append("note: the seeds differ")
        summary = "\n".join(lines)
        preview = ui.PreviewImage(image[len(image) // 2][None], cls=cls).as_dict()
        return io.NodeOutput(image, summary, ui={**preview, "text": (summary,)})


def shown(rendered: Rendered) -> Tensor:
    """[T, 3, H, W]: a clip's frames, or the one picture that stands for a render."""
    media, kind = rendered.render.media, rendered.render.modality
    return media if kind == "video" else picture(media, kind)[None]


def beside(*parts: Tensor) -> Tensor:
    """Several [T, 3, H, W] next to each other on white, as IMAGE [T, H, W, 3]; smaller ones are centred, shorter ones wait."""
    count, height = max(map(len, parts)), max(part.shape[-2] for part in parts)
    sheet = torch.ones(count, 3, height, sum(part.shape[-1] + GAP for part in parts) - GAP)
    at = 0
    for part in parts:
        top = (height - part.shape[-2]) // 2
        rows = torch.arange(count).clamp(max=len(part) - 1)
        sheet[:, :, top : top + part.shape[-2], at : at + part.shape[-1]] = part[rows]
        at += part.shape[-1] + GAP
    return sheet.movedim(1, -1)


def line(rendered: Rendered, name: str) -> str:
    return f"{name}: cosine {rounded(rendered.render.cosine)} with {rendered.concept}; reads as {rendered.words}"
