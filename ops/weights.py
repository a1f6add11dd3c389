"""Tensors in files and in modules: everything fits exactly, or an error says what does not."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

LISTED = 20


class WeightsError(ValueError):
    """A weights file is missing, damaged or not what the model needs."""


def fill(module: nn.Module, tensors: Mapping[str, Tensor], name: str, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Puts every tensor into `module` in `dtype`, frozen and in evaluation mode; the module may be on the meta device.

    Raises WeightsError listing the keys that are missing, left over or misshapen; nothing keeps an initial value.
    """
    wanted = module.state_dict()
    missing = wanted.keys() - tensors.keys()
    extra = tensors.keys() - wanted.keys()
    shapes = {k for k in wanted.keys() & tensors.keys() if wanted[k].shape != tensors[k].shape}
    if missing or extra or shapes:
        told = (f"{fault} {_listed(keys)}" for fault, keys in (("missing", missing), ("left over", extra), ("misshapen", shapes)))
        raise WeightsError(f"weights '{name}' do not fit: {', '.join(told)}")
    # copies: a tensor that stays mapped to its file would keep others from replacing the file on Windows
    module.load_state_dict({k: v.to(dtype, copy=True) if v.is_floating_point() else v.clone() for k, v in tensors.items()}, assign=True)
    return module.eval().requires_grad_(False)


def packed(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The bytes of a safetensors file, the same for equal contents: the library itself writes metadata in a random order."""
    from safetensors.torch import save

    data = save({name: tensor.contiguous() for name, tensor in tensors.items()}, dict(metadata))
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:end]), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[end:]


def unpacked(path: str | os.PathLike, form: str, what: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(tensors, metadata) of a safetensors file whose metadata say that its format is `form`; `what` is such a file called.

    Floating-point tensors come in single precision, all on the CPU.

    ValueError for any other file, OSError for one that is not there.
    """
    from safetensors import SafetensorError, safe_open

    try:
        # what is kept must not be born under a host's inference mode; copies, as in `fill`
        with torch.inference_mode(False), safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != form:
                raise ValueError(f"{path} is not {what}: its format is {metadata.get('format')}, expected {form}")
            stored = {name: file.get_tensor(name) for name in file.keys()}
            return {name: x.to(torch.float32, copy=True) if x.is_floating_point() else x.clone() for name, x in stored.items()}, metadata
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from error


def _listed(keys: Collection[str]) -> str:
    more = f" and {len(keys) - LISTED} more" if len(keys) > LISTED else ""
    return f"{sorted(keys)[:LISTED]}{more}"
