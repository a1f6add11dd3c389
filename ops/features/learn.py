"""From a corpus to a dictionary's file: trained, observed, measured, and written with its card."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from ..atomic import write_text
from ..encoders.protocol import Encoder
from ..runtime import rng
from ..space import MODALITIES, Modality, fingerprint
from .card import Card, measure
from .corpus import Corpus
from .detection import detection, rise
from .naming import evidence, named
from .sae import calibrated_threshold
from .train import Progress, Recipe, split, train
from .trained import TrainedSAE

FIRST, SECOND = "training", "once more, with another seed"
AFTER = OBSERVING, NAMING, DETECTING, MEASURING, WRITING = (
    "observing what fires the features", "naming the features", "trying the names", "measuring", "writing the file",
)  # fmt: skip
"""What comes once training is done, in this order; without a vocabulary nothing is named and tried."""
Watch = Callable[[str, Progress | None], None]
"""What `learn` tells of where it is: after every step which of the two trainings it is, and how it goes; before each stage of
`AFTER`, and of the longer ones now and then, the stage with None. It may raise to stop."""


def learn(
    corpus: Corpus, encoder: Encoder, recipe: Recipe, out: str | os.PathLike, cache: str | os.PathLike,
    watch: Watch = lambda *_: None, twice: bool = True, modalities: Collection[Modality] = MODALITIES,
) -> tuple[TrainedSAE, Card]:  # fmt: skip
    """Train a dictionary on a corpus, name its features, and write it to `out`, with its card as Markdown beside it
    (`card_path`). Where the space has no vocabulary, features stay unnamed.

    encoder: has a mean for every modality of the corpus (`Corpus.centre`).
    cache: a folder for checkpoints, from which the same call goes on when it was stopped; they are gone when it is done.
    twice: train once more with the next seed, which tells how much of the dictionary chance made up, and nothing else.
    modalities: what the features are learned from. The others of the corpus only say when a feature is active in them, what
        it is called, and how well it stands for them. Learned from text alone, in a space whose anchor is text, features are
        shared by all modalities, at the price of saying less of each.
    Raises what `train` and `measure` raise, and OSError when a file cannot be written.
    """
    with torch.inference_mode(False), torch.no_grad():
        data = {modality: encoder.space.centre(rows, modality) for modality, rows in corpus.embeddings.items()}
        learned = {modality: x for modality, x in data.items() if modality in modalities}
        Path(cache).mkdir(parents=True, exist_ok=True)
        checkpoints = [_checkpoint(cache, seeded, learned) for seeded in (recipe, _reseeded(recipe))]
        trained = train(learned, recipe, checkpoints[0], lambda progress: watch(FIRST, progress))
        again = train(learned, _reseeded(recipe), checkpoints[1], lambda progress: watch(SECOND, progress)) if twice else None
        watch(OBSERVING, None)
        towers = {modality: encoder.fingerprints[modality] for modality in data if modality in encoder.fingerprints}
        held_out = {modality: split(len(x), recipe.seed)[1] for modality, x in data.items()}
        unseen = {modality: data[modality][rows] for modality, rows in held_out.items()}
        others = {m: calibrated_threshold(trained.autoencoder, unseen[m], recipe.k) for m in data if m not in learned}
        thresholds = {**trained.thresholds, **others}
        sae = TrainedSAE.observed(trained.autoencoder, thresholds, encoder.space, data, corpus.captions, towers=towers)
        found: dict[str, float] = {}
        if encoder.space.vocabulary is not None:
            sae, found = _named(sae, data, corpus, encoder, watch)
        watch(MEASURING, None)
        card = measure(sae, unseen, _pairs(corpus, data, held_out), again.autoencoder.decoder if again else None, found)
    sae = replace(sae, metrics={"card": card.to_dict(), "recipe": asdict(recipe), "sources": dict(corpus.sources)})
    watch(WRITING, None)
    # the dictionary last: where it is, all of it is
    write_text(card_path(out), card.markdown(Path(out).stem))
    sae.save(out)
    for checkpoint in checkpoints:
        checkpoint.unlink(missing_ok=True)
    return sae, card


def _named(
    sae: TrainedSAE, data: Mapping[Modality, Tensor], corpus: Corpus, encoder: Encoder, watch: Watch
) -> tuple[TrainedSAE, dict[str, float]]:
    """The dictionary with names, and what the card says of them."""
    watch(NAMING, None)
    fired = evidence(sae, data, corpus.captions)
    watch(NAMING, None)
    names = named(sae, fired)
    watch(NAMING, None)
    sae = sae.called(names)
    agreed = [j for j, name in enumerate(names) if name.agreed]
    shares = {"named_by_both_routes": len(agreed) / len(names), "named_by_one_route": sum(name.routes == 1 for name in names) / len(names)}
    by_chance = sum(name.agreed for name in named(sae, fired.shuffled(0)))
    watch(DETECTING, None)
    shares["named_by_both_routes_with_shuffled_evidence"] = by_chance / len(names)
    if len(agreed) > 1:  # with one there is no other name to compare with
        detected = detection([names[j].word for j in agreed], agreed, sae.autoencoder.pre_activation, encoder, watch=lambda: watch(DETECTING, None))
        watch(DETECTING, None)
        shares |= {
            "share_of_those_names_that_pass_detection": detected.share,
            "detection_auc": float(detected.auc.mean()),
            "detection_auc_with_shuffled_names": float(detected.shuffled.mean()),
            "adding_the_feature_lifts_its_name_among_words_by": _lift(sae, agreed, [names[j].word for j in agreed]),
        }
    return sae, shares


def _lift(sae: TrainedSAE, features: list[int], words: list[str], count: int = 200) -> float:
    """The mean of `detection.rise` over features: how far adding one lifts its name among `count` other words, in shares."""
    space = sae.space
    at = {word: row for row, word in enumerate(space.vocabulary.words)}
    drawn = space.word_directions[torch.randperm(len(at), generator=rng(0))]
    own = space.word_directions[[at[word] for word in words]]
    return float(rise(sae.atoms[features], own, drawn[:16], drawn[16 : 16 + count]).mean())


def card_path(out: str | os.PathLike) -> Path:
    """Where the card of a dictionary's file lies: `x.md` beside x.safetensors."""
    return Path(out).with_suffix(".md")


def _reseeded(recipe: Recipe) -> Recipe:
    return replace(recipe, seed=recipe.seed + 1)


def _checkpoint(cache: str | os.PathLike, recipe: Recipe, data: Mapping[Modality, Tensor]) -> Path:
    """Named by all that the run depends on: what a changed corpus left half done is not taken up and stands in no way."""
    run = fingerprint({**data, json.dumps(asdict(recipe), sort_keys=True): torch.empty(0)})
    return Path(cache) / f"sae-{run}.checkpoint.safetensors"


def _pairs(corpus: Corpus, data: Mapping[Modality, Tensor], held_out: Mapping[Modality, Tensor]) -> dict[Modality, tuple[Tensor, Tensor]]:
    """Held-out media and their captions. The captions may have been trained on, that they belong together was not."""
    chosen = {modality: rows[torch.isin(rows[:, 0], held_out[modality])] for modality, rows in corpus.pairs.items()}
    return {modality: (data[modality][rows[:, 0]], data["text"][rows[:, 1]]) for modality, rows in chosen.items() if len(rows)}
