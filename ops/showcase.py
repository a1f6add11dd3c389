"""One target, every modality, both tracks, one folder: what the pack does, shown."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from . import report
from .atomic import write_text
from .concept import Concept
from .encoders.protocol import Encoder
from .generators.protocol import Generator
from .interpret.readout import Composition, compose, readout
from .media import write_mp4, write_png, write_wav
from .optimise import Step
from .provenance import with_nulls
from .render import Reading, Render, Track
from .runtime import keep_on, let_go
from .signal import FLOOR, log_mel
from .space import Modality
from .tracks import both

Watch = Callable[[Modality, Track, Step], None]
_COLOURS = ((8, 6, 20), (58, 20, 92), (140, 35, 105), (217, 82, 72), (250, 168, 88), (252, 246, 205))


def showcase(
    concept: Concept,
    out: str | os.PathLike,
    encoder: Encoder,
    generators: Mapping[Modality, Callable[[], Generator]],
    *,
    text: bool = True,
    seed: int = 0,
    quick: bool = False,
    steps: int | None = None,
    candidates: Mapping[Modality, int] = MappingProxyType({}),
    device: torch.device | str = "cpu",
    watch: Watch = lambda modality, track, step: None,
) -> Path:
    """Render a concept with each generator on both tracks, and write a folder named for it under `out`.

    generators: what makes each modality's on `device`; one is made when its turn comes and let go after it, and of the encoder's
    towers only those that are at work are on the device. candidates: as in `tracks.both`, of the modalities that it names.

    The folder holds PNG, WAV and MP4 of each track, phrase.txt, run.json and index.html. It is built
    aside and takes its name when it is whole, in place of an earlier one for the same expression; on any error
    or interruption nothing of it stays. Returns the folder. Raises what `render` raises, and OSError.
    """
    began = time.monotonic()
    expression = str(concept)
    words: Reading = []
    said: Composition | None = None
    device = torch.device(device)
    if text:
        keep_on(device, encoder.towers, {"text"})
        words, said = readout(concept, encoder.space, 12), compose(concept, encoder)
    renders, weights, rates = [], {}, {}
    for modality, make in generators.items():
        keep_on(device, encoder.towers, {modality})
        generator = make()
        weights[modality] = generator.id
        rates[modality] = generator.rate if modality == "audio" else generator.fps if modality == "video" else None
        seen = lambda dial, step, modality=modality: watch(modality, "natural" if dial else "honest", step)  # noqa: E731
        renders += both(concept, encoder, generator, seed, quick=quick, steps=steps, candidates=candidates.get(modality), watch=seen)
        # the next may be as large, and the two would not fit beside each other
        del generator
        let_go(device)
    folder = Path(out) / slug(expression)
    seconds = time.monotonic() - began
    run = {
        "expression": expression,
        "seed": seed,
        "quick": quick,
        "seconds": round(seconds, 1),
        "versions": versions(),
        "space": encoder.space.id,
        "uncentred": sorted((concept.modalities | generators.keys()).difference(encoder.space.means)),
        "weights": weights,
        "text": asdict(said) | {"words": words} if said else None,
        "renders": [_record(made) for made in renders],
    }
    facts = [
        ("seed", str(seed)),
        ("space", encoder.space.id),
        ("steps", ", ".join(f"{made.modality} {len(made.trajectory)}" for made in renders if made.track == "honest")),
        ("natural by", ", ".join(sorted({_held(made) for made in renders if made.track == "natural"}))),
        ("took", f"{seconds:.0f} s"),
        ("made with", ", ".join(f"{name} {value}" for name, value in run["versions"].items())),
    ]
    with built_aside(folder) as aside:
        shown = []
        for made in renders:
            _write_media(aside / _file(made), made, rates[made.modality], {"expression": expression, "seed": str(seed), "track": made.track})
            pictures = [(step, picture(media, made.modality), reading) for step, media, reading in made.looks]
            shown.append(report.Rendered(made, _file(made), picture(made.media, made.modality), pictures))
        if said:
            write_text(aside / "phrase.txt", said.phrase + "\n")
        write_text(aside / "run.json", json.dumps(with_nulls(run), indent=1, allow_nan=False))
        write_text(aside / "index.html", report.page(report.Target(expression, said, words, shown, facts)))
    return folder


def write_gallery(out: str | os.PathLike) -> Path:
    """Write `out`/index.html over every showcase folder in `out`; returns its path. Raises OSError."""
    from .media import read_image

    entries = []
    for run in sorted(Path(out).glob("*/run.json")):
        made = json.loads(run.read_text(encoding="utf-8"))
        face = run.with_name("image-natural.png")
        said = (made["text"] or {}).get("phrase")
        entries.append((made["expression"], run.parent.name, said, read_image(face)[0] if face.exists() else None))
    path = Path(out) / "index.html"
    write_text(path, report.gallery(entries))
    return path


def slug(expression: str) -> str:
    """A folder's name for an expression: readable, and different for different expressions."""
    spelt = expression.replace(" + ", " plus ").replace(" - ", " minus ")
    name = "-".join(re.findall(r"[\w.]+", spelt.lower())).strip(".-")[:60]
    plain = re.fullmatch(r"[a-z0-9]+(( [+-])? [a-z0-9]+)*", expression) and not re.search("plus|minus", expression)
    return name if plain and len(name) < 60 else f"{name or 'concept'}-{hashlib.sha256(expression.encode()).hexdigest()[:6]}"


