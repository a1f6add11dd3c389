"""Save Render: a picture, a sound or a clip as a file that people can use, with the workflow and what it was made from inside."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..ops.media import write_flac, write_mp4, write_png, write_wav
from ..ops.provenance import KEY, provenance
from . import host
from .sockets import RENDERING, Rendered, RenderSocket

SOUNDS = {"flac": write_flac, "wav": write_wav}


class SaveRender(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_SaveRender",
            display_name="Save Render",
            category=RENDERING,
            description="Saves a render to the output folder: a picture as PNG, a sound as FLAC or WAV, a clip as MP4, with the workflow and what it was made from inside.",
            inputs=[
                io.String.Input("filename_prefix", default="render", tooltip="The beginning of the file's name; a number follows. It may hold a subfolder."),
                io.Combo.Input("audio_format", options=list(SOUNDS), default="flac", tooltip="Of a sound: flac keeps 24 bits, and its file opens as a workflow; wav has 16, and opens in any program. Of no other medium."),
                RenderSocket.Input("render", tooltip="From Latent Optimiser or Dual Track."),
            ],
            outputs=[io.String.Output(display_name="path", tooltip="Where it was written.")],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    @host.plain
    def execute(cls, filename_prefix: str, audio_format: str, render: Rendered) -> io.NodeOutput:
        if audio_format not in SOUNDS:  # ComfyUI checks what is typed, and not what comes over a link
            raise ValueError(f"audio_format is '{audio_format}', expected {' or '.join(SOUNDS)}")
        made, drawing = render.render, render.generator
        suffix = {"image": "png", "audio": audio_format, "video": "mp4"}[made.modality]
        path = host.free_path(filename_prefix.strip() or "render", suffix)
        inside = host.inscription(cls.hidden.prompt, cls.hidden.extra_pnginfo, {KEY: provenance(made, render.concept, drawing)})
        file = [ui.SavedResult(*host.in_output(path), io.FolderType.output)]
        if made.modality == "image":
            write_png(path, made.media, inside)
            return io.NodeOutput(path, ui=ui.SavedImages(file))
        if made.modality == "audio":
            SOUNDS[audio_format](path, made.media, drawing.rate, inside)
            return io.NodeOutput(path, ui=ui.SavedAudios(file))
        write_mp4(path, made.media, drawing.fps, text=inside)
        return io.NodeOutput(path, ui=ui.PreviewVideo(file))
