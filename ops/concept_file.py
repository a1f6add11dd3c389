"""A concept in a file: vector, code, operands with their tokens, and the expression that made it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from .atomic import write_bytes
from .features.code import Code
from .operands import Operand, Operands
from .space import MODALITIES, Space, SpaceMismatch
from .written import Written

if TYPE_CHECKING:
    from torch import Tensor

    from .concept import Concept
    from .features.dictionary import Dictionary

FORMAT = "concept-algebra/concept/1"


def write(concept: Concept, path: str | os.PathLike) -> None:
    """As `Concept.save`."""
    from safetensors.torch import save

    tensors = {"vector": concept.vector.contiguous()}
    leaves = []
    for i, operand in enumerate(concept.operands):
        tensors |= {f"operand.{i}.tokens": operand.tokens, f"operand.{i}.dense": operand.dense}
        leaves.append([operand.written, operand.modality, operand.weight, list(operand.grid)])
    if concept.code:
        tensors |= concept.code.tensors()
    metadata = {
        "format": FORMAT,
        "space": concept.space.id,
        "expression": json.dumps([concept.expression.text, concept.expression.form]),
        "operands": json.dumps(leaves),
        "sources": json.dumps(concept.code.sources if concept.code else []),
        "dictionary": concept.code.dictionary.id if concept.code else "",
    }
    write_bytes(path, save(tensors, metadata))


def read(path: str | os.PathLike, space: Space, dictionary: Dictionary | None) -> tuple[Tensor, Operands, Written, Code | None]:
    """(vector, operands, expression, code) of a file; errors as `Concept.load`."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from error
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path} is not a saved concept: its format is {metadata.get('format')}, expected {FORMAT}")
    if metadata.get("space") != space.id:
        raise SpaceMismatch(str(metadata.get("space")), space.id)
    try:
        expression = Written(*json.loads(metadata["expression"]))
        operands = tuple(
            Operand(text, modality, float(weight), tensors[f"operand.{i}.tokens"], tensors[f"operand.{i}.dense"], tuple(grid))
            for i, (text, modality, weight, grid) in enumerate(json.loads(metadata["operands"]))
        )
        vector, code = tensors["vector"], None
        if dictionary is not None and metadata.get("dictionary") == dictionary.id:
            code = Code.restored(tensors, json.loads(metadata["sources"]), dictionary)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ValueError(f"{path} is a damaged concept file: {error!r}") from error
    if unknown := {operand.modality for operand in operands} - set(MODALITIES):
        raise ValueError(f"{path} is a damaged concept file: unknown modality {sorted(unknown)}")
    return vector, operands, expression, code
