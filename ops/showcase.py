"""One target, every modality, both tracks, one folder: what the pack does, shown."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool1d

from . import report, run_record
from .atomic import built_aside, put_back, write_text
from .concept import Concept
from .encoders.decoded import Played, embed
from .encoders.protocol import Encoder
from .evaluate.card import Card
from .evaluate.cards import Output, cards_of
from .evaluate.distractors import Bank
from .evaluate.judgement import Court
from .features.pursuit import Pursuit
from .generators.protocol import Generator
from .interpret.bundle import Bundle
from .interpret.bundle_views import figure
from .interpret.probes import Probe, every_shipped
from .interpret.reader import Reader
from .interpret.readout import compose, readout
from .media import write_mp4, write_png, write_wav
from .optimise import Step
from .plain import with_nulls
from .render import Render, Track
from .report_markdown import readme
from .residency import AtWork, alone_on
from .signal import FLOOR, log_mel
from .space import Modality
from .tracks import Hold, both

READINGS, PAGE = "readings", "index.html"
WIDEST = 1024
"""Pixels of a spectrogram's width at the most: three quarters of a minute at 44.1 kHz would have 8000 otherwise, 64 high."""
Watch = Callable[[Modality, Track, Step], None]
RESERVED = frozenset(["con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))])
"""Names that no folder can have on Windows, whatever ends them."""
_COLOURS = ((8, 6, 20), (58, 20, 92), (140, 35, 105), (217, 82, 72), (250, 168, 88), (252, 246, 205))


@dataclass(frozen=True)
class Measures:
    """What the outputs of every target are held against, of one encoder: the frozen distractors, and the probes that ship.

    Over a thousand phrases are embedded for it, so it is made once for many targets. Needs the text tower.
    """

    bank: Bank
    probes: tuple[Probe, ...]

    @classmethod
    def of(cls, encoder: Encoder) -> Measures:
        return cls(Bank(encoder), every_shipped(encoder))


def showcase(
    concept: Concept,
    out: str | os.PathLike,
    encoder: Encoder,
    generators: Mapping[Modality, Callable[[], Generator]],
    *,
    text: bool = True,
    seed: int = 0,
    seeds: int = 1,
    quick: bool = False,
    steps: int | None = None,
    candidates: Mapping[Modality, int] = MappingProxyType({}),
    courts: Sequence[Court] = (),
    measures: Measures | None = None,
    device: torch.device | str = "cpu",
    watch: Watch = lambda modality, track, step: None,
    hold: Hold | None = None,
    at_work: AtWork | None = None,
    watch_alone: Callable[[Modality, int, int], None] = lambda modality, done, total: None,
    check: Callable[[], None] = lambda: None,
    inside: Mapping[str, str] | None = MappingProxyType({}),
    finished: Callable[[report.Target], None] = lambda target: None,
) -> Path:
    """Render a concept with each generator on both tracks, and write a folder named for it under `out`.

    generators: what makes each modality's on `device`; one is made when its turn comes and let go after it, and of the encoder's
    towers only those that are at work are on the device. candidates: as in `tracks.both`, of the modalities that it names.
    seeds: how many each render is made from, `seed` and those after it, at as many times the cost: the first is shown, and the
    others say how stable it is. courts: judges, by which no render is optimised. measures: of the encoder, made here unless given.
    hold, watch_alone: as in `tracks.both`. check: as in `Reader.render`. at_work: what moves towers and judges; unless
    given, `device` gets the tower that is at work. inside: text for the files of media beside the expression, the seed and the track; None
    for no text in them at all. finished: given what the page shows, once the folder is whole.

    The folder holds PNG, WAV and MP4 of each track, phrase.txt, run.json, index.html with all of it inside, README.md, and in
    readings/ a folder for each of them with bundle.json, maps.safetensors, figure.png and card.json. It is built
    aside and takes its name when it is whole, in place of an earlier one for the same expression; on any error
    or interruption nothing of it stays. Returns the folder. Raises what `render` raises, OSError, FileExistsError before anything is
    made where that name is taken by what is no showcase, and ValueError for no seeds.
    """
    if seeds < 1:
        raise ValueError(f"seeds must be at least 1, not {seeds}")
    began = time.monotonic()
    expression, space = str(concept), encoder.space
    folder = Path(out) / slug(expression)
    put_back(folder.parent)
    _require_own(folder)
    at_work = at_work or alone_on(torch.device(device), encoder)
    with at_work("reading", "text"):
        measures = measures or Measures.of(encoder)
        reader = Reader(concept, encoder, Pursuit(space), measures.probes)
        words, said, phrase = readout(concept, space, 12), None, None
        if text:
            composition = compose(concept, encoder)
            with torch.no_grad():
                phrase = composition.phrase, encoder.text([composition.phrase])
            said = composition, reader.phrase(composition, phrase[1], seed)
    outputs, others, bundles, weights = [], [], [], {}
    for modality, make in generators.items():
        with at_work("drawing", modality):
            generator = make()
            weights[modality], played = generator.id, Played.by(generator)
            seen = lambda dial, step, modality=modality: watch(modality, "natural" if dial else "honest", step)  # noqa: E731
            made = [
                each
                for nth in range(seed, seed + seeds)
                for each in both(
                    concept, encoder, generator, nth, quick=quick, steps=steps, candidates=candidates.get(modality), watch=seen, hold=hold,
                    watch_alone=partial(watch_alone, modality),
                )  # fmt: skip
            ]
            # the next may be as large, and the two would not fit beside each other
            del generator
        with at_work("reading", modality):
            for each in made:
                with torch.no_grad():
                    embedding = embed(encoder, played, each.media[None])
                if each.seed == seed:
                    outputs.append((each, embedding, played))
                    bundles.append(reader.render(each, embedding, played, check=check))
                else:
                    others.append((replace(each, looks=[]), embedding, played))
    # pursuit of some hundred rivals' words for each pair of outputs would take as long as a render
    features = concept.code.dictionary if concept.code else None
    with at_work("judging", None):
        cards = cards_of([*outputs, *others], concept, encoder, measures.bank, courts, phrase, features, seed)
    said = (*said, cards[-1]) if said else None
    seconds = time.monotonic() - began
    run = {
        **run_record.asked(concept, encoder, text, seed, quick, steps, candidates, courts, seeds, hold),
        "seconds": round(seconds, 1),
        "uncentred": sorted((concept.modalities | generators.keys()).difference(space.means)),
        "weights": weights,
        "text": asdict(said[0]) | {"words": words, "verdict": asdict(said[2].verdict)} if said else None,
        "renders": [run_record.of_render(made, _file(made), card, _again(made, others)) for (made, *_), card in zip(outputs, cards)],
    }
    renders = [made for made, *_ in outputs]
    facts = [
        ("seed", str(seed) if seeds == 1 else f"{seed}, and {seeds - 1} more after it"),
        ("space", space.id),
        ("steps", ", ".join(f"{made.modality} {len(made.trajectory)}" for made in renders if made.track == "honest")),
        ("natural by", ", ".join(sorted({run_record.held_by(made) for made in renders if made.track == "natural"}))),
        ("took", f"{seconds:.0f} s"),
        ("made with", ", ".join(f"{name} {value}" for name, value in run["versions"].items())),
    ]
    with built_aside(folder) as aside:
        shown = []
        for (made, _, played), bundle, card in zip(outputs, bundles, cards):
            file = aside / _file(made)
            own = {"expression": expression, "seed": str(seed), "track": made.track}
            _write_media(file, made, played, None if inside is None else {**inside, **own})
            _write_readings(aside / READINGS / file.stem, bundle, card)
            pictures = [(step, picture(media, made.modality), reading) for step, media, reading in made.looks]
            faces = [(again.seed, picture(again.media, made.modality), again.cosine) for again in _again(made, others)]
            shown.append(report.Rendered(made, file, picture(made.media, made.modality), pictures, bundle, card, faces))
        if said:
            write_text(aside / "phrase.txt", said[0].phrase + "\n")
            _write_readings(aside / READINGS / "text", *said[1:])
        write_text(aside / run_record.NAME, json.dumps(with_nulls(run), indent=1, allow_nan=False))
        target = report.Target(expression, said, words, shown, facts)
        write_text(aside / PAGE, report.page(target))
        write_text(aside / "README.md", readme(target))
    finished(target)
    return folder


def write_gallery(out: str | os.PathLike) -> Path:
    """Write `out`/index.html over every showcase folder in `out`, leaving out what is none; returns its path.

    Raises OSError, and FileExistsError as `require_own_gallery`.
    """
    from .media import read_image

    entries = []
    put_back(Path(out))
    for path in sorted(Path(out).glob(f"*/{run_record.NAME}")):
        if (run := run_record.read(path.parent)) is None:
            continue
        face = path.with_name("image-natural.png")
        said = (run["text"] or {}).get("phrase")
        entries.append((run["expression"], path.parent.name, said, read_image(face)[0] if face.exists() else None))
    require_own_gallery(out)
    path = Path(out) / PAGE
    write_text(path, report.gallery(entries))
    return path


def require_own_gallery(out: str | os.PathLike) -> None:
    """FileExistsError where `out`/index.html is somebody else's page, which the gallery would take the place of."""
    path = Path(out) / PAGE
    if path.exists() and (not path.is_file() or report.GALLERY not in path.read_text("utf-8", "replace")):
        raise FileExistsError(f"{path} is there already and is no gallery of showcases: move it, or choose another folder")


def slug(expression: str) -> str:
    """A folder's name for an expression: readable, different for different expressions, and a name that Windows takes."""
    spelt = expression.replace(" + ", " plus ").replace(" - ", " minus ")
    name = "-".join(re.findall(r"[\w.]+", spelt.lower())).strip(".-")[:60]
    plain = re.fullmatch(r"[a-z0-9]+(( [+-])? [a-z0-9]+)*", expression) and not re.search("plus|minus", expression)
    if name.partition(".")[0] in RESERVED:
        name, plain = f"concept-{name}", None
    return name if plain and len(name) < 60 else f"{name or 'concept'}-{hashlib.sha256(expression.encode()).hexdigest()[:6]}"


def picture(media: Tensor, modality: Modality) -> Tensor:
    """Media as a picture [3, H, W] in 0..1: itself, a clip's middle frame, a sound's spectrogram (low notes below), of a long one
    with the mean of some moments in each of `WIDEST` columns."""
    if modality == "video":
        return media[len(media) // 2]
    if modality == "image":
        return media
    floor = float(torch.log(torch.tensor(FLOOR)))
    level = ((log_mel(media.mean(0)) - floor) / -floor).clamp(0, 1).flip(0)
    if level.shape[1] > WIDEST:
        level = adaptive_avg_pool1d(level[None], WIDEST)[0]
    colours = torch.tensor(_COLOURS, dtype=torch.float32) / 255
    place = level * (len(colours) - 1)
    below = place.floor().long().clamp(max=len(colours) - 2)
    share = (place - below)[..., None]
    return ((1 - share) * colours[below] + share * colours[below + 1]).permute(2, 0, 1)


def _require_own(folder: Path) -> None:
    """FileExistsError for a path that is there and neither an empty folder nor an earlier showcase: all of it would be lost."""
    own = {run_record.NAME, PAGE}
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name} if folder.exists() else set()
    if there and not own <= there:
        raise FileExistsError(f"{folder} is there already and is no showcase, which has {' and '.join(sorted(own))} in it: move it, or choose another folder")


def _again(made: Render, others: Sequence[Output]) -> list[Render]:
    """The same from other seeds."""
    return [each for each, *_ in others if (each.modality, each.track) == (made.modality, made.track)]


def _file(made: Render) -> str:
    return f"{made.modality}-{made.track}.{ {'image': 'png', 'audio': 'wav', 'video': 'mp4'}[made.modality] }"


def _write_media(path: Path, made: Render, played: Played, provenance: dict[str, str] | None) -> None:
    if made.modality == "image":
        write_png(path, made.media, provenance)
    elif made.modality == "audio":
        write_wav(path, made.media, played.rate, provenance)
    else:
        write_mp4(path, made.media, played.fps, 3, provenance)


def _write_readings(folder: Path, bundle: Bundle, card: Card) -> None:
    folder.mkdir(parents=True)
    bundle.save(folder)
    write_png(folder / "figure.png", figure(bundle))
    write_text(folder / "card.json", card.to_json())
