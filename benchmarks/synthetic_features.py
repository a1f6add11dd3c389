"""Vectors made of known features in a hierarchy, to see which a dictionary finds.

A parent such as `animal` is there with one of its children such as `dog`, or now and then alone; private features belong to
no one. A dictionary that only wants few nonzeros gains by melting parent and child into one atom; one whose prefixes have to
do without the children keeps the parent apart. Such data are known from Chanin et al. 2024, "A is for Absorption"
(arXiv 2409.14507), and Bussmann et al. 2025 (arXiv 2503.17547).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """x: [N, D], mean zero and unit mean squared length. parents [P, D], children [P, C, D], private [F, D]: unit rows.
    present: [N, P] bool, which parents each vector has."""

    x: Tensor
    parents: Tensor
    children: Tensor
    private: Tensor
    present: Tensor


def hierarchy(parents: int, children: int, private: int, dimension: int, count: int, seed: int = 0) -> Hierarchy:
    """Vectors with 2 parents and 2 private features on average.

    A present parent is alone with probability .15, else with one child, drawn evenly. Strengths are uniform in 0.7..1.3; an
    isotropic Gaussian part of length .5 is added to the features, which are 1 long.
    """
    rng = torch.Generator().manual_seed(seed)
    directions = normalize(torch.randn(parents * (1 + children) + private, dimension, generator=rng), dim=1)
    present = torch.rand(count, parents, generator=rng) < 2 / parents
    which = torch.randint(children, (count, parents), generator=rng)
    with_child = present & (torch.rand(count, parents, generator=rng) >= 0.15)
    born = one_hot(which, children).bool() & with_child[..., None]
    own = torch.rand(count, private, generator=rng) < 2 / private
    active = torch.cat([present, born.flatten(1), own], dim=1)
    x = (active * (0.7 + 0.6 * torch.rand(active.shape, generator=rng))) @ directions
    x = x + 0.5 * torch.randn(x.shape, generator=rng) / dimension**0.5
    x = x - x.mean(0)
    parts = directions.split([parents, parents * children, private])
    return Hierarchy(x / x.square().sum(1).mean().sqrt(), parts[0], parts[1].view(parents, children, dimension), parts[2], present)


def found(directions: Tensor, atoms: Tensor) -> Tensor:
    """[...] bool: whether some unit atom [m, D] has a cosine above .8 with each direction [..., D]."""
    return (directions @ atoms.T).amax(-1) > 0.8


def fires_with(directions: Tensor, present: Tensor, atoms: Tensor, code: Tensor) -> Tensor:
    """[P]: how well the atom nearest each direction [P, D] tells by its code [N, m] > 0 where the feature is present [N, P],
    as F1 score. A parent absorbed by its children has a recall, and so a score, far below 1."""
    fires = code[:, (directions @ atoms.T).argmax(1)] > 0
    return 2 * (fires & present).sum(0) / (fires.sum(0) + present.sum(0))


def recovered(made: Hierarchy, atoms: Tensor, code: Tensor) -> float:
    """Share of parents, 0..1, whose direction is `found` and whose atom `fires_with` them at F1 above .8: the codes [N, m] are
    of `made.x`."""
    return float((found(made.parents, atoms) & (fires_with(made.parents, made.present, atoms, code) > 0.8)).float().mean())
