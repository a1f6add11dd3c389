"""How well the pocket text tower keeps its teacher's neighbourhoods, without the teacher at hand.

    python -m concept_algebra.benchmarks.pocket_text [--quick]

The teacher's answers are a small table (`data/pocket_text.safetensors`, written by recipe/text_table.py): the ten
nearest of the first 10,000 vocabulary entries, for the first 2,000 of them and for 500 phrases held out of training,
and the vectors of those phrases.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor

from ..ops.encoders.pocket_text import PocketText
from ..ops.encoders.protocol import Embedding
from ..ops.pocket.store import FOLDER, read

TABLE = Path(__file__).parent / "data" / "pocket_text.safetensors"
CANDIDATES = 10_000  # vocabulary entries among which neighbours are sought
ANALOGIES = {"queen": ("king", "man", "woman"), "winter": ("summer", "heat", "cold")}


class TextEncoder(Protocol):
    def text(self, texts: list[str]) -> Embedding: ...


class ShippedText:
    """The shipped text tower alone, as an encoder of text."""

    def __init__(self):
        self.tower = PocketText.from_tensors(*read("text"))

    @torch.inference_mode()
    def text(self, texts: list[str]) -> Embedding:
        return self.tower(texts)


def vocabulary() -> list[str]:
    """The vocabulary entries among which neighbours are sought."""
    return (FOLDER.parent / "vocabulary.txt").read_text(encoding="utf-8").splitlines()[:CANDIDATES]


def fingerprint(words: list[str]) -> str:
    """Of the entries that the table's rows number."""
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


def nearest(queries: Tensor, table: Tensor, count: int, own: bool = False) -> Tensor:
    """Rows of `table` most like each query [Q, count]; with `own`, query i is row i of the table and left out."""
    similar = queries @ table.T
    if own:
        similar.fill_diagonal_(-2)
    return similar.topk(count).indices


def agreement(found: Tensor, truth: Tensor) -> float:
    """Mean share of the true neighbours [Q, K] that are among the found ones [Q, K]."""
    return (found[:, :, None] == truth[:, None]).any(2).float().mean().item()


def figures(encoder: TextEncoder, quick: bool = False) -> dict[str, float]:
    """Agreement of the first ten neighbours with the teacher's (0..1), cosine to it, ranks of two analogies (1 is best).

    `quick` looks at 500 common words in place of 2,000. Raises ValueError when the table belongs to another vocabulary.
    """
    with safe_open(TABLE, "pt") as file:
        truth, phrase_truth, vectors = (file.get_tensor(name) for name in ("neighbours", "phrase_neighbours", "phrase_vectors"))
        about = file.metadata()
    words = vocabulary()
    if about["vocabulary"] != fingerprint(words):
        raise ValueError(f"{TABLE.name} was made for another vocabulary.txt: run recipe/text_table.py again")
    table = _embed(encoder, words)
    count = 500 if quick else len(truth)
    phrases = json.loads(about["phrases"])
    found = _embed(encoder, phrases)
    results = {
        "text_common_agreement": agreement(nearest(table[:count], table, 10, own=True), truth[:count].long()),
        "text_phrase_agreement": agreement(nearest(found, table, 10), phrase_truth.long()),
        "text_phrase_cosine": (found * F.normalize(vectors.float(), dim=-1)).sum(1).mean().item(),
    }
    row = {word: index for index, word in enumerate(words)}
    for answer, (whole, less, more) in ANALOGIES.items():
        similar = table @ (table[row[whole]] - table[row[less]] + table[row[more]])
        similar[[row[whole], row[less], row[more]]] = -9
        results[f"text_{answer}_rank"] = 1 + int((similar > similar[row[answer]]).sum())
    return results


def _embed(encoder: TextEncoder, texts: list[str]) -> Tensor:
    # Short and long texts apart: a batch costs as much as its longest row.
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    out = torch.empty(len(texts), 768)
    for start in range(0, len(order), 500):
        rows = order[start : start + 500]
        out[rows] = encoder.text([texts[row] for row in rows]).pooled
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="500 common words in place of 2,000")
    results = figures(ShippedText(), parser.parse_args().quick)
    for name, value in results.items():
        print(f"{name:24} {value:.3f}")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
