"""Load SAE, Train SAE: the named features that concepts are taken apart into."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from comfy_api.latest import io, ui

from ..ops import features
from ..ops.collection import VOCABULARY
from ..ops.features.corpus import Corpus, listing
from ..ops.space import MODALITIES, Modality, SpaceMismatch
from ..ops.written import lines_of
from . import host
from .load import mark
from .sockets import ADVANCED, FEATURES, EncoderSocket, HostedEncoder, SAESocket

WORDS = "vocabulary (no training)"
UNFIT = re.compile(r'[\\/:*?"<>|\x00-\x1f\ud800-\udfff]|^\.|[. ]$|^$|^(con|prn|aux|nul|com\d|lpt\d)\s*(\.|$)', re.IGNORECASE)
"""What a file's name does not have on one of the systems that ComfyUI runs on."""
LONGEST = 200
"""Bytes of a file's name; what is written beside it adds to it, and 255 are the end."""
NARROWEST, WIDEST = 16, 65536
"""Features that can be asked for: the groups of prefixes end at sixteenths."""


def dictionary_file(name: str) -> Path:
    """Where a dictionary lies. ValueError, saying where one belongs, when it is not there."""
    path = features.SHIPPED if name == features.POCKET else host.sae_path(name)
    if path is None or not Path(path).is_file():
        shipped = "the pack was copied without it; install it again"
        where = shipped if name == features.POCKET else f"put the file into {host.sae_folder()} or make it with Train SAE"
        raise ValueError(f"there is no SAE '{name}': {where}")
    return Path(path)


