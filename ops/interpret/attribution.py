"""Where in a medium an encoder finds something: attention rollout, gradient-weighted relevance, integrated gradients.

Rollout (Abnar & Zuidema 2020, arXiv 2005.00928) knows no question: it is one map a medium, where the encoder looked. The other
two answer for one concept or feature. Relevance (Chefer, Gur & Wolf 2021, arXiv 2103.15679) is one pass forward and back,
nonnegative, and adds up to nothing in particular. Integrated gradients (Sundararajan, Taly & Yan 2017, arXiv 1703.01365)
take a pass for each node, are signed, and add up to the difference between the medium and its baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..encoders.record import recorded
from ..grad import differentiable
from ..space import Modality
from .detector import Detector
from .seen import Seen

Kind = Literal["rollout", "relevance", "integrated gradients"]
NODES = 32
"""Of the Gauss-Legendre rule along the path."""
PLANES = 8
"""Pictures, or frames of clips, that pass the tower at once: those of one clip, so that a map of it needs no more memory than
a step of its rendering."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """One map, at the tower's patch grid, float32 on the CPU.

    values: [H, W] of a picture or a sound (mel from low to high, time), [T, H, W] of a clip.
    of: the name of the concept or feature; None for rollout, which is of no one.
    value: the detector's, of the medium; baseline: of the blurred medium that integrated gradients start from; both None for
        rollout, the latter for relevance too.
    residual: how far a map of integrated gradients is from adding up, |sum - (value - baseline)|, in shares of
        |value - baseline|; None for the others, which need not.
    active: whether the value is above the feature's threshold; None where there is none.
    """

    values: Tensor
    kind: Kind
    modality: Modality
    of: str | None = None
    value: float | None = None
    baseline: float | None = None
    residual: float | None = None
    active: bool | None = None


def rollout(seen: Seen) -> Attribution:
    """Where the class token's state comes from if attention is all that moves it: the same whatever is asked.

    Of clips, within each frame; attention over time is left out.
    """
    with differentiable(seen.tower), torch.no_grad(), recorded(seen.tower, attention=True) as record:
        seen.pooled(seen.patches)
        return _map(seen, rolled(record.attention)[:, 0, 1:], "rollout")


def relevance(seen: Seen, detectors: Sequence[Detector]) -> list[Attribution]:
    """Attention weighted by how much more of it would raise each detector's value. Of clips as `rollout`.

    SpaceMismatch for a detector of another space.
    """
    _require(seen, detectors)
    maps = []
    with differentiable(seen.tower), recorded(seen.tower, attention=True) as record:
        # attention needs a gradient, and no weight gives it one
        pooled = seen.pooled(seen.patches.clone().requires_grad_())
        for detector in detectors:
            value = detector(pooled, seen.modality)
            gradients = torch.autograd.grad(value.sum(), record.attention, retain_graph=True, materialize_grads=True)
            attention = [probabilities.detach() for probabilities in record.attention]
            maps.append(_map(seen, relevant(attention, gradients)[:, 0, 1:], "relevance", detector, value))
    return maps


def integrated_gradients(
    seen: Seen, detectors: Sequence[Detector], nodes: int = NODES, check: Callable[[], None] = lambda: None
) -> list[Attribution]:  # fmt: skip
    """(e - b) times the mean gradient of each detector on the straight path from b to e, summed over each patch's channels.

    e, b: the patch embeddings of the medium and of the blurred one. Where the patch embedding is linear, as LanguageBind's,
    the map is that of integrated gradients by pixels, summed over each patch. The pocket's stems are not, and by pixels their
    kinks leave a map incomplete at any affordable number of nodes.
    The mean is taken by the Gauss-Legendre rule with `nodes` nodes, from the same passes for all detectors.
    check: called before each pass; what it raises ends the map.
    SpaceMismatch for a detector of another space, ValueError for nodes < 1.
    """
    _require(seen, detectors)
    if nodes < 1:
        raise ValueError(f"nodes is {nodes}, expected at least 1")
    places, weights = np.polynomial.legendre.leggauss(nodes)
    with differentiable(seen.tower):
        start, end = seen.baseline, seen.patches
        frames, step = len(end), end - start
        path, share = (torch.from_numpy(x.astype(np.float32)).to(end.device) for x in (places / 2 + 0.5, weights / 2))
        maps = [torch.zeros_like(end[:, 0]) for _ in detectors]
        for part, weight in zip(path.split(max(1, PLANES // frames)), share.split(max(1, PLANES // frames))):
            check()
            points = (start + part.view(-1, 1, 1, 1, 1) * step).flatten(0, 1).requires_grad_()
            pooled = seen.pooled(points)
            for total, detector in zip(maps, detectors):
                value = (detector(pooled, seen.modality) * weight).sum()
                (gradient,) = torch.autograd.grad(value, points, retain_graph=True, materialize_grads=True)
                total += (gradient.unflatten(0, (-1, frames)).sum(0) * step).sum(1)
        with torch.no_grad():
            ends = seen.pooled(torch.cat([end, start]))
        return [_integrated(seen, detector, total, *detector(ends, seen.modality)) for total, detector in zip(maps, detectors)]


def rolled(attention: Sequence[Tensor]) -> Tensor:
    """[B, N, N], rows summing to 1, of each layer's probabilities [B, heads, N, N]: the product of (mean over heads + I) / 2."""
    joint = _identity(attention)
    for probabilities in attention:
        # residual connections carry half of each state past the attention
        joint = (probabilities.mean(1) @ joint + joint) / 2
    return joint


def relevant(attention: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """[B, N, N], nonnegative: R <- R + mean over heads of relu(gradient * A) @ R, layer by layer from R = I.

    attention, gradients: of each layer, [B, heads, N, N]. Rules 5 and 6 of Chefer et al. 2021.
    """
    joint = _identity(attention)
    for probabilities, gradient in zip(attention, gradients):
        joint = joint + (probabilities * gradient).relu().mean(1) @ joint
    return joint


def _identity(attention: Sequence[Tensor]) -> Tensor:
    return torch.eye(attention[0].shape[-1], device=attention[0].device, dtype=attention[0].dtype)[None]


def _require(seen: Seen, detectors: Sequence[Detector]) -> None:
    for detector in detectors:
        seen.space.require(detector.space)


def _integrated(seen: Seen, detector: Detector, cells: Tensor, value: Tensor, baseline: Tensor) -> Attribution:
    gap, whole = abs(float(cells.sum() - (value - baseline))), abs(float(value - baseline))
    return _map(seen, cells, "integrated gradients", detector, value, float(baseline), gap / whole if gap else 0.0)


def _map(
    seen: Seen, values: Tensor, kind: Kind, detector: Detector | None = None, value: Tensor | None = None, baseline: float | None = None,
    residual: float | None = None,
) -> Attribution:  # fmt: skip
    values = values.detach().float().reshape(-1, *seen.patches.shape[-2:]).cpu()
    if seen.modality != "video":
        values = values[0]
    if detector is None or value is None:
        return Attribution(values, kind, seen.modality)
    number = float(value.detach())
    active = None if detector.threshold is None else number > detector.threshold
    return Attribution(values, kind, seen.modality, detector.name, number, baseline, residual, active)
