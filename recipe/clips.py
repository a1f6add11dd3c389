"""Moving pictures: eight frames of every animated emoji, and procedural motion over stills.

    python -m recipe.clips --data DIR

decodes the animations in DIR/src/lobehub-fluent-emoji-anim-* into DIR/ready/clips.npy [N, 8, 128, 128, 4] uint8 and
DIR/ready/clips.json. `MOTIONS` moves any cut-out picture and says so in words.
"""

from __future__ import annotations

import argparse
import json
import math
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageSequence
from torch import Tensor

from .images import SIZE, bare, concepts

FRAMES = 8
PEOPLE = 1  # the emojibase group left out: near-identical figures in several hundred clips
MOTIONS = (
    "still",
    "rising",
    "falling",
    "spinning",
    "flickering",
    "moving left",
    "moving right",
    "growing",
    "shrinking",
    "bouncing",
    "shaking",
)


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


def motion(cut_outs: Tensor, kinds: list[str], rng: torch.Generator) -> Tensor:
    """Moves premultiplied RGBA [B, 4, S, S] through FRAMES frames -> [B, T, 4, S, S], one word of MOTIONS a picture."""
    b, _, size, _ = cut_outs.shape
    time = torch.linspace(0, 1, FRAMES)
    zero = torch.zeros(FRAMES)
    matrices, lights = [], []
    for kind in kinds:
        u = lambda low, high: low + (high - low) * torch.rand(1, generator=rng).item()  # noqa: E731
        x, y, angle, scale, light = zero, zero, zero, zero + u(1.0, 1.25), zero + 1
        sweep = (time - 0.5) * u(0.7, 1.3)
        if kind == "rising":
            y = sweep
        elif kind == "falling":
            y = -sweep
        elif kind == "moving left":
            x = sweep
        elif kind == "moving right":
            x = -sweep
        elif kind == "spinning":
            angle = time * u(0.6, 1.0) * 2 * math.pi * (1 if u(0, 1) < 0.5 else -1)
        elif kind == "flickering":
            pattern = torch.rand(FRAMES, generator=rng)
            light = torch.where(pattern < pattern.median() + 1e-6, u(0.0, 0.35), 1.0)
        elif kind == "growing":
            scale = 2.0 ** (1.2 - 1.7 * time)
        elif kind == "shrinking":
            scale = 2.0 ** (-0.5 + 1.7 * time)
        elif kind == "bouncing":
            y = 0.45 * (torch.sin(math.pi * (time * u(1.6, 2.4) + u(0, 0.3))).abs() - 0.5)
        elif kind == "shaking":
            x = u(0.12, 0.25) * torch.tensor([1.0, -1.0]).repeat(FRAMES // 2)
        cos, sin = angle.cos() * scale, angle.sin() * scale
        matrices.append(torch.stack([torch.stack([cos, -sin, x * scale], -1), torch.stack([sin, cos, y * scale], -1)], 1))
        lights.append(light)
    matrix = torch.cat(matrices)
    moved = cut_outs.repeat_interleave(FRAMES, 0)
    moved = F.grid_sample(moved, F.affine_grid(matrix, list(moved.shape), align_corners=False), align_corners=False)
    return (moved * torch.cat(lights)[:, None, None, None]).view(b, FRAMES, 4, size, size)


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
