"""The held-out pictures that ship with the benchmark: one contact sheet of the unseen style and the unseen concepts.

    python -m recipe.evaluation_sheet --data DIR

writes benchmarks/data/pictures.webp (128 px tiles on white, lossy) and pictures.json (a name a tile, and all candidate
names). EmojiOne 2 is CC-BY-4.0, the other sets Apache-2.0, MIT and CC-BY-4.0: see NOTICE.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

from .names import clean
from .pictures import Pictures
from .train_image import SHARES

COLUMNS, TILE = 32, 128
STYLE_TILES, CONCEPT_TILES = 480, 320
BENCHMARKS = Path(__file__).parents[1] / "benchmarks" / "data"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("recipe-data"))
    parser.add_argument("--out", type=Path, default=BENCHMARKS)
    args = parser.parse_args()
    pictures = Pictures(args.data)
    rng = np.random.default_rng(0)
    rows = np.concatenate(
        [np.sort(rng.permutation(pictures.unseen_style)[:STYLE_TILES]), np.sort(rng.permutation(pictures.unseen_concepts)[:CONCEPT_TILES])]
    )
    tiles = (pictures.plain(rows, TILE).permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8)
    lines = tiles.reshape(-1, COLUMNS, TILE, TILE, 3).transpose(0, 2, 1, 3, 4).reshape(-1, COLUMNS * TILE, 3)
    args.out.mkdir(parents=True, exist_ok=True)
    Image.fromarray(lines).save(args.out / "pictures.webp", quality=82, method=6)
    emoji = [r for r in pictures.rows if r["style"] not in SHARES]
    names = {seen: list(dict.fromkeys(clean(r["label"]) for r in emoji if r["unseen"] is not seen)) for seen in (True, False)}
    kinds = ["style"] * STYLE_TILES + ["concept"] * CONCEPT_TILES
    document = {
        "tiles": [{"kind": k, "name": clean(pictures.rows[i]["label"]), "set": pictures.rows[i]["style"]} for k, i in zip(kinds, rows)],
        "trained": names[True],
        "unseen": names[False],
    }
    (args.out / "pictures.json").write_text(json.dumps(document, ensure_ascii=False, indent=0))
    print((args.out / "pictures.webp").stat().st_size)


if __name__ == "__main__":
    main()
