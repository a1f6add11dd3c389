"""What has to be where while a showcase is at work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

import torch

from .encoders.protocol import Encoder
from .runtime import keep_on, let_go
from .space import Modality

Part = Literal["drawing", "reading", "judging"]
AtWork = Callable[[Part, Modality | None], AbstractContextManager[None]]
"""Given what is about to be done and of which modality, a context within which all that it takes is where it can work: to draw, the
encoder's tower and the generator; to read, the tower; to judge, which is of all modalities at once (None), the judges."""


def alone_on(device: torch.device, encoder: Encoder) -> AtWork:
    """Of the encoder's towers only the one at work is on the device; what drew is let go; judges stay where they are."""

    @contextmanager
    def at_work(part: Part, modality: Modality | None) -> Iterator[None]:
        if modality is not None:
            keep_on(device, encoder.towers, {modality})
        yield
        if part == "drawing":
            let_go(device)

    return at_work
