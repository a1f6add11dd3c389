"""Probe, Train Probe: yes-or-no questions to a concept or a render, such as whether it is an animal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from comfy_api.latest import io, ui

from ..ops.collection import collect
from ..ops.concept import Concept
from ..ops.encoders.decoded import embed
from ..ops.interpret import probes
from ..ops.space import Space, SpaceMismatch
from . import host, host_reading
from .load import mark
from .sae import stem, unfit
from .sockets import READING, ConceptSocket, EncoderSocket, HostedEncoder, Rendered, RenderSocket

WORDS, FOLDERS = "words", "folders"


def loaded(name: str, encoder: HostedEncoder) -> probes.Probe:
    """A shipped probe, or one of models/concept_probes. ValueError, saying where one belongs, when it is not there."""
    if name in probes.SHIPPED:
        host.load(encoder.of(["text"]))
        return probes.shipped(name, encoder.encoder)
    path = host_reading.probe_path(name)
    if path is None:
        raise ValueError(f"there is no probe '{name}': put the file into {host_reading.probe_folder()} or make it with Train Probe, and press R")
    return probes.Probe.load(path)


def trained(space: Space) -> tuple[list[probes.Probe], list[str]]:
    """Those of models/concept_probes that were trained in a space, and a line for each file there that cannot be read."""
    found, unread = [], []
    for path in filter(None, map(host_reading.probe_path, host_reading.probe_files())):
        try:
            probe = probes.Probe.load(path)
        except (OSError, ValueError) as error:
            unread.append(str(error).partition("\n")[0])
        else:
            found += [probe] if probe.space == space.id else []
    return found, unread


class Probe(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_Probe",
            display_name="Probe",
            category=READING,
            description="Asks a concept or a render a yes-or-no question, such as whether it is an animal, and gives the probability.",
            inputs=[
                io.Combo.Input(
                    "probe", options=[*probes.SHIPPED, *host_reading.probe_files()], default=next(iter(probes.SHIPPED)),
                    tooltip="The question. The first five ship with the pack, as lists of words; the others are files in models/concept_probes, from Train Probe.",
                ),
                EncoderSocket.Input("encoder", tooltip="The encoder that made the concept, or that looks at the render."),
                ConceptSocket.Input("concept", optional=True, tooltip="What is asked. Connect this one or the render."),
                RenderSocket.Input("render", optional=True, tooltip="What is asked. Connect this one or the concept."),
            ],
            outputs=[
                io.Float.Output(display_name="probability", tooltip="From 0 to 1, at even odds; calibrated on what it was trained on."),
                io.String.Output(display_name="verdict", tooltip="Which side it is on: named from a probability of 0.8, undecided between that and 0.2."),
                io.String.Output(display_name="warning", tooltip="Why the answer may mean little: of another kind of medium than it was trained on, or a guess. Empty if nothing is known against it."),
            ],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, probe: str | None = None) -> bool | str:
        if probe is None or probe in probes.SHIPPED or host_reading.probe_path(probe):
            return True
        return f"There is no probe {probe} in {host_reading.probe_folder()}: make it with Train Probe, or choose another."

    @classmethod
    def fingerprint_inputs(cls, probe: str | None = None, **sockets) -> str:
        path = host_reading.probe_path(probe) if probe else None
        return mark([Path(path)]) if path else ""

    @classmethod
    @host.plain
    def execute(cls, probe: str, encoder: HostedEncoder, concept: Concept | None = None, render: Rendered | None = None) -> io.NodeOutput:
        if (concept is None) == (render is None):
            raise ValueError("a probe asks one thing: connect a concept or a render, and not both")
        asked, space = loaded(probe, encoder), encoder.encoder.space
        if render is not None:
            modality = render.render.modality
            host.load(encoder.of([modality]))
            seen = embed(encoder.encoder, render.generator, render.render.media[None])
            vector, name = space.centre(seen.pooled[0], modality), f"the render of {render.concept}"
        else:
            # of a mixture, the part that it was not trained on is what to warn of
            modality = min(concept.modalities - {asked.modality}, default=asked.modality)
            space.require(concept.space)
            vector, name = concept.direction, str(concept)
        try:
            answer = asked.answer(vector, modality, space)
        except SpaceMismatch as error:
            raise ValueError(f"the probe '{probe}' was trained with another encoder: {error}") from error
        lines = [f"{name}: {answer.verdict} ({answer.probability:.2f})", *([answer.warning] if answer.warning else [])]
        # the page runs lines together
        host.note(";\n".join(lines))
        return io.NodeOutput(answer.probability, answer.verdict, answer.warning or "", ui=ui.PreviewText("\n".join(lines)))


class TrainProbe(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_TrainProbe",
            display_name="Train Probe",
            category=READING,
            description="Learns a yes-or-no question from two lists of words or two folders of media, and keeps it in models/concept_probes for Probe.",
            inputs=[
                io.String.Input("name", default="round", tooltip="What is said of the yes side. It is the file's name too; one that is there is never written over."),
                io.Combo.Input("source", options=[WORDS, FOLDERS], default=WORDS, tooltip="Whether both sides are lists of words, or names of folders in ComfyUI's input folder."),
                io.String.Input("yes", default="", multiline=True, tooltip="32 words or phrases, one a line, that are on the yes side; or the name of one folder of pictures, sounds or clips."),
                io.String.Input("no", default="", multiline=True, tooltip="As many that are not, and otherwise like the others: what the sides differ in besides is learned too."),
                EncoderSocket.Input("encoder", tooltip="The encoder whose concepts and renders it is asked of."),
            ],
            outputs=[
                io.String.Output(display_name="path", tooltip="Where it was written. Press R, and Probe offers it."),
                io.String.Output(display_name="report", tooltip="How often it was right about what it had not seen."),
            ],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, name: str | None = None) -> bool | str:
        return True if name is None else unfit(stem(name)) or True

    @classmethod
    def fingerprint_inputs(cls, source: str | None = None, yes: str | None = None, no: str | None = None, **others) -> str:
        if source != FOLDERS:
            return ""
        try:
            return " ".join(host.folder_mark(host.media_folder(side or "")) for side in (yes, no))
        except ValueError:
            return "missing"

    @classmethod
    @host.plain
    def execute(cls, name: str, source: str, yes: str, no: str, encoder: HostedEncoder) -> io.NodeOutput:
        if problem := unfit(stem(name)):  # one that came over a link
            raise ValueError(problem)
        if source not in (WORDS, FOLDERS):
            raise ValueError(f"source is '{source}', expected {WORDS} or {FOLDERS}")
        out = Path(host_reading.probe_folder()) / f"{stem(name)}.safetensors"
        if out.exists():
            raise ValueError(f"{out} is there already: choose it in Probe, or give another name")
        skipped: list[str] = []

        def watch(done: int, total: int, problems: list[str]) -> None:
            host.stop_if_asked()
            skipped.extend(problems)
            host.note(f"{done} of {total} of a side")

        with sides(source, yes, no) as (for_it, against):
            host.load(encoder.of([sample.modality for sample in collect([for_it], encoder.encoder)]))
            made = probes.from_sources(stem(name), for_it, against, encoder.encoder, watch)
        os.makedirs(out.parent, exist_ok=True)
        made.save(out)
        right = made.accuracy
        lines = [
            f"written to {out}: press R, and Probe offers it",
            f"trained on {made.counts[0]} and {made.counts[1]} of {made.modality}",
            f"held out, it is right in {right.estimate:.0%} ({right.low:.0%} to {right.high:.0%})",
            *([f"{len(skipped)} items were skipped, the first: {skipped[0]}"] if skipped else []),
        ]
        report = "\n".join(lines)
        host.note(";\n".join(lines))
        return io.NodeOutput(str(out), report, ui=ui.PreviewText(report))


@contextmanager
def sides(source: str, yes: str, no: str) -> Iterator[tuple[str, str]]:
    """Both sides as paths: folders in ComfyUI's input folder, or files of words that last as long as this does."""
    if source == FOLDERS:
        yield host.media_folder(yes), host.media_folder(no)
        return
    with TemporaryDirectory() as folder:
        paths = [os.path.join(folder, f"{side}.txt") for side in ("yes", "no")]
        for path, words in zip(paths, (yes, no)):
            Path(path).write_text(words, "utf-8")
        yield paths[0], paths[1]
