"""Autoencoders that other libraries trained, as ours: the same codes up to the length of decoder rows, the same reconstruction.

Sources: dictionary_learning 0.1.0 (trainers/matryoshka_batch_top_k.py, trainers/batch_top_k.py, dictionary.py) and
sae-lens 6.54 (saes/sae.py, saes/jumprelu_sae.py).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..encoders.protocol import Encoder
from ..space import finite
from ..weights import WeightsError
from .naming import evidence, named
from .sae import ANY, SparseAutoencoder, calibrated_threshold
from .trained import TrainedSAE

STATE = "ae.pt"
"""What dictionary_learning calls its file."""
SETTINGS, WEIGHTS = "cfg.json", "sae_weights.safetensors"
"""What SAELens calls its files."""
MATRYOSHKA = ("W_enc", "b_enc", "W_dec", "b_dec")
LINEAR = ("encoder.weight", "encoder.bias", "decoder.weight", "b_dec")
DENSE = 0.25
"""Share of the latents, active for one word on average, from which codes are no longer sparse: what a threshold that was
never learned, or vectors of other units, bring about."""


def imported(path: str | os.PathLike, encoder: Encoder, k: int | None = None) -> TrainedSAE:
    """The dictionary of an autoencoder that another library trained on an encoder's embeddings (`read_autoencoder`).

    Its vectors are taken to be in the space's centred units, (x - mean) / radius of their modality. One that was trained on
    raw embeddings of one modality is not of this kind: its bias holds that modality's mean, and its codes come out wrong.
    Matrices are rounded as a file keeps them. One threshold serves every modality. The vocabulary of the space, where there
    is one, gives the statistics of text, and its words are what features are named from; else they stay unnamed.

    k: mean nonzeros of a word's code, 1..m-1, for a threshold calibrated on the vocabulary in place of the file's.
    Raises ValueError for another dimension than the space's, a k without a vocabulary, a vocabulary without a mean for text,
    and a threshold of the file under which more than `DENSE` of the latents are active for a word; and what
    `read_autoencoder` raises.
    """
    found, threshold = read_autoencoder(path)
    space = encoder.space
    if found.dimension != space.dimension:
        raise ValueError(f"{path} takes vectors of dimension {found.dimension}, and those of '{space.id}' have {space.dimension}")
    if k is not None and space.vocabulary is None:
        raise ValueError(f"k is {k}, and '{space.id}' has no vocabulary to calibrate a threshold on: leave it out")
    if space.vocabulary is not None and "text" not in space.means:
        raise ValueError(f"'{space.id}' has no mean for text, so its words cannot be centred: calibrate the encoder on its vocabulary first")
    # kept for good, so nothing may be born under a host's inference mode
    with torch.inference_mode(False), torch.no_grad():
        try:
            autoencoder = found.rounded()
        except ValueError as error:
            raise WeightsError(f"{path} does not fit in half precision: {error}") from error
        if space.vocabulary is None:
            return TrainedSAE.observed(autoencoder, {ANY: threshold}, space, {}, {})
        words = {"text": space.centre(space.vocabulary.embeddings, "text")}
        if k is not None:
            threshold = calibrated_threshold(autoencoder, words["text"], k)
        captions = {"text": space.vocabulary.words}
        towers = {m: tower for m, tower in encoder.fingerprints.items() if m in words}
        sae = TrainedSAE.observed(autoencoder, {ANY: threshold}, space, words, captions, towers=towers)
        active = float(sae.statistics["text"].rate.sum())
        if k is None and active > DENSE * autoencoder.width:
            raise ValueError(
                f"{path} has dense codes: {active:.1f} of {autoencoder.width} latents are active for a word of '{space.id}' on average, "
                f"expected {DENSE * autoencoder.width:.0f} at most; give k (--k), how many there should be, and the threshold is calibrated"
            )
        names = named(sae, evidence(sae, words, captions))
        return sae.called(names)


def read_autoencoder(path: str | os.PathLike) -> tuple[SparseAutoencoder, Tensor]:
    """(the autoencoder, its threshold [m]) of a file or folder that dictionary_learning or SAELens wrote.

    path: a dictionary_learning state dict (`ae.pt`, or a folder with one) of a Matryoshka BatchTopK, BatchTopK or JumpReLU
        autoencoder, or a SAELens folder (`cfg.json`, `sae_weights.safetensors`) of architecture jumprelu or standard.

    It takes vectors in the units it was trained on. Lengths of decoder rows are folded into the codes, so that rows are unit:
    a code is the library's times the length, what it decodes to is the same. A threshold below 0 counts as 0, which is
    what it means behind a ReLU; a BatchTopK file whose threshold never left -1 has dense codes, so calibrate it. Files of
    TopK autoencoders look like BatchTopK's, and are taken as such.

    Raises FileNotFoundError, and WeightsError (a ValueError) for a layout, an architecture or an input scaling that is none
    of these, and for tensors that do not fit each other.
    """
    path = Path(path)
    if path.is_dir() and (path / SETTINGS).exists():
        return _saelens(path)
    if path.is_dir() and not (path / STATE).exists():
        raise WeightsError(f"{path} is a folder without {STATE} (of dictionary_learning), or {SETTINGS} and {WEIGHTS} (of SAELens)")
    return _dictionary_learning(path / STATE if path.is_dir() else path)


def _dictionary_learning(path: Path) -> tuple[SparseAutoencoder, Tensor]:
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file or folder")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what zipfile, pickle and its own reader raise
        raise WeightsError(f"{path} is not a state dict of weights alone: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path} holds {type(state).__name__}, expected a state dict of tensors")
    encoder, bias, decoder, origin = _parts(state, MATRYOSHKA if "W_enc" in state else LINEAR, path)
    if "W_enc" in state and "group_sizes" not in state:  # JumpReLU, which leaves its decoder's bias out of the input
        bias = bias + encoder @ origin
    sizes = state.get("group_sizes", torch.tensor([len(encoder)]))
    if sizes.dim() != 1 or sizes.dtype not in (torch.int32, torch.int64):
        raise WeightsError(f"{path} has group_sizes of {sizes.dtype} and shape {tuple(sizes.shape)}, expected a list of whole numbers")
    return _folded(encoder, bias, decoder, origin, _tensors(state, ("threshold",), path)[0], sizes.cumsum(0).tolist(), path)


def _saelens(folder: Path) -> tuple[SparseAutoencoder, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        settings = json.loads((folder / SETTINGS).read_text("utf-8"))
        state = load_file(folder / WEIGHTS)
    except (ValueError, SafetensorError) as error:
        raise WeightsError(f"{folder} is not a SAELens folder: {error}") from error
    if not isinstance(settings, dict):
        raise WeightsError(f"{folder / SETTINGS} holds {type(settings).__name__}, expected an object of settings")
    kind = settings.get("architecture", "standard")
    if kind not in ("jumprelu", "standard"):
        raise WeightsError(f"{folder} has architecture '{kind}', expected jumprelu (what a trained BatchTopK is saved as) or standard")
    for name, plain in (("normalize_activations", "none"), ("reshape_activations", "none"), ("activation_fn", "relu"), ("activation_fn_str", "relu")):
        if settings.get(name, plain) != plain:
            raise WeightsError(f"{folder} has {name} '{settings[name]}', expected '{plain}': fold it into the weights with SAELens first")
    encoder, bias, decoder, origin = _parts(state, MATRYOSHKA, folder)
    if not settings.get("apply_b_dec_to_input", True):
        bias = bias + encoder @ origin
    threshold = _tensors(state, ("threshold",), folder)[0] if kind == "jumprelu" else torch.zeros(len(bias))
    return _folded(encoder, bias, decoder, origin, threshold, [len(encoder)], folder)


def _tensors(state: Mapping[str, Tensor], names: tuple[str, ...], path: Path) -> list[Tensor]:
    if missing := [name for name in names if name not in state]:
        raise WeightsError(f"{path} lacks {', '.join(missing)}; it has {', '.join(sorted(map(str, state))[:20])}")
    for name in names:
        if not state[name].is_floating_point() or state[name].layout != torch.strided or state[name].is_meta:
            raise WeightsError(f"{path} has {name} of {state[name].dtype}, {state[name].layout}, on {state[name].device}, expected a dense tensor of floats")
    return [state[name].detach().float() for name in names]


def _parts(state: Mapping[str, Tensor], names: tuple[str, ...], path: Path) -> list[Tensor]:
    """The encoder [m, D], its bias [m], the decoder [m, D] and its bias [D], of names in this order."""
    encoder, bias, decoder, origin = found = _tensors(state, names, path)
    shape = (len(origin), len(bias)) if origin.dim() == bias.dim() == 1 else (0, 0)  # of what takes rows from the left
    left, right = (encoder, decoder) if names == MATRYOSHKA else (decoder, encoder)
    if not all(shape) or tuple(left.shape) != shape or tuple(right.shape) != shape[::-1]:
        raise WeightsError(f"{path} has {', '.join(f'{name} {tuple(part.shape)}' for name, part in zip(names, found))}, which do not fit")
    return [encoder.T, bias, decoder, origin] if names == MATRYOSHKA else [encoder, bias, decoder.T, origin]


def _folded(
    encoder: Tensor, bias: Tensor, decoder: Tensor, origin: Tensor, threshold: Tensor, groups: list[int], path: Path
) -> tuple[SparseAutoencoder, Tensor]:
    """Of parts as `_parts` gives them."""
    if threshold.numel() not in (1, len(decoder)):
        raise WeightsError(f"{path} has a threshold of shape {tuple(threshold.shape)}, expected one number or {len(decoder)}")
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
