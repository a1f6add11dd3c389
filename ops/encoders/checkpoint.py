"""Published CLIP-like checkpoints as plain tensors: a folder or a file in, one name for each weight, LoRA merged.

Layouts accepted: with and without `module.`, PEFT's `base_model.model.` and `.base_layer.`, adapters with and without a
name. What is not recognised keeps its name, so that filling a tower with it fails and lists it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..weights import WeightsError

SINGLE = ("model.safetensors", "pytorch_model.bin")
ALPHA = 16.0
"""Of every LanguageBind LoRA, where no configuration says otherwise."""

_LORA = re.compile(r"(?P<layer>.+)\.lora_(?P<side>[AB])(?:\.(?P<adapter>[^.]+))?\.weight")
# integer buffers that count positions, and the temperature of training, which has no place in an embedding
_UNUSED = re.compile(r"(.+\.)?position_ids|logit_scale")


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, configuration) of a Hugging Face folder or of one .safetensors or .bin file, names as stored.

    A file's configuration is the config.json beside it; {} without one. Tensors stay on disk until they are used.
    Raises WeightsError, naming the file, when something is missing or damaged.
    """
    if not path.exists():
        raise WeightsError(f"{path}: no such file or folder")
    folder = path if path.is_dir() else path.parent
    files = _weights_of(path) if path.is_dir() else [path]
    tensors: dict[str, Tensor] = {}
    for file in files:
        for name, tensor in _tensors(file).items():
            if name in tensors:
                raise WeightsError(f"{file} holds '{name}' again, which another file of {path} has already")
            tensors[name] = tensor
    return tensors, _configuration(folder / "config.json")


def plain(stored: Mapping[str, Tensor], alpha: float = ALPHA) -> dict[str, Tensor]:
    """Weights under their plain names, LoRA merged in float32: W + alpha / r * B @ A (Hu et al. 2021, arXiv 2106.09685).

    Raises WeightsError for two tensors of one name, half an adapter, two adapters on one layer or factors that do not fit.
    """
    weights: dict[str, Tensor] = {}
    factors: dict[str, dict[str, Tensor]] = {}
    adapters: dict[str, set[str]] = {}
    for name, tensor in stored.items():
        name = name.removeprefix("module.").replace("base_model.model.", "").replace(".base_layer.", ".")
        if _UNUSED.fullmatch(name):
            continue
        if found := _LORA.fullmatch(name):
            layer = found["layer"]
            adapters.setdefault(layer, set()).add(found["adapter"] or "")
            if len(adapters[layer]) > 1:
                raise WeightsError(f"'{layer}' has several LoRA adapters ({', '.join(sorted(adapters[layer]))}): expected one")
            target, name = factors.setdefault(layer, {}), found["side"]
        else:
            target = weights
        if name in target:
            raise WeightsError(f"the checkpoint holds '{name}' twice, under two layouts")
        target[name] = tensor
    for layer, pair in factors.items():
        weights[f"{layer}.weight"] = _merged(layer, weights.get(f"{layer}.weight"), pair, alpha)
    return weights


def _merged(layer: str, weight: Tensor | None, pair: Mapping[str, Tensor], alpha: float) -> Tensor:
    if weight is None or len(pair) < 2:
        lacking = "weight" if weight is None else f"lora_{'AB'.replace(*pair, '')}"
        raise WeightsError(f"'{layer}' has a LoRA adapter and no {lacking}")
    down, up = pair["A"].float(), pair["B"].float()
    if down.dim() != 2 or up.dim() != 2 or down.shape[0] != up.shape[1] or (up.shape[0], down.shape[1]) != weight.shape:
        raise WeightsError(f"'{layer}' has LoRA factors {tuple(up.shape)} and {tuple(down.shape)} for a weight {tuple(weight.shape)}")
    return weight.float() + alpha / len(down) * (up @ down)


def _weights_of(folder: Path) -> list[Path]:
    for name in SINGLE:
        if (folder / name).exists():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if index.exists():
            try:
                parts = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
            except (ValueError, KeyError, AttributeError, TypeError) as error:
                raise WeightsError(f"{index} is damaged: {error!r}") from None
            lacking = [part for part in parts if not (folder / part).exists()]
            if lacking:
                raise WeightsError(f"{folder} lacks {', '.join(lacking)}, which its index names: download it again")
            return [folder / part for part in parts]
    raise WeightsError(f"{folder} holds no {' or '.join(SINGLE)}: expected a model folder as Hugging Face has it")


def _tensors(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".safetensors":
        try:
            with safe_open(file, framework="pt") as opened:
                return {name: opened.get_tensor(name) for name in opened.keys()}
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{file} cannot be read as safetensors ({error}): download it again") from None
    try:
        try:
            found = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # files older than torch 1.6 cannot be mapped
            found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the damage happens to cause
        raise WeightsError(f"{file} cannot be read as torch weights ({type(error).__name__}: {str(error)[:200]})") from None
    found = found.get("state_dict", found) if isinstance(found, dict) else found
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise WeightsError(f"{file} holds no state dict: expected tensors by name")
    return found


def _configuration(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    try:
        found = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise WeightsError(f"{file} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise WeightsError(f"{file} is not a JSON object")
    return found
