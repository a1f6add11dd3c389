"""Showcase: one target in words, picture, sound and clip, on both tracks, with what each reads as, in one folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from comfy_api.latest import io, ui
from torch import Tensor

from ..ops.concept import Concept
from ..ops.evaluate.judgement import Court
from ..ops.interpret.attribution import PLANES
from ..ops.interpret.readout import spoken
from ..ops.optimise import Step
from ..ops.render import Render, Settings, Track
from ..ops.report import Rendered as Shown
from ..ops.report import Target
from ..ops.residency import Part
from ..ops.rounding import rounded
from ..ops.sheet import sheet
from ..ops.showcase import Measures, require_own_gallery, showcase, write_gallery
from ..ops.space import Modality
from . import host
from .drawing import Watching, at_work, chosen, hold, telling
from .media import outputs
from .priors import MOST_STEPS
from .render import USUAL
from .sockets import (
    READING,
    ConceptSocket,
    EncoderSocket,
    GeneratorSocket,
    HostedEncoder,
    HostedGenerator,
    JudgeSocket,
    PriorChoice,
    PriorSocket,
)

MEDIA: tuple[Modality, ...] = ("image", "audio", "video")
WORDS = 4
"""Of a render, that are told on the node."""
LESS_DRAWN = "With quick on, with one generator connected at a time, or with smaller sizes in Generator From Checkpoint it needs less."
LESS_READ = "With one generator connected at a time and nothing else loaded it needs less; what came out takes as much to read at any size."


class Showcase(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_Showcase",
            display_name="Showcase",
            category=READING,
            description="Makes one target's whole folder: a phrase, and a picture, a sound and a clip on both tracks, each with what it reads as and whether it worked, on one page.",
            inputs=[
                io.Int.Input(
                    "seed", default=0, min=0, max=2**32 - 1, control_after_generate=True,
                    tooltip="The latents that all renders start from, and all that is drawn at random.",
                ),
                io.Boolean.Input("quick", default=False, tooltip="A first look: fewer steps of each render."),
                io.Int.Input("steps", default=0, min=0, max=MOST_STEPS, tooltip="Steps of each render; 0 takes the usual numbers, which differ by medium and track."),
                io.String.Input("filename_prefix", default="showcase", tooltip="The folder in ComfyUI's output folder that the target's own folder goes into. An earlier folder of the same target in it is replaced."),
                ConceptSocket.Input("concept", tooltip="The target. A list of them gives a folder each."),
                EncoderSocket.Input("encoder", tooltip="The encoder that looks at what is drawn; the one that made the concept."),
                *(GeneratorSocket.Input(name, optional=True, tooltip=f"What draws the {what}, from Load Generator or Generator From Checkpoint. Unconnected: none is made.")
                  for name, what in zip(MEDIA, ("pictures", "sounds", "clips"))),
                PriorSocket.Input("prior", optional=True, tooltip="From a prior node, for the natural track of all. Unconnected: FLAIR Prior as it comes."),
                JudgeSocket.Input("judge", optional=True, tooltip="From Load Judge: SigLIP2 for pictures and clips, or CLAP for sounds. Unconnected: the cards say that nothing was judged."),
                JudgeSocket.Input("second_judge", optional=True, tooltip="A judge of what the first cannot see or hear."),
            ],
            outputs=[
                io.Image.Output(display_name="sheet", tooltip="One picture of all: a row for each medium, honest left and natural right, sounds as spectrograms, clips by their middle frame."),
                io.Audio.Output(display_name="audio", tooltip="The natural sound, when a generator of sounds is connected."),
                io.Video.Output(display_name="video", tooltip="The natural clip, when a generator of clips is connected."),
                io.String.Output(display_name="phrase", tooltip="The target in one to three words, the nearest that were found."),
                io.String.Output(display_name="summary", tooltip="A line for each of them: the verdict, the cosine with the concept, the words it reads as."),
                io.String.Output(display_name="folder", tooltip="Where all of it lies."),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    @host.plain
    def execute(
        cls, seed: int, quick: bool, steps: int, filename_prefix: str, concept: Concept, encoder: HostedEncoder, image: HostedGenerator | None = None,
        audio: HostedGenerator | None = None, video: HostedGenerator | None = None, prior: PriorChoice | None = None,
        judge: HostedEncoder | None = None, second_judge: HostedEncoder | None = None,
    ) -> io.NodeOutput:  # fmt: skip
        out = host.output_folder(filename_prefix.strip() or "showcase")
        require_own_gallery(out)
        concept.space.require(encoder.encoder.space)
        drawing = drawers({"image": image, "audio": audio, "video": video}, encoder, prior)
        judges = [each for each in (judge, second_judge) if each]
        work = Work(cls.hidden.unique_id, encoder, drawing, judges, prior, quick, steps)
        found: list[Target] = []
        folder = showcase(
            concept, out, encoder.encoder, {modality: (lambda hosted=hosted: hosted.generator) for modality, hosted in drawing.items()},
            seed=seed, quick=quick, steps=steps or None, candidates={m: hosted.candidates for m, hosted in drawing.items() if hosted.candidates},
            courts=work.courts(), measures=work.measures(), watch=work.watch, hold=prior and hold(prior), at_work=work, watch_alone=work.watch_alone,
            check=host.stop_if_asked, inside=host.inscription(cls.hidden.prompt, cls.hidden.extra_pnginfo, {}), finished=found.append,
        )  # fmt: skip
        write_gallery(out)
        (target,) = found
        summary = "\n".join(lines(target))
        host.note(summary)
        natural = {shown.render.modality: shown.render for shown in target.renders if shown.render.track == "natural"}
        picture = sheet_of(target)
        name, subfolder = host.in_output(str(folder / "index.html"))
        page = {"filename": name, "subfolder": subfolder, "type": "output", "title": target.expression}
        if picture is not None:  # a page of the newer kind goes on showing the last preview
            work.progress.show(work.total, picture[0].movedim(-1, 0))
        shown = {} if picture is None else ui.PreviewImage(picture, cls=cls).as_dict()
        return io.NodeOutput(
            host.blocked("no generator is connected, so there is no picture") if picture is None else picture,
            played("audio", 1, natural, drawing), played("video", 2, natural, drawing), target.said[0].phrase, summary, str(folder),
            ui={**shown, "text": (summary,), "page": (page,)},  # web/showcase.js opens the latter
        )  # fmt: skip


class Work:
    """What a showcase has to have on the device, step by step, and what it tells while it goes; called, it is `ops.residency.AtWork`."""

    def __init__(
        self, node_id: str, encoder: HostedEncoder, drawing: Mapping[Modality, HostedGenerator], judges: list[HostedEncoder],
        prior: PriorChoice | None, quick: bool, steps: int,
    ):  # fmt: skip
        self.encoder, self.drawing, self.judges = encoder, drawing, judges
        self.todo: dict[Modality, list[Settings]] = {
            modality: [chosen(hosted, held, steps, quick=quick) for held in (None, prior or USUAL)] for modality, hosted in drawing.items()
        }
        self.before: dict[tuple[Modality, Track | None], int] = {}
        """Steps before a render, and before what the prior makes alone (None)."""
        total = 0
        for modality, (honest, natural) in self.todo.items():
            for track, count in (("honest", honest.schedule.steps), ("natural", natural.schedule.steps), (None, natural.schedule.steps)):
                self.before[modality, track] = total
                total += count
        self.total = max(1, total)
        self.progress = host.Progress(node_id, self.total)
        self.watching = {modality: Watching(node_id, total, hosted.generator) for modality, hosted in drawing.items()}
        self._seeing: dict[tuple[Modality, Track], Callable[[Step], None]] = {}

    def courts(self) -> list[Court]:
        """The judges with their distractors. Raises as `Court`."""
        host.load([resident for judge in self.judges for resident in judge.of(["text"])])
        return [judge.court(self.encoder.encoder.space) for judge in self.judges]

    def measures(self) -> Measures:
        """What all targets of the encoder are held against."""
        self.progress.say("reading the target")
        host.load(self.encoder.of(["text"]))
        return self.encoder.measures

    def watch(self, modality: Modality, track: Track, step: Step) -> None:
        if (modality, track) not in self._seeing:
            self._seeing[modality, track] = self.watching[modality].of(f"{modality}, {track}", self.before[modality, track])
        self._seeing[modality, track](step)

    def watch_alone(self, modality: Modality, done: int, total: int) -> None:
        self.watching[modality].alone(f"{modality}, natural", self.before[modality, None])(done, total)

    @contextmanager
    def __call__(self, part: Part, modality: Modality | None) -> Iterator[None]:
        host.stop_if_asked()
        if part == "drawing":
            # one medium at a time: what drew the last may leave the device for this one
            with at_work(self.encoder, self.drawing[modality], self.todo[modality], self.watching[modality], less=LESS_DRAWN):
                yield
        elif part == "judging":
            self.progress.say("judging what came out" if self.judges else "writing the page")
            with host.explained(LESS_READ), loaded([resident for judge in self.judges for resident in judge.of(["text"])]):
                yield
        elif modality == "text":
            with host.explained(LESS_READ), loaded(self.encoder.of(["text"])):
                yield
        else:
            self.progress.say(f"{modality}: looking for the target in what came out")
            working = PLANES * self.encoder.encoder.towers[modality].saved_bytes()
            with host.explained(LESS_READ, self.watching[modality].kept), loaded(self.encoder.of([modality]), working):
                yield


@contextmanager
def loaded(residents: list[host.Resident], working: int = 0) -> Iterator[None]:
    """On the device while it lasts."""
    if residents:
        host.load(residents, working)
    try:
        yield
    finally:
        host.release()


def drawers(
    connected: Mapping[Modality, HostedGenerator | None], encoder: HostedEncoder, prior: PriorChoice | None
) -> dict[Modality, HostedGenerator]:  # fmt: skip
    """What draws each medium. ValueError for a generator at another medium's socket, for a medium that the encoder does not read, and for
    a prior's conditioning where several models draw."""
    drawing = {modality: hosted for modality, hosted in connected.items() if hosted}
    for modality, hosted in drawing.items():
        if (kind := hosted.generator.modality) != modality:
            raise ValueError(f"{modality} has a generator of kind {kind} connected; connect that one to {kind}, and one of kind {modality} here")
    encoder.of(drawing)
    if prior and prior.conditioning is not None and len(drawing) > 1:
        raise ValueError("the prior was given conditioning, which is in one model's words, and several generators are connected; leave it unconnected")
    return {modality: telling(hosted, prior) for modality, hosted in drawing.items()}


