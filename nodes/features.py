"""SAE Decompose, Edit Features: what is in a concept, by name, and less or more of it."""

from __future__ import annotations

import hashlib
from typing import Any

from comfy_api.latest import io

from ..ops.concept import Concept
from ..ops.features.code import Code
from ..ops.features.dictionary import Dictionary
from ..ops.features.edits import EditError, edited, told
from ..ops.features.edits import edits as parsed
from ..ops.interpret.chart import chart
from ..ops.space import SpaceMismatch
from . import host
from .sockets import ADVANCED, FEATURES, ConceptSocket, SAESocket

LISTED = 64
"""Features at most that the panel of Edit Features lists; the others are found by their names."""


class SAEDecompose(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_Decompose",
            display_name="SAE Decompose",
            category=FEATURES,
            description="Takes a concept apart into named features, and shows the strongest as bars. From here on its arithmetic happens feature by feature.",
            inputs=[
                io.Int.Input("show", default=12, min=1, max=100, tooltip="How many of the strongest features to show. The concept keeps all of them."),
                io.Float.Input(
                    "unnamed",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much stays of what the features do not say. At 1 the concept stays where it was; at 0 it is its named features and nothing else.",
                    extra_dict=ADVANCED,
                ),
                ConceptSocket.Input("concept", tooltip="The concept to take apart, made with the encoder that Load SAE gives."),
                SAESocket.Input("sae", tooltip="From Load SAE or Train SAE: the features that it is taken apart into."),
            ],
            outputs=[
                ConceptSocket.Output(display_name="concept", tooltip="The same concept, with its features."),
                io.String.Output(display_name="features", tooltip="The features shown, a line each: amount and name."),
                io.Image.Output(display_name="chart", tooltip="The bars as a picture, to be saved."),
            ],
            is_output_node=True,
        )

    @classmethod
    @host.plain
    def execute(cls, show: int, unnamed: float, concept: Concept, sae: Dictionary) -> io.NodeOutput:
        try:
            made = concept.decomposed(sae, unnamed)
        except SpaceMismatch as error:
            raise ValueError(f"{error}. Make the concept with the encoder that comes out of Load SAE") from error
        there, taken = made.code.features(show), made.code.taken(show)
        lines = [f"{amount:.2f}  {name}" for name, amount in there] + [f"{amount:.2f}  {name} (taken away)" for name, amount in taken]
        picture = chart(there, taken, str(made)).movedim(0, -1)[None]
        text = "\n".join([str(made), *lines, summary(made)])
        return io.NodeOutput(made, "\n".join(lines), picture, ui={"text": (text,), "features": (shown(made, show),)})


class EditFeatures(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_EditFeatures",
            display_name="Edit Features",
            category=FEATURES,
            description="Switches features of a concept off, makes them stronger or weaker, and adds others, by name.",
            inputs=[
                io.String.Input(
                    "edits",
                    default="",
                    multiline=True,
                    tooltip="One edit a line: - fur switches it off, -- fur also erases what else points along it, 2 * fur makes it twice as strong, "
                    "+ 0.5 purple adds half of another. After a run the list below writes these lines for you.",
                ),
                ConceptSocket.Input("concept", tooltip="A concept with features, from SAE Decompose."),
            ],
            outputs=[
                ConceptSocket.Output(display_name="concept", tooltip="The concept with its features edited."),
                io.String.Output(display_name="report", tooltip="What became of each feature, and how much still points along those that are off."),
            ],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, edits: str | None = None) -> bool | str:
        try:
            return edits is None or parsed(edits) is not None  # a linked text is not known yet
        except EditError as error:
            return str(error)

    @classmethod
    @host.plain
    def execute(cls, edits: str, concept: Concept) -> io.NodeOutput:
        wanted = parsed(edits)
        made = edited(concept, wanted)
        report = told(wanted, concept, made)
        names = concept.code.dictionary.names
        # names are no part of a dictionary's id
        mark = hashlib.sha256("\n".join(names).encode()).hexdigest()[:8]
        where = host.handed_out(f"{concept.code.dictionary.id}-{mark}", names)
        # the list is of what came in: what the lines do is told by the report
        found = {**shown(concept, LISTED), "summary": f"before: {summary(concept)}", "report": report, "names": where}
        return io.NodeOutput(made, "\n".join(report), ui={"text": ("\n".join([str(made), *report]),), "features": (found,)})


def shown(concept: Concept, count: int) -> dict[str, Any]:
    """What web/features.js draws."""
    code = concept.code
    return {"title": str(concept), "there": code.features(count), "taken": code.taken(count), "summary": summary(concept)}


def summary(concept: Concept) -> str:
    """How many features there are, and how much of the concept they say."""
    code = concept.code
    return f"{len(code.active)} features, which have cosine {named(code):.2f} with the concept"


def named(code: Code) -> float:
    """The cosine of the part that has names with the whole; 0 where one of them is nothing."""
    part, whole = code.amounts[0] @ code.dictionary.atoms, code.vector
    return float(part @ whole / (part.norm() * whole.norm()).clamp_min(1e-12))
