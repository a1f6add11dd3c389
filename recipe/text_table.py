"""The teacher's answers that `benchmarks/pocket_text.py` measures against.

    python -m recipe.text_table --data DIR      writes benchmarks/data/pocket_text.safetensors
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import torch
from safetensors.torch import save

from concept_algebra.benchmarks.pocket_text import TABLE, fingerprint, nearest, vocabulary
from concept_algebra.ops.atomic import write_bytes

from .text import anchor
from .train_text import split
from .vocabulary import TARGET
from .wordnet import read_glove_order

COMMON, PHRASES = 2_000, 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("recipe-data"))
    data = parser.parse_args().data
    words = vocabulary()
    table = torch.from_numpy(anchor(words, data))
    held_out = split(data, TARGET.read_text().splitlines(), read_glove_order(data, 60_000))[1]
    phrases = random.Random(1).sample([text for text in held_out if " " in text], PHRASES)
    vectors = torch.from_numpy(anchor(phrases, data))
    tensors = {
        "neighbours": nearest(table[:COMMON], table, 10, own=True).short(),
        "phrase_neighbours": nearest(vectors, table, 10).short(),
        "phrase_vectors": vectors.half(),
    }
    write_bytes(TABLE, save(tensors, {"phrases": json.dumps(phrases), "vocabulary": fingerprint(words)}))
    print(f"{TABLE.name}: {TABLE.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
