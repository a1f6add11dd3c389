"""`concept-algebra convert`: published checkpoints into the one file that the pack loads."""

from __future__ import annotations

import argparse
from pathlib import Path

from .output import writable


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to a parser's."""
    parser = commands.add_parser("convert", help="merge published checkpoints into one file that the pack loads")
    kinds = parser.add_subparsers(required=True, metavar="KIND")
    bind = kinds.add_parser("languagebind", help="a text tower and any of the picture, sound and clip towers of LanguageBind")
    bind.add_argument("sources", nargs="+", type=Path, metavar="FOLDER", help="a folder as Hugging Face has it, or its .bin or .safetensors file; one for each medium")
    bind.add_argument("-o", "--out", type=Path, required=True, metavar="FILE", help="what is written, such as models/concept_encoders/languagebind.safetensors")
    bind.add_argument("--dtype", choices=("bf16", "fp32"), default="bf16", help="how weights are stored: fp32 takes twice the room (default: %(default)s)")
    bind.add_argument("--text", type=Path, metavar="FOLDER", help="take the text tower from here, when the folders' differ")
    bind.add_argument("--tokenizer", type=Path, metavar="FOLDER", help="take CLIP's merges from here, when no folder has them")
    bind.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Convert, and print what is in the file. Raises WeightsError, ValueError and OSError."""
    from tqdm import tqdm

    from ..ops.encoders.languagebind_file import DTYPES, convert

    folder = options.out.absolute().parent
    if not folder.exists() and folder.parent.is_dir():
        folder.mkdir()  # models/concept_encoders, where nobody has put anything yet
    made = convert(
        options.sources, writable(options.out), DTYPES[options.dtype], options.text, options.tokenizer,
        watch=lambda batches: tqdm(batches, desc="reading the vocabulary", unit="batch"),
    )  # fmt: skip
    for modality, parameters in made.parameters.items():
        print(f"{modality}: {parameters:,} parameters")
    if not made.reads:
        print("text: no folder has merges.txt, so only a ComfyUI, which brings its own, can read words with this file")
    print(f"space: {made.space}")
    lacking = [modality for modality in made.parameters if modality != "text"]
    if lacking and made.reads:
        print(f"next: concept-algebra calibrate {options.out} FOLDER-OF-MEDIA (centres {', '.join(lacking)})")
    print(options.out)
