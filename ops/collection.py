"""What a modality is measured on: folders of media, files of phrases; their embedding, and the measuring itself."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from .calibration import ROUGH, Cloud, measured
from .encoders.protocol import Encoder
from .media import SUFFIXES, read_audio, read_image, read_video
from .space import MODALITIES, Modality
from .written import lines_of

VOCABULARY = "vocabulary"
"""As a source: the words of the encoder's own vocabulary."""
MINIMUM = 32
"""Media or phrases below which nothing is measured."""
PHRASES = 256
"""Phrases embedded at once. Media go one by one: their sizes differ."""
ALONE = "name one modality to measure it alone"
CALLED: dict[Modality, str] = {"text": "phrases", "image": "pictures", "audio": "sounds", "video": "clips"}

Watch = Callable[[int, int, list[str]], None]
"""What `embedded` tells after every batch: how many are done, of how many, and why the ones now skipped were."""


@dataclass(frozen=True)
class Sample:
    """What one modality is measured on.

    items: phrases, or paths of files.
    source: where they are from, for a person to read.
    """

    modality: Modality
    items: tuple[str, ...]
    source: str

    def __post_init__(self):
        enough(len(self.items), self.modality, self.source)


def collect(
    sources: Iterable[str | os.PathLike], encoder: Encoder, modality: Modality | None = None, advice: str = ALONE
) -> list[Sample]:
    """What the sources hold, a sample for each modality, in a fixed order: sources as given, a folder's files by path.

    sources: folders (searched to their depths for files with the endings in `SUFFIXES`; hidden ones are left out), single
        files, text files (.txt, one phrase a line; lines that start with # are left out), and `VOCABULARY`.
    modality: take files as this. In folders, audio then also takes clips (their sound tracks) and video .gif files.
    advice: what a person can do about one modality among several that cannot be measured.

    Raises ValueError for a source that is not there or cannot be told, for a modality that the encoder lacks, and for
    fewer than `MINIMUM` of one.
    """
    found: dict[Modality, list[str]] = {}
    origins: dict[Modality, dict[str, None]] = {}
    seen: set[tuple[Modality, str]] = set()
    for source in map(os.fspath, sources):
        path = Path(source).resolve()
        # many single files are named by their folder
        medium = path.parent.name if path.is_file() else path.name
        for kind, item in _items(source, encoder, modality):
            if kind != "text":
                if (kind, real := os.path.realpath(item)) in seen:
                    continue
                seen.add((kind, real))
            found.setdefault(kind, []).append(item)
            origins.setdefault(kind, {})[path.name if kind == "text" else medium] = None
    kinds = sorted(found, key=MODALITIES.index)
    for kind in kinds:
        if kind not in encoder.modalities:
            readable = ", ".join(name for name in MODALITIES if name in encoder.modalities)
            raise ValueError(f"this encoder reads {readable}, not {kind}" + (f"; {advice}" if len(kinds) > 1 else ""))
        if len(kinds) > 1:
            enough(len(found[kind]), kind, ", ".join(origins[kind]), advice=advice)
    return [Sample(kind, tuple(found[kind]), ", ".join(origins[kind])) for kind in kinds]


def calibrate(encoder: Encoder, sample: Sample, watch: Watch = lambda *_: None) -> Cloud:
    """The cloud of a sample's embeddings. The same files, encoder and device give the same numbers.

    An item that cannot be read is told to `watch` and left out. Raises ValueError when fewer than `MINIMUM` remain, and
    as `measured`.
    """
    count = 0

    def batches() -> Iterator[Tensor]:
        nonlocal count
        for items, pooled in embedded(encoder, sample.modality, sample.items, watch):
            count += len(items)
            yield pooled
        enough(count, sample.modality, sample.source, len(sample.items) - count)

    return replace(measured(batches(), sample.source), tower=encoder.fingerprints.get(sample.modality, ""))


