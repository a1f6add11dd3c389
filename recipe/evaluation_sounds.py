"""The unseen takes that ship with the benchmark: a grey picture of quantised log-mels, and their names.

    python -m recipe.evaluation_sounds --data DIR

writes benchmarks/data/sounds.webp (64 x 128 tiles, lossy; grey 0..255 spans the log-mel from its floor to LOUDEST) and
sounds.json. The takes come from Fluid GM and GS (MIT), CC0 recordings and this project's generators: see NOTICE.
"""

from __future__ import annotations

import argparse
import json
import os
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from concept_algebra.benchmarks.pocket_audio import COLUMNS, DATA, quantise
from concept_algebra.ops.atomic import write_bytes, write_text

from .sound_names import CONCEPTS
from .sounds import load_sounds

TAKES_EACH = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("CONCEPT_RECIPE_DATA", "recipe-data"))
    data = Path(parser.parse_args().data)
    mels, rows = load_sounds(data, held_out=True)
    taken: dict[int, list[int]] = {}
    for i, row in enumerate(rows):
        if row["second"] < 0 and len(taken.setdefault(row["name"], [])) < TAKES_EACH:
            taken[row["name"]].append(i)
    chosen = sorted(i for takes in taken.values() for i in takes)
    tiles = quantise(mels[chosen].astype(np.float32))
    tiles = np.concatenate([tiles, np.zeros((-len(tiles) % COLUMNS, *tiles.shape[1:]), np.uint8)])
    sheet = tiles.reshape(-1, COLUMNS, 64, 128).transpose(0, 2, 1, 3).reshape(-1, COLUMNS * 128)
    out = BytesIO()
    Image.fromarray(sheet).save(out, "webp", quality=88, method=6)
    write_bytes(DATA / "sounds.webp", out.getvalue())
    document = {"names": [c.name for c in CONCEPTS], "takes": [rows[i]["name"] for i in chosen]}
    write_text(DATA / "sounds.json", json.dumps(document, indent=0))
    print(f"{len(chosen)} takes, {len(out.getvalue()) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
