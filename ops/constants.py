"""Arrays that a formula gives once and a hot path multiplies with at every step."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor


def constant(like: Tensor, make: Callable[..., np.ndarray], *arguments: int) -> Tensor:
    """make(*arguments) as a tensor of the dtype and device of `like`, made at the first use and kept."""
    return _resident(make, arguments, like.dtype, like.device)


@lru_cache(maxsize=64)
def _resident(make: Callable[..., np.ndarray], arguments: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    # numpy casts, so that no float64 tensor ever exists; a constant made under inference mode could not serve a
    # later backward pass, so inference mode is left while it is made.
    array = make(*arguments)
    if dtype != torch.float64:
        array = array.astype(np.float32)
    with torch.inference_mode(False):
        return torch.from_numpy(array).to(device=device, dtype=dtype)
