"""`concept-algebra calibrate`: measure where an encoder's embeddings lie, and keep it beside the encoder."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import progress
from .output import writable


def add(commands: argparse._SubParsersAction, modalities: tuple[str, ...]) -> None:
    """Add the subcommand to a parser's."""
    parser = commands.add_parser("calibrate", help="measure where an encoder's pictures, sounds, clips and words lie")
    parser.add_argument("encoder", metavar="ENCODER", help="an encoder's file, or 'pocket'")
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="a folder of media, a text file (a phrase a line), or 'vocabulary': the encoder's words")
    parser.add_argument("--modality", choices=modalities, metavar="NAME", help=f"one of {', '.join(modalities)} (default: told from the files' endings)")
    parser.add_argument("--out", metavar="FILE", help="where it is written (default: beside the encoder, to be read with it)")
    parser.add_argument("--device", metavar="NAME", help="cuda, mps or cpu (default: the first of them that is there)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Measure, write, and print a line for each modality and the file's path. Raises ValueError and OSError."""
    from ..ops.calibration import Calibration, sidecar
    from ..ops.collection import calibrate, collect
    from ..ops.encoders import POCKET, load
    from ..ops.runtime import keep_on, pick_device, tower_dtype

    if options.encoder == POCKET and not options.out:
        raise ValueError("the pocket encoder ships calibrated; to measure it anew name a file for the result with --out")
    device = pick_device(options.device)
    encoder = load(options.encoder, dtype=tower_dtype(device))
    out = writable(Path(options.out or sidecar(options.encoder)))
    samples = collect(options.sources, encoder, options.modality)
    if out.exists():  # one that cannot be added to is refused now, not after the measuring
        Calibration.load(out, encoder.space)
    clouds = {}
    for sample in samples:
        keep_on(device, encoder.towers, {sample.modality})
        with progress.items(sample.modality, len(sample.items)) as watch:
            cloud = clouds[sample.modality] = calibrate(encoder, sample, watch)
        skipped = len(sample.items) - cloud.count
        print(f"{sample.modality}: {cloud}" + (f", {skipped} skipped" if skipped else ""))
    Calibration(encoder.space.encoder_id, clouds).add_to(out, encoder.space)
    print(out)
