"""What an output reads of itself and whether it worked, as parts of a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

import torch
from torch import Tensor

from .evaluate.agreement import Agreement
from .evaluate.card import Card
from .evaluate.card_markdown import stability_told
from .evaluate.verdict import Verdict
from .interpret.attribution import Attribution
from .interpret.bundle import Bundle
from .interpret.overlay import laid_over
from .report_instruments import NOTHING
from .rounding import rounded

SIDE, FRAMES, ROWS = 192, 4, 8
"""Pixels of a map's longer side on a page, frames of a clip that are shown with it, and features in a table."""


def verdict(found: Verdict) -> str:
    """HTML: the word, then the rule that gave it."""
    rule = escape(found.rule[:1].upper() + found.rule[1:])
    return f'<p class="verdict {found.word.replace(" ", "-")}"><b>{found.word}</b> {rule}.</p>'


def verdicts(cards: Sequence[Card]) -> str:
    """HTML: those of renders of one modality beside each other; one for all where they are the same."""
    told = [verdict(card.verdict) + _edited(card) + _stable(card) for card in cards]
    if len(set(told)) == 1:
        return f'<div class="verdicts">{told[0]}</div>'
    sides = "".join(f'<div><h3 class="{card.track}">{card.track}</h3>{each}</div>' for card, each in zip(cards, told))
    return f'<div class="verdicts sides">{sides}</div>'


def _edited(card: Card) -> str:
    return verdict(card.edit.verdict).replace("<b>", "<b>edit ", 1) if card.edit else ""


def _stable(card: Card) -> str:
    return f'<p class="verdict">{escape(stability_told(card.stability))}</p>' if card.stability else ""


def maps(bundle: Bundle, uri: Callable[[Tensor], str]) -> str:
    """HTML: each map over its medium; "" without any. uri: makes an address of a picture [3, H, W]."""
    if bundle.shown is None:
        return ""
    shown = bundle.shown.float() / 255
    frames = "".join(f'<li><img src="{uri(face(found, shown))}" alt=""><span>{caption(found)}</span></li>' for found in bundle.maps)
    return f'<h3 class="{bundle.track}">where {bundle.track} was seen <data>red for, blue against</data></h3><ol class="maps {bundle.modality}">{frames}</ol>'


def face(found: Attribution, shown: Tensor) -> Tensor:
    """A map over its medium as one picture [3, H, W]; of a clip, `FRAMES` frames of it, evenly spread, two in a row."""
    panels = laid_over(found, shown, SIDE)
    if len(panels) < FRAMES:
        return panels[0]
    chosen = panels[[round(i * (len(panels) - 1) / (FRAMES - 1)) for i in range(FRAMES)]]
    return torch.cat([torch.cat(list(row), 2) for row in chosen.split(2)], 1)


def caption(found: Attribution) -> str:
    """HTML: of what a map is."""
    if found.of is None:
        return "where it looked, whatever is asked <data>rollout</data>"
    against = "" if found.baseline is None else f", {rounded(found.baseline)} blurred"
    below = ", below its threshold" if found.active is False else ""
    return f"<b>{escape(found.of)}</b> {rounded(found.value)}{against}{below} <data>{found.kind}</data>"


def readings(bundles: Sequence[Bundle]) -> str:
    """HTML: features of the target beside those of renders of one modality, and what the probes say of each."""
    heads = "".join(f'<th scope="col" class="{bundle.track}">{bundle.track}</th>' for bundle in bundles)
    parts = []
    if any(bundle.features for bundle in bundles):
        amounts = [{feature.name: feature.output for feature in bundle.features} for bundle in bundles]
        target = {feature.name: feature.target for bundle in bundles for feature in bundle.features}
        strongest = sorted(target, key=lambda name: -max(target[name], *(of.get(name, 0.0) for of in amounts)))
        rows = [(name, [target[name], *(of.get(name) for of in amounts)]) for name in strongest]
        parts.append(_table("features", '<th scope="col">target</th>' + heads, [(n, [NOTHING if not v else rounded(v) for v in row]) for n, row in rows[:ROWS]]))
    if any(bundle.answers for bundle in bundles):
        rows = [(each[0].what, [rounded(answer.probability, ".0%") for answer in each]) for each in zip(*(bundle.answers for bundle in bundles))]
        parts.append(_table("probably", heads, rows))
        warned = dict.fromkeys(answer.warning for bundle in bundles for answer in bundle.answers if answer.warning)
        parts.append("".join(f'<p class="warning">Probes: {escape(warning)}.</p>' for warning in warned))
    return f'<div class="readings">{"".join(parts)}</div>'


def agreed(track: str, found: Sequence[Agreement]) -> str:
    """HTML: a row for every two outputs of a track."""
    heads, featured = ["percentile", "told by"], any(each.jaccard is not None for each in found)
    rows = [(" and ".join(each.modalities), [rounded(each.percentile, ".3f"), "a judge" if each.independent else "its own encoder"]) for each in found]
    if featured:
        heads.append("shared features")
        for each, (_, cells) in zip(found, rows):
            cells.append(NOTHING if each.jaccard is None else rounded(each.jaccard, ".0%"))
    head = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return f'<h3 class="{track}">{track}</h3>{_table("outputs", head, rows)}'


def _table(corner: str, heads: str, rows: Sequence[tuple[str, list[str]]]) -> str:
    lines = "".join(f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>' for name, cells in rows)
    return f'<table class="read"><thead><tr><td>{corner}</td>{heads}</tr></thead><tbody>{lines}</tbody></table>'
