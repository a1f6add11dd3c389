"""`concept-algebra check`: whether an encoder's towers read what they are shown."""

from __future__ import annotations

import argparse


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to a parser's."""
    parser = commands.add_parser("check", help="show an encoder pictures, sounds and clips, and see whether it reads them")
    parser.add_argument("encoder", metavar="ENCODER", help="an encoder's file, or 'pocket'")
    parser.add_argument("--device", metavar="NAME", help="cuda, mps or cpu (default: the first of them that is there)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print a line for each tower. Raises ValueError when one reads no better than guessing, and as `encoders.load`."""
    from ..benchmarks.reading import WANTED, readings
    from ..ops.encoders import load
    from ..ops.runtime import pick_device, tower_dtype

    device = pick_device(options.device)
    encoder = load(options.encoder, dtype=tower_dtype(device))
    for modality, tower in encoder.towers.items():
        weight = next(tower.parameters())
        print(f"{modality}: {sum(p.numel() for p in tower.parameters()):,} parameters, {str(weight.dtype).removeprefix('torch.')} on {device}")
    found = readings(encoder, device)
    for modality, reading in found.items():
        print(f"{modality}: {reading.right} of {reading.shown} are nearest to their own name; guessing gets 1, {WANTED} or more is reading")
    if failed := [modality for modality, reading in found.items() if not reading.reads]:
        raise ValueError(f"{' and '.join(failed)} read no better than guessing: wrong weights, or towers that do not belong together")
