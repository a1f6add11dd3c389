"""What a LanguageBind checkpoint consists of: a text tower and a media tower, each with the few facts its tensors do not tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any

from torch import Tensor

from ..space import Modality
from ..weights import WeightsError
from .checkpoint import ALPHA, plain, read

HEADS = {768: 12, 1024: 16, 1280: 16}
"""By width, where no configuration says (ViT-L/14 text and media towers; ViT-H/14's media tower)."""
MEAN, DEVIATION, FRAMES = -4.2677393, 4.5689974, 1036
"""Of the filter bank over the training sounds, and how many of its frames one window has: 166,000 samples at 16 kHz, 10.375
s. From the published configurations."""
EPSILON = 1e-5
POSITIONS = "vision_model.embeddings.position_embedding.weight"
KERNEL = "vision_model.embeddings.patch_embedding.weight"


@dataclass(frozen=True)
class Part:
    """One tower: its weights under CLIP's names, and its settings.

    settings: heads (int), activation (its published name), epsilon (of its layer norms) and, for sound, bins, frames (of the
    log-mel), mean, deviation.
    """

    tensors: dict[str, Tensor]
    settings: dict[str, Any]


def parts(source: Path) -> dict[Modality, Part]:
    """The text tower and the media tower of a checkpoint: a Hugging Face folder, a .bin or a .safetensors file.

    Which media tower it is, its grid and its sizes are read off the tensors; heads, activation, LoRA's alpha and the
    normalisation of sound from the configuration, where there is one.
    Raises WeightsError, naming the source and the key.
    """
    stored, configuration = read(source)
    kind = str(configuration.get("model_type", ""))
    if kind.lower().endswith(("depth", "thermal")):
        raise WeightsError(f"{source} is a {kind} checkpoint: expected LanguageBind's image, audio or video")
    # the published Huge keeps its values here, and the original code lets them win
    vision = configuration.get("vision_config_dict") or configuration.get("vision_config") or {}
    text = configuration.get("text_config_dict") or configuration.get("text_config") or {}
    if not isinstance(vision, dict) or not isinstance(text, dict):
        raise WeightsError(f"{source}: the configuration's text_config or vision_config is not an object")
    try:
        weights = plain(stored, _number(vision, "lora_alpha", ALPHA))
    except WeightsError as error:
        raise WeightsError(f"{source}: {error}") from None
    language = {name: tensor for name, tensor in weights.items() if name.startswith(("text_model.", "text_projection."))}
    media = {name: tensor for name, tensor in weights.items() if name not in language}
    try:
        found: dict[Modality, Part] = {}
        if language:
            found["text"] = Part(language, _common(text, needed(language, "text_model.embeddings.position_embedding.weight").shape[1]))
        if media:
            kernel = needed(media, KERNEL)
            if kernel.dim() == 5:
                if kernel.shape[2] != 1:
                    raise WeightsError(f"'{KERNEL}' spans {kernel.shape[2]} frames, expected 1")
                media[KERNEL] = kernel[:, :, 0]
            modality, settings = _media(media, vision)
            found[modality] = Part(media, settings)
    except WeightsError as error:
        raise WeightsError(f"{source}: {error}") from None
    if not found:
        raise WeightsError(f"{source} holds no tensors")
    return found


def needed(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    """One tensor. Raises WeightsError when it is missing."""
    if name not in tensors:
        raise WeightsError(f"'{name}' is missing: this is not a CLIP-like checkpoint, or a part of one")
    return tensors[name]


def grid(tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> tuple[int, int]:
    """Patches down and across: mel and time for sound, else a square. WeightsError when the positions are not as many."""
    count, patch = len(needed(tensors, POSITIONS)) - 1, needed(tensors, KERNEL).shape[-1]
    down, across = (settings["bins"] // patch, settings["frames"] // patch) if "bins" in settings else (isqrt(count), isqrt(count))
    if down * across != count:
        raise WeightsError(f"'{POSITIONS}' has {count} patches, expected {down} x {across}")
    return down, across


def _media(tensors: Mapping[str, Tensor], configuration: Mapping[str, Any]) -> tuple[Modality, dict[str, Any]]:
    count, patch = len(needed(tensors, POSITIONS)) - 1, needed(tensors, KERNEL).shape[-1]
    settings = _common(configuration, len(needed(tensors, KERNEL)))
    if any(".temporal_attn." in name for name in tensors):
        return "video", settings
    frames = int(_number(configuration, "target_length", 0) or FRAMES)
    bins = int(_number(configuration, "num_mel_bins", 0))
    columns = frames // patch
    if bins and (bins // patch) * columns == count or not bins and isqrt(count) ** 2 != count:
        # the two published sound towers differ in their bins, so without a configuration the positions tell
        settings |= {
            "bins": bins or count // columns * patch,
            "frames": frames,
            "mean": _number(configuration, "audio_mean", MEAN),
            "deviation": _number(configuration, "audio_std", DEVIATION),
        }
        return "audio", settings
    return "image", settings


def _common(configuration: Mapping[str, Any], width: int) -> dict[str, Any]:
    heads = int(_number(configuration, "num_attention_heads", HEADS.get(width, max(1, width // 64))))
    if heads < 1 or width % heads:
        raise WeightsError(f"num_attention_heads is {heads}, which does not divide the width {width}")
    activation = str(configuration.get("hidden_act") or "gelu")
    return {"heads": heads, "activation": activation, "epsilon": _number(configuration, "layer_norm_eps", EPSILON)}


def _number(configuration: Mapping[str, Any], name: str, usual: float) -> float:
    value = configuration.get(name)
    if value is None:
        return usual
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise WeightsError(f"the configuration's {name} is {value!r}, expected a number")
    return float(value)
