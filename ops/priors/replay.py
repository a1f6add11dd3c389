"""What a net that follows a single latent is shown besides it, so that it cannot learn that one by heart."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..space import Modality

REACH = 1 / 3
"""The share of the run that is remembered: what was further back was drawn by another picture, and a net that had to hold
that as well would lag behind the one there is."""


class Replay:
    """Latents of the past, up to `size` of them, evenly over the last third of `total` steps. size 0 keeps nothing.

    A batch of particles is kept and forgotten together.
    """

    def __init__(self, size: int, total: int):
        reach = int(REACH * total)
        self.every = max(1, -(-reach // max(1, size)))
        self.size = min(size, reach // self.every)
        self._kept: list[Tensor] = []

    def offer(self, z: Tensor, step: int) -> None:
        """Keep the latents [B, ...] of a step, if it is one to keep."""
        if self.size and step % self.every == 0:
            self._kept = [*self._kept, z.clone()][-self.size :]

    def mixed(self, z: Tensor, rng: torch.Generator) -> Tensor:
        """z [B, ...], with each of the batch, at even odds, replaced by any that was kept of any particle."""
        if not self._kept:
            return z
        past = torch.rand(len(z), generator=rng) < 0.5
        times = torch.randint(len(self._kept), (len(z),), generator=rng).tolist()
        rows = torch.randint(len(z), (len(z),), generator=rng).tolist()
        return torch.stack([self._kept[times[i]][rows[i]] if past[i] else z[i] for i in range(len(z))])

    def state_dict(self) -> dict[str, Any]:
        """The kept ones in one tensor, or nothing."""
        return {"replay": torch.stack(self._kept).cpu()} if self._kept else {}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Take over what `state_dict` gave, onto a device."""
        self._kept = list(state["replay"].to(device, copy=True)) if "replay" in state else []


def turned(z: Tensor, modality: Modality, rng: torch.Generator) -> Tensor:
    """Latents [B, C, ..., W], or frames first, each rolled along its last axis at random and, unless they are sounds, half of
    them mirrored there.

    The last axis is a picture's width, the same in all frames of a clip, or a sound's time, which has a direction. Up and
    down, and low and high, are never exchanged. Latents [B, N] have no such axis and stay as they are.
    """
    if z.dim() < 3:
        return z
    offsets = torch.randint(z.shape[-1], (len(z),), generator=rng).tolist()
    mirrored = (torch.rand(len(z), generator=rng) < 0.5).tolist()
    rolled = (x.roll(offset, -1) for x, offset in zip(z, offsets))
    return torch.stack([x.flip(-1) if flip and modality != "audio" else x for x, flip in zip(rolled, mirrored)])
