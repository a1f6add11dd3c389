"""What a render on the large generators holds in memory, phase by phase: `concept-algebra bench memory`.

Counted at full size, on meta tensors, through the code that renders: Stable Diffusion 3.5 Medium at 512 px, ten seconds of Stable
Audio Open, LTX-Video 2B 0.9.0 at 512 x 320 x 25 frames, the networks in half precision and their autoencoders in single; LanguageBind's
ViT-L/14 towers in half precision. In GB of 10^9 bytes: `weights` that are in memory, what a step `keeps` between forward and
backward and its `peak`, both beside the weights, and `total`, weights and peak. Memory is taken to be one for CPU and GPU, as on
Apple silicon: what waits on the CPU counts; and attention to be written out where there is a gradient, as it is there.

`one_image_gb`: the most that a picture takes, with the text and the picture tower. `full_run_gb`: of a showcase in all modalities on
both tracks, with all four towers throughout and one generator at a time. `per_phase`: every total. Libraries (0.5 to 1 GB) and what
an allocator holds back come on top. Without `--quick`, also LTX-Video 0.9.5, whose autoencoder is three times as large; and Stable
Diffusion 3.5 Medium and the picture tower are filled with random weights and run here (10 GB and many minutes): the process's own
peak beside the count.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from ..ops.generators.protocol import Generator
from . import memory_measured, memory_published
from .memory_meter import resident
from .memory_phases import Taken, phases, read

PHRASES = 256
"""Of the vocabulary, in one batch."""
Row = tuple[str, float, float, float, float]


def run(quick: bool) -> tuple[list[tuple], dict]:
    encoder = memory_published.encoder()
    towers = {name: resident([tower]) for name, tower in encoder.towers.items()}
    alone, together = towers["text"] + towers["image"], sum(towers.values())
    picture = [row("image: read the target", alone, read(encoder, PHRASES)), *counted("image", memory_published.sd35(), encoder, alone)]
    words = resident([memory_published.t5()])
    everything = [(name, weights + gigabytes(together - alone), *rest[:-1], rest[-1] + gigabytes(together - alone)) for name, weights, *rest in picture]
    everything += counted("audio", memory_published.sound(), encoder, together)
    everything.append(row("video: the empty text", together, Taken(0, words)))
    everything += counted("video", memory_published.clip({}), encoder, together)
    figures = {
        "one_image_gb": most(picture),
        "full_run_gb": most(everything),
        "per_phase": {"one image": totals(picture), "full run": totals(everything)},
    }
    rows: list[tuple] = [("phase", "weights", "keeps", "peak", "total")]
    rows += [("one image", "", "", "", ""), *map(shown, picture), ("full run", "", "", "", ""), *map(shown, everything)]
    if not quick:
        later = counted("video", memory_published.clip(memory_published.LTX_095_VAE), encoder, together)
        rows += [("LTX-Video 0.9.5", "", "", "", ""), *map(shown, later)]
        figures["full_run_ltx_095_gb"] = most(everything + later)
        told, figures["measured"] = memory_measured.measured()
        rows += told
    return rows, figures


def counted(medium: str, generator: Generator, encoder: nn.Module, towers: int) -> list[Row]:
    """A row for each phase; towers: bytes of those in memory."""
    weights = towers + resident([generator])
    return [row(f"{medium}: {name}", weights, count()) for name, count in phases(generator, encoder).items()]


def row(name: str, weights: int, taken: Taken) -> Row:
    return name, gigabytes(weights), gigabytes(taken.held), gigabytes(taken.peak), gigabytes(weights + taken.peak)


def shown(entry: Row) -> tuple[str, ...]:
    name, *numbers = entry
    return name, *(f"{number:.2f}" for number in numbers)


def totals(rows: list[Row]) -> Mapping[str, float]:
    return {name: round(total, 2) for name, *_, total in rows}


def most(rows: list[Row]) -> float:
    return round(max(total for *_, total in rows), 2)


def gigabytes(count: int) -> float:
    return count / 1e9
