"""The shipped weights: half-precision safetensors beside this file, read whole and checked."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..weights import WeightsError

FOLDER = Path(__file__).parent / "weights"


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
