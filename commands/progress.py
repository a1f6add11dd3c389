"""Progress bars of commands, and above them a line for what is worth telling."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..ops.collection import Watch
    from ..ops.features.learn import Watch as Steps
    from ..ops.showcase import Watch as Renders


@contextmanager
def items(title: str, total: int) -> Iterator[Watch]:
    """A bar over items, and above it a line for each that was skipped."""
    from tqdm import tqdm

    def watch(done: int, total: int, problems: list[str]) -> None:
        for problem in problems:
            tqdm.write(f"concept-algebra: skipped: {problem}", file=sys.stderr)
        bar.update(done - bar.n)

    with tqdm(total=total, desc=title) as bar:
        yield watch


@contextmanager
def steps() -> Iterator[Steps]:
    """A bar for each training, with what is measured on the way, and a line with a clock for each stage after it."""
    from tqdm import tqdm

    bars: dict[str, tqdm] = {}

    def watch(stage, progress):
        if stage not in bars:
            for bar in bars.values():
                bar.close()
            if progress is None:
                bars[stage] = tqdm(desc=stage, bar_format="{desc}: {elapsed}")
            else:
                # one that is taken up again does not start at nothing
                bars[stage] = tqdm(total=progress.total, desc=stage, unit="step", initial=progress.index)
        bars[stage].update()
        if progress and progress.held_out:
            told = (f"{m}: L0 {f.l0:.0f}, FVU {f.fvu:.3f}, cosine {f.centred_cosine:.3f}" for m, f in progress.held_out.items())
            bars[stage].set_postfix_str("; ".join([f"dead {100 * progress.dead:.0f} %", *told]))

    try:
        yield watch
    finally:
        for bar in bars.values():
            bar.close()


@contextmanager
def renders(title: str) -> Iterator[Renders]:
    """A progress bar a render, one after the other, with the cosine and the words being read."""
    from tqdm import tqdm

    from ..ops.interpret.readout import spoken

    bars = []

    def watch(modality, track, step):
        if step.index == 0:
            bars.append(tqdm(total=step.total, desc=f"{title} | {modality} {track}", unit="step"))
        bars[-1].update()
        if step.reading:
            bars[-1].set_postfix_str(f"cosine {step.metrics['cosine']:.2f}, reads {spoken(step.reading[:3])}")
        if step.index == step.total - 1:
            bars[-1].close()

    try:
        yield watch
    finally:
        for bar in bars:
            bar.close()
