"""A card as Markdown, for the README of a shared folder: the verdict first, then what it rests on."""

from __future__ import annotations

from ..markdown import escaped, table
from ..report_instruments import NOTHING, readings
from ..rounding import rounded
from .card import Card
from .edit import EditSuccess
from .intervals import FEWEST, LEVEL, Interval
from .judgement import Judgement
from .stability import Stability


def markdown(card: Card) -> str:
    """The card as a section that begins with a heading of the second level and ends in a newline."""
    parts = [f"## {escaped(card.expression)}: {card.modality}, {card.track}", f"**{card.verdict.word}**. {_sentence(card.verdict.rule)}"]
    if card.edit:
        parts += _edit(card.edit)
    if card.judgement.nearest:
        parts.append(f"Nearest to {'the target' if card.modality == 'text' else 'it'}, in the judge's eyes: " + ", ".join(map(escaped, card.judgement.nearest)) + ".")
    if card.agreement:
        head = ["outputs", "percentile", "rivals", "shared features", "of mismatched pairs", "told by"]
        rows = [
            [" and ".join(a.modalities), rounded(a.percentile, ".3f"), str(a.count), _percent(a.jaccard), _percent(a.mismatched_jaccard),
             "another encoder" if a.independent else "the encoder they were made with: consistency, not recognition"]
            for a in card.agreement
        ]  # fmt: skip
        parts += ["Whether the outputs belong together:", table(head, rows)]
    if card.stability:
        parts.append(stability_told(card.stability))
    if card.instruments:
        rows = [[name, value] for name, value in readings(card.instruments) if value != NOTHING]
        parts += ["Instruments of the run:", table(["reading", "value"], rows)]
        parts += ["\n".join(f"- {alarm}" for alarm in card.instruments.alarms)] if card.instruments.alarms else []
    return "\n\n".join([*parts, _footnote(card)]) + "\n"


def _edit(edit: EditSuccess) -> list[str]:
    parts = [f"The edit: **{edit.verdict.word}**. {_sentence(edit.verdict.rule)}"]
    if edit.changes:
        rows = [[escaped(c.word), c.role, rounded(100 * c.before, ".1f"), rounded(100 * c.after, ".1f"), rounded(100 * c.change, "+.1f")] for c in edit.changes]
        parts.append(table(["part", "should be", f"percentile in {escaped(edit.base)} ({edit.base_is})", "in this", "change"], rows))
        parts += [f"- left out: {escaped(part)}" for part in edit.left_out]
    return parts


def stability_told(found: Stability) -> str:
    """A sentence: how often it was recognised from other seeds too, and how alike every two outcomes are."""
    facts = []
    if found.percentiles:
        hits = round(found.recognised.estimate * found.seeds)
        values = ", ".join(rounded(p, ".3f") for p in found.percentiles)
        rate = f"{rounded(found.recognised.low, '.0%')} to {rounded(found.recognised.high, '.0%')}"
        facts.append(f"recognised {hits} times ({LEVEL:.0%} interval of the rate {rate})")
        few = f"; an interval needs {FEWEST} seeds" if found.seeds < FEWEST else ""
        facts.append(f"percentiles {values}" + (f", in all {_interval(found.percentile)}" if found.percentile else few))
    facts.append(f"every two of them alike with a mean cosine of {rounded(found.cosine)}, by the encoder they were made with")
    if found.overlap is not None:
        facts.append(f"rank-biased overlap of their ten strongest features {rounded(found.overlap)}")
    return f"Of {found.seeds} seeds: {'; '.join(facts)}."


def _footnote(card: Card) -> str:
    judgement: Judgement = card.judgement
    told = f"Seed {card.seed}. Made with `{card.made_with}`"
    if judgement.score:
        told += f"; judged by `{judgement.judge}`, z {rounded(judgement.score.z, '+.1f')}"
        told += f", bare cosine {rounded(judgement.score.cosine, '.3f')} (not comparable between encoders)"
    return f"<sub>{told}.</sub>"


def _interval(found: Interval) -> str:
    return f"{rounded(found.estimate, '.3f')} ({LEVEL:.0%} interval {rounded(found.low, '.3f')} to {rounded(found.high, '.3f')})"


def _percent(share: float | None) -> str:
    return NOTHING if share is None else rounded(share, ".0%")


def _sentence(rule: str) -> str:
    return f"{escaped(rule[:1].upper() + rule[1:])}."
