"""Moving pictures: eight frames of every animated emoji.

    python -m recipe.clips --data DIR

decodes the animations in DIR/src/lobehub-fluent-emoji-anim-* into DIR/ready/clips.npy [N, 8, 128, 128, 4] uint8 and
DIR/ready/clips.json.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from concept_algebra.ops.pocket.motion import FRAMES

from .images import SIZE, bare, concepts

PEOPLE = 1  # the emojibase group left out: near-identical figures in several hundred clips


def frames(path: str) -> bytes | None:
    """Eight frames spread over one loop of an animation, straight-alpha RGBA; None for a still."""
    with Image.open(path) as image:
        count = getattr(image, "n_frames", 1)
        if count < FRAMES:
            return None
        wanted = {round(i * count / FRAMES): i for i in range(FRAMES)}
        out = np.zeros((FRAMES, SIZE, SIZE, 4), np.uint8)
        for i, frame in enumerate(ImageSequence.Iterator(image)):
            if i in wanted:
                out[wanted[i]] = np.asarray(frame.convert("RGBA").resize((SIZE, SIZE), Image.LANCZOS))
    return out.tobytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("recipe-data"))
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    source, ready = args.data / "src", args.data / "ready"
    wanted = {bare(r["code"]): r for r in concepts(source) if r["group"] != PEOPLE}
    files = [p for folder in sorted(source.glob("lobehub-fluent-emoji-anim-*")) for p in sorted((folder / "assets").glob("*.webp"))]
    files = [p for p in files if bare(p.stem) in wanted]
    rows, clips = [], []
    with ProcessPoolExecutor(args.workers) as pool:
        for path, data in zip(files, pool.map(frames, map(str, files), chunksize=4)):
            if data is not None:
                row = wanted[bare(path.stem)]
                rows.append({"label": row["label"], "tags": row["tags"], "unseen": row["unseen"]})
                clips.append(np.frombuffer(data, np.uint8).reshape(FRAMES, SIZE, SIZE, 4))
                if len(clips) % 50 == 0:
                    print(len(clips), flush=True)
    np.save(ready / "clips.npy", np.stack(clips))
    (ready / "clips.json").write_text(json.dumps(rows))
    print(len(clips), "clips")


if __name__ == "__main__":
    main()
