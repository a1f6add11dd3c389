"""Whether words that lie near to every picture of a judge bend its percentiles, and whether that can be taken off: `concept-algebra bench hubs`.

The 800 held-out pictures by their true names against 600 of the judge encoder's other phrases, as the judge has it, and with the
mean of a null taken off the picture: of the other pictures (which no run has), of as many outputs as a run has, and of pictures drawn here.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..ops.evaluate.score import Score, score
from .evaluation import held_out
from .legibility_judge import judge_encoder

RIVALS, DRAWN = 600, 128
BARE = "as it is"


@torch.no_grad()
def run(quick: bool) -> tuple[list[tuple[str, ...]], dict[str, float]]:
    """A table (null, mean percentile, top 5, its change with a 95 % interval, spread of words) and the figures; `quick` takes every fourth
    picture."""
    encoder, known, rng = judge_encoder(), held_out(), torch.Generator().manual_seed(0)
    row = {phrase: i for i, phrase in enumerate(encoder.phrases)}
    words, truth = encoder.text(encoder.phrases).pooled, [row[name] for name in known.names[:: 4 if quick else 1]]
    seen = _embedded(known.pixels[:: 4 if quick else 1].float() / 255)
    nulls = {BARE: torch.zeros_like(seen), "mean of the other pictures": (seen.sum(0) - seen) / (len(seen) - 1)}
    for count in (1, 7):
        others = [torch.cat([seen[:i], seen[i + 1 :]])[torch.randperm(len(seen) - 1, generator=rng)[:count]].mean(0) for i in range(len(seen))]
        nulls[f"mean of {count} other" + "s" * (count > 1)] = torch.stack(others)
    nulls["mean of drawn shapes"] = _embedded(shapes(DRAWN, rng)).mean(0)
    nulls["mean of smooth noise"] = _embedded(interpolate(torch.rand(DRAWN, 3, 6, 6, generator=rng), (64, 64), mode="bilinear")).mean(0)
    rows, figures, bare = [("null", "percentile", "top 5", "change (95 %)", "spread of words")], {}, None
    for name, null in nulls.items():
        cosines = (seen - null) @ words.T
        scores = ranked(cosines, truth)
        hits = torch.tensor([float(found.top5) for found in scores])
        bare = hits if bare is None else bare
        change, error = float((hits - bare).mean()), float((hits - bare).std() / len(hits) ** 0.5)
        key = name.replace(" ", "_")
        figures |= {f"top5_{key}": float(hits.mean()), f"spread_{key}": spread(cosines)}
        percentile = sum(found.percentile for found in scores) / len(scores)
        told = f"{change:+.3f} ({change - 1.96 * error:+.3f} to {change + 1.96 * error:+.3f})"
        rows.append((name, f"{percentile:.3f}", f"{float(hits.mean()):.3f}", told, f"{figures[f'spread_{key}']:.3f}"))
    return rows, figures


def ranked(cosines: Tensor, truth: list[int]) -> list[Score]:
    """The score of each picture's true word [N] by cosines [N, V], among `RIVALS` of the other words, the same whatever the null."""
    rng = torch.Generator().manual_seed(1)
    found = []
    for own, target in zip(cosines, truth):
        drawn = torch.randperm(len(own), generator=rng)
        found.append(score(own[target], own[drawn[drawn != target][:RIVALS]]))
    return found


def spread(cosines: Tensor) -> float:
    """The standard deviation, over words, of a word's mean percentile over all pictures: 0 where no word is near to all of them."""
    places = (cosines.argsort(1).argsort(1) + 0.5) / cosines.shape[1]
    return float(places.mean(0).std())


def shapes(count: int, rng: torch.Generator) -> Tensor:
    """[count, 3, 64, 64]: one to four ellipses or boxes of plain colours on white each."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    made = torch.ones(count, 3, 64, 64)
    for picture in made:
        for _ in range(int(torch.randint(1, 5, (), generator=rng))):
            (left, top), (wide, high), box, colour = (torch.rand(n, generator=rng) for n in (2, 2, 1, 3))
            u, v = (x - 1.2 * left + 0.6) / (0.15 + 0.5 * wide), (y - 1.2 * top + 0.6) / (0.15 + 0.5 * high)
            inside = torch.maximum(u.abs(), v.abs()) < 1 if box < 0.5 else u.square() + v.square() < 1
            picture[:, inside] = colour[:, None]
    return made


def _embedded(pixels: Tensor) -> Tensor:
    return torch.cat([judge_encoder().image(part).pooled for part in pixels.split(64)])
