"""The gallery in the docs, from showcase folders: a page to read on GitHub, and a strip of pictures for each target.

    python tools/gallery.py quick pictures    write docs/gallery from quick/ and pictures/, both made of docs/gallery/targets.txt

A medium that several of them hold is taken from the last. Every target of the file is on the page, in its order, however it
came out. A picture that was not judged when it was made is judged here by the benchmark's judge encoder, which no render was optimised with and which knows names of emoji only.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from concept_algebra.benchmarks.legibility_judge import cosines, judge_encoder
from concept_algebra.ops.atomic import write_bytes, write_text
from concept_algebra.ops.evaluate.card import Card
from concept_algebra.ops.evaluate.judgement import Judgement
from concept_algebra.ops.evaluate.score import score
from concept_algebra.ops.evaluate.verdict import recognition
from concept_algebra.ops.interpret.readout import spoken
from concept_algebra.ops.markdown import escaped, table
from concept_algebra.ops.media import as_bytes, read_audio, read_image, read_video
from concept_algebra.ops.rounding import rounded
from concept_algebra.ops.run_record import NAME
from concept_algebra.ops.showcase import READINGS, picture, slug
from concept_algebra.ops.space import Modality
from concept_algebra.ops.written import lines_of

DOCS = Path(__file__).parents[1] / "docs" / "gallery"
NAMES: dict[Modality, str] = {"image": "picture", "audio": "sound", "video": "clip"}
SIDE, GAP, CAPTION = 160, 6, 18
"""Pixels of a strip: a tile's side, between tiles, and the room for words under one."""
WORDS = 4


@dataclass(frozen=True)
class Tile:
    """A render: as run.json records it, a picture of it [3, H, W] in 0..1, and what was judged."""

    made: dict[str, Any]
    shown: Tensor
    judgement: Judgement


@dataclass(frozen=True)
class Entry:
    """A target as it came out. run: its run.json. tiles: by modality and track."""

    run: dict[str, Any]
    tiles: dict[tuple[Modality, str], Tile]


def read(folder: Path) -> Entry:
    """A showcase's folder. ValueError for one without a phrase, OSError for one that is not whole."""
    run = json.loads((folder / NAME).read_text("utf-8"))
    if run["text"] is None:
        raise ValueError(f"{folder} was made without text, expected a showcase with its phrase")
    tiles = {}
    for made in run["renders"]:
        modality, file = made["modality"], folder / made["file"]
        media = {"image": read_image, "audio": lambda path: read_audio(path)[0], "video": lambda path: read_video(path)[0]}[modality](file)
        judgement = Card.from_json((folder / READINGS / file.stem / "card.json").read_text("utf-8")).judgement
        if judgement.score is None and modality == "image":
            judgement = judged(media, run["expression"]) or judgement
        tiles[modality, made["track"]] = Tile(made, picture(media[0], modality), judgement)
    return Entry(run, tiles)


def judged(pixels: Tensor, expression: str) -> Judgement | None:
    """The benchmark's judge on a picture [1, 3, H, W]; None for an expression that is not of words it knows, a name of an emoji each."""
    try:
        found = cosines(pixels, expression)[0]
    except (ValueError, KeyError):
        return None
    one = score(found[0], found[1:])
    return Judgement(recognition(one), judge_encoder().space.id, one)


def strip(entry: Entry) -> Image.Image:
    """Honest beside natural of every medium, with a word under each."""
    face = ImageFont.load_default(12)
    sheet = Image.new("RGB", (len(entry.tiles) * (SIDE + GAP) - GAP, SIDE + CAPTION), "#16181d")
    pen = ImageDraw.Draw(sheet)
    for place, ((modality, track), tile) in enumerate(entry.tiles.items()):
        left = place * (SIDE + GAP)
        sheet.paste(Image.fromarray(as_bytes(tile.shown)).resize((SIDE, SIDE), Image.Resampling.LANCZOS), (left, 0))
        pen.text((left + SIDE / 2, SIDE + CAPTION / 2), f"{NAMES[modality]}, {track}", "#d5d9e0", face, "mm")
    return sheet


def section(entry: Entry, image: str) -> str:
    """One target's part of the page."""
    run = entry.run
    rows = []
    for (modality, track), tile in entry.tiles.items():
        score, words = tile.judgement.score, tile.made["readings"][-1]["words"][:WORDS]
        place = f", place {score.above + 1} of {score.count + 1} (percentile {score.percentile:.3f})" if score else ""
        reads = escaped(spoken([(word, cosine) for word, cosine in words]))
        rows.append([f"{NAMES[modality]}, {track}", f"**{tile.judgement.verdict.word}**{place}", reads, rounded(tile.made["cosine"])])
    title = escaped(run["expression"])
    said = f"In words: *{escaped(run['text']['phrase'])}*. Nearest words: {escaped(spoken(run['text']['words'][:6]))}."
    return f"## {title}\n\n![{title}: honest beside natural as a picture, a sound and a clip]({image})\n\n{said}\n\n" + table(
        ["", "did it work", "its own encoder reads", "cosine"], rows
    )


