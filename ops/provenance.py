"""What a render was made from, in the form that goes into its file."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from .concept import Concept
from .generators.protocol import Generator
from .plain import with_nulls
from .render import Render

KEY = "concept_algebra"
"""The name that a file's provenance has among its text entries."""


def provenance(made: Render, concept: Concept, generator: Generator) -> dict[str, Any]:
    """JSON-able: the expression, the seed and the settings, the ids of the encoder's space and of the generator, and how it came
    out: cosine, readings of the instruments, words. None for what was not measured."""
    return with_nulls(
        {
            "expression": str(concept),
            "modality": made.modality,
            "track": made.track,
            "seed": made.seed,
            "space": concept.space.id,
            "generator": generator.id,
            "settings": made.settings,
            "cosine": made.cosine,
            "score": made.score,
            "stopped": made.stopped,
            "instruments": asdict(made.instruments),
            "words": made.looks[-1][2],
        }
    )
