"""Whether the patches that a map puts first are those that the encoder needs: insertion and deletion curves.

Petsiuk, Das & Saenko 2018, "RISE" (arXiv 1806.07421). What is taken away, or not yet there, is blurred and not black, and sharp
goes over into blurred from one patch's middle to the next: a hole with edges is something to see itself (see ATTRIBUTION.md).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..ops.interpret.attribution import Attribution
from ..ops.interpret.detector import Detector
from ..ops.interpret.seen import Seen

STEPS = 8
"""Parts in which a medium is taken away or put in."""
ORDERS = 4
"""Random orders that a map is compared with."""


def gains(seen: Seen, detector: Detector, maps: list[Attribution], rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """(insertion [M], deletion [M]): how much better each map's order of patches is than random ones, in the detector's units.

    Insertion: the area under the value while patches come in, strongest first, less that of random orders. Deletion: the area of
    random orders less the map's, while they go. Over shares 0..1 of the patches, so that an area is a mean value.
    """
    count = maps[0].values.numel()
    strongest = [one.values.flatten().argsort(descending=True) for one in maps]
    drawn = [torch.randperm(count, generator=rng) for _ in range(ORDERS)]
    # to take patches away in one order is to put them in by the reverse: random orders need be walked but once
    areas = inserted(seen, detector, torch.stack([*strongest, *(order.flip(0) for order in strongest), *drawn]))
    insertion, deletion, random = areas.split([len(maps), len(maps), ORDERS])
    return insertion - random.mean(), random.mean() - deletion


@torch.no_grad()
def inserted(seen: Seen, detector: Detector, orders: Tensor) -> Tensor:
    """[M]: the area under the detector's value as the patches of a blurred medium become sharp, by each order [M, N] of them."""
    count, shares = orders.shape[1], torch.linspace(0, 1, STEPS + 1)
    # every order begins with nothing sharp and ends with all
    first, last = _values(seen, detector, torch.arange(2).bool()[:, None].expand(2, count))
    sharp = orders.argsort(1)[:, None] < shares[1:-1, None] * count
    inner = torch.cat([_values(seen, detector, part) for part in sharp.flatten(0, 1).split(max(1, 32 // len(seen.x)))])
    values = torch.cat([first.expand(len(orders), 1), inner.view(len(orders), -1), last.expand(len(orders), 1)], 1)
    return torch.trapezoid(values, shares)


def _values(seen: Seen, detector: Detector, sharp: Tensor) -> Tensor:
    """[K] of media with the patches [K, N] sharp and the others blurred."""
    share = sharp.float().view(-1, 1, *seen.patches.shape[-2:])
    share = interpolate(share, seen.x.shape[-2:], mode="bilinear", align_corners=False).view(-1, *seen.x[:, :1].shape)
    mixed = (seen.blurred + share.to(seen.x.device) * (seen.x - seen.blurred)).flatten(0, 1)
    return detector(seen.pooled(seen.embedded(mixed)), seen.modality).cpu()
