"""Where a run computes and where its random numbers come from."""

from __future__ import annotations

import gc
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GRADIENTS_AGREE = 0.999
"""`gradient_self_test` below this means that a device's gradients cannot be trusted."""


def pick_device(name: str | None = None) -> torch.device:
    """The named device (`mps`, `cuda`, `cuda:1`, `cpu`); without a name the first of cuda, mps and cpu that is there.

    Raises ValueError for a device that is unknown or not there.
    """
    there = ["cpu"]
    if torch.backends.mps.is_available():
        there.insert(0, "mps")
    if torch.cuda.is_available():
        there[:0] = ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if name is not None and name not in there:
        raise ValueError(f"device '{name}' is not available here, expected one of {', '.join(there)}")
    return torch.device(name or there[0])


def rng(seed: int) -> torch.Generator:
    """A CPU generator for one run, whatever its device, so that a seed means the same everywhere.

    Raises ValueError unless 0 <= seed < 2**64.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**64:
        raise ValueError(f"seed is {seed!r}, expected a whole number from 0 to 2**64 - 1")
    return torch.Generator("cpu").manual_seed(seed)


def tower_dtype(device: torch.device | str) -> torch.dtype:
    """What a large tower computes in on a device: bfloat16, but on the CPU float32, where half precision is slow on most."""
    return torch.float32 if torch.device(device).type == "cpu" else torch.bfloat16


def keep_on(device: torch.device, towers: Mapping[str, nn.Module], wanted: Collection[str]) -> None:
    """Leave only the wanted ones of an encoder's towers on the device; the others wait in the CPU's memory."""
    for name, tower in sorted(towers.items(), key=lambda item: item[0] in wanted):
        # those that leave make room for those that come
        tower.to(device if name in wanted else "cpu")


def full_precision(device: torch.device) -> AbstractContextManager:
    """Within it no autocast is on, for what half precision would lose."""
    # not every device knows autocast: meta tensors, on which memory is counted, refuse it
    known = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if known else nullcontext()


def let_go(device: torch.device) -> None:
    """Give back to the system what nothing refers to any more, on the device and, where the two share it, to the CPU."""
    gc.collect()  # what a run has made may refer to itself in a circle
    if device.type in ("cuda", "mps"):
        getattr(torch, device.type).empty_cache()


def gradient_self_test(device: torch.device | str) -> float:
    """How well gradients on a device agree with the CPU's: 1 when they are equal, lower when any is off.

    A small net of the operators that rendering goes back through (convolution, area and bilinear resizing, attention,
    layer and group norm, GELU, SiLU) is differentiated on both. Of each gradient a and its reference b
    2 <a, b> / (|a|^2 + |b|^2) is taken: the cosine, and lower where lengths differ. The worst is returned; one that is
    not finite counts as -1.
    """
    ours, reference = _gradients(torch.device(device)), _gradients(torch.device("cpu"))
    return min(_agreement(a, b) for a, b in zip(ours, reference))


def _agreement(a: Tensor, b: Tensor) -> float:
    if not torch.isfinite(a).all():
        return -1.0
    return float(2 * (a * b).sum() / (a.square().sum() + b.square().sum()))


def _gradients(device: torch.device) -> list[Tensor]:
    source = rng(0)

    def parameter(*shape: int) -> Tensor:
        return (torch.randn(shape, generator=source) / shape[-1] ** 0.5).to(device).requires_grad_()

    pixels, kernel, back = parameter(2, 3, 24, 24), parameter(16, 3, 3, 3), parameter(16, 8, 4, 4)
    query, key, value, out = (parameter(16, 16) for _ in range(4))
    gain, offset = parameter(16), parameter(16)
    x = F.interpolate(pixels, size=(16, 16), mode="area")
    x = F.group_norm(F.silu(F.conv2d(x, kernel, stride=2, padding=1)), 4)
    tokens = F.layer_norm(x.flatten(2).transpose(1, 2), (16,), gain, offset)
    heads = ((tokens @ w).unflatten(2, (2, 8)).transpose(1, 2) for w in (query, key, value))
    tokens = tokens + F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2) @ out
    x = F.conv_transpose2d(F.gelu(tokens).transpose(1, 2).unflatten(2, (8, 8)), back, stride=2, padding=1)
    x = F.normalize(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False), dim=1)
    loss = (x * torch.randn(x.shape, generator=source).to(device)).sum()
    leaves = [pixels, kernel, back, query, key, value, out, gain, offset]
    return [gradient.cpu() for gradient in torch.autograd.grad(loss, leaves)]
