"""Judges: published encoders that no render is optimised with, from a local folder, by transformers 4 or 5."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from ..calibration import measured
from ..encoders.protocol import Embedding, Encoder
from ..encoders.vocabulary import embedded
from ..space import Modality, Space, Vocabulary, fingerprint
from ..weights import WeightsError
from .distractors import distractors

KINDS = {"siglip": "SigLIP and SigLIP2 (FixRes), of pictures and clips", "clap": "CLAP, of sounds"}
BATCH = 64


def load(folder: str | os.PathLike, device: str | torch.device = "cpu") -> Encoder:
    """The judge in a folder as Hugging Face has it: config.json, weights and tokenizer; which one, its configuration says.

    Its vocabulary is the distractors, embedded here: they say where its texts are centred. Nothing is downloaded.
    ModuleNotFoundError, with the command that installs it, without transformers. WeightsError (a ValueError) for a folder that
    is none of `KINDS`, lacks a file or is damaged.
    """
    folder = Path(folder)
    kind = configuration(folder).get("model_type")
    if kind == "siglip":
        from .siglip import Siglip as Judge
    elif kind == "clap":
        from .clap import Clap as Judge
    else:
        told = "siglip2, NaFlex: take a FixRes one, google/siglip2-base-patch16-224" if kind == "siglip2" else kind
        wanted = " or ".join(f"{name} ({what})" for name, what in KINDS.items())
        raise WeightsError(f"{folder} holds no judge: its model_type is {told}; expected {wanted}")
    return Judge(read(folder, Judge.model, device))


@dataclass(frozen=True)
class Parts:
    """A model of transformers, frozen, with its tokenizer and the configuration of its preprocessing as stored."""

    model: nn.Module
    tokenizer: Any
    preprocessing: Mapping[str, Any]


def read(folder: Path, model: str, device: str | torch.device) -> Parts:
    """The parts in a folder, the model being of this class of transformers. Errors as `load`."""
    try:
        import transformers
    except ModuleNotFoundError as error:
        if error.name != "transformers":
            raise
        raise ModuleNotFoundError("judges need transformers: pip install transformers", name="transformers") from None
    try:
        # weights that are kept for good must not be born under a host's inference mode
        with torch.inference_mode(False):
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
            loaded, report = getattr(transformers, model).from_pretrained(folder, local_files_only=True, output_loading_info=True)
    except Exception as error:  # transformers raises whatever the damage happens to cause
        told = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise WeightsError(f"{folder} cannot be read as {model} ({told}): download it again") from None
    lacking = sorted(report["missing_keys"])
    if lacking:
        more = " and more" if len(lacking) > 5 else ""
        raise WeightsError(f"{folder} lacks the weights {', '.join(lacking[:5])}{more} of {model}: download it again")
    return Parts(loaded.float().eval().requires_grad_(False).to(device), tokenizer, _json(folder / "preprocessor_config.json"))


def configuration(folder: Path) -> Mapping[str, Any]:
    """config.json of a folder. WeightsError without one."""
    return _json(folder / "config.json")


def pooled(output: Any) -> Tensor:
    """[B, D] of what `get_*_features` gives: a tensor in transformers 4, an output with a pooled field in 5."""
    return getattr(output, "pooler_output", output)


def embedding(pooled: Tensor, modality: Modality) -> Embedding:
    """Of unit rows [B, D] for which the judge shows no parts."""
    return Embedding(pooled, pooled[:, None], pooled[:, None], (1,), modality)


def space(name: str, judge: Encoder, model: nn.Module) -> Space:
    """A judge's space: id from its weights, the distractors for its vocabulary, and where its texts are centred by them."""
    words = list(distractors())
    with torch.inference_mode(False):
        rows = embedded(words, judge.text, BATCH)
        cloud = measured([rows], "the distractors")
        mark = fingerprint(model.state_dict())
    return Space(f"{name}-{mark}", rows.shape[1], {"text": cloud.mean}, {"text": cloud.radius}, Vocabulary(words, rows))


NO_FINGERPRINTS: Mapping[Modality, str] = MappingProxyType({})
"""A judge's weights are in the id of its space."""


def _json(file: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise WeightsError(f"{file.parent} has no {file.name}: expected the folder of a judge as Hugging Face has it") from None
    except ValueError as error:
        raise WeightsError(f"{file} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise WeightsError(f"{file} is not a JSON object")
    return found
