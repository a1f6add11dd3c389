"""Interpret: what a render reads as, in words, in named features, by probes, and where each part of it was seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comfy_api.latest import io, ui
from torch import Tensor

from ..ops.atomic import built_aside
from ..ops.concept import Concept
from ..ops.encoders.decoded import Played, embed
from ..ops.features.dictionary import Dictionary
from ..ops.features.pursuit import Pursuit
from ..ops.interpret.attribution import PLANES
from ..ops.interpret.bundle import Bundle
from ..ops.interpret.bundle_views import figure, markdown
from ..ops.interpret.overlay import overlay
from ..ops.interpret.reader import Reader, Watch
from ..ops.interpret.readout import spoken
from ..ops.media import write_png
from ..ops.provenance import KEY, provenance
from ..ops.report_bundle import face
from . import host, host_reading
from .attribution import told
from .load import mark
from .probe import trained
from .sockets import READING, EncoderSocket, HostedEncoder, Rendered, RenderSocket, SAESocket

LESS = "A render takes as much to read at any size, and no input lowers it: close what else is loaded."


class Interpret(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_Interpret",
            display_name="Interpret",
            category=READING,
            description="Reads a render: its nearest words, its features against the target's, what probes say of it, and maps of where each part was seen.",
            inputs=[
                io.String.Input(
                    "filename_prefix", default="",
                    tooltip="Empty: nothing is written. Else a folder of this name and a number in ComfyUI's output folder keeps the reading: bundle.json, maps.safetensors and figure.png.",
                ),  # fmt: skip
                RenderSocket.Input("render", tooltip="The render to read."),
                EncoderSocket.Input("encoder", tooltip="The encoder that it was made with."),
                SAESocket.Input("sae", optional=True, tooltip="From Load SAE: whose features are named. Unconnected: those that the concept was taken apart into, else the words of the encoder's vocabulary."),
            ],
            outputs=[
                io.Image.Output(display_name="figure", tooltip="Words, features and all maps in one picture: red speaks for what is named above it, blue against it."),
                io.String.Output(display_name="words", tooltip="The nearest words, best first, separated by commas."),
                io.String.Output(display_name="report", tooltip="Words, features and probes to read, as Markdown."),
                io.String.Output(display_name="bundle", tooltip="The whole reading but for its maps, as JSON."),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, **inputs) -> str:
        return mark([Path(path) for path in map(host_reading.probe_path, host_reading.probe_files()) if path])

    @classmethod
    @host.plain
    def execute(cls, filename_prefix: str, render: Rendered, encoder: HostedEncoder, sae: Dictionary | None = None) -> io.NodeOutput:
        node = cls.hidden.unique_id

        def watch(done: int, total: int, what: str) -> None:
            progress = host.Progress(node, total)
            progress.show(done)
            progress.say(f"map {done + 1} of {total}: {what}")

        with host.explained(LESS):
            bundle, unread = read(render, encoder, sae, watch)
        near = [(word.text, word.cosine) for word in bundle.words]
        sheet, report = figure(bundle), markdown(bundle)
        lines = [f"reads as {spoken(near[:3])}", *unread]
        if prefix := filename_prefix.strip():
            inside = host.inscription(cls.hidden.prompt, cls.hidden.extra_pnginfo, {KEY: provenance(render.render, render.concept, render.generator)})
            lines.insert(0, f"kept in {kept(bundle, sheet, prefix, inside)}")
        # the page runs lines together
        host.note(";\n".join(lines))
        # web/card.js draws both; over a list of renders, each text has its own maps
        drawn = {"card": (report,), "maps": (cls.maps(bundle),)}
        return io.NodeOutput(sheet.movedim(0, -1)[None], spoken(near), report, bundle.to_json(), ui={"text": (report,), **drawn})

    @classmethod
    def maps(cls, bundle: Bundle) -> list[dict[str, Any]]:
        """Of each map, for the node: a small picture of it, one to open with title and scale, and what it says."""
        if bundle.shown is None:
            return []
        shown = bundle.shown.float() / 255
        sizes = {"small": face, "large": overlay}
        return [{"said": told(found)} | {size: cls.temporary(draw(found, shown)) for size, draw in sizes.items()} for found in bundle.maps]

    @classmethod
    def temporary(cls, picture: Tensor) -> dict[str, str]:
        """Keep a picture [3, H, W] until ComfyUI starts again, and say where, as a node's output names a file."""
        return ui.PreviewImage(picture.movedim(0, -1)[None], cls=cls).as_dict()["images"][0]


def read(render: Rendered, encoder: HostedEncoder, sae: Dictionary | None, watch: Watch) -> tuple[Bundle, list[str]]:
    """The bundle of a render, and a line for each probe of the person's own that cannot be read; watch: as `Reader.render`. Stops when cancelled."""
    made, space = render.render, encoder.encoder.space
    space.require(render.concept.space)
    dictionary = naming(render.concept, sae) or Pursuit(space)
    residents, tower = encoder.of([made.modality]), encoder.encoder.towers[made.modality]
    host.note("asking in words")
    host.load(encoder.of(["text"]))
    space.word_directions  # noqa: B018 - they are embedded while the text tower is there
    own, unread = trained(space)
    reader = Reader(render.concept, encoder.encoder, dictionary, [*encoder.probes, *own])
    host.stop_if_asked()
    host.load(residents, tower.saved_bytes() * PLANES)
    try:
        played = Played.by(render.generator)
        return reader.render(made, embed(encoder.encoder, played, made.media[None]), played, watch, host.stop_if_asked), unread
    finally:
        host.release()


def naming(concept: Concept, sae: Dictionary | None) -> Dictionary | None:
    """What names the features: the concept's own dictionary where it has one. ValueError for an SAE beside that which is another."""
    if concept.code is None:
        return sae
    if sae is not None and sae.id != concept.code.dictionary.id:
        own = concept.code.dictionary.id
        raise ValueError(f"'{concept}' is made of features of '{own}', and sae is '{sae.id}': connect that one, or leave sae unconnected")
    return concept.code.dictionary


def kept(bundle: Bundle, sheet: Tensor, prefix: str, inside: dict[str, str] | None) -> str:
    """Write a bundle and its figure, with text inside, into a numbered folder of ComfyUI's output, whole or not at all; its path."""
    folder = Path(host.free_path(prefix, ""))
    with built_aside(folder) as aside:
        bundle.save(aside)
        write_png(aside / "figure.png", sheet, inside)
    return str(folder)
