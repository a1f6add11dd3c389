"""LanguageBind: text, pictures, sounds and clips in one space, by towers of our own.

Architecture and names: Zhu et al. 2023 (arXiv 2310.01852) and the published checkpoints. The same function as the
original code, checked against its numbers (benchmarks/data/languagebind), without what was random in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from ..space import Modality, Space
from . import languagebind_media as media
from .clip_tokenizer import ClipTokenizer
from .protocol import Embedding
from .text_tower import UnreadableText, checked
from .tower import VisionTower, beside

REPOSITORIES: dict[Modality, str] = {
    "text": "LanguageBind/LanguageBind_Image",
    "image": "LanguageBind/LanguageBind_Image",
    "audio": "LanguageBind/LanguageBind_Audio_FT",
    "video": "LanguageBind/LanguageBind_Video_FT",
}
"""Where each tower can be had, on Hugging Face. The text tower is in all of them."""


class LanguageBind(nn.Module):
    """An `Encoder` (see protocol.py) made of frozen LanguageBind towers.

    towers: by modality, those that are there; a host may move each to a device by itself. `drop` lets one go.
    fingerprints: of the towers' weights, where they are known.
    """

    def __init__(
        self,
        towers: Mapping[Modality, nn.Module],
        settings: Mapping[Modality, Mapping[str, Any]],
        tokenizer: ClipTokenizer,
        space: Space,
        fingerprints: Mapping[Modality, str] = MappingProxyType({}),
    ):
        super().__init__()
        self.fingerprints = fingerprints
        self.towers = nn.ModuleDict(towers)
        self.settings = settings
        self.tokenizer = tokenizer
        self.space = space

    @property
    def modalities(self) -> frozenset[Modality]:
        return frozenset(self.towers)

    def drop(self, modality: Modality) -> None:
        """Let a tower go: its memory is freed, and what needs it says so. Text is needed no longer once concepts and
        vocabulary are embedded."""
        self._tower(modality)
        del self.towers[modality]

    def text(self, texts: list[str]) -> Embedding:
        """Embed B phrases (see `TextTower.embed`); at most 75 tokens of each are read.

        Raises UnreadableText for a text without any token, ValueError for a bare string or no text at all.
        """
        tower, rows = self._tower("text"), []
        for text in checked(texts):
            row = self.tokenizer.encode(text, tower.text_model.embeddings.position_embedding.num_embeddings)
            # an end token written out in the text ends it, as in the original, which pools at the first
            row = row[: row.index(self.tokenizer.end) + 1]
            if len(row) < 3:
                raise UnreadableText(f"text {text[:60]!r} has no word: write at least one letter, digit or sign")
            rows.append(row)
        return tower.embed(rows)

    def image(self, pixels: Tensor) -> Embedding:
        """Pixels [B, 3, H, W] in 0..1; the middle square is seen, at 224 px for the published towers."""
        tower = self._tower("image")
        return self._seen(tower, media.pixels(beside(tower, pixels), _side(tower)), "image")

    def audio(self, wave: Tensor, rate: int) -> Embedding:
        """Wave [B, C, T] in -1..1 at `rate` Hz; ten seconds are heard, shorter sounds repeated, of longer ones three parts.

        Channels are mixed down first. The original hears the first one alone, which would leave the others of a render
        without a gradient; of one channel both make the same.
        """
        tower, made = self._tower("audio"), self.settings["audio"]
        if wave.dim() == 3 and wave.shape[1]:
            wave = wave.mean(1, keepdim=True)
        heard = media.spectrogram(beside(tower, wave), rate, made["bins"], made["frames"], made["mean"], made["deviation"])
        return self._seen(tower, heard, "audio")

    def video(self, frames: Tensor, fps: float) -> Embedding:
        """Frames [B, T, 3, H, W] in 0..1. Eight are seen, evenly spread, whatever `fps`."""
        tower = self._tower("video")
        if frames.dim() == 5 and frames.shape[1]:  # what is not seen need not go to the device
            frames = frames[:, media.frame_indices(frames.shape[1], tower.frames)]
        chosen = media.frames(beside(tower, frames), tower.frames, _side(tower))
        return self._seen(tower, chosen.flatten(0, 1), "video")

    def _seen(self, tower: VisionTower, x: Tensor, modality: Modality) -> Embedding:
        return Embedding(*tower(x.to(tower.visual_projection.weight.dtype)), modality)

    def _tower(self, modality: Modality) -> nn.Module:
        if modality not in self.towers:
            there = ", ".join(sorted(self.towers)) or "none"
            raise ValueError(
                f"this encoder has no {modality} tower (it has: {there}); load the file again if it was dropped, or add "
                f"{REPOSITORIES[modality]} to the folders of `concept-algebra convert languagebind`"
            )
        return self.towers[modality]


def _side(tower: VisionTower) -> int:
    embeddings = tower.vision_model.embeddings
    return embeddings.grid[0] * embeddings.patch_embedding.stride[0]
