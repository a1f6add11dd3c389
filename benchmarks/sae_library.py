"""dictionary_learning's Matryoshka BatchTopK trainer, where a copy of the library is at hand, timed beside ours.

The environment variable `CONCEPT_SAE_LIBRARY` names folders (separated as in PATH) that hold `dictionary_learning` (0.1.0) and
`einops`: `pip install --target FOLDER --no-deps dictionary-learning einops`. Only the trainer's own files are run: the package
itself would import a language model's libraries.
"""

from __future__ import annotations

import importlib
import os
import statistics
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ..ops.features.fidelity import Fidelity, fidelity
from ..ops.features.sae import SparseAutoencoder, calibrated_threshold
from ..ops.features.train import Recipe, split, train
from ..ops.runtime import rng

VARIABLE = "CONCEPT_SAE_LIBRARY"
PACKAGES = ("dictionary_learning", "dictionary_learning.trainers")


@dataclass(frozen=True)
class Comparison:
    """seconds of each round, and what the last round's autoencoders keep of held-out vectors, both at a mean L0 of exactly k."""

    ours: list[float]
    theirs: list[float]
    our_fidelity: Fidelity
    their_fidelity: Fidelity

    @property
    def speed(self) -> float:
        """How many times as long theirs takes: the median over rounds."""
        return statistics.median(theirs / ours for ours, theirs in zip(self.ours, self.theirs))


def library() -> Any:
    """The trainer class. ImportError that says why when it cannot be had."""
    folders = [folder for folder in os.environ.get(VARIABLE, "").split(os.pathsep) if folder]
    if not folders:
        raise ImportError(f"{VARIABLE} names no folder with dictionary_learning and einops")
    sys.path[:0] = [folder for folder in folders if folder not in sys.path]
    for package in PACKAGES:
        if package not in sys.modules:
            bare = ModuleType(package)
            bare.__path__ = [str(Path(folder, *package.split("."))) for folder in folders]
            sys.modules[package] = bare
    return importlib.import_module(f"{PACKAGES[-1]}.matryoshka_batch_top_k").MatryoshkaBatchTopKTrainer


def compare(trainer: Any, x: Tensor, recipe: Recipe, rounds: int) -> Comparison:
    """Both trained `rounds` times in turn, on as many threads as torch has, with equal data, width, k, prefixes, steps, batch,
    rate, warm-up and decay.

    Our time is all of `train`, with held-out vectors measured as it goes and thresholds calibrated; theirs is the bare loop
    over batches. Theirs learns the decoder's bias too, from the batch's median on.
    """
    # both load parts of torch at their first step
    train({"text": x}, replace(recipe, steps=1))
    _train_theirs(trainer, x, replace(recipe, steps=2))
    ours, theirs = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        trained = train({"text": x}, recipe)
        ours.append(time.perf_counter() - began)
        began = time.perf_counter()
        other = _train_theirs(trainer, x, recipe)
        theirs.append(time.perf_counter() - began)
    held = x[split(len(x), recipe.seed)[1]]
    return Comparison(ours, theirs, trained.held_out["text"], fidelity(other, held, calibrated_threshold(other, held, recipe.k)))


def _train_theirs(trainer: Any, x: Tensor, recipe: Recipe) -> SparseAutoencoder:
    sizes = [end - start for start, end in zip((0, *recipe.groups), recipe.groups)]
    run = trainer(
        steps=recipe.steps, activation_dim=x.shape[1], dict_size=recipe.width, k=recipe.k, layer=0, lm_name="",
        group_fractions=[size / recipe.width for size in sizes], lr=recipe.rate, warmup_steps=max(1, recipe.steps // 20),
        decay_start=int(0.8 * recipe.steps) if recipe.steps > 9 else None, seed=recipe.seed, device="cpu",
    )  # fmt: skip
    source, pool = rng(recipe.seed), split(len(x), recipe.seed)[0]
    for step in range(recipe.steps):
        run.update(step, x[pool[torch.randint(len(pool), (recipe.batch,), generator=source)]])
    kept = run.ae
    decoder = torch.nn.functional.normalize(kept.W_dec.data, dim=1)
    return SparseAutoencoder(kept.W_enc.data.T, kept.b_enc.data, decoder, kept.b_dec.data, recipe.groups)
