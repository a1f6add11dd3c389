"""The shipped weights: half-precision safetensors beside this file, read whole and checked."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

FOLDER = Path(__file__).parent / "weights"


class WeightsError(ValueError):
    """A weights file is missing, damaged or not what the model needs."""


def read(name: str, folder: Path = FOLDER) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(tensors, metadata) of folder/name.safetensors, tensors as stored.

    Raises WeightsError, naming the file, when it is missing or damaged or holds NaN or infinity.
    """
    path = folder / f"{name}.safetensors"
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}
            metadata = dict(file.metadata() or {})
    except FileNotFoundError:
        raise WeightsError(f"weights file {path} is missing: reinstall the pack, or build it with the recipe") from None
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"weights file {path} cannot be read ({error}): reinstall the pack") from None
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise WeightsError(f"weights file {path} is damaged: tensor '{key}' contains NaN or infinity")
    return tensors, metadata


def fill(module: torch.nn.Module, tensors: dict[str, Tensor], name: str) -> torch.nn.Module:
    """Puts every tensor into `module` in float32, frozen and in evaluation mode.

    Raises WeightsError listing the keys that are missing, left over or misshapen.
    """
    wanted = module.state_dict()
    missing = sorted(wanted.keys() - tensors.keys())
    extra = sorted(tensors.keys() - wanted.keys())
    shapes = sorted(k for k in wanted.keys() & tensors.keys() if wanted[k].shape != tensors[k].shape)
    if missing or extra or shapes:
        raise WeightsError(f"weights '{name}' do not fit: missing {missing[:5]}, left over {extra[:5]}, misshapen {shapes[:5]}")
    module.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in tensors.items()})
    return module.eval().requires_grad_(False)