class LoadSAE(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_LoadSAE",
            display_name="Load SAE",
            category=FEATURES,
            description="Loads named features of an encoder's space, for SAE Decompose: words of its vocabulary, or features that were learned.",
            inputs=[
                io.Combo.Input(
                    "sae",
                    options=[WORDS, features.POCKET, *host.sae_files()],
                    default=WORDS,
                    tooltip="'vocabulary' names features by words and works with every encoder that has some. 'pocket' was learned for the pocket encoder. "
                    "The others are files in models/concept_saes, from Train SAE. Press R after adding one.",
                ),
                EncoderSocket.Input("encoder", tooltip="The encoder whose concepts are taken apart. Features of another one are refused."),
            ],
            outputs=[
                SAESocket.Output(display_name="sae", tooltip="The features, for SAE Decompose, Concept Expression and Load Concept."),
                EncoderSocket.Output(
                    display_name="encoder", tooltip="The encoder, centred as the features were learned. Connect this one everywhere."
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, sae: str | None = None) -> bool | str:
        try:
            return sae in (None, WORDS) or bool(dictionary_file(sae))
        except ValueError as error:
            return str(error)

    @classmethod
    def fingerprint_inputs(cls, sae: str | None = None, encoder=None) -> str:
        try:
            return "" if sae in (None, WORDS) else mark([dictionary_file(sae)])
        except ValueError:
            return "missing"

    @classmethod
    @host.plain
    def execute(cls, sae: str, encoder: HostedEncoder) -> io.NodeOutput:
        host.load(encoder.of(["text"]))  # the words may still have to be embedded
        try:
            calibrated, found = features.load(features.WORDS if sae == WORDS else dictionary_file(sae), encoder.encoder)
        except SpaceMismatch as error:
            raise ValueError(f"the SAE '{sae}' was learned for another encoder: {error}") from error
        return io.NodeOutput(found, replace(encoder, encoder=calibrated))


class TrainSAE(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_TrainSAE",
            display_name="Train SAE",
            category=FEATURES,
            description="Learns named features of an encoder's space from pictures, sounds, clips and phrases, and keeps them in models/concept_saes.",
            inputs=[
                io.String.Input("name", default="features", tooltip="The file's name in models/concept_saes. One that is there is never written over."),
                io.String.Input(
                    "sources",
                    default=VOCABULARY,
                    multiline=True,
                    tooltip="One a line: a folder in ComfyUI's input folder (a cat.txt beside cat.jpg is its caption), or the word vocabulary "
                    "for the encoder's own words. Thousands of items make good features.",
                ),
                io.String.Input("phrases", default="", multiline=True, tooltip="Phrases to learn from in addition, one a line. May be empty."),
                io.Int.Input("width", default=0, min=0, max=WIDEST, extra_dict=ADVANCED, tooltip="How many features, 16 or more. 0: four a dimension of the space, one for ten items at most."),
                io.Int.Input("active", default=24, min=1, max=1024, extra_dict=ADVANCED, tooltip="How many features one item has on average; an eighth of the width at most."),
                io.Int.Input("steps", default=3000, min=1, max=1000000, extra_dict=ADVANCED, tooltip="Training steps. Fewer are quicker and fit less well."),
                io.Boolean.Input(
                    "text_only",
                    default=False,
                    extra_dict=ADVANCED,
                    tooltip="Learn from words and captions alone, so that pictures, sounds and clips share the features; they then say less of each.",
                ),
                io.Boolean.Input(
                    "measure_stability",
                    default=True,
                    extra_dict=ADVANCED,
                    tooltip="Train once more with another seed, to measure how many of the features chance has made up. Takes twice as long.",
                ),
                EncoderSocket.Input("encoder", tooltip="The encoder whose space the features are of."),
            ],
            outputs=[
                SAESocket.Output(display_name="sae", tooltip="The features, for SAE Decompose."),
                EncoderSocket.Output(display_name="encoder", tooltip="The encoder, centred as the features were learned. Connect this one everywhere."),
                io.String.Output(display_name="card", tooltip="How good they are, measured on what was held out; it lies beside the file too."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, name: str | None = None, width: int | None = None) -> bool | str:
        # a linked value is not known yet; the page's own bounds are not looked at for an input that is named here
        if width and not NARROWEST <= width <= WIDEST:
            return f"width is {width}, expected 0, which chooses one, or {NARROWEST} to {WIDEST}"
        return True if name is None else unfit(stem(name)) or True

    @classmethod
    def fingerprint_inputs(cls, sources: str | None = None, **others: Any) -> str:
        marks = []
        for source in lines_of(sources or ""):
            try:
                marks.append(source if source == VOCABULARY else host.folder_mark(host.media_folder(source)))
            except ValueError:
                marks.append("missing")
        return " ".join(marks)

    @classmethod
    @host.plain
    def execute(
        cls, name: str, sources: str, phrases: str, width: int, active: int, steps: int, text_only: bool, measure_stability: bool,
        encoder: HostedEncoder,
    ) -> io.NodeOutput:  # fmt: skip
        from ..ops.features.learn import AFTER, SECOND, learn
        from ..ops.features.train import recipe

        if problem := unfit(stem(name)):  # one that came over a link
            raise ValueError(problem)
        learned = ("text",) if text_only else MODALITIES
        out = Path(host.sae_folder()) / f"{stem(name)}.safetensors"
        if out.exists():
            raise ValueError(f"{out} is there already: load it with Load SAE, or give another name")
        cache = out.with_suffix(host.CACHE)
        corpus, count, skipped = embedded(sources, phrases, learned, cache, encoder, cls.hidden.unique_id)
        centred = corpus.centre(encoder.encoder)
        plan = recipe(count, centred.space.dimension, k=active, steps=steps, width=width or None)
        trainings = steps * (1 + measure_stability)
        progress = host.Progress(cls.hidden.unique_id, trainings + len(AFTER))

        def watch(stage, now) -> None:
            host.stop_if_asked()
            if now is None:
                progress.show(trainings + AFTER.index(stage) + 1)
                host.note(stage)
                return
            progress.show(steps * (stage == SECOND) + now.index + 1)
            if now.held_out:
                told = (f"{m}: {f.l0:.0f} features, FVU {f.fvu:.2f}" for m, f in now.held_out.items())
                host.note("; ".join([f"{stage}, step {now.index + 1}", f"dead {100 * now.dead:.0f} %", *told]))

        sae, card = learn(corpus, centred, plan, out, cache, watch, measure_stability, learned)
        text = card.markdown(out.stem)
        left_out = [f"{len(skipped)} items were skipped, the first: {skipped[0]}"] if skipped else []
        # the page runs lines together
        host.note(";\n".join([f"{out}", f"{len(sae.names)} features from {count} items", *left_out]))
        return io.NodeOutput(sae, replace(encoder, encoder=centred), text, ui=ui.PreviewText(text))


def stem(name: str) -> str:
    """A file's name as a person has given it, with or without the ending."""
    return name.strip().removesuffix(".safetensors")


def unfit(name: str) -> str:
    """Why no file can have this name on one of the systems that ComfyUI runs on; "" when one can."""
    if UNFIT.search(name):
        return f"'{name}' cannot be a file's name: expected letters, digits, spaces and hyphens, no folder, and nothing that Windows keeps for itself"
    if len(name.encode()) > LONGEST:
        return f"'{name[:20]}...' cannot be a file's name: it has {len(name.encode())} bytes, expected {LONGEST} at most"
    return ""


def embedded(
    sources: str, phrases: str, learned: Collection[Modality], cache: Path, hosted: HostedEncoder, node: str
) -> tuple[Corpus, int, list[str]]:
    """The corpus of the node's two texts, how many of its items are learned from, and why others were left out.

    ValueError for a source that is not there, and as `listing` and `Listing.require`, before anything is embedded."""
    from ..ops.atomic import write_text
    from ..ops.features.cache import embed

    found = [source if source == VOCABULARY else host.media_folder(source) for source in lines_of(sources)]
    if lines_of(phrases):
        os.makedirs(cache, exist_ok=True)
        written = cache / "phrases.txt"
        write_text(written, phrases)
        found.append(str(written))
    if not found:
        raise ValueError("there is nothing to learn from: name a folder, write vocabulary, or give phrases")
    listed = listing(found, hosted.encoder, advice="leave them out")
    count = listed.require(learned)
    progress = host.Progress(node, sum(map(len, listed.items.values())))
    done, rows, skipped = 0, {}, []
    for modality, items in listed.items.items():

        def watch(finished: int, total: int, problems: list[str]) -> None:
            host.stop_if_asked()
            skipped.extend(problems)
            progress.show(done + finished)

        host.load(hosted.of([modality]))
        rows[modality] = embed(hosted.encoder, modality, items, cache, watch)
        done += len(items)
    return Corpus.of(listed, rows, hosted.encoder), count, skipped
