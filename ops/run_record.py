"""What run.json says of a showcase: what was asked for, by which it is known again, and how each render was made."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from .concept import Concept
from .encoders.protocol import Encoder
from .evaluate.card import Card
from .evaluate.judgement import Court
from .priors.settings import recorded
from .render import Render
from .space import Modality, fingerprint
from .tracks import Hold

NAME = "run.json"


def asked(
    concept: Concept, encoder: Encoder, text: bool, seed: int, quick: bool, steps: int | None, candidates: Mapping[Modality, int], courts: Sequence[Court],
    seeds: int = 1, hold: Hold | None = None,
) -> dict[str, Any]:  # fmt: skip
    """All that decides what a showcase comes out as, but for its generators: two that agree in it and in `weights` are the same.

    concept: a fingerprint of its direction, which files behind one expression can change. The arguments are `showcase`'s.
    """
    return {
        "expression": str(concept),
        "concept": fingerprint({"": concept.direction}),
        "seed": seed,
        "seeds": seeds,
        "quick": quick,
        "steps": steps,
        "candidates": dict(candidates),
        "hold": None if hold is None else {**asdict(hold), "prior": recorded(hold.prior)},
        "with_text": text,
        "versions": versions(),
        "space": encoder.space.id,
        "dictionary": concept.code.dictionary.id if concept.code else None,
        "judges": [court.encoder.space.id for court in courts],
    }


def finished(folder: Path, wanted: Mapping[str, Any], weights: Callable[[], Mapping[Modality, str]]) -> bool:
    """Whether a folder holds the showcase that is `asked` for; weights: the ids of its generators, asked for last: they may take
    long to load. A folder without a readable run.json is not finished."""
    run = read(folder)
    if run is None or any(name not in run or run[name] != value for name, value in wanted.items()):
        return False
    return run.get("weights") == dict(weights())


def read(folder: Path) -> dict[str, Any] | None:
    """run.json of a showcase's folder; None where it cannot be read or is something else of that name."""
    try:
        run = json.loads((folder / NAME).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    known = isinstance(run, dict) and isinstance(run.get("expression"), str) and isinstance(run.get("text", ""), dict | None)
    return run if known else None


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


def held_by(made: Render) -> str:
    """What a natural render was held by, and whether that was told the concept."""
    return made.settings["prior"]["name"] + (", told the concept" if made.settings["told"] else "")


def of_render(made: Render, file: str, card: Card, others: Sequence[Render] = ()) -> dict[str, Any]:
    """One render's part of run.json: how it was made, step by step, and how it came out; others: the same from other seeds."""
    return {
        "modality": made.modality,
        "track": made.track,
        "file": file,
        "verdict": asdict(card.verdict),
        "cosine": made.cosine,
        "score": made.score,
        "stopped": made.stopped,
        "instruments": asdict(made.instruments),
        "seconds": round(made.seconds, 1),
        "settings": made.settings,
        "metrics": made.trajectory,
        "others": [{name: getattr(each, name) for name in ("seed", "cosine", "score", "stopped")} for each in others],
        "stability": asdict(card.stability) if card.stability else None,
        "readings": [{"step": step, "words": reading} for step, _, reading in made.looks],
    }