def picture(media: Tensor, modality: Modality) -> Tensor:
    """Media as a picture [3, H, W] in 0..1: itself, a clip's middle frame, a sound's spectrogram (low notes below)."""
    if modality == "video":
        return media[len(media) // 2]
    if modality == "image":
        return media
    floor = float(torch.log(torch.tensor(FLOOR)))
    level = ((log_mel(media.mean(0)) - floor) / -floor).clamp(0, 1).flip(0)
    colours = torch.tensor(_COLOURS, dtype=torch.float32) / 255
    place = level * (len(colours) - 1)
    below = place.floor().long().clamp(max=len(colours) - 2)
    share = (place - below)[..., None]
    return ((1 - share) * colours[below] + share * colours[below + 1]).permute(2, 0, 1)


def versions() -> dict[str, str]:
    """What a run was made with."""
    try:
        pack = version("concept-algebra")
    except PackageNotFoundError:
        pack = "checkout"
    return {
        "concept-algebra": pack,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }


@contextmanager
def built_aside(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder`; on success it takes that name and an earlier folder of that name goes.

    On any error it goes away without a trace, with the parents made for it, and an earlier folder stays.
    """
    parent = folder.parent
    made = [path for path in (parent, *parent.parents) if not path.exists()]
    parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".", suffix=".part", dir=parent))
    try:
        whole, earlier = aside / "whole", aside / "earlier"
        whole.mkdir()
        yield whole
        if folder.exists():
            os.replace(folder, earlier)
        try:
            os.replace(whole, folder)
        except BaseException:
            if earlier.exists():
                os.replace(earlier, folder)
            raise
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        for path in made:
            path.rmdir()
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _file(made: Render) -> str:
    return f"{made.modality}-{made.track}.{ {'image': 'png', 'audio': 'wav', 'video': 'mp4'}[made.modality] }"


def _write_media(path: Path, made: Render, rate: float | None, provenance: dict[str, str]) -> None:
    """rate: samples or frames a second, of a sound or a clip."""
    if made.modality == "image":
        write_png(path, made.media, provenance)
    elif made.modality == "audio":
        write_wav(path, made.media, rate, provenance)
    else:
        write_mp4(path, made.media, rate, 3, provenance)


def _held(made: Render) -> str:
    """What a natural render was held by, and whether that was told the concept."""
    return made.settings["prior"]["name"] + (", told the concept" if made.settings["told"] else "")


def _record(made: Render) -> dict[str, Any]:
    return {
        "modality": made.modality,
        "track": made.track,
        "file": _file(made),
        "cosine": made.cosine,
        "score": made.score,
        "stopped": made.stopped,
        "instruments": asdict(made.instruments),
        "seconds": round(made.seconds, 1),
        "settings": made.settings,
        "metrics": made.trajectory,
        "readings": [{"step": step, "words": reading} for step, _, reading in made.looks],
    }
