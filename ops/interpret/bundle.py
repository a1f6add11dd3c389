"""What a render reads of itself, as data: in words, in named features, by probes, and where. Views of it are made elsewhere."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..atomic import write_bytes, write_text
from ..plain import restored, with_nulls
from ..space import Modality
from ..weights import packed, unpacked
from .attribution import Attribution
from .probes import Answer

FORMAT = "concept-algebra/bundle/1"
SCHEMA = Path(__file__).with_name("bundle.schema.json")
"""What `Bundle.to_dict` writes, as JSON Schema."""
JSON_NAME, MAPS_NAME = "bundle.json", "maps.safetensors"


@dataclass(frozen=True)
class Word:
    """A word of the space's vocabulary. cosine: with what is read, centred, -1..1. z: that cosine in standard deviations above the
    mean of the whole vocabulary's; None where only the cosine was kept."""

    text: str
    cosine: float
    z: float | None = None


@dataclass(frozen=True)
class Look:
    """What was read on the way: at a step of a render, or after a round of the search for a phrase."""

    step: int
    words: tuple[Word, ...]


@dataclass(frozen=True)
class Feature:
    """A named feature's amounts in the target and in the output, 0 or more, each in shares of its vector's length."""

    name: str
    target: float
    output: float


@dataclass(frozen=True, eq=False)
class Bundle:
    """What one output of a concept reads of itself, with the encoder that it was made with.

    track: of a render; "composed" for a phrase. space: id of the encoder's. cosine: of the output with the concept, centred.
    words: nearest to the finished output, best first; looks: on the way there.
    dictionary: id of what names the features; None, and no features, without one. features: strongest first, of either.
    answers: of the probes that ship.
    maps: where it was seen: the target first, then its parts, rollout last; none of a phrase, nor from an encoder that shows none.
    shown: uint8 [T, 3, H, W], the medium as the encoder took it in (`Seen.shown`), for maps to be laid over; None without maps.
    """

    expression: str
    modality: Modality
    track: str
    seed: int
    space: str
    cosine: float
    words: tuple[Word, ...]
    looks: tuple[Look, ...]
    dictionary: str | None
    features: tuple[Feature, ...]
    answers: tuple[Answer, ...]
    maps: tuple[Attribution, ...] = ()
    shown: Tensor | None = None

    def to_dict(self) -> dict[str, Any]:
        """All but the tensors: numbers, strings, lists, dicts and None, fit for JSON."""
        plain = asdict(self)
        del plain["shown"]
        for record in plain["maps"]:
            del record["values"]
        return {"format": FORMAT, **with_nulls(plain)}

    def to_json(self) -> str:
        """`to_dict` as text that ends in a newline."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def tensors(self) -> dict[str, Tensor]:
        """What `to_dict` leaves out: map.0, map.1, ... in the order of `maps`, and what is shown under them."""
        named = {f"map.{i}": found.values for i, found in enumerate(self.maps)}
        return named if self.shown is None else named | {"shown": self.shown}

    def save(self, folder: str | os.PathLike) -> None:
        """Write bundle.json into a folder, and maps.safetensors where there are maps. Raises OSError with one line."""
        if self.maps:
            write_bytes(Path(folder) / MAPS_NAME, packed(self.tensors(), {"format": FORMAT}))
        write_text(Path(folder) / JSON_NAME, self.to_json())

    @classmethod
    def from_parts(cls, plain: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Bundle:
        """From what `to_dict`, also after a way through JSON, and `tensors` gave. ValueError, naming the place, for anything else."""
        if not isinstance(plain, Mapping) or plain.get("format") != FORMAT:
            found = plain.get("format") if isinstance(plain, Mapping) else type(plain).__name__
            raise ValueError(f"this is not a bundle: its format is {found}, expected {FORMAT}")
        listed = plain.get("maps")
        if not isinstance(listed, list) or not all(isinstance(record, Mapping) for record in listed):
            raise ValueError(f"bundle.maps is damaged: {listed!r}, expected a list of maps")
        wanted = {f"map.{i}" for i in range(len(listed))} | ({"shown"} if listed else set())
        if wanted != tensors.keys():
            raise ValueError(f"the bundle's tensors are {', '.join(sorted(tensors)) or 'none'}, expected {', '.join(sorted(wanted)) or 'none'}")
        maps = [{**record, "values": tensors[f"map.{i}"]} for i, record in enumerate(listed)]
        whole = {**plain, "maps": maps, "shown": tensors.get("shown")}
        return restored(cls, {name: value for name, value in whole.items() if name != "format"}, "bundle")

    @classmethod
    def load(cls, folder: str | os.PathLike) -> Bundle:
        """Read what `save` wrote. ValueError, naming the folder, for anything else; OSError for a folder without it."""
        try:
            plain = json.loads((Path(folder) / JSON_NAME).read_text("utf-8"))
            has_maps = isinstance(plain, Mapping) and plain.get("maps")
            tensors = unpacked(Path(folder) / MAPS_NAME, FORMAT, "the maps of a bundle")[0] if has_maps else {}
            return cls.from_parts(plain, tensors)
        except ValueError as error:
            raise ValueError(f"{folder}: {error}") from error
