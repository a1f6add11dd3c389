"""Models of the diffusers library from folders and single files: offline, whole or not at all, and in one line what is missing.

The library is optional and imported only where something of it is loaded.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ..space import fingerprint
from ..weights import WeightsError

SAMPLED = 256
"""Values of a tensor that count in `mark`."""


def library() -> ModuleType:
    """diffusers. ModuleNotFoundError with what to install where it, or what it needs, is not there."""
    try:
        import diffusers
        import transformers  # noqa: F401  what most of its classes need, and fail late without
    except ImportError as error:
        raise ModuleNotFoundError(f"this generator needs two libraries: pip install diffusers transformers ({error})") from error
    return diffusers


def component(folder: Path, name: str, kind: str, dtype: torch.dtype) -> nn.Module:
    """The model of class `kind` in the subfolder `name` of a diffusers folder, or in the folder itself for an empty name.

    Frozen, in evaluation mode, on the CPU, in `dtype`. WeightsError, naming the folder, for another model's, for damaged ones and
    unless every parameter is in the folder's safetensors files; ModuleNotFoundError as `library`.
    """
    place = folder / name
    found = config(place).get("_class_name")
    if found != kind:
        raise WeightsError(f"{place} has a model of class {found}, expected {kind}")
    settings = {"torch_dtype": dtype, "local_files_only": True, "use_safetensors": True, "output_loading_info": True}
    try:
        # what is kept must not be born under a host's inference mode
        with torch.inference_mode(False):
            model, told = getattr(library(), kind).from_pretrained(str(place), **settings)
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{place}: {_line(error)}") from error
    _require_whole(place, kind, told, ("missing", "unexpected"))
    return model.eval().requires_grad_(False)


def lacking_sentencepiece(tokenizer: Path) -> bool:
    """Whether a tokenizer's folder has it in SentencePiece's own form alone, as LTX-Video's is published, and that library is not there.

    transformers would ask for tiktoken, which does not help.
    """
    return (tokenizer / "spiece.model").is_file() and not (tokenizer / "tokenizer.json").is_file() and find_spec("sentencepiece") is None


def text_part(folder: Path, kind: str, dtype: torch.dtype, device: torch.device) -> Any:
    """A text encoder on the device, frozen and in `dtype`, or a tokenizer, of a class of transformers. WeightsError, naming the folder,
    for damaged ones and for weights that are not whole; ModuleNotFoundError for a tokenizer that takes a library which is not there."""
    library()
    if lacking_sentencepiece(folder):
        raise ModuleNotFoundError(f"{folder} is read by a library that is not there: pip install sentencepiece")
    import transformers

    cls = getattr(transformers, kind)
    if issubclass(cls, nn.Module):
        # what is left over may belong to a head that nobody asks for
        return transformed(folder, cls, dtype, ("missing",)).to(device)
    try:
        return cls.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{folder}: {_line(error)}") from error


def transformed(folder: Path, cls: type[nn.Module], dtype: torch.dtype, faults: Sequence[str]) -> nn.Module:
    """A model of a class of transformers in its folder: frozen, in evaluation mode, on the CPU, in `dtype`.

    faults: "missing", "unexpected": weights that must not be so. WeightsError, naming the folder, for those and for damaged files.
    """
    settings = {"dtype": dtype, "local_files_only": True, "use_safetensors": True, "output_loading_info": True}
    try:
        model, told = cls.from_pretrained(str(folder), **settings)
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{folder}: {_line(error)}") from error
    _require_whole(folder, cls.__name__, told, faults)
    return model.eval().requires_grad_(False)


def config(place: Path, name: str = "config.json") -> dict[str, Any]:
    """What the configuration file `name` in a folder says. WeightsError without one, or for one that cannot be read."""
    try:
        return json.loads((place / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{place} is no folder of the diffusers library: {name} cannot be read ({_line(error)})") from error


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor in a safetensors file. WeightsError for any other file and for none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is not a safetensors file: {_line(error)}") from error


def tensors(path: Path, prefix: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """Those tensors of a safetensors file whose names begin with `prefix`, in `dtype`, on the CPU."""
    from safetensors import safe_open

    with torch.inference_mode(False), safe_open(path, "pt") as file:
        # copies: a tensor that stays mapped to its file would keep others from replacing the file on Windows
        return {name: file.get_tensor(name).to(dtype, copy=True) for name in file.keys() if name.startswith(prefix)}


def converted(kind: str, stored: dict[str, Tensor], settings: Mapping[str, Any], dtype: torch.dtype, source: Path) -> nn.Module:
    """A model of class `kind` made with `settings` from the tensors that a single file has for it, in the file's own names.

    The library renames and splits them; `stored` is emptied. Frozen, in evaluation mode, on the CPU, in `dtype`.
    WeightsError, naming `source`, unless they fit to the last number; ModuleNotFoundError as `library`.
    """
    cls, given = getattr(library(), kind), sum(tensor.numel() for tensor in stored.values())
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps({"_class_name": kind, **settings}), encoding="utf-8")
        try:
            # told the dtype at once: afterwards, the whole would have been there in single precision before
            with torch.inference_mode(False), _quiet():
                model = cls.from_single_file(stored, config=folder, local_files_only=True, torch_dtype=dtype)
        except NotImplementedError as error:  # how the library meets a tensor that nothing was put into
            raise WeightsError(f"{source} does not fit {kind}: some of its tensors are missing") from error
        except (OSError, ValueError, KeyError, RuntimeError, IndexError) as error:
            raise WeightsError(f"{source} does not fit {kind}: {_line(error)}") from error
    # the library leaves what is missing empty or random, and what is left over aside
    if (taken := sum(tensor.numel() for tensor in model.state_dict().values())) != given:
        raise WeightsError(f"{source} does not fit {kind}: it takes {taken:,} numbers, and the file has {given:,} for it")
    if empty := [name for name, tensor in model.state_dict().items() if tensor.is_meta]:
        raise WeightsError(f"{source} does not fit {kind}: missing {empty[:4]}")
    return model.eval().requires_grad_(False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Within it the library's models do not warn of modules to be kept in single precision, which they do where there are none."""
    logger = logging.getLogger("diffusers.models.modeling_utils")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def mark(*modules: nn.Module) -> str:
    """Twelve hexadecimal digits for the weights of modules, of which a sample of every tensor counts: no two trainings agree there."""
    sampled = {}
    for i, module in enumerate(modules):
        for name, tensor in module.state_dict().items():
            values = tensor.detach().reshape(-1)
            sampled[f"{i}.{name}"] = values[:: max(1, len(values) // SAMPLED)]
    return fingerprint(sampled)


def _require_whole(folder: Path, kind: str, told: Mapping[str, Any], faults: Sequence[str]) -> None:
    # the libraries fill what is missing with random numbers and go on
    if found := [f"{fault} {sorted(map(str, names))[:4]}" for fault in faults if (names := told[f"{fault}_keys"])]:
        raise WeightsError(f"{folder} does not fit {kind}: {', '.join(found)}")


def _line(error: Exception) -> str:
    """The first line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