def embedded(
    encoder: Encoder, modality: Modality, items: Sequence[str], watch: Watch = lambda *_: None
) -> Iterator[tuple[Sequence[str], Tensor]]:
    """Batches of items (phrases, or paths of files) with their embeddings [B, D], in the items' order, without gradients.

    An item that cannot be read is told to `watch` and left out. `watch` hears of a batch after it was taken.
    """
    size = PHRASES if modality == "text" else 1
    waiting = deque(items[start : start + size] for start in range(0, len(items), size))
    done = 0
    while waiting:
        batch, problems = waiting.popleft(), []
        try:
            with torch.no_grad():
                pooled = _pooled(encoder, modality, batch)
        except (ValueError, OSError) as error:
            if len(batch) > 1:  # one of them is at fault: each by itself will tell
                waiting.extendleft((item,) for item in reversed(batch))
                continue
            problems = [" ".join(str(error).split())]
        else:
            yield batch, pooled
        done += len(batch)
        watch(done, len(items), problems)


def _pooled(encoder: Encoder, modality: Modality, items: Sequence[str]) -> Tensor:
    if modality == "text":
        return encoder.text(list(items)).pooled
    (path,) = items
    if modality == "image":
        return encoder.image(read_image(path)).pooled
    if modality == "audio":
        wave, rate = read_audio(path)
        return encoder.audio(wave, rate).pooled
    frames, fps = read_video(path)
    return encoder.video(frames, fps).pooled


def _items(source: str, encoder: Encoder, modality: Modality | None) -> Iterator[tuple[Modality, str]]:
    """(modality, phrase or path) of everything in one source."""
    path = Path(source)
    if source == VOCABULARY or (path.suffix.lower() == ".txt" and path.is_file()):
        if modality not in (None, "text"):
            raise ValueError(f"{source} holds text, and {CALLED[modality]} were asked for")
        yield from (("text", phrase) for phrase in (_vocabulary(encoder) if source == VOCABULARY else _phrases(path)))
    elif path.is_dir():
        if modality == "text":
            raise ValueError(f"{source} is a folder; for text name a file with one phrase a line, or '{VOCABULARY}'")
        files = [(kind, file) for file in _files(path) if (kind := _kind(file, modality))]
        if not files:
            raise ValueError(f"{source} holds no {CALLED[modality] if modality else 'pictures, sounds or clips'}")
        yield from files
    elif not path.is_file():
        raise ValueError(f"{source}: no such file or folder")
    elif modality == "text":
        yield from (("text", phrase) for phrase in _phrases(path))
    elif kind := modality or _kind(source, None):
        yield kind, source
    else:
        raise ValueError(f"{source} could be anything; say with --modality what it is")


def _kind(file: str, modality: Modality | None) -> Modality | None:
    """What a file is taken as, told by its ending; None for one to be left out."""
    ending = os.path.splitext(file)[1].lower()
    kind = next((kind for kind, endings in SUFFIXES.items() if ending in endings), None)
    if modality is None or kind == modality:
        return kind
    also = SUFFIXES["video"] if modality == "audio" else {".gif"} if modality == "video" else ()
    return modality if ending in also else None


def _files(folder: Path) -> list[str]:
    """Paths of all files in a folder and those in it, sorted by their parts, so that no file system's order shows."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    return [str(path) for path in sorted(found, key=lambda path: path.relative_to(folder).parts)]


def _phrases(path: Path) -> list[str]:
    try:
        return lines_of(path.read_text("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file in UTF-8: {error.reason} at byte {error.start}") from None


def _vocabulary(encoder: Encoder) -> tuple[str, ...]:
    if encoder.space.vocabulary is None:
        raise ValueError(f"the encoder '{encoder.space.id}' brings no vocabulary; name a file with one phrase a line")
    return encoder.space.vocabulary.words


def enough(count: int, modality: Modality, source: str, skipped: int = 0, advice: str = "") -> None:
    """Raise ValueError when `count` is under `MINIMUM`; `skipped` could not be read."""
    if count < MINIMUM:
        left_out = f" ({skipped} could not be read)" if skipped else ""
        needed = f"at least {MINIMUM} are needed, and {ROUGH} or more make a good estimate"
        told = f"; give {MINIMUM - count} more, or {advice}" if advice else ""
        raise ValueError(f"{count} {CALLED[modality]} in {source}{left_out}: {needed}{told}")