def lines(target: Target) -> list[str]:
    """A line for each artefact."""
    composition, _, card = target.said
    said = [f"in words: {card.verdict.word}; {rounded(composition.score)}; {composition.phrase}."]
    for shown in target.renders:
        made = shown.render
        said.append(f"{made.modality}, {made.track}: {shown.card.verdict.word}; {rounded(made.cosine)}; {spoken(made.looks[-1][2][:WORDS])}.")
    return said


def sheet_of(target: Target) -> Tensor | None:
    """IMAGE [1, H, W, 3]: a row for each medium, honest left; None for none."""
    rows: dict[Modality, list[Shown]] = {}
    for shown in target.renders:
        rows.setdefault(shown.render.modality, []).append(shown)
    if not rows:
        return None
    captioned = [[(shown.picture, f"{shown.render.track}: {shown.card.verdict.word}") for shown in row] for row in rows.values()]
    return sheet(captioned).movedim(0, -1)[None].contiguous()


def played(modality: Modality, place: int, natural: Mapping[Modality, Render], drawing: Mapping[Modality, HostedGenerator]) -> Any:
    """The natural render as AUDIO or VIDEO, blocked where none was made."""
    if modality not in natural:
        return host.blocked(f"no generator of {modality} is connected, so there is none")
    return outputs(natural[modality], drawing[modality].generator)[place]
