"""Trains the pocket's dictionary of features on what `recipe.embeddings` wrote.

    python -m recipe.train_sae --data DIR --runs DIR --steps 3000

writes ops/pocket/weights/sae.safetensors, and its card beside it in DIR/sae.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import safe_open
from torch.nn.functional import normalize

from concept_algebra.ops.encoders.pocket import load
from concept_algebra.ops.features.corpus import Corpus
from concept_algebra.ops.features.learn import learn
from concept_algebra.ops.features.train import recipe
from concept_algebra.ops.space import MODALITIES

WIDTH = 2048


def corpus(path: Path, space: str) -> Corpus:
    """The embeddings with their captions; every medium is paired with the text of its caption."""
    with safe_open(path, "pt") as file:
        about = file.metadata()
        if about["space"] != space:
            raise ValueError(f"{path} was made with '{about['space']}', and the shipped encoder is '{space}': make it anew")
        kinds = [modality for modality in MODALITIES if modality in file.keys()]
        rows = {modality: normalize(file.get_tensor(modality).float(), dim=-1) for modality in kinds}
    captions = {modality: tuple(json.loads(about[modality])) for modality in kinds}
    at = {phrase: row for row, phrase in enumerate(captions["text"])}
    pairs = {m: torch.tensor([[row, at[said]] for row, said in enumerate(captions[m])]) for m in kinds if m != "text"}
    return Corpus(space, rows, captions, pairs, {modality: "the recipe" for modality in kinds})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("recipe-data/run"))
    parser.add_argument("--out", type=Path, default=None, help="default: RUNS/sae/sae.safetensors")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--k", type=int, default=24)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    encoder = load()
    folder = args.runs / "sae"
    found = corpus(folder / "embeddings.safetensors", encoder.space.id)
    plan = replace(recipe(sum(map(len, found.captions.values())), encoder.space.dimension, steps=args.steps, width=WIDTH), k=args.k)

    def watch(which, progress) -> None:
        if progress.held_out:
            told = ", ".join(f"{m} FVU {f.fvu:.3f} cosine {f.centred_cosine:.3f}" for m, f in progress.held_out.items())
            print(f"{which}: {progress.index + 1} of {progress.total}, dead {progress.dead:.3f}, {told}", flush=True)

    _, card = learn(found, encoder, plan, args.out or folder / "sae.safetensors", folder / "checkpoints", watch)
    print(card.markdown("sae"))


if __name__ == "__main__":
    main()
