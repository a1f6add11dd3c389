"""The pictures in web/docs, rendered for real: `python tools/help_pictures.py [NAME ...] [--steps N]`.

Run it again when the pocket weights change, and look at what came out. All are of the image generator with seed 0.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from concept_algebra.ops.encoders.pocket import load as load_encoder
from concept_algebra.ops.expression import evaluate
from concept_algebra.ops.features.pursuit import Pursuit
from concept_algebra.ops.generators.pocket import load as load_generator
from concept_algebra.ops.interpret.chart import chart
from concept_algebra.ops.media import as_bytes
from concept_algebra.ops.render import TRACKS, Render, Track, render
from concept_algebra.ops.tracks import settings

DOCS = Path(__file__).parents[1] / "web" / "docs"
GAP, CAPTION = 8, 22
QUALITY = 82

SLERP = [(f"slerp(fish, car, {t:g})", f"t = {t:g}") for t in (0, 0.25, 0.5, 0.75, 1)]
SUB = [(f"heart - {w:g}*red", f"weight {w:g}") for w in (0, 0.3, 0.6, 1)]
LIST = ["fire + water", "0.3*sunset + 0.7*ocean", "purple dog", "mushroom - 0.3*red"]
ONE = "fire + water"
FEATURES = "purple dog - 0.5*car"


class Pictures:
    """Renders, each made once, and the strips made of them."""

    def __init__(self, steps: int | None):
        self.steps = steps
        self.encoder = load_encoder()
        self.generator = load_generator("image", self.encoder)
        self.made: dict[tuple[str, Track], Render] = {}

    def rendered(self, expression: str, track: Track = "natural") -> Render:
        if (expression, track) not in self.made:
            print(f"{track}: {expression}", flush=True)
            made = settings("image", track, steps=self.steps)
            self.made[expression, track] = render(evaluate(expression, self.encoder), self.encoder, self.generator, track, made, 0)
        return self.made[expression, track]

    def slerp(self) -> Image.Image:
        return strip([(self.rendered(expression).media, caption) for expression, caption in SLERP])

    def sub(self) -> Image.Image:
        return strip([(self.rendered(expression).media, caption) for expression, caption in SUB])

    def list(self) -> Image.Image:
        return strip([(self.rendered(expression).media, expression) for expression in LIST])

    def compare(self) -> Image.Image:
        return strip([(self.rendered(ONE, track).media, track) for track in TRACKS])

    def optimiser(self) -> Image.Image:
        looks = self.rendered(ONE).looks
        chosen = looks[:: max(1, len(looks) // 4)][:4] + looks[-1:]
        return strip([(media, f"step {step + 1}") for step, media, _ in chosen])

    def features(self) -> Image.Image:
        code = evaluate(FEATURES, self.encoder, dictionary=Pursuit(self.encoder.space)).code
        return Image.fromarray(as_bytes(chart(code.features(), code.taken(), FEATURES)))


def strip(parts: list[tuple[Tensor, str]]) -> Image.Image:
    """Pictures [3, H, W] in 0..1 in a row on white, each over its caption."""
    side = parts[0][0].shape[-1]
    sheet = Image.new("RGB", (len(parts) * (side + GAP) + GAP, side + 2 * GAP + CAPTION), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (media, caption) in enumerate(parts):
        left = GAP + index * (side + GAP)
        sheet.paste(Image.fromarray(as_bytes(media)), (left, GAP))
        size = 13
        while (font := ImageFont.load_default(size)).getlength(caption) > side and size > 8:
            size -= 1
        draw.text((left + side / 2, side + GAP + CAPTION / 2 + 3), caption, "#333", font, anchor="mm")
    return sheet


def main() -> None:
    names = ("slerp", "sub", "list", "compare", "optimiser", "features")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}; all when none is given")
    parser.add_argument("--steps", type=int, help="optimisation steps; the track's usual number when not given")
    options = parser.parse_args()
    if unknown := set(options.names) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; expected {', '.join(names)}")
    pictures = Pictures(options.steps)
    for name in options.names or names:
        path = DOCS / f"{name}.webp"
        getattr(pictures, name)().save(path, quality=QUALITY, method=6)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
