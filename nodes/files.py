"""Save Concept, Load Concept: one safetensors file with its provenance, which is what people share."""

from __future__ import annotations

import os

from comfy_api.latest import io, ui

from ..ops.concept import Concept
from ..ops.features.code import DictionaryMismatch
from ..ops.features.dictionary import Dictionary
from . import host
from .sockets import FILES, ConceptSocket, EncoderSocket, HostedEncoder, SAESocket

NOTHING = "(no concept saved yet)"


class SaveConcept(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_Save",
            display_name="Save Concept",
            category=FILES,
            description="Writes a concept with the expression that made it to one .safetensors file in output/concepts.",
            inputs=[
                io.String.Input("filename_prefix", default="concept", tooltip="The beginning of the file's name; a number follows. It may hold a subfolder."),
                ConceptSocket.Input("concept", tooltip="The concept to save."),
            ],
            outputs=[io.String.Output(display_name="path", tooltip="Where it was written.")],
            is_output_node=True,
        )

    @classmethod
    @host.plain
    def execute(cls, filename_prefix: str, concept: Concept) -> io.NodeOutput:
        path = host.free_path(os.path.join(host.CONCEPTS, filename_prefix.strip() or "concept"), "safetensors")
        concept.save(path)
        text = f"{concept}\n{os.path.basename(path)}"
        host.note(text)
        return io.NodeOutput(path, ui=ui.PreviewText(text))


class LoadConcept(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        files = host.concept_files()
        return io.Schema(
            node_id="ConceptAlgebra_Load",
            display_name="Load Concept",
            category=FILES,
            description="Reads a concept file from models/concepts or output/concepts. Press R after adding one.",
            inputs=[
                io.Combo.Input("concept", options=files or [NOTHING], tooltip="A file that Save Concept wrote, yours or a shared one."),
                EncoderSocket.Input("encoder", tooltip="The encoder of the space the concept was made in; another one is refused."),
                SAESocket.Input(
                    "sae",
                    optional=True,
                    tooltip="From Load SAE: with the one that it was decomposed with, a concept comes back with its features. Without, it is dense.",
                ),
            ],
            outputs=[
                ConceptSocket.Output(display_name="concept", tooltip="The concept as it was saved."),
                io.String.Output(display_name="expression", tooltip="The expression that made it."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, concept: str | None = None, encoder=None, sae=None) -> str:
        try:
            return host.file_mark(host.concept_path(concept or ""))
        except ValueError:
            return "missing"

    @classmethod
    @host.plain
    def execute(cls, concept: str, encoder: HostedEncoder, sae: Dictionary | None = None) -> io.NodeOutput:
        if concept == NOTHING:
            raise ValueError("there is no concept file yet: save one with Save Concept, or put one into models/concepts, then press R")
        try:
            loaded = Concept.load(host.concept_path(concept), encoder.encoder.space, sae)
        except DictionaryMismatch as error:
            known = f"'{concept}' was taken apart with the SAE '{error.left}', and '{error.right}' is connected"
            raise ValueError(f"{known}: connect that one, or none, which loads the concept without its features") from error
        return io.NodeOutput(loaded, str(loaded))
