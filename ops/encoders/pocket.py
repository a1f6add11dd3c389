"""The pocket encoder: text, pictures, sounds and clips in one 768-dimension space, on weights that ship with the pack."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor, nn

from ..pocket.store import FOLDER, read
from ..space import Modality, Space, fingerprint
from ..weights import fill
from . import pocket_vision
from .pocket_audio import PocketAudio
from .pocket_text import PocketText
from .preprocessing import square
from .protocol import Embedding
from .tower import beside
from .vocabulary import vocabulary

FRAMES = 8


class PocketEncoder(nn.Module):
    """An `Encoder` (see protocol.py) made of four frozen towers."""

    modalities: frozenset[Modality] = frozenset({"text", "image", "audio", "video"})
    fingerprints: Mapping[Modality, str] = MappingProxyType({})

    def __init__(self, text: PocketText, image: nn.Module, audio: PocketAudio, video: nn.Module, space: Space):
        super().__init__()
        self.text_tower, self.image_tower, self.audio_tower, self.video_tower = text, image, audio, video
        self.space = space

    @property
    def towers(self) -> dict[Modality, nn.Module]:
        return {"text": self.text_tower, "image": self.image_tower, "audio": self.audio_tower, "video": self.video_tower}

    def text(self, texts: list[str]) -> Embedding:
        return self.text_tower(texts)

    def image(self, pixels: Tensor) -> Embedding:
        """Pixels [B, 3, H, W] in 0..1; the middle square is seen at 128 px."""
        if pixels.dim() != 4 or pixels.shape[1] != 3:
            raise ValueError(f"pixels have shape {tuple(pixels.shape)}, expected [B, 3, H, W]")
        x = pocket_vision.normalise(square(beside(self.image_tower, pixels), pocket_vision.SIZE))
        return Embedding(*self.image_tower(x), "image")

    def audio(self, wave: Tensor, rate: int) -> Embedding:
        return self.audio_tower(beside(self.audio_tower, wave), rate)

    def video(self, frames: Tensor, fps: float) -> Embedding:
        """Frames [B, T, 3, H, W] in 0..1, T >= 2. Eight are seen, evenly spread, whatever `fps` (LanguageBind's way)."""
        if frames.dim() != 5 or frames.shape[2] != 3 or frames.shape[1] < 2:
            raise ValueError(f"frames have shape {tuple(frames.shape)}, expected [B, T, 3, H, W] with T of 2 or more")
        b, count = frames.shape[:2]
        if count != FRAMES:
            chosen = [round(i * (count - 1) / (FRAMES - 1)) for i in range(FRAMES)]
            frames = frames[:, chosen]
        x = pocket_vision.normalise(square(beside(self.video_tower, frames.flatten(0, 1)), pocket_vision.SIZE))
        return Embedding(*self.video_tower(x), "video")


def load(device: str | torch.device = "cpu", folder: Path = FOLDER) -> PocketEncoder:
    """The shipped encoder. Raises WeightsError when a file is missing, damaged or does not fit."""
    text, metadata = read("text", folder)
    image, audio, temporal, clouds = (read(name, folder)[0] for name in ("image", "audio", "video", "space"))
    text_tower = PocketText.from_tensors(text, metadata).requires_grad_(False)
    image_tower = fill(pocket_vision.tower(), image, "image")
    # the clip tower is the picture tower with temporal attention: only that is stored
    video_tower = fill(pocket_vision.tower(FRAMES), {**image, **temporal}, "video")
    audio_tower = fill(PocketAudio(), audio, "audio")
    space = Space(
        id="pocket-" + fingerprint({f"{n}.{k}": v for n, part in (("text", text), ("image", image), ("audio", audio), ("video", temporal)) for k, v in part.items()}),
        dimension=768,
        means={k.removeprefix("mean."): v.float() for k, v in clouds.items() if k.startswith("mean.")},
        radii={k.removeprefix("radius."): float(v) for k, v in clouds.items() if k.startswith("radius.")},
        vocabulary=vocabulary(text_tower),
    )
    return PocketEncoder(text_tower, image_tower, audio_tower, video_tower, space).eval().to(device)
