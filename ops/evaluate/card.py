"""The card of a render: its numbers, and whether it worked, as data. Views of it are made elsewhere."""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ..instruments import Instruments
from ..space import Modality
from .agreement import Agreement
from .edit import EditSuccess
from .judgement import Judgement
from .stability import Stability
from .verdict import Verdict

FORMAT = "concept-algebra/card/1"
SCHEMA = Path(__file__).with_name("card.schema.json")
"""What `Card.to_dict` writes, as JSON Schema."""


@dataclass(frozen=True)
class Card:
    """What is known of one render of an expression.

    made_with: id of the space it was optimised in. judgement: whether an encoder that it was not optimised with knows it.
    instruments: of the run, as they are. edit: of an expression with more than one part, where a judge was there. agreement: with the
    outputs in other modalities. stability: over seeds, where there were several.
    """

    expression: str
    modality: Modality
    track: str
    seed: int
    made_with: str
    judgement: Judgement
    instruments: Instruments
    edit: EditSuccess | None = None
    agreement: tuple[Agreement, ...] = ()
    stability: Stability | None = None

    @property
    def verdict(self) -> Verdict:
        """Did it work: what the judge says of the target as a whole."""
        return self.judgement.verdict

    def to_dict(self) -> dict[str, Any]:
        """Numbers, strings, lists, dicts and None, fit for JSON: what is not finite is None."""
        return {"format": FORMAT, **_plain(asdict(self))}

    def to_json(self) -> str:
        """`to_dict` as text that ends in a newline."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Card:
        """What `to_dict` gave, also after a way through JSON. ValueError, naming the place, for anything else."""
        if not isinstance(plain, Mapping) or plain.get("format") != FORMAT:
            found = plain.get("format") if isinstance(plain, Mapping) else type(plain).__name__
            raise ValueError(f"this is not a card: its format is {found}, expected {FORMAT}")
        return _made(cls, {name: value for name, value in plain.items() if name != "format"}, "card")

    @classmethod
    def from_json(cls, text: str) -> Card:
        """What `to_json` gave. ValueError for anything else."""
        return cls.from_dict(json.loads(text))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _made(kind: Any, value: Any, where: str) -> Any:
    """A value of JSON as the type that a field is declared with."""
    origin, inner = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        known = get_type_hints(kind)
        names = {field.name for field in fields(kind)}
        if not isinstance(value, Mapping) or value.keys() != names:
            told = sorted(value.keys() ^ names) if isinstance(value, Mapping) else value
            raise ValueError(f"{where} is damaged: {told!r}, expected {', '.join(sorted(names))}")
        return kind(**{name: _made(known[name], value[name], f"{where}.{name}") for name in names})
    if origin in (Union, types.UnionType):
        return None if value is None else _made(next(part for part in inner if part is not type(None)), value, where)
    if origin is tuple:
        count = len(inner) if Ellipsis not in inner else None
        if not isinstance(value, list) or (count and len(value) != count):
            raise ValueError(f"{where} is damaged: {value!r}, expected a list" + (f" of {count}" if count else ""))
        return tuple(_made(inner[0], part, f"{where}[{i}]") for i, part in enumerate(value))
    if origin is Literal:
        if value not in inner:
            raise ValueError(f"{where} is damaged: {value!r}, expected one of {', '.join(map(str, inner))}")
        return value
    wanted = (int, float) if kind is float else kind
    # what was not finite was written as null
    if kind is float and value is None:
        return math.nan
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{where} is damaged: {value!r}, expected {kind.__name__}")
    return float(value) if kind is float else value
