"""A run that was stopped, in one file: taken up again, it goes on as if it never had been."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import Any

import torch
from torch import Tensor

from .atomic import write_bytes
from .weights import packed, unpacked

FORMAT = "concept-algebra/run/1"
Flat = dict[str, Any]


class OtherRun(ValueError):
    """A state belongs to a run with other settings, another generator, objective or prior."""


@dataclass(frozen=True, eq=False)
class RunState:
    """Where a run stands between two steps.

    index: steps done. made_with: what the run was made with, name to JSON-able value; it has to be the same where the
    state is taken up. facts: the JSON-able scalars, and tensors: everything else, by the part of the run they belong to
    ("particles.level.0"). Tensors are on the CPU.
    """

    index: int
    made_with: Mapping[str, Any]
    facts: Mapping[str, Any] = field(repr=False)
    tensors: Mapping[str, Tensor] = field(repr=False)

    @classmethod
    def of(cls, index: int, made_with: Mapping[str, Any], parts: Mapping[str, Flat]) -> RunState:
        """A state from the flat state of each part: tensors and JSON-able scalars."""
        flat = {f"{part}.{name}": value for part, state in parts.items() for name, value in state.items()}
        # kept for good, so nothing may be born under a host's inference mode
        with torch.inference_mode(False):
            tensors = {name: value.detach().to("cpu", copy=True) for name, value in flat.items() if isinstance(value, Tensor)}
        return cls(index, made_with, {name: value for name, value in flat.items() if name not in tensors}, tensors)

    @property
    def ended(self) -> bool:
        """Whether the run had come to its end, or to a plateau."""
        return bool(self.facts["run.ended"])

    def part(self, name: str) -> Flat:
        """The flat state of one part."""
        everything = {**self.facts, **self.tensors}
        return {key.removeprefix(f"{name}."): value for key, value in everything.items() if key.startswith(f"{name}.")}

    def require(self, made_with: Mapping[str, Any]) -> None:
        """Raises OtherRun, naming what differs, unless the state was made with the same."""
        for name in sorted(made_with.keys() | self.made_with.keys()):
            theirs, ours = self.made_with.get(name), made_with.get(name)
            if theirs != ours:
                raise OtherRun(f"the run cannot go on: its {name} was {theirs}, and this one's is {ours}; give what it began with")

    def save(self, path: str | os.PathLike) -> None:
        """Write it to one safetensors file, atomically. OSError with one line when the file cannot be written."""
        facts = json.dumps({"index": self.index, "made_with": dict(self.made_with), "facts": dict(self.facts)})
        write_bytes(path, packed(dict(self.tensors), {"format": FORMAT, "run": facts}))

    @classmethod
    def load(cls, path: str | os.PathLike) -> RunState:
        """Read what `save` wrote. ValueError for any other file, OSError for one that is not there."""
        tensors, metadata = unpacked(path, FORMAT, "a stopped run")
        try:
            run = json.loads(metadata["run"])
            return cls(int(run["index"]), dict(run["made_with"]), dict(run["facts"]), tensors)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is a damaged state of a run: {error!r}; the run has to begin anew") from error


def described(prior: object) -> str:
    """A prior in one line: its name, and the settings it holds in the open."""
    plain = (str, int, float, bool)
    told = {k: v for k, v in vars(prior).items() if not k.startswith("_") and (isinstance(v, plain) or is_dataclass(v))}
    return f"{type(prior).__name__}({', '.join(f'{name}={value!r}' for name, value in told.items())})"