def page(parts: list[str], entries: list[Entry], commands: list[str]) -> str:
    """The whole README.md of the gallery. commands: what makes it again, a line each."""
    tracks = [(tile.judgement.verdict.word, track) for entry in entries for (_, track), tile in entry.tiles.items() if tile.judgement.score]
    counted = ", ".join(
        f"{track} {sum(word == 'recognised' for word, own in tracks if own == track)} of {sum(own == track for _, own in tracks)}"
        for track in dict.fromkeys(track for _, track in tracks)
    )
    lines = "\n".join(commands)
    return (
        "# Gallery\n\n"
        f"{len(entries)} targets by the pocket models, which draw pictograms. Every target had one seed ({entries[0].run['seed']}), "
        "and none was left out for what came of it.\n\n"
        "In each strip *honest* stands left of *natural*: first the picture, then the sound as a spectrogram (low notes below, time to the right), "
        "then the clip's middle frame. The sound *thunder.wav*, beside this page, is the natural one of `concept-algebra showcase thunder`.\n\n"
        "**Did it work** is the word of a judge that no render was optimised with: here the small one of the benchmark, which sees pictures only "
        "and knows names of emoji only, so what it has no word for, and every sound and clip, says *not judged*. *Recognised* is among its first "
        f"five of 500 and more rivals. Recognised of the pictures that it could judge: {counted or 'it could judge none'}. The cosine is the "
        "render's own encoder's, which is what was optimised: it says how near the optimiser came, and not whether it worked.\n\n"
        f"Made again, from a checkout, with\n\n```bash\n{lines}\n```\n\n" + "\n\n".join(parts) + "\n"
    )


def command(run: dict[str, Any], tiles: Collection[tuple[Modality, str]], out: Path) -> str:
    """What made a showcase of these media into a folder of targets."""
    media = [modality for modality in NAMES if any(modality == made for made, _ in tiles)]
    options = [] if len(media) == len(NAMES) else [f"--modality {','.join(['text', *media])}"]
    options += ["--quick"] if run["quick"] else []
    options += [f"--{name} {run[name]}" for name in ("steps", "seed") if run[name]]
    return " ".join(["concept-algebra showcase --targets docs/gallery/targets.txt", *options, f"--out {out.name}"])


def write(made: Sequence[Path], docs: Path = DOCS) -> list[Path]:
    """Write README.md and a strip for each target into `docs` from the showcases in the folders `made`; returns what was written.

    ValueError for a target of `docs`/targets.txt without a showcase in one of them, and for showcases in one of other settings than its first's.
    """
    targets = lines_of((docs / "targets.txt").read_text("utf-8"))
    entries: dict[str, Entry] = {}
    commands = []
    for out in made:
        folders = {json.loads(run.read_text("utf-8"))["expression"]: run.parent for run in out.glob(f"*/{NAME}")}
        if missing := [target for target in targets if target not in folders]:
            raise ValueError(f"{out} has no showcase of '{missing[0]}', expected one of each of the {len(targets)} targets in {docs / 'targets.txt'}")
        found = {target: read(folders[target]) for target in targets}
        first = found[targets[0]]
        for target, entry in found.items():
            if other := [name for name in ("seed", "quick", "steps", "space") if entry.run[name] != first.run[name]]:
                raise ValueError(f"'{target}' was made with another {other[0]} than '{targets[0]}', expected the same for all in {out}")
        commands.append(command(first.run, first.tiles, out))
        entries = {target: Entry(entry.run, (entries[target].tiles if entries else {}) | entry.tiles) for target, entry in found.items()}
    commands.append(f"python tools/gallery.py {' '.join(out.name for out in made)}")
    written, parts = [], []
    for target, entry in entries.items():
        path = docs / f"{slug(target)}.webp"
        buffer = io.BytesIO()
        strip(entry).save(buffer, "WEBP", quality=82, method=6)
        write_bytes(path, buffer.getvalue())
        written.append(path)
        parts.append(section(entry, path.name))
    write_text(docs / "README.md", page(parts, list(entries.values()), commands))
    return [*written, docs / "README.md"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("made", nargs="+", type=Path, metavar="DIR", help="what --out of 'concept-algebra showcase' named")
    written = write(parser.parse_args().made)
    print(f"{len(written)} files, {sum(path.stat().st_size for path in written) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
