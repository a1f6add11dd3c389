"""What features are learned from: media and phrases with their captions, who belongs to whom, and their embeddings."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..calibration import AnyEncoder, Calibration, calibrated, measured
from ..collection import ALONE, CALLED, MINIMUM, Sample, collect, enough
from ..encoders.protocol import Encoder
from ..space import MODALITIES, Modality
from .train import FEWEST


@dataclass(frozen=True)
class Listing:
    """What there is to embed.

    items: per modality, phrases or paths of files; each once.
    captions: a caption for each: a phrase is its own, a file has the one beside it (`cat.txt` beside `cat.jpg`, as sets of
        captioned pictures are laid out) or else its stem, "red fox" of red_fox.png.
    beside: of media, whether the caption lay beside the file. Such captions are among the phrases too.
    sources: where they are from, for a person to read.
    """

    items: Mapping[Modality, tuple[str, ...]]
    captions: Mapping[Modality, tuple[str, ...]]
    beside: Mapping[Modality, tuple[bool, ...]]
    sources: Mapping[Modality, str]

    def require(self, modalities: Collection[Modality] = MODALITIES) -> int:
        """How many items there are to train on in these modalities. Raises ValueError when there is nothing, or under `FEWEST` of
        one modality: what `train` would only say after the embedding."""
        if not any(modality in self.items for modality in modalities):
            wanted = ", ".join(CALLED[modality] for modality in MODALITIES if modality in modalities)
            captions = ", or captions beside the files (a cat.txt beside cat.jpg)" if "text" in modalities else ""
            raise ValueError(f"there are no {wanted} to learn from, expected {FEWEST} or more{captions}")
        for modality, items in self.items.items():
            if modality in modalities and len(items) < FEWEST:
                raise ValueError(
                    f"{len(items)} {CALLED[modality]} in {self.sources[modality]}, expected {FEWEST} or more to learn from: "
                    f"give {FEWEST - len(items)} more, or leave them out"
                )
        return sum(len(items) for modality, items in self.items.items() if modality in modalities)


def listing(
    sources: Iterable[str | os.PathLike], encoder: Encoder, modality: Modality | None = None, advice: str = ALONE
) -> Listing:
    """What the sources hold (see `collect` for the arguments and what is raised), with the captions beside the media.

    Fewer than `MINIMUM` phrases, captions counted, have no mean to be centred by: captions are then only captions, and
    belong to no phrase. Raises ValueError for a caption that is not UTF-8.
    """
    samples = {sample.modality: sample for sample in collect(sources, encoder, modality, advice)}
    beside = {m: [_caption_beside(path) for path in sample.items] for m, sample in samples.items() if m != "text"}
    phrases = dict.fromkeys(samples["text"].items if "text" in samples else ())
    origins = [samples["text"].source] if "text" in samples else []
    for medium, captions in beside.items():
        if any(captions):
            phrases |= dict.fromkeys(filter(None, captions))
            origins.append(f"captions in {samples[medium].source}")
    if "text" in samples or len(phrases) >= MINIMUM:
        if "text" in encoder.modalities and phrases:
            samples["text"] = Sample("text", tuple(phrases), ", ".join(dict.fromkeys(origins)))
    order = sorted(samples, key=MODALITIES.index)
    return Listing(
        {m: samples[m].items for m in order},
        {m: samples[m].items if m == "text" else tuple(c or _stem(p) for c, p in zip(beside[m], samples[m].items)) for m in order},
        {m: tuple(map(bool, captions)) for m, captions in beside.items()},
        {m: samples[m].source for m in order},
    )


@dataclass(frozen=True, eq=False)
class Corpus:
    """Embedded items of one encoder.

    space: its `encoder_id`.
    embeddings: per modality [N, D] float32 on the CPU, unit rows, not centred.
    captions: per modality, N of them.
    pairs: per medium [P, 2] int64: the row of a medium, and the row of the text that is its caption.
    sources: where they are from, for a person to read.
    """

    space: str
    embeddings: Mapping[Modality, Tensor] = field(repr=False)
    captions: Mapping[Modality, tuple[str, ...]] = field(repr=False)
    pairs: Mapping[Modality, Tensor] = field(repr=False)
    sources: Mapping[Modality, str]

    @classmethod
    def of(cls, listed: Listing, embedded: Mapping[Modality, tuple[Tensor, list[int]]], encoder: Encoder) -> Corpus:
        """The corpus of a listing and what `cache.embed` returned for its items.

        Raises ValueError when too few items of a modality could be embedded.
        """
        rows = {modality: found for modality, (found, _) in embedded.items()}
        for modality, found in rows.items():
            enough(len(found), modality, listed.sources[modality], len(listed.items[modality]) - len(found))
        captions = {m: tuple(listed.captions[m][i] for i in positions) for m, (_, positions) in embedded.items()}
        row_of = {phrase: row for row, phrase in enumerate(captions.get("text", ()))}
        pairs = {}
        for m, (_, positions) in embedded.items():
            if m != "text":
                beside = [listed.captions[m][i] if listed.beside[m][i] else "" for i in positions]
                pairs[m] = torch.tensor([(row, row_of[c]) for row, c in enumerate(beside) if c in row_of], dtype=torch.int64).reshape(-1, 2)
        return cls(encoder.space.encoder_id, rows, captions, pairs, dict(listed.sources))

    def centre(self, encoder: AnyEncoder) -> AnyEncoder:
        """The encoder with means and radii from this corpus for modalities of it that the encoder's space has no mean for;
        the encoder itself when there are none. Errors as `measured`."""
        lacking = [modality for modality in self.embeddings if modality not in encoder.space.means]
        if not lacking:
            return encoder
        clouds = {modality: measured([self.embeddings[modality]], self.sources[modality]) for modality in lacking}
        return calibrated(encoder, Calibration(self.space, clouds))


def _caption_beside(path: str) -> str:
    """The caption that lies beside a file, on one line; "" without one."""
    file = Path(path).with_suffix(".txt")
    try:
        return " ".join(file.read_text("utf-8-sig").split())
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not a text file in UTF-8: {error.reason} at byte {error.start}") from None


def _stem(path: str) -> str:
    return " ".join(Path(path).stem.replace("_", " ").replace("-", " ").split()) or Path(path).name
