"""What the sparse autoencoder learns, and how fast: `concept-algebra bench sae`.

`parents_recovered`: share of known parents that have an atom (cosine above .8) which fires when they are there (F1 above .8);
`plain_parents_recovered`: the same of a BatchTopK without prefixes, on the same data. `children_found`, `dead`: of the prefix one,
there. `fvu`, `l0`, `centred_cosine`: of the features that ship with the pack, at a mean L0 of 24, on phrases that they were not learned
from, and with `image_` before it on pictures that nothing was; `_as_used`: with the thresholds that they ship with. `names_agreed`: share of the features that have a name by both
routes; `names_passing`: share of those that pass detection where another feature's name does not, `names_passing_shuffled`: where
it is another one's. `words_fvu`: of an autoencoder trained here on the vocabulary, on held-out words.
`speed_vs_library`: how many times as long dictionary_learning's trainer takes, and `fvu_vs_library`: our FVU over its, after
equal training at equal L0; None without a copy of it (see sae_library.py). `--quick` trains shorter, and narrower against
the library. What full runs measured is in SAE.md beside this file.
"""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from ..ops import features
from ..ops.encoders.pocket import PocketEncoder, load
from ..ops.features.detection import PASSES, detection
from ..ops.features.fidelity import fidelity
from ..ops.features.sae import calibrated_threshold
from ..ops.features.train import Recipe, recipe, train
from ..ops.pocket.store import read
from . import sae_library, synthetic_features
from .evaluation import DATA, held_out

ACTIVE = 24
"""Features of one phrase or picture, on average, at which the shipped ones are measured."""


def run(quick: bool) -> tuple[list[tuple[str, ...]], dict[str, float | None]]:
    rows: list[tuple[str, ...]] = [("measured", "value", "seconds")]
    figures: dict[str, float | None] = {}
    # products this small lose more by waiting for a second thread than they gain
    torch.set_num_threads(1)

    def told(found: Mapping[str, float | None], began: float, reason: str = "") -> None:
        took = f"{time.perf_counter() - began:.1f}"
        rows.extend((name, reason if value is None else f"{value:.4g}", took) for name, value in found.items())
        figures.update(found)

    began = time.perf_counter()
    told(known_features(1 if quick else 3), began)
    began = time.perf_counter()
    encoder = load()
    space = encoder.space
    told(shipped(encoder, 5 if quick else 1), began)
    began = time.perf_counter()
    words = space.centre(space.vocabulary.embeddings, "text")
    told(held_out_words(words, recipe(len(words), space.dimension, steps=200 if quick else 3000)), began)
    began = time.perf_counter()
    plan = recipe(len(words), space.dimension, steps=80 if quick else 400, width=1024 if quick else 3072)
    try:
        trainer = sae_library.library()
    except ImportError as error:
        told({"speed_vs_library": None, "fvu_vs_library": None}, began, f"not measured: {error}")
    else:
        told(against_library(trainer, words, replace(plan, batch=512) if quick else plan, 1 if quick else 2), began)
    return rows, figures


def known_features(seeds: int) -> dict[str, float | None]:
    """Means over seeds, on 16 parents with 6 children each and 64 private features, 160 latents."""
    found: dict[str, list[float]] = {"parents_recovered": [], "plain_parents_recovered": [], "children_found": [], "dead": []}
    for seed in range(seeds):
        made = synthetic_features.hierarchy(16, 6, 64, 128, 12_000, seed)
        plan = replace(recipe(12_000, 128, k=5, width=160, steps=1500, seed=seed), batch=256)
        for name, groups in (("parents_recovered", plan.groups), ("plain_parents_recovered", (plan.width,))):
            trained = train({"text": made.x}, replace(plan, groups=groups))
            atoms = trained.autoencoder.decoder
            code = trained.autoencoder.encode(made.x, trained.thresholds["text"])
            found[name].append(synthetic_features.recovered(made, atoms, code))
            if groups == plan.groups:
                found["children_found"].append(float(synthetic_features.found(made.children, atoms).float().mean()))
                found["dead"].append(trained.held_out["text"].dead)
    return {name: statistics.mean(values) for name, values in found.items()}


@torch.no_grad()
def shipped(encoder: PocketEncoder, every: int) -> dict[str, float | None]:
    """every: the step between the names that are tried."""
    _, sae = features.load(features.POCKET, encoder)
    phrases = json.loads(read("pocket_text", DATA)[1]["phrases"])
    pictures = torch.cat([encoder.image(part.float() / 255).pooled for part in held_out().pixels.split(32)])
    found: dict[str, float | None] = {}
    for modality, prefix, pooled in (("text", "", encoder.text(phrases).pooled), ("image", "image_", pictures)):
        x = encoder.space.centre(pooled, modality)
        seen = fidelity(sae.autoencoder, x, calibrated_threshold(sae.autoencoder, x, ACTIVE))
        found |= {f"{prefix}fvu": seen.fvu, f"{prefix}l0": seen.l0, f"{prefix}centred_cosine": seen.centred_cosine}
        used = fidelity(sae.autoencoder, x, sae.thresholds[modality])
        found |= {f"{prefix}fvu_as_used": used.fvu, f"{prefix}l0_as_used": used.l0}
    agreed = {j: re.sub(r" \d+$", "", name) for j, name in enumerate(sae.names) if not name.startswith("unnamed ") and not name.endswith("?")}
    tried = list(agreed)[::every]
    detected = detection([agreed[j] for j in tried], tried, sae.autoencoder.pre_activation, encoder)
    shuffled = float((detected.shuffled > PASSES).float().mean())
    return {**found, "names_agreed": len(agreed) / len(sae.names), "names_passing": detected.share, "names_passing_shuffled": shuffled}


def held_out_words(words: Tensor, plan: Recipe) -> dict[str, float | None]:
    kept = train({"text": words}, plan).held_out["text"]
    return {"words_fvu": kept.fvu, "words_l0": kept.l0, "words_centred_cosine": kept.centred_cosine}


def against_library(trainer: object, words: Tensor, plan: Recipe, rounds: int) -> dict[str, float | None]:
    found = sae_library.compare(trainer, words, plan, rounds)
    return {"speed_vs_library": found.speed, "fvu_vs_library": found.our_fidelity.fvu / found.their_fidelity.fvu}
