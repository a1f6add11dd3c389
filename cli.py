"""The `concept-algebra` command: the pack's work without ComfyUI."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import warnings
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from .commands import batch, calibrate, check, convert, progress, sae

if TYPE_CHECKING:
    import torch

    from .ops.encoders.protocol import Encoder
    from .ops.generators.protocol import Generator

MODALITIES = ("text", "image", "audio", "video")
BAD_INPUT, INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0, 2 for bad input, a full disk or broken numbers, 130 for Ctrl-C."""
    options = _parser().parse_args(arguments)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: _say(message)
        # what a library will change one day is for those who write code with it
        warnings.simplefilter("ignore", FutureWarning)
        try:
            options.run(options)
        except KeyboardInterrupt:
            _say("interrupted, nothing half-written")
            return INTERRUPTED
        except (ValueError, OSError, ArithmeticError, ModuleNotFoundError) as error:
            for line in getattr(error, "lines", [error]):
                _say(line)
            return BAD_INPUT
    return 0


def _say(message: object) -> None:
    """One line on stderr."""
    print(f"concept-algebra: {' '.join(str(message).split())}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """argparse, except that a mistake is answered in one line."""

    def error(self, message: str) -> None:
        self.exit(BAD_INPUT, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="concept-algebra", description="Arithmetic on concepts, rendered.")
    parser.add_argument("--version", action=_Version, help="print versions and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    shown = commands.add_parser("showcase", help="render targets in every modality, honest beside natural")
    shown.add_argument("targets", nargs="*", metavar="TARGET", help="""an expression: 'fire + water', 'image("cat.jpg") - 0.5 * fur'""")
    shown.add_argument("--targets", dest="file", type=Path, metavar="FILE", help="more targets, one a line, # for remarks; what is finished in --out, with the same settings, is left alone")
    shown.add_argument("--judge", action="append", default=[], type=Path, metavar="FOLDER", help="an encoder that says whether it worked: SigLIP2's folder for pictures and clips, CLAP's for sounds; may be repeated (default: nothing is judged)")
    shown.add_argument("--out", default="showcase", metavar="DIR", help="where a folder per target goes (default: %(default)s)")
    shown.add_argument("--seed", type=_whole(0), default=0, metavar="N", help="of all randomness (default: %(default)s)")
    shown.add_argument("--seeds", type=_whole(1), default=1, metavar="N", help="make each render from N seeds, which takes N times as long, and say how stable it is (default: %(default)s)")
    shown.add_argument("--steps", type=_whole(1), metavar="N", help="optimisation steps of every render")
    shown.add_argument("--modality", action="append", type=_modalities, metavar="NAMES", help=f"of {', '.join(MODALITIES)}; comma-separated, may be repeated (default: all)")
    shown.add_argument("--quick", action="store_true", help="a first look within a minute")
    shown.add_argument("--encoder", default="pocket", metavar="FILE", help="an encoder's file from 'concept-algebra convert' (default: the one that ships)")
    shown.add_argument("--generator", default="pocket", metavar="NAMES", help="what draws: pocket, sd35, sdxl, stable-audio, audioldm2, ltx, svd; comma-separated, pocket for media that no other makes (default: %(default)s)")
    shown.add_argument("--models", default="models", metavar="DIR", help="where generators other than the pocket's lie (default: %(default)s)")
    shown.add_argument("--sae", metavar="FILE", help="arithmetic on named features: 'vocabulary', 'pocket' or a file from 'concept-algebra sae train' (default: on dense vectors, unless a target asks for features)")
    shown.add_argument("--device", metavar="NAME", help="cuda, mps or cpu (default: the first of them that is there)")
    shown.set_defaults(run=_showcase)

    convert.add(commands)
    calibrate.add(commands, MODALITIES)
    check.add(commands)
    sae.add(commands, MODALITIES, _whole)

    bench = commands.add_parser("bench", help="measure; the last line is one JSON object with the figures")
    bench.add_argument("name", metavar="NAME", help="a module of benchmarks/")
    bench.add_argument("--quick", action="store_true", help="a smaller sample, within 50 seconds on two cores")
    bench.set_defaults(run=_bench)
    return parser


class _Version(argparse.Action):
    def __init__(self, *arguments, **more):
        super().__init__(*arguments, nargs=0, **more)

    def __call__(self, parser, *_):
        from .ops.run_record import versions

        print("\n".join(f"{name} {value}" for name, value in versions().items()))
        parser.exit()


def _whole(least: int):
    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number < 2**63:
            raise argparse.ArgumentTypeError(f"a whole number from {least} up was expected, not '{text}'")
        return number

    return read


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _modalities(text: str) -> list[str]:
    names = _names(text)
    for name in names:
        if name not in MODALITIES:
            raise argparse.ArgumentTypeError(f"'{name}' is not one of {', '.join(MODALITIES)}")
    return names


def _showcase(options: argparse.Namespace) -> None:
    from .ops import encoders, features
    from .ops.encoders.languagebind import LanguageBind
    from .ops.expression import evaluate
    from .ops.generators import catalogue
    from .ops.parser import parse
    from .ops.atomic import put_back
    from .ops.syntax import Media, leaves
    from .ops.runtime import GRADIENTS_AGREE, gradient_self_test, keep_on, pick_device, tower_dtype
    from .ops.evaluate.judgement import Court
    from .ops.evaluate.judges import load as judge
    from .ops.run_record import asked, finished
    from .ops.showcase import Measures, require_own_gallery, showcase, slug, write_gallery

    targets = batch.targets(options.targets, options.file)
    device = pick_device(options.device)
    if device.type != "cpu" and (agreement := gradient_self_test(device)) < GRADIENTS_AGREE:
        _say(f"gradients on {device} differ from the CPU's (agreement {agreement:.3f}): using the CPU")
        device = pick_device("cpu")
    wanted = [name for name in MODALITIES if not options.modality or any(name in names for names in options.modality)]
    _writable(options.out)
    require_own_gallery(options.out)
    drawn = {medium: name for medium, name in catalogue.chosen(_names(options.generator)).items() if medium in wanted}
    if options.modality and (lacking := [name for name in wanted if name not in drawn and name != "text"]):
        raise ValueError(f"--modality {lacking[0]}: --generator {options.generator} makes none; add one that does, or pocket")
    _all_there(options, drawn)
    encoder = encoders.load(options.encoder, dtype=tower_dtype(device))
    named = {leaf.modality for target in targets for leaf in leaves(parse(target)) if isinstance(leaf, Media)}
    keep_on(device, encoder.towers, {"text"} | named)
    # Every target is read before the first is rendered: a typo in the last should not cost ten minutes.
    dictionary = None
    if options.sae:
        encoder, dictionary = features.load(options.sae, encoder)
    concepts = [evaluate(target, encoder, dictionary=dictionary) for target in targets]
    for concept in concepts:
        concept.direction
    if options.modality and (lacking := [name for name in wanted if name not in encoder.modalities]):
        raise ValueError(f"--modality {lacking[0]}: {options.encoder} embeds {', '.join(sorted(encoder.modalities))}")
    drawn = {medium: name for medium, name in drawn.items() if medium in encoder.modalities}
    if isinstance(encoder, LanguageBind):
        for medium in encoder.modalities - {"text", *drawn}:
            encoder.drop(medium)  # where CPU and GPU share their memory, what waits there takes as much
    generators = {medium: partial(_generator, name, medium, encoder, Path(options.models), device) for medium, name in drawn.items()}
    courts = [Court(judge(folder), encoder.space) for folder in options.judge]
    # several large latents in one batch would not fit
    candidates = {medium: 1 for medium, name in drawn.items() if name != catalogue.POCKET}
    weight = cache(lambda medium: generators[medium]().id)
    measures = None
    put_back(Path(options.out))
    for concept in concepts:
        folder = Path(options.out) / slug(str(concept))
        made = asked(concept, encoder, "text" in wanted, options.seed, options.quick, options.steps, candidates, courts, options.seeds)
        if options.file and finished(folder, made, lambda: {medium: weight(medium) for medium in generators}):
            _say(f"{concept}: finished before with the same settings, left alone")
            print(folder / "index.html")
            continue
        measures = measures or Measures.of(encoder)
        with progress.renders(str(concept)) as watch:
            folder = showcase(
                concept, options.out, encoder, generators,
                text="text" in wanted, seed=options.seed, seeds=options.seeds, quick=options.quick, steps=options.steps,
                candidates=candidates, courts=courts, measures=measures, device=device, watch=watch,
            )  # fmt: skip
        print(folder / "index.html")
    print(write_gallery(options.out))


def _all_there(options: argparse.Namespace, drawn: dict[str, str]) -> None:
    """Fail with everything at once that has to be fetched first."""
    from .ops.encoders import POCKET, languagebind
    from .ops.generators.catalogue import HUB, MissingModels, missing

    lines = missing(drawn.values(), Path(options.models))
    if lines and options.encoder != POCKET and not Path(options.encoder).exists():
        folders = " ".join(dict.fromkeys(HUB + place for place in languagebind.REPOSITORIES.values()))
        lines.append(f"{options.encoder}: download the folders {folders} and make it of them: concept-algebra convert languagebind FOLDER FOLDER FOLDER --out {options.encoder}")
    if lines:
        raise MissingModels(lines)


def _generator(name: str, medium: str, encoder: Encoder, models: Path, device: torch.device) -> Generator:
    from .ops.generators import catalogue, pocket

    return pocket.load(medium, encoder, device=device) if name == catalogue.POCKET else catalogue.load(name, models, device)


def _writable(out: str) -> None:
    """Fail before the rendering, not after it, when nothing can be written at `out`."""
    import os

    nearest = next(path for path in (Path(out).absolute(), *Path(out).absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(f"--out {out}: {nearest} is not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(f"--out {out}: {nearest} cannot be written to")


def _bench(options: argparse.Namespace) -> None:
    from . import benchmarks
    from .ops.plain import with_nulls

    # told apart from the parts of others by their text: importing all of them for a list would take seconds
    known = sorted(path.stem for path in Path(benchmarks.__file__).parent.glob("*.py") if "\ndef run(" in path.read_text("utf-8"))
    if options.name not in known:
        raise ValueError(f"no benchmark '{options.name}'; there are: {', '.join(known) or 'none'}")
    module = importlib.import_module(f"{benchmarks.__name__}.{options.name}")
    rows, figures = module.run(options.quick)
    widths = [max(len(str(cell)) for cell in column) for column in zip(*rows)]
    for row in rows:
        print("  ".join(f"{cell!s:<{width}}" for cell, width in zip(row, widths)).rstrip())
    print(json.dumps(with_nulls(figures), allow_nan=False))


if __name__ == "__main__":
    sys.exit(main())
