"""Concept List, Target From List: many targets from one text, in one queue or one after the other."""

from __future__ import annotations

from comfy_api.latest import io

from ..ops.parser import ExpressionError, parse
from ..ops.written import lines_of
from . import host
from .algebra import evaluated, files_mark, noted
from .sockets import FILES, ConceptSocket, EncoderSocket, HostedEncoder

DEFAULT = "fire + water\nsunset + ocean\ndog - 0.3*fur"


def targets_of(text: str) -> list[str]:
    """The expressions of a text, as `lines_of`. ValueError for none."""
    lines = lines_of(text)
    if not lines:
        raise ValueError("the list is empty: write one expression a line, such as fire + water")
    return lines


def checked(text: str | None) -> bool | str:
    """What `validate_inputs` answers for a text of expressions: every faulty line with its number."""
    if text is None:
        return True
    faults = []
    try:
        for number, line in enumerate(targets_of(text), 1):
            try:
                parse(line)
            except ExpressionError as error:
                faults.append(f"target {number}: {error}")
    except ValueError as error:
        return str(error)
    return "\n".join(faults) or True


TEXT = io.String.Input(
    "targets",
    default=DEFAULT,
    multiline=True,
    tooltip="One expression a line, as in Concept Expression. Empty lines and lines that start with # are skipped.",
)
ENCODER = EncoderSocket.Input("encoder", tooltip="From Load Concept Encoder: it reads the words and files.")


class ConceptList(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_List",
            display_name="Concept List",
            category=FILES,
            description="Many lines in, a list of concepts out: everything after it runs once for each, in one queue.",
            inputs=[TEXT, ENCODER],
            outputs=[
                ConceptSocket.Output(display_name="concepts", tooltip="One concept a line.", is_output_list=True),
                io.String.Output(display_name="expressions", tooltip="The lines, for file names and captions.", is_output_list=True),
            ],
        )

    @classmethod
    def validate_inputs(cls, targets: str | None = None) -> bool | str:
        return checked(targets)

    @classmethod
    def fingerprint_inputs(cls, targets: str | None = None, encoder=None) -> str:
        return files_mark((targets or "").splitlines())

    @classmethod
    @host.plain
    def execute(cls, targets: str, encoder: HostedEncoder) -> io.NodeOutput:
        lines = targets_of(targets)
        return io.NodeOutput(list(noted(*(evaluated(line, encoder, {}) for line in lines))), lines)


class TargetFromList(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_TargetFromList",
            display_name="Target From List",
            category=FILES,
            description="One line of a list, by its index. With 'increment' after generate, ComfyUI's batch count walks the list.",
            inputs=[
                TEXT,
                io.Int.Input(
                    "index",
                    default=0,
                    min=0,
                    max=2**31 - 1,
                    control_after_generate=True,
                    tooltip="Which line, counted from 0. Beyond the end it starts again. Set 'increment' below, and a batch count of 10 renders ten lines.",
                ),
                ENCODER,
            ],
            outputs=[
                ConceptSocket.Output(display_name="concept", tooltip="The concept of that line."),
                io.String.Output(display_name="expression", tooltip="The line itself, for file names and captions."),
                io.Int.Output(display_name="count", tooltip="How many targets the list has."),
            ],
        )

    @classmethod
    def validate_inputs(cls, targets: str | None = None) -> bool | str:
        return checked(targets)

    @classmethod
    def fingerprint_inputs(cls, targets: str | None = None, index: int | None = None, encoder=None) -> str:
        return files_mark((targets or "").splitlines())

    @classmethod
    @host.plain
    def execute(cls, targets: str, index: int, encoder: HostedEncoder) -> io.NodeOutput:
        lines = targets_of(targets)
        line = lines[index % len(lines)]
        return io.NodeOutput(*noted(evaluated(line, encoder, {})), line, len(lines))
