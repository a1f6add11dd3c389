"""A concept in a file: vector, code, operands with their tokens, and the expression that made it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import torch

from .atomic import write_bytes
from .features.code import Code, DictionaryMismatch
from .operands import Operand, Operands
from .space import MODALITIES, Space, SpaceMismatch
from .weights import packed, unpacked
from .written import FORMS, Written

if TYPE_CHECKING:
    from torch import Tensor

    from .features.dictionary import Dictionary

FORMAT = "concept-algebra/concept/1"


def write(path: str | os.PathLike, vector: Tensor, space: Space, operands: Operands, expression: Written, code: Code | None) -> None:
    """What `read` reads back; errors as `Concept.save`."""
    # without its dictionary a concept is dense, and leftovers then count in full
    tensors = {"vector": code.linear if code else vector}
    leaves = []
    for i, operand in enumerate(operands):
        tensors |= {f"operand.{i}.tokens": operand.tokens, f"operand.{i}.dense": operand.dense}
        leaves.append([operand.written, operand.modality, operand.weight, list(operand.grid)])
    if code:
        tensors |= code.tensors()
    metadata = {
        "format": FORMAT,
        "space": space.id,
        "expression": json.dumps([expression.text, expression.form]),
        "operands": json.dumps(leaves),
        "sources": json.dumps(code.sources if code else []),
        "dictionary": code.dictionary.id if code else "",
    }
    write_bytes(path, packed(tensors, metadata))


def read(path: str | os.PathLike, space: Space, dictionary: Dictionary | None) -> tuple[Tensor, Operands, Written, Code | None]:
    """(vector, operands, expression, code) of a file; errors as `Concept.load`."""
    if os.path.isdir(path):
        raise ValueError(f"{path} is a folder, expected a saved concept")
    tensors, metadata = unpacked(path, FORMAT, "a saved concept")
    if metadata.get("space") != space.id:
        raise SpaceMismatch(str(metadata.get("space")), space.id)
    theirs = metadata.get("dictionary")
    if theirs and dictionary is not None and theirs != dictionary.id:
        raise DictionaryMismatch(theirs, dictionary.id)
    try:
        text, form = json.loads(metadata["expression"])
        if not isinstance(text, str) or form not in FORMS:
            raise ValueError(f"expression {text!r} of form {form!r}")
        expression = Written(text, form)
        operands = tuple(
            Operand(text, modality, float(weight), tensors[f"operand.{i}.tokens"], tensors[f"operand.{i}.dense"], tuple(grid))
            for i, (text, modality, weight, grid) in enumerate(json.loads(metadata["operands"]))
        )
        vector, code = tensors["vector"], None
        if theirs and dictionary is not None:
            code = Code.restored(tensors, json.loads(metadata["sources"]), dictionary)
            if not torch.allclose(code.linear, vector, rtol=1e-4, atol=1e-4 * float(1 + vector.norm())):
                raise ValueError("its code does not decode to its vector")
            vector = code.vector
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
        raise ValueError(f"{path} is a damaged concept file: {error!r}") from error
    if unknown := {operand.modality for operand in operands} - set(MODALITIES):
        raise ValueError(f"{path} is a damaged concept file: unknown modality {sorted(unknown)}")
    return vector, operands, expression, code
