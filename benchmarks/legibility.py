"""Whether a render can be told for what it is, by judges that the optimiser never saw: `concept-algebra bench legibility`.

Words, sums, differences and mixtures of media with words, in five seeds each, drawn under every setting of
legibility_settings.py by the pocket picture generator. `<setting>_top1`: share of renders of single words whose best of 1,644
classes has the word in its name or keywords; `_strict`: whose best class is called just so; `_percentile`: of all targets, the
share of rivals (520 other words for a word, 500 expressions of the same form for the others) that the judge encoder finds
farther than the target; `_encoder_top1`: renders that have no rival as near. `_low` and `_high` are the ends of 95 % intervals
from a bootstrap over targets. `per_prior`: top1 of each prior with the same objective. A setting that is wanted and not there is None.

Renders are kept in a folder of the output and taken up from there; see `legibility_cache.Studio` for what they are known by.
`--quick` draws one seed of four targets, with fewer steps. What full runs measured is in LEGIBILITY.md beside this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from ..ops import features
from ..ops.atomic import write_aside, write_text
from ..ops.encoders.pocket import load
from ..ops.generators.pocket import load as load_generator
from .legibility_cache import Drawn, Studio
from .legibility_pictures import Interval, contact_sheet, figure
from .legibility_settings import PRIORS, WANTED, Setting, table
from .legibility_targets import QUICK, TARGETS, Target
from .legibility_verdicts import MEASURES, Verdict, interval, verdict

OUT = Path("output") / "legibility"
SEEDS = 5
KNOWN, NEAR = "words known to the classifier, %", "percentile by the judge encoder"
Figures = dict[str, float | int | None | dict[str, float]]
Panels = dict[str, dict[str, Interval]]
Drawings = dict[tuple[str, str], list[Drawn]]
"""The renders of each seed, by a setting's figure and a target's text."""


def run(quick: bool, out: Path = OUT) -> tuple[list[tuple[str, ...]], Figures]:
    """A table (a row for each setting and kind of target) and the figures; the figure and the contact sheet go to `out`."""
    encoder, dictionary = features.load(features.POCKET, load())
    studio = Studio(encoder, load_generator("image", encoder), dictionary, out / "renders")
    settings, targets, seeds = table(quick), QUICK if quick else TARGETS, list(range(1 if quick else SEEDS))
    drawings = draw(studio, settings, targets, seeds)
    verdicts = {
        (setting.figure, target.text): verdict(torch.stack([one.pixels for one in drawings[setting.figure, target.text]]), target)
        for setting in settings
        for target in targets
    }
    rows = [("setting", "targets", "n", *(f"{name} (95 %)" for name in MEASURES), "own cosine", "s a render")]
    figures: Figures = {"n": len(targets) * len(seeds), "targets": len(targets), "seeds": len(seeds)}
    panels: Panels = {KNOWN: {}, NEAR: {}}
    for setting in settings:
        for kind in (*dict.fromkeys(target.kind for target in targets), "all"):
            chosen = [target.text for target in targets if kind in (target.kind, "all")]
            found = summary([verdicts[setting.figure, text] for text in chosen])
            drawn = [one for text in chosen for one in drawings[setting.figure, text]]
            shown = [f"{mean:.3f} ({low:.3f}..{high:.3f})" if mean == mean else "" for mean, low, high in found.values()]
            means = [f"{sum(getattr(one, name) for one in drawn) / len(drawn):.2f}" for name in ("cosine", "seconds")]
            rows.append((setting.said, kind, str(len(drawn)), *shown, *means))
            for name in ("top1", "top5", "strict") if kind == "word" else ("encoder_top1", "percentile") if kind == "all" else ():
                figures |= dict(zip((f"{setting.figure}_{name}{end}" for end in ("", "_low", "_high")), found[name]))
            if kind == "word":
                panels[KNOWN][setting.said] = found["top1"]
            if kind == "all":
                panels[NEAR][setting.said] = tuple(value / 100 for value in found["percentile"])
    figures |= {f"{wanted}_top1": figures.get(f"{wanted}_top1") for wanted in WANTED}
    figures["per_prior"] = {prior: figures[f"{name}_top1"] for prior, name in PRIORS.items()}
    publish(out, panels, settings, targets, drawings)
    return rows, figures


def draw(studio: Studio, settings: Sequence[Setting], targets: Sequence[Target], seeds: list[int]) -> Drawings:
    """Every target under every setting, seed by seed, so that a run that is stopped has some of each."""
    drawings: Drawings = {(setting.figure, target.text): [] for setting in settings for target in targets}
    with tqdm(total=len(targets) * len(settings) * len(seeds), desc="renders") as bar:
        for seed in seeds:
            for target in targets:
                for setting in settings:
                    drawings[setting.figure, target.text] += studio.draw(setting, target, [seed])
                    bar.update()
    return drawings


def summary(verdicts: list[Verdict]) -> dict[str, tuple[float, float, float]]:
    """Mean and interval of each measure over targets; NaN where a measure does not judge all of them."""
    return {name: interval(torch.stack([getattr(one, name) for one in verdicts])) for name in MEASURES}


def publish(out: Path, panels: Panels, settings: Sequence[Setting], targets: Sequence[Target], drawings: Drawings) -> None:
    """Write legibility.svg and contact_sheet.png. Raises OSError, in a line that names the file."""
    write_text(out / "legibility.svg", figure(panels))
    sheet = contact_sheet(
        [setting.figure.replace("_", " ") for setting in settings],
        [(target.text, [drawings[setting.figure, target.text][0].pixels for setting in settings]) for target in targets],
    )
    with write_aside(out / "contact_sheet.png") as temporary:
        sheet.save(temporary)
