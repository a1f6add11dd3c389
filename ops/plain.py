"""Between dataclasses and what JSON has: numbers, strings, lists, dicts and null."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def with_nulls(value: Any) -> Any:
    """JSON-able values with None for NaN and infinity, which JSON does not have and a browser would not read."""
    if isinstance(value, Mapping):
        return {name: with_nulls(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [with_nulls(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def restored(kind: Any, value: Any, where: str) -> Any:
    """A value of JSON as the type that a field is declared with: dataclasses of each other, tuples, literals, numbers, strings.

    where: its place, for the error. ValueError, naming the place, for a value of another kind and for a field too many or few.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        known = get_type_hints(kind)
        names = {field.name for field in fields(kind)}
        if not isinstance(value, Mapping) or value.keys() != names:
            told = sorted(value.keys() ^ names) if isinstance(value, Mapping) else value
            raise ValueError(f"{where} is damaged: {told!r}, expected {', '.join(sorted(names))}")
        return kind(**{name: restored(known[name], value[name], f"{where}.{name}") for name in names})
    if origin in (Union, types.UnionType):
        return None if value is None else restored(next(part for part in inner if part is not type(None)), value, where)
    if origin is tuple:
        count = len(inner) if Ellipsis not in inner else None
        if not isinstance(value, list) or (count and len(value) != count):
            raise ValueError(f"{where} is damaged: {value!r}, expected a list" + (f" of {count}" if count else ""))
        return tuple(restored(inner[0], part, f"{where}[{i}]") for i, part in enumerate(value))
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
