"""The encoders, by name or file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from .protocol import Encoder

POCKET = "pocket"


def load(path: str | os.PathLike, device: str | torch.device = "cpu") -> Encoder:
    """The encoder of that name. ValueError for an unknown one."""
    if os.fspath(path) != POCKET:
        raise ValueError(f"no encoder '{path}': expected {POCKET}")
    from .pocket import load as load_pocket

    return load_pocket(device)
