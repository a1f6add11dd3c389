"""Small graphs in API form for the tests in this folder."""

from __future__ import annotations

from itertools import count
from typing import Any

_moments = count()  # so that none is served from the cache
Graph = dict[str, dict[str, Any]]


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    """A node of the pack (its id without the prefix), or of ComfyUI when `kind` starts with a dot."""
    return {"class_type": kind[1:] if kind.startswith(".") else f"ConceptAlgebra_{kind}", "inputs": inputs}


def render(expression: str = "fire", generator: str = "pocket image", steps: int = 3, seed: int = 0, prior: bool = False) -> Graph:
    """Encoder, generator, an expression and a Latent Optimiser named "render", nothing that makes it run."""
    graph = {
        "encoder": node("LoadEncoder", encoder="pocket"),
        "generator": node("LoadGenerator", generator=generator, encoder=["encoder", 0]),
        "concept": node("Expression", expression=expression, encoder=["encoder", 0]),
        "render": node(
            "LatentOptimiser", steps=steps, seed=seed, looks=1, patch_weight=0.5,
            concept=["concept", 0], encoder=["encoder", 0], generator=["generator", 0],
        ),
    }  # fmt: skip
    if prior:
        graph["prior"] = node("FlairPrior", strength=1.0)
        graph["render"]["inputs"]["prior"] = ["prior", 0]
    return graph


def strained(graph: Graph, reader: str, how: str) -> Graph:
    """The graph with an encoder at `reader` that fails once on the way through a map; see the probe."""
    inputs = {"moment": next(_moments), "how": how, "encoder": ["encoder", 0]}
    graph["strained"] = {"class_type": "ConceptAlgebraTest_Strained", "inputs": inputs}
    graph[reader]["inputs"]["encoder"] = ["strained", 0]
    return graph


def readout(expression: str, **sockets: Any) -> Graph:
    """An expression and its Concept Readout, named "readout"."""
    return {
        "encoder": node("LoadEncoder", encoder="pocket"),
        "concept": node("Expression", expression=expression, encoder=["encoder", 0], **sockets),
        "readout": node("Readout", words=8, concept=["concept", 0], encoder=["encoder", 0]),
    }
