"""A joint embedding space: its identity and, per modality, where its cloud lies."""

from __future__ import annotations

from typing import Literal

Modality = Literal["text", "image", "audio", "video"]
