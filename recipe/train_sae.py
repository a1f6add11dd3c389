"""Trains the pocket's dictionary of features on what `recipe.embeddings` wrote, and names them.

    python -m recipe.train_sae --runs DIR

writes ops/pocket/sae.safetensors, and its card as ops/pocket/SAE_CARD.md. Learned from text alone: from all modalities,
.39 of the features were of one modality only, a picture and its caption shared .07 of theirs (.13 from text), and words
edited pictures no better than dense arithmetic does.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors import safe_open
from torch.nn.functional import normalize

from concept_algebra.ops.atomic import write_bytes, write_text
from concept_algebra.ops.encoders.pocket import load
from concept_algebra.ops.features import SHIPPED
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
    pairs = {m: torch.tensor([[row, at[said]] for row, said in enumerate(captions[m]) if said in at]) for m in kinds if m != "text"}
    return Corpus(space, rows, captions, pairs, {modality: "the recipe" for modality in kinds})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("recipe-data/run"))
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    encoder = load()
    folder = args.runs / "sae"
    found = corpus(folder / "embeddings.safetensors", encoder.space.id)
    plan = recipe(len(found.captions["text"]), encoder.space.dimension, steps=args.steps, width=WIDTH)

    def watch(which, progress) -> None:
        if progress and progress.held_out:
            told = ", ".join(f"{m} FVU {f.fvu:.3f} cosine {f.centred_cosine:.3f}" for m, f in progress.held_out.items())
            print(f"{which}: {progress.index + 1} of {progress.total}, dead {progress.dead:.3f}, {told}", flush=True)

    out = folder / "sae.safetensors"
    _, card = learn(found, encoder, plan, out, folder / "checkpoints", watch, modalities={"text"})
    write_bytes(SHIPPED, out.read_bytes())
    write_text(SHIPPED.with_name("SAE_CARD.md"), card.markdown("The pocket's named features"))
    print(card.markdown("sae"))


if __name__ == "__main__":
    main()
