"""Concept Add, Concept Sub, Concept Slerp, Concept Scale, Concept Union, Concept Expression."""

from __future__ import annotations

from pathlib import Path

from comfy_api.latest import io

from ..ops.centring import off_centre
from ..ops.concept import Concept
from ..ops.expression import evaluate
from ..ops.features.dictionary import Dictionary
from ..ops.parser import ExpressionError, parse
from ..ops.syntax import Media, Name, leaves
from . import host
from .sockets import ALGEBRA, FEATURES, ConceptSocket, EncoderSocket, HostedEncoder, SAESocket

OPERANDS = ("a", "b", "c", "d", "e", "f")
RESULT = ConceptSocket.Output(display_name="concept", tooltip="The result: a concept like any other.")


def weight_input(name: str, tooltip: str, default: float = 1.0) -> io.Float.Input:
    return io.Float.Input(name, default=default, min=-10.0, max=10.0, step=0.05, tooltip=tooltip)


def noted(*concepts: Concept) -> tuple[Concept, ...]:
    """The concepts themselves; the node that made them says so when one mixes modalities that its space cannot centre."""
    host.note(next(filter(None, (off_centre(concept.space, concept.modalities) for concept in concepts)), ""))
    return concepts


class ConceptAdd(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_Add",
            display_name="Concept Add",
            category=ALGEBRA,
            description="weight_a * a + weight_b * b: both concepts at once.",
            inputs=[
                weight_input("weight_a", "How much of a. 0.3 and 0.7 lean toward b; a negative weight takes away."),
                weight_input("weight_b", "How much of b."),
                ConceptSocket.Input("a", tooltip="The first concept."),
                ConceptSocket.Input("b", tooltip="The second concept, of the same encoder."),
            ],
            outputs=[RESULT],
        )

    @classmethod
    @host.plain
    def execute(cls, weight_a: float, weight_b: float, a: Concept, b: Concept) -> io.NodeOutput:
        return io.NodeOutput(*noted(weight_a * a + weight_b * b))


class ConceptSub(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_Sub",
            display_name="Concept Sub",
            category=ALGEBRA,
            description="a - weight * b: a with b taken out of it.",
            inputs=[
                weight_input("weight", "How much of b is taken away. dog - 0.3 fur is a dog with less fur; at 1 little of the dog is left.", 0.3),
                ConceptSocket.Input("a", tooltip="The concept to take from."),
                ConceptSocket.Input("b", tooltip="The concept to take away, of the same encoder."),
            ],
            outputs=[RESULT],
        )

    @classmethod
    @host.plain
    def execute(cls, weight: float, a: Concept, b: Concept) -> io.NodeOutput:
        return io.NodeOutput(*noted(a - weight * b))


class ConceptSlerp(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_Slerp",
            display_name="Concept Slerp",
            category=ALGEBRA,
            description="The concept a part of the way from a to b along the great circle (spherical interpolation).",
            inputs=[
                io.Float.Input("t", default=0.5, min=0.0, max=1.0, step=0.01, tooltip="How far: 0 is a, 1 is b, 0.5 half way."),
                ConceptSocket.Input("a", tooltip="Where it starts."),
                ConceptSocket.Input("b", tooltip="Where it ends, of the same encoder."),
            ],
            outputs=[RESULT],
        )

    @classmethod
    @host.plain
    def execute(cls, t: float, a: Concept, b: Concept) -> io.NodeOutput:
        return io.NodeOutput(*noted(Concept.slerp(a, b, t)))


class ConceptScale(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_Scale",
            display_name="Concept Scale",
            category=ALGEBRA,
            description="weight * concept. It matters in a later sum; a concept alone is rendered by its direction.",
            inputs=[
                weight_input("weight", "The factor. Negative turns the concept into its opposite; 0 leaves nothing to render."),
                ConceptSocket.Input("concept", tooltip="The concept to weigh."),
            ],
            outputs=[RESULT],
        )

    @classmethod
    @host.plain
    def execute(cls, weight: float, concept: Concept) -> io.NodeOutput:
        return io.NodeOutput(weight * concept)


