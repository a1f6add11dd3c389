"""Load Judge, Eval Card: whether a render worked, in the eyes of an encoder that it was not made with."""

from __future__ import annotations

from pathlib import Path

from comfy_api.latest import io

from ..ops.evaluate.card_markdown import markdown
from ..ops.evaluate.judgement import GET
from ..ops.evaluate.judges import load
from ..ops.evaluate.measure import card_of
from ..ops.evaluate.others import card_beside
from . import host, host_reading
from .sockets import ALGEBRA, READING, EncoderSocket, HostedEncoder, JudgeSocket, Rendered, RenderSocket

OTHERS = tuple(f"render_{number}" for number in range(2, 7))
"""Sockets of other renders: with the render itself five seeds and another medium. They do not grow: ComfyUI 0.8's page shows no
optional input of io.Autogrow."""
WHICH = (
    "Another render of the same concept. One from another seed, made in the same way, says how steady it is; one of another kind of medium, "
    "whether they belong together."
)
ABSENT = "siglip2 or clap (not installed)"


def how_to_get() -> str:
    """What to download, and where it belongs in this installation."""
    return (
        f"For pictures and clips, {GET['image']}; for sounds, {GET['audio']}. Judges belong in {host_reading.judge_folder()}, each in a folder "
        "of its own. They need transformers (pip install transformers). Press R when one is there."
    )


class LoadJudge(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_LoadJudge",
            display_name="Load Judge",
            category=ALGEBRA,
            description="Loads an encoder that judges renders and makes none: SigLIP2 for pictures and clips, CLAP for sounds.",
            inputs=[
                io.Combo.Input(
                    "judge",
                    options=host_reading.judges() or [ABSENT],
                    tooltip="A folder in models/concept_judges, as Hugging Face has it. While there is none, Run answers with what to download.",
                ),
            ],
            outputs=[JudgeSocket.Output(display_name="judge", tooltip="The judge, for Eval Card.")],
        )

    @classmethod
    def validate_inputs(cls, judge: str | None = None) -> bool | str:
        if judge is None or host_reading.judge_path(judge):  # None: another node says it when this one runs
            return True
        return how_to_get() if judge == ABSENT else f"There is no judge {judge} in {host_reading.judge_folder()}. {how_to_get()}"

    @classmethod
    def fingerprint_inputs(cls, judge: str | None = None) -> str:
        path = host_reading.judge_path(judge) if judge else None
        return host.folder_mark(path) if path else "missing"

    @classmethod
    @host.plain
    def execute(cls, judge: str) -> io.NodeOutput:
        if (said := cls.validate_inputs(judge)) is not True:
            raise ValueError(said)
        path = Path(host_reading.judge_path(judge))
        module = load(path)
        # pictures and words share one network, which comes and goes as a whole
        resident = host.Resident(module.net)
        return io.NodeOutput(HostedEncoder(module, dict.fromkeys(module.modalities, resident), path))


class EvalCard(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_EvalCard",
            display_name="Eval Card",
            category=READING,
            description="Says whether a render worked: what a judge sees in it among 600 other words, what became of each part of a sum, and the readings of the run.",
            inputs=[
                RenderSocket.Input("render", tooltip="The render to judge."),
                JudgeSocket.Input("judge", optional=True, tooltip="From Load Judge. Unconnected: the card says that nothing was judged, and how to get a judge."),
                RenderSocket.Input("base", optional=True, tooltip="Of a sum or a difference: a render, made in the same way, of what it starts from, such as dog for dog - fur. Unconnected, the word itself stands for it."),
                EncoderSocket.Input("encoder", optional=True, tooltip="The encoder that the renders were made with. Only needed with other renders."),
                *(RenderSocket.Input(name, optional=True, tooltip=WHICH) for name in OTHERS),
            ],
            outputs=[
                io.String.Output(display_name="card", tooltip="All its numbers as JSON."),
                io.String.Output(display_name="verdict", tooltip="recognised, partly, not recognised, or not judged."),
                io.String.Output(display_name="markdown", tooltip="The card to read, for the README of a shared folder."),
            ],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    @host.plain
    def execute(
        cls, render: Rendered, judge: HostedEncoder | None = None, base: Rendered | None = None, encoder: HostedEncoder | None = None,
        **renders: Rendered | None,
    ) -> io.NodeOutput:  # fmt: skip
        others = {name: made for name, made in renders.items() if made is not None}
        if others and encoder is None:
            raise ValueError(f"{next(iter(others))} is connected and encoder is not: connect the encoder that the renders were made with")
        residents = judge.of(["text"]) if judge else []
        if others:
            residents += encoder.of(["text", *(made.render.modality for made in (render, *others.values()))])
        host.load(residents)
        court, start = judge and judge.court(render.concept.space), base and base.render
        if others:
            card = card_beside(render, others, encoder.encoder, encoder.bank, court, start)
        else:
            card = card_of(render.render, render.concept, render.generator, court, start)
        text = markdown(card)
        return io.NodeOutput(card.to_json(), card.verdict.word, text, ui={"text": (text,), "card": (text,)})  # web/card.js draws the latter
