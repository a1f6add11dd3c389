"""The generators that are known by name: what to download, where it is looked for, and the size that they render at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import torch

from ..runtime import tower_dtype
from ..space import Modality
from .diffusers_loading import lacking_sentencepiece
from .families import AUDIO_LDM2, LTX, SD3, SDXL, STABLE_AUDIO, SVD, Family
from .protocol import Generator

POCKET = "pocket"
LIBRARIES = ("diffusers", "transformers")
HUB = "https://huggingface.co/"


@dataclass(frozen=True)
class Known:
    """A generator of a family.

    module: of this package, whose `load(path, **size, device=, dtype=)` gives it. size: at which it renders here. source: where it
    can be had. folder: that it is looked for as, in the layout of the diffusers library, with the subfolders `parts`; file: a
    single one that does as well, if there is one, and is then preferred. fast: a tiny decoder's file, used where it lies beside them.
    """

    family: Family
    module: str
    size: Mapping[str, float]
    source: str
    parts: tuple[str, ...]
    file: str | None = None
    fast: str | None = None

    @property
    def folder(self) -> str:
        return self.source.rpartition("/")[2]


_SQUARE = {"width": 512, "height": 512}
_WRITTEN = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "language_model", "projection_model")
KNOWN = {
    known.family.name: known
    for known in (
        Known(
            SD3, "sd3", _SQUARE, "stabilityai/stable-diffusion-3.5-medium", ("transformer", "vae"),
            "sd3.5_medium.safetensors", "taesd3_decoder.safetensors",
        ),
        Known(
            SDXL, "sdxl", _SQUARE, "stabilityai/stable-diffusion-xl-base-1.0", ("unet", "vae"),
            "sd_xl_base_1.0.safetensors", "taesdxl_decoder.safetensors",
        ),
        Known(STABLE_AUDIO, "stable_audio", {"seconds": 10.0}, "stabilityai/stable-audio-open-1.0", ("transformer", "vae", "projection_model")),
        Known(AUDIO_LDM2, "audioldm2", {"seconds": 10.24}, "cvssp/audioldm2", ("unet", "vae", "vocoder", *_WRITTEN)),
        # whose text encoder says what no prompt is
        Known(LTX, "ltx_video", {"width": 512, "height": 320, "frames": 25}, "Lightricks/LTX-Video", ("transformer", "vae", "text_encoder", "tokenizer")),
        Known(SVD, "svd", {"width": 512, "height": 320, "frames": 14}, "stabilityai/stable-video-diffusion-img2vid", ("unet", "vae")),
    )  # fmt: skip
}


class MissingModels(ValueError):
    """What has to be fetched or installed before anything can start; `lines` has one for each thing."""

    def __init__(self, lines: Sequence[str]):
        super().__init__("; ".join(lines))
        self.lines = tuple(lines)


def chosen(names: Iterable[str]) -> dict[Modality, str]:
    """The generator of each medium, by name; the pocket's, if it is among them, of those that no other makes.

    ValueError for a name that is not known, and for two generators of one medium.
    """
    found: dict[Modality, str] = {}
    names = list(names)
    for name in names:
        if name != POCKET and name not in KNOWN:
            raise ValueError(f"no generator '{name}', expected some of {', '.join(sorted([POCKET, *KNOWN]))}")
        if name != POCKET:
            medium = KNOWN[name].family.modality
            if found.setdefault(medium, name) != name:
                raise ValueError(f"{found[medium]} and {name} both make {medium}: name one of them")
    if POCKET in names:
        found = {medium: found.get(medium, POCKET) for medium in ("image", "audio", "video")}
    return found


def missing(names: Iterable[str], folder: Path) -> list[str]:
    """What is not there of what generators need, a sentence each: the models in `folder`, and the libraries that read them."""
    wanted = [KNOWN[name] for name in names if name != POCKET]
    told = []
    if wanted and (lacking := [name for name in LIBRARIES if find_spec(name) is None]):
        told.append(f"{' and '.join(lacking)}: pip install {' '.join(lacking)}")
    places = [folder / known.folder for known in wanted]
    if any(lacking_sentencepiece(part) for place in places if place.is_dir() for part in place.iterdir()):
        told.append("sentencepiece: pip install sentencepiece")
    for known in wanted:
        if _found(known, folder) is None:
            lacking = [part for part in known.parts if not (folder / known.folder / part).is_dir()]
            whole = f"the folders {', '.join(known.parts)} of {HUB}{known.source} into {folder / known.folder}"
            short = f"{known.file} from {HUB}{known.source} into {folder}, or " if known.file else ""
            if (folder / known.folder).is_dir():
                whole = f"what {folder / known.folder} lacks, {', '.join(lacking)}, from {HUB}{known.source}"
            told.append(f"{known.family.name}, {known.family.title}: download {short}{whole}")
    return told


def load(name: str, folder: Path, device: torch.device) -> Generator:
    """A generator at its usual size, from `folder`. MissingModels as in `missing`, and what its module raises."""
    if lines := missing([name], folder):
        raise MissingModels(lines)
    known = KNOWN[name]
    more = {"fast": folder / known.fast} if known.fast and (folder / known.fast).is_file() else {}
    return import_module(f"{__package__}.{known.module}").load(_found(known, folder), **known.size, **more, device=device, dtype=tower_dtype(device))


def _found(known: Known, folder: Path) -> Path | None:
    if known.file and (folder / known.file).is_file():
        return folder / known.file
    place = folder / known.folder
    return place if all((place / part).is_dir() for part in known.parts) else None
