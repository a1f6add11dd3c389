"""`concept-algebra sae`: features learned from folders and lists of phrases or taken over, and what they are."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from . import progress
from .output import writable

if TYPE_CHECKING:
    from ..ops.features.trained import TrainedSAE

SHOWN = 3
"""Captions of each modality shown beside a feature."""


def add(commands: argparse._SubParsersAction, modalities: tuple[str, ...], whole: Callable[[int], Callable[[str], int]]) -> None:
    """Add the subcommand to a parser's. whole: makes a reader of whole numbers from one up."""
    kinds = commands.add_parser("sae", help="learn named features of an encoder's space, and look at them").add_subparsers(required=True, metavar="WHAT")
    trained = kinds.add_parser("train", help="learn features from pictures, sounds, clips and phrases")
    trained.add_argument("encoder", metavar="ENCODER", help="an encoder's file, or 'pocket'")
    trained.add_argument("sources", nargs="+", metavar="SOURCE", help="a folder of media (a cat.txt beside cat.jpg is its caption), a text file (a phrase a line), or 'vocabulary': the encoder's words")
    trained.add_argument("-o", "--out", type=Path, required=True, metavar="FILE", help="what is written, such as features.safetensors; its card goes beside it, as features.md")
    trained.add_argument("--modality", choices=modalities, metavar="NAME", help=f"one of {', '.join(modalities)}: learn from these alone, and from captions (default: told from the files' endings)")
    trained.add_argument("--width", type=whole(16), metavar="M", help="how many features (default: four a dimension of the space, one for ten items at most)")
    trained.add_argument("--k", type=whole(1), metavar="K", help="how many are active for one item, on average (default: 24, an eighth of the width at most)")
    trained.add_argument("--steps", type=whole(1), default=3000, metavar="N", help="training steps (default: %(default)s)")
    trained.add_argument("--seed", type=whole(0), default=0, metavar="S", help="of all randomness (default: %(default)s)")
    trained.add_argument("--once", action="store_true", help="leave out the second training, which only measures how much of the features another seed finds again")
    trained.add_argument("--text-only", action="store_true", help="learn the features from phrases and captions alone, so that pictures, sounds and clips share them; they then say less of each")
    trained.add_argument("--cache", type=Path, metavar="DIR", help="where embeddings and a stopped training are kept (default: FILE's name, ending in .cache)")
    trained.add_argument("--device", metavar="NAME", help="what embeds: cuda, mps or cpu (default: the first of them that is there)")
    trained.set_defaults(run=train)
    taken = kinds.add_parser("import", help="take over features that dictionary_learning or SAELens learned on an encoder's centred embeddings")
    taken.add_argument("encoder", metavar="ENCODER", help="an encoder's file, or 'pocket'")
    taken.add_argument("file", metavar="FILE", help="dictionary_learning's ae.pt or the folder with it, or SAELens' folder with cfg.json")
    taken.add_argument("-o", "--out", type=Path, required=True, metavar="OUT", help="what is written, such as features.safetensors")
    taken.add_argument("--k", type=whole(1), metavar="K", help="how many should be active for one word of the encoder's vocabulary, on average (default: the file's own threshold)")
    taken.set_defaults(run=take)
    shown = kinds.add_parser("show", help="print the card of a file of features, and the features")
    shown.add_argument("file", metavar="FILE", help="what 'concept-algebra sae train' or 'import' wrote")
    shown.set_defaults(run=show)


def train(options: argparse.Namespace) -> None:
    """Embed, train, write the file and its card, and print the card. Raises ValueError, OSError and ArithmeticError."""
    from ..ops.encoders import load
    from ..ops.features.cache import embed
    from ..ops.features.corpus import Corpus, listing
    from ..ops.features.learn import card_path, learn
    from ..ops.features.train import recipe
    from ..ops.runtime import keep_on, pick_device, tower_dtype
    from ..ops.space import MODALITIES

    out = _out(options.out)
    cache = options.cache or out.with_suffix(".cache")
    device = pick_device(options.device)
    encoder = load(options.encoder, dtype=tower_dtype(device))
    listed = listing(options.sources, encoder, options.modality)
    modalities = ("text",) if options.text_only else MODALITIES
    plan = recipe(listed.require(modalities), encoder.space.dimension, steps=options.steps, seed=options.seed, width=options.width)
    if options.k:
        plan = replace(plan, k=options.k)
    embedded = {}
    for modality, items in listed.items.items():
        keep_on(device, encoder.towers, {modality})
        with progress.items(modality, len(items)) as watch:
            embedded[modality] = embed(encoder, modality, items, cache, watch)
    corpus = Corpus.of(listed, embedded, encoder)
    with progress.steps() as watch:
        _, card = learn(corpus, corpus.centre(encoder), plan, out, cache, watch, not options.once, modalities)
    print(card.markdown(out.stem))
    print(out)
    print(card_path(out))


def take(options: argparse.Namespace) -> None:
    """Import, write the file, and say what came of it. Raises ValueError and OSError."""
    from ..ops.encoders import load
    from ..ops.features.imported import imported
    from ..ops.runtime import keep_on, pick_device, tower_dtype

    out, device = _out(options.out), pick_device(None)
    encoder = load(options.encoder, dtype=tower_dtype(device))
    keep_on(device, encoder.towers, {"text"})  # for a vocabulary that is not embedded yet
    sae = imported(options.file, encoder, options.k)
    sae.save(out)
    if "text" in sae.statistics:
        print(f"{len(sae.names)} features, {int((sae.confidence > 0).sum())} named; {sae.statistics['text'].rate.sum():.1f} active for a word on average")
    else:
        print(f"{len(sae.names)} features, unnamed: '{sae.space.id}' has no vocabulary")
    print(out)


def show(options: argparse.Namespace) -> None:
    """Print the card and a line for each feature. Raises ValueError and OSError as `TrainedSAE.read`."""
    from ..ops.features.card import Card
    from ..ops.features.trained import TrainedSAE

    sae = TrainedSAE.read(options.file)
    try:
        print(Card.from_dict(sae.metrics["card"]).markdown(Path(options.file).stem) if "card" in sae.metrics else f"{options.file} came without a card")
        for line in _lines(sae):
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough; what is still buffered has nowhere to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _out(path: Path) -> Path:
    if path.suffix != ".safetensors":
        raise ValueError(f"--out {path}: has to end in .safetensors")
    return writable(path)


def _lines(sae: TrainedSAE) -> Iterator[str]:
    longest = max(map(len, sae.names))
    for j, name in enumerate(sae.names):
        seen = []
        for modality, found in sae.statistics.items():
            if found.rate[j] > 0:
                seen.append(f"{modality} {100 * found.rate[j]:.2f} %: {' | '.join(dict.fromkeys(found.examples[j][:SHOWN]))}")
        yield f"{j:5d}  {name:{longest}}  {sae.confidence[j]:.2f}  {'; '.join(seen) or 'never active'}"
