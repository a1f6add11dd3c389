"""Autoencoders that other libraries trained, as ours: the same codes up to the length of decoder rows, the same reconstruction."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..space import finite
from ..weights import WeightsError
from .sae import SparseAutoencoder

STATE = "ae.pt"
"""What dictionary_learning calls its file."""
SETTINGS, WEIGHTS = "cfg.json", "sae_weights.safetensors"
"""What SAELens calls its files."""
MATRYOSHKA = ("W_enc", "b_enc", "W_dec", "b_dec")
LINEAR = ("encoder.weight", "encoder.bias", "decoder.weight", "b_dec")


def read_autoencoder(path: str | os.PathLike) -> tuple[SparseAutoencoder, Tensor]:
    """(the autoencoder, its threshold [m]) of a file or folder that dictionary_learning or SAELens wrote.

    path: a dictionary_learning state dict (`ae.pt`, or a folder with one) of a Matryoshka BatchTopK, BatchTopK or JumpReLU
        autoencoder, or a SAELens folder (`cfg.json`, `sae_weights.safetensors`) of architecture jumprelu or standard.

    It takes vectors in the units it was trained on. Lengths of decoder rows are folded into the codes, so that rows are unit:
    a code is the library's times the length, what it decodes to is the same. A threshold below 0 counts as 0, which is
    what it means behind a ReLU; a BatchTopK file whose threshold never left -1 has dense codes, so calibrate it. Files of
    TopK autoencoders look like BatchTopK's, and are taken as such.

    Sources: dictionary_learning 0.1.0 (trainers/matryoshka_batch_top_k.py, trainers/batch_top_k.py, dictionary.py) and
    sae-lens 6.54 (saes/sae.py, saes/jumprelu_sae.py). Raises FileNotFoundError, and WeightsError (a ValueError) for a layout,
    an architecture or an input scaling that is none of these.
    """
    path = Path(path)
    if path.is_dir() and (path / SETTINGS).exists():
        return _saelens(path)
    return _dictionary_learning(path / STATE if path.is_dir() else path)


def _dictionary_learning(path: Path) -> tuple[SparseAutoencoder, Tensor]:
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file, nor a {SETTINGS} beside it")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what zipfile, pickle and its own reader raise
        raise WeightsError(f"{path} is not a state dict of weights alone: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path} holds {type(state).__name__}, expected a state dict of tensors")
    if "W_enc" in state:
        encoder, bias, decoder, origin = _parts(state, MATRYOSHKA, path)
        encoder = encoder.T
        if "group_sizes" not in state:  # JumpReLU, which leaves its decoder's bias out of the input
            bias = bias + encoder @ origin
    else:
        encoder, bias, decoder, origin = _parts(state, LINEAR, path)
        decoder = decoder.T
    threshold = _parts(state, ("threshold",), path)[0]
    groups = state["group_sizes"].cumsum(0).tolist() if "group_sizes" in state else [len(encoder)]
    return _folded(encoder, bias, decoder, origin, threshold, groups, path)


def _saelens(folder: Path) -> tuple[SparseAutoencoder, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        settings = json.loads((folder / SETTINGS).read_text("utf-8"))
        state = load_file(folder / WEIGHTS)
    except (ValueError, SafetensorError) as error:
        raise WeightsError(f"{folder} is not a SAELens folder: {error}") from error
    kind = settings.get("architecture", "standard")
    if kind not in ("jumprelu", "standard"):
        raise WeightsError(f"{folder} has architecture '{kind}', expected jumprelu (what a trained BatchTopK is saved as) or standard")
    for name, plain in (("normalize_activations", "none"), ("reshape_activations", "none"), ("activation_fn", "relu"), ("activation_fn_str", "relu")):
        if settings.get(name, plain) != plain:
            raise WeightsError(f"{folder} has {name} '{settings[name]}', expected '{plain}': fold it into the weights with SAELens first")
    encoder, bias, decoder, origin = _parts(state, MATRYOSHKA, folder)
    encoder = encoder.T
    if not settings.get("apply_b_dec_to_input", True):
        bias = bias + encoder @ origin
    threshold = _parts(state, ("threshold",), folder)[0] if kind == "jumprelu" else torch.zeros(len(bias))
    return _folded(encoder, bias, decoder, origin, threshold, [len(encoder)], folder)


def _parts(state: Mapping[str, Tensor], names: tuple[str, ...], path: Path) -> list[Tensor]:
    if missing := [name for name in names if name not in state]:
        raise WeightsError(f"{path} lacks {', '.join(missing)}; it has {', '.join(sorted(state)[:20])}")
    return [state[name].detach().float() for name in names]


def _folded(
    encoder: Tensor, bias: Tensor, decoder: Tensor, origin: Tensor, threshold: Tensor, groups: list[int], path: Path
) -> tuple[SparseAutoencoder, Tensor]:
    """encoder and decoder are [m, D]."""
    if decoder.dim() != 2 or encoder.shape != decoder.shape or bias.shape != decoder.shape[:1] or threshold.numel() not in (1, len(decoder)):
        shapes = ", ".join(str(tuple(part.shape)) for part in (encoder, bias, decoder, threshold))
        raise WeightsError(f"{path} has an encoder, its bias, a decoder and a threshold of shapes {shapes}, which do not fit")
    # kept for good, so nothing may be born under a host's inference mode
    with torch.inference_mode(False), torch.no_grad():
        encoder, bias, decoder = encoder.clone(), bias.clone(), decoder.clone()
        length = decoder.norm(dim=1)
        if not length.min() > 0:
            raise WeightsError(f"{path} has a decoder row of length {length.min():.3g}, which points nowhere")
        try:
            made = SparseAutoencoder(encoder * length[:, None], bias * length, decoder / length[:, None], origin, groups)
            return made, finite(threshold.clone().reshape(-1).expand(len(decoder)) * length, "threshold").clamp_min(0)
        except ValueError as error:
            raise WeightsError(f"{path}: {error}") from error
