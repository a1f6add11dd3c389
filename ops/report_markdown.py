"""The README of a showcase's folder: the verdicts first, then what each output is and reads as, for a place that shows Markdown."""

from __future__ import annotations

from .evaluate.card_markdown import markdown as card_markdown
from .interpret.bundle_views import markdown as bundle_markdown
from .interpret.readout import COMPOSED
from .markdown import escaped, table
from .report import Rendered, Target
from .rounding import rounded


def readme(target: Target) -> str:
    """The README.md of the folder that `Target`'s media and readings lie in."""
    parts = [f"# {escaped(target.expression)}"]
    if target.said or target.renders:
        rows = [["text", COMPOSED, f"**{target.said[2].verdict.word}**", rounded(target.said[1].cosine)]] if target.said else []
        rows += [[shown.render.modality, shown.render.track, f"**{shown.card.verdict.word}**", rounded(shown.render.cosine)] for shown in target.renders]
        parts.append(table(["output", "track", "did it work", "cosine by its own encoder"], rows))
    parts.append("[index.html](index.html) shows it all, and plays the sounds: download it and open it.")
    if target.said:
        composition, bundle, card = target.said
        rows = [[str(i), ", ".join(f"{escaped(phrase)} {rounded(score)}" for phrase, score in kept)] for i, kept in enumerate(composition.rounds, 1)]
        parts += [card_markdown(card), f"*{escaped(composition.phrase)}*", table(["round of the search", "phrases that it kept"], rows), bundle_markdown(bundle)]
    for shown in target.renders:
        parts += [card_markdown(shown.card), _medium(shown), bundle_markdown(shown.bundle, f"readings/{shown.file.stem}/figure.png")]
    parts.append("\n".join(f"- {escaped(name)}: {escaped(value)}" for name, value in target.facts))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _medium(shown: Rendered) -> str:
    """A picture is shown; sounds and clips are linked, which is all that Markdown can do with them."""
    name = shown.file.name
    return f"![{name}]({name})" if shown.render.modality == "image" else f"[{name}]({name})"
