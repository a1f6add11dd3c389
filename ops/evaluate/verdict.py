"""The words of a card and the thresholds behind them, each with its rule in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ..rounding import rounded
from .score import Score

Word = Literal["recognised", "partly", "not recognised", "not judged", "succeeded", "failed"]
WORDS: tuple[Word, ...] = get_args(Word)
PARTLY = 0.95
"""Percentile from which a target is recognised in part: chance reaches it once in twenty."""
KEPT = 0.05
"""How far the percentile of what an edit should keep may fall."""
SHOWN = 0.5
"""Percentile under which something was not there to be removed: half the distractors are nearer."""


@dataclass(frozen=True)
class Verdict:
    """word: what a reader wants to know. rule: the sentence that gave it, with its numbers."""

    word: Word
    rule: str


@dataclass(frozen=True)
class Change:
    """What an edit did to one of its words, in percentiles among the distractors: before in the base, after in the whole."""

    role: Literal["kept", "added", "removed"]
    word: str
    before: float
    after: float

    @property
    def change(self) -> float:
        """-1..1; of a removed word it should be negative, of an added one positive."""
        return self.after - self.before

    @property
    def succeeded(self) -> bool:
        """Whether a removed word went down or was never there, an added one came up or stands at the top, a kept one stayed."""
        if self.role == "removed":
            return self.change < 0 or max(self.before, self.after) < SHOWN
        if self.role == "added":
            return self.change > 0 or min(self.before, self.after) >= PARTLY
        return self.change > -KEPT


def recognition(found: Score, what: str = "the target") -> Verdict:
    """Whether a judge knows the target in a medium, or what it puts among rivals, be it something else."""
    place = f"the judge put {what} at place {found.above + 1} among {found.count + 1} (percentile {rounded(found.percentile, '.3f')})"
    if found.top5:
        return Verdict("recognised", f"{place}: among the first five, which chance reaches {5 / (found.count + 1):.1%} of the time")
    if found.percentile >= PARTLY:
        return Verdict("partly", f"{place}: not among the first five, but in the top {1 - PARTLY:.0%}")
    return Verdict("not recognised", f"{place}: below the top {1 - PARTLY:.0%}")


def not_judged(why: str, how: str) -> Verdict:
    """why there is no number, and how to get one."""
    return Verdict("not judged", f"{why}; {how}")


def edited(changes: Sequence[Change]) -> Verdict:
    """Whether an edit did what its signs say. ValueError for no changes."""
    if not changes:
        raise ValueError("there are no changes to judge, expected one or more")
    well = [change for change in changes if change.succeeded]
    rule = f"a removed word's percentile has to fall, an added one's to rise, a kept one's may fall by less than {100 * KEPT:.0f} points"
    failed = ", ".join(f"{change.word} ({change.role}, {rounded(100 * change.change, '+.1f')})" for change in changes if not change.succeeded)
    if not failed:
        return Verdict("succeeded", f"{rule}: all {len(well)} did")
    # what stays as it was is no edit, so the words it was made for decide
    wanted = [change for change in well if change.role != "kept"]
    return Verdict("partly" if wanted else "failed", f"{rule}: {failed} did not")
