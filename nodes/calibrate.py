"""Calibrate Encoder: where an encoder's pictures, sounds, clips and words lie, measured and kept beside it."""

from __future__ import annotations

from dataclasses import replace

from comfy_api.latest import io, ui

from ..ops.calibration import Calibration, calibrated, sidecar
from ..ops.collection import VOCABULARY, Sample, calibrate, collect
from ..ops.space import Modality
from ..ops.written import lines_of
from . import host
from .sockets import ALGEBRA, EncoderSocket, HostedEncoder

UNWRITTEN = "for this graph only: this encoder ships calibrated, nothing was written"


class CalibrateEncoder(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_Calibrate",
            display_name="Calibrate Encoder",
            category=ALGEBRA,
            description="Measures where an encoder's pictures, sounds, clips or words lie, so that they can be mixed, and keeps it beside the encoder's file.",
            inputs=[
                io.Combo.Input(
                    "modality",
                    options=["image", "audio", "video", "text"],
                    default="image",
                    tooltip="What to measure; the others stay as they are. For audio the sound tracks of clips are heard too.",
                ),
                io.String.Input(
                    "source",
                    default="",
                    multiline=True,
                    tooltip="For media the name of a folder in ComfyUI's input folder, with a few hundred files of the kind you work with. "
                    "For text one phrase a line, or nothing for the encoder's own vocabulary.",
                ),
                EncoderSocket.Input("encoder", tooltip="From Load Concept Encoder."),
            ],
            outputs=[EncoderSocket.Output(display_name="encoder", tooltip="The calibrated encoder. Connect this one everywhere.")],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, modality: str | None = None, source: str | None = None, encoder=None) -> str:
        try:
            return "text" if modality == "text" else host.folder_mark(host.media_folder(source or ""))
        except ValueError:
            return "missing"

    @classmethod
    @host.plain
    def execute(cls, modality: Modality, source: str, encoder: HostedEncoder) -> io.NodeOutput:
        module = encoder.encoder
        sample = sample_of(modality, source, encoder)
        progress = host.Progress(cls.hidden.unique_id, len(sample.items))
        skipped: list[str] = []

        def watch(done: int, total: int, problems: list[str]) -> None:
            host.stop_if_asked()
            skipped.extend(problems)
            progress.show(done)

        host.load(encoder.of([modality]))
        cloud = calibrate(module, sample, watch)
        calibration = Calibration(module.space.encoder_id, {modality: cloud})
        where = UNWRITTEN
        if encoder.path:
            path = sidecar(encoder.path)
            calibration = calibration.add_to(path, module.space)
            where = f"written to {path}"
        left_out = [f"{len(skipped)} skipped, the first: {skipped[0]}"] if skipped else []
        # the page runs lines together
        text = ";\n".join([f"{modality}: {cloud}", *left_out, where])
        host.note(text)
        return io.NodeOutput(replace(encoder, encoder=calibrated(module, calibration)), ui=ui.PreviewText(text))


def sample_of(modality: Modality, source: str, hosted: HostedEncoder) -> Sample:
    """What the node measures. ValueError when there is no such folder, or too little in it."""
    if modality == "text" and (phrases := lines_of(source)):
        return Sample("text", tuple(phrases), "phrases")
    (sample,) = collect([VOCABULARY if modality == "text" else host.media_folder(source)], hosted.encoder, modality)
    return sample
