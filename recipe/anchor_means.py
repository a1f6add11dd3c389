"""Fix the anchor's centre: the mean of each teacher over the shipped vocabulary, written once and committed.

    python -m recipe.anchor_means [--data DIR]      writes recipe/anchor_means.safetensors

Run it again only with a new vocabulary AND a full retraining: every trained tower points into the centred space.
"""

from __future__ import annotations

import argparse

import numpy as np
from safetensors.numpy import save

from concept_algebra.ops.atomic import write_bytes

from .text import HALF, MEANS, raw
from .vocabulary import TARGET


def main() -> None:
    parser = argparse.ArgumentParser(description="Write recipe/anchor_means.safetensors.")
    parser.add_argument("--data", help="folder of the recipe's downloads")
    halves = raw(TARGET.read_text().splitlines(), parser.parse_args().data).astype(np.float32)
    mean = halves.mean(0)
    write_bytes(MEANS, save({"l6": mean[:HALF].copy(), "l3": mean[HALF:].copy()}))
    print(f"lengths of the means: l6 {np.linalg.norm(mean[:HALF]):.3f}, l3 {np.linalg.norm(mean[HALF:]):.3f}")


if __name__ == "__main__":
    main()