class ConceptUnion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_Union",
            display_name="Concept Union",
            category=FEATURES,
            description="All that is in either of two concepts, or only what both have, feature by feature.",
            inputs=[
                io.Combo.Input(
                    "mode",
                    options=["union", "meet"],
                    default="union",
                    tooltip="union: of every feature as much as the one that has more of it. meet: as much as both have, what they have in common.",
                ),
                ConceptSocket.Input("a", tooltip="The first concept. It or the second has to have features, from SAE Decompose."),
                ConceptSocket.Input("b", tooltip="The second concept. The one without features is taken apart with the SAE of the other."),
            ],
            outputs=[RESULT],
        )

    @classmethod
    @host.plain
    def execute(cls, mode: str, a: Concept, b: Concept) -> io.NodeOutput:
        return io.NodeOutput(*noted(a | b if mode == "union" else a & b))


class ConceptExpression(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_Expression",
            display_name="Concept Expression",
            category=ALGEBRA,
            description="A concept written as one line: words with weights, plus, minus, parentheses, slerp, and the sockets a to f by name.",
            inputs=[
                io.String.Input(
                    "expression",
                    default="0.3*sunset + 0.7*ocean",
                    tooltip='Such as 0.3*sunset + 0.7*ocean, dog - 0.3*fur, slerp(cat, dragon, 0.5), a - day + night, image("photo.jpg") - snow. '
                    "A minus needs spaces around it. File names are looked up in ComfyUI's input folder.",
                ),
                EncoderSocket.Input("encoder", tooltip="From Load Concept Encoder: it reads the words and files."),
                *(
                    ConceptSocket.Input(name, optional=True, tooltip=f"A concept that the expression may use by the name {name}.")
                    for name in OPERANDS
                ),
                SAESocket.Input(
                    "sae",
                    optional=True,
                    tooltip="From Load SAE: everything is then decomposed with it, and the arithmetic happens feature by feature. "
                    "Without, unions and edits of features are understood in the words of the vocabulary.",
                ),
            ],
            outputs=[RESULT],
        )

    @classmethod
    def validate_inputs(cls, expression: str | None = None) -> bool | str:
        try:
            # a linked text is not known yet
            return expression is None or bool(parse(expression, OPERANDS))
        except ExpressionError as error:
            return str(error)

    @classmethod
    def fingerprint_inputs(cls, expression: str | None = None, encoder=None, sae=None, **operands) -> str:
        return files_mark([expression or ""])

    @classmethod
    @host.plain
    def execute(cls, expression: str, encoder: HostedEncoder, sae: Dictionary | None = None, **operands: Concept | None) -> io.NodeOutput:
        connected = {name: concept for name, concept in operands.items() if concept is not None}
        named = [leaf.text for leaf in leaves(parse(expression, OPERANDS)) if isinstance(leaf, Name)]
        if missing := [name for name in named if name not in connected]:
            raise ValueError(f"the expression names {missing[0]}, and nothing is connected to that socket; for the word itself write it in quotes")
        return io.NodeOutput(*noted(evaluated(expression, encoder, connected, sae)))


def evaluated(expression: str, hosted: HostedEncoder, operands: dict[str, Concept], dictionary: Dictionary | None = None) -> Concept:
    """The concept of an expression; its files lie in ComfyUI's input folder."""
    files = [leaf.modality for leaf in leaves(parse(expression, operands)) if isinstance(leaf, Media)]
    host.load(hosted.of(["text", *files]))
    return evaluate(expression, hosted.encoder, host.input_folder(), operands, dictionary)


def files_mark(expressions: list[str]) -> str:
    """Changes when a file that one of the expressions names does."""
    marks = []
    for expression in expressions:
        try:
            nodes = leaves(parse(expression, OPERANDS))
        except ExpressionError:
            continue  # it will be reported when it runs
        marks += [host.file_mark(str(Path(host.input_folder()) / node.path)) for node in nodes if isinstance(node, Media)]
    return " ".join(marks)
