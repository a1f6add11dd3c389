"""Stable Audio's single file, as stable-audio-tools writes it, under the names that the diffusers library has for its weights.

Layout: github.com/Stability-AI/stable-audio-tools, models/{dit,transformer,autoencoders,conditioners}.py, as published with
stable-audio-open-1.0 and as ComfyUI saves it again. What the tensors do not tell is in the `model_config.json` beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..weights import WeightsError

CONFIG = "model_config.json"
TRANSFORMER, AUTOENCODER, SECONDS = "model.model.", "pretransform.model.", "conditioner.conditioners.seconds_"
TEXT = ("conditioner.conditioners.prompt.", "text_encoders.")
"""Weights of a text encoder that a file may bring along, and that are not read from it."""


@dataclass(frozen=True)
class Facts:
    """What the tensors do not tell. heads: of the transformer; rate: samples a second; samples: the longest sound;
    shortest, longest: seconds that the two embeddings of times reach over. As they come: stable-audio-open-1.0's."""

    heads: int = 24
    rate: int = 44100
    samples: int = 2097152
    shortest: float = 0
    longest: float = 512


@dataclass(frozen=True)
class Part:
    """One module of the diffusers library: its settings, and its weights by its own names."""

    settings: dict[str, Any]
    weights: dict[str, Tensor]


def facts(path: Path) -> Facts:
    """Those of the `model_config.json` beside a checkpoint; stable-audio-open-1.0's where there is none.

    ValueError for a damaged one, and for a model of another kind: one that is not trained on v, has an autoencoder other than
    Oobleck's, or decodes with a tanh or a scale.
    """
    beside = path.with_name(CONFIG)
    if not beside.is_file():
        return Facts()
    try:
        config = json.loads(beside.read_text(encoding="utf-8"))
        diffusion, pretransform = config["model"]["diffusion"], config["model"]["pretransform"]
        coder, heads = pretransform["config"], diffusion["config"]["num_heads"]
        found = {
            "the diffusion's type": (diffusion["type"], "dit"),
            "its objective": (diffusion.get("diffusion_objective", "v"), "v"),
            "the global conditioning": (diffusion["config"].get("global_cond_type", "prepend"), "prepend"),
            "the decoder's type": (coder["decoder"]["type"], "oobleck"),
            # stable-audio-tools ends a decoder in a tanh unless told not to
            "its final_tanh": (coder["decoder"]["config"].get("final_tanh", True), False),
            "the latents' scale": (pretransform.get("scale", 1.0), 1.0),
        }
        limits = next(c["config"] for c in config["model"]["conditioning"]["configs"] if c["id"] == "seconds_total")
        made = Facts(int(heads), int(config["sample_rate"]), int(config["sample_size"]), limits["min_val"], limits["max_val"])
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise ValueError(f"{beside} is not the config of a text-to-audio model of stable-audio-tools: {error!r}") from error
    if other := [f"{name} is {value!r}, expected {expected!r}" for name, (value, expected) in found.items() if value != expected]:
        raise ValueError(f"{beside} describes another model than Stable Audio Open 1.0's kind: {'; '.join(other)}")
    return made


def converted(tensors: Mapping[str, Tensor], facts: Facts) -> tuple[Part, Part, Part]:
    """(transformer, autoencoder, projection) for StableAudioDiTModel, AutoencoderOobleck and StableAudioProjectionModel.

    WeightsError for tensors of another model, with the first that is missing or unknown.
    """
    parts: dict[str, dict[str, Tensor]] = {TRANSFORMER: {}, AUTOENCODER: {}, SECONDS: {}}
    for name, tensor in tensors.items():
        prefix = next((p for p in parts if name.startswith(p)), None)
        if prefix is not None:
            parts[prefix][name.removeprefix(prefix)] = tensor
        elif not name.startswith(TEXT):
            raise WeightsError(f"'{name}' is no name of Stable Audio's: expected {', '.join(f'{p}...' for p in parts)}")
    try:
        return transformer(parts[TRANSFORMER], facts), autoencoder(parts[AUTOENCODER], facts), projection(parts[SECONDS], facts)
    except KeyError as error:
        raise WeightsError(f"this is not a whole checkpoint of Stable Audio Open: {error} is missing") from error


def transformer(tensors: Mapping[str, Tensor], facts: Facts) -> Part:
    """From the names after `model.model.`. WeightsError for a width that its heads do not divide."""
    width, conditioning = len(tensors["to_timestep_embed.0.weight"]), tensors["to_cond_embed.0.weight"].shape
    if width % facts.heads or conditioning[0] % (width // facts.heads):
        raise WeightsError(f"a transformer of width {width}, attending to {conditioning[0]}, cannot have {facts.heads} heads")
    weights: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith("rotary_pos_emb.inv_freq"):
            continue
        new = _renamed(name, _TRANSFORMER)
        split = re.fullmatch(r"(.*\.to_)(qkv|kv)(\.weight)", new)
        if split:
            before, letters, after = split.groups()
            weights |= {before + letter + after: piece for letter, piece in zip(letters, tensor.chunk(len(letters)))}
        else:
            weights[new] = tensor[:, 0] if new == "time_proj.weight" else tensor
    layers = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("transformer_blocks."))
    for layer in range(layers):
        for norm in (f"transformer_blocks.{layer}.norm{n}" for n in (1, 2, 3)):
            # ComfyUI leaves them out when it saves: they are not learned
            weights.setdefault(f"{norm}.bias", torch.zeros_like(weights[f"{norm}.weight"]))
    latents = len(tensors["postprocess_conv.weight"])
    settings = {
        "in_channels": latents, "out_channels": latents, "num_layers": layers, "num_attention_heads": facts.heads,
        "attention_head_dim": width // facts.heads, "num_key_value_attention_heads": conditioning[0] // (width // facts.heads),
        "cross_attention_dim": conditioning[0], "cross_attention_input_dim": conditioning[1],
        "global_states_input_dim": tensors["to_global_embed.0.weight"].shape[1],
        "time_proj_dim": 2 * len(tensors["timestep_features.weight"]),
    }  # fmt: skip
    return Part(settings, weights)


def autoencoder(tensors: Mapping[str, Tensor], facts: Facts) -> Part:
    """From the names after `pretransform.model.`."""
    # PyTorch has two names each for a weight norm's size and direction
    plain = {re.sub(r"parametrizations\.weight\.original([01])", lambda m: f"weight_{'gv'[int(m[1])]}", k): v for k, v in tensors.items()}
    last = max((int(name.split(".")[2]) for name in plain if name.startswith("encoder.layers.")), default=0)
    strided = [plain[f"encoder.layers.{n}.layers.4.weight_v"] for n in range(1, last - 1)]
    first, heard = plain["encoder.layers.0.weight_v"].shape[:2]
    # the last layer is known by its number alone
    names = [(rf"(encoder|decoder)\.layers\.{last}\.", r"\1.conv2."), (rf"(encoder|decoder)\.layers\.{last - 1}\.", r"\1.snake1."), *_AUTOENCODER]
    weights = {}
    for name, tensor in plain.items():
        weights[_renamed(name, names)] = tensor[None, :, None] if name.endswith((".alpha", ".beta")) else tensor
    settings = {
        "encoder_hidden_size": first, "audio_channels": heard, "sampling_rate": facts.rate,
        "downsampling_ratios": [v.shape[-1] // 2 for v in strided], "channel_multiples": [len(v) // first for v in strided],
        "decoder_channels": plain[f"decoder.layers.{last}.weight_v"].shape[1],
        "decoder_input_channels": plain["decoder.layers.0.weight_v"].shape[1],
    }  # fmt: skip
    return Part(settings, weights)


def projection(tensors: Mapping[str, Tensor], facts: Facts) -> Part:
    """From the names after `conditioner.conditioners.seconds_`. Words are not projected: T5's embeddings are taken as they are."""
    weights = {_renamed(name, _PROJECTION): tensor for name, tensor in tensors.items()}
    size = len(tensors["start.embedder.embedding.1.bias"])
    settings = {"text_encoder_dim": size, "conditioning_dim": size, "min_value": facts.shortest, "max_value": facts.longest}
    return Part(settings, weights)


_TRANSFORMER = [
    (r"^timestep_features\.", "time_proj."), (r"^to_timestep_embed\.", "timestep_proj."), (r"^to_global_embed\.", "global_proj."),
    (r"^to_cond_embed\.", "cross_attention_proj."), (r"^transformer\.project_(in|out)\.", r"proj_\1."),
    (r"^transformer\.layers\.", "transformer_blocks."), (r"\.pre_norm\.", ".norm1."), (r"\.cross_attend_norm\.", ".norm2."),
    (r"\.ff_norm\.", ".norm3."), (r"\.gamma$", ".weight"), (r"\.beta$", ".bias"), (r"\.self_attn\.", ".attn1."),
    (r"\.cross_attn\.", ".attn2."), (r"\.to_out\.", ".to_out.0."), (r"\.ff\.ff\.", ".ff.net."),
]  # fmt: skip
_AUTOENCODER = [
    (r"^(encoder|decoder)\.layers\.0\.", r"\1.conv1."),
    (r"^(encoder|decoder)\.layers\.(\d+)\.", lambda m: f"{m[1]}.block.{int(m[2]) - 1}."),
    (r"^(encoder\.block\.\d+)\.layers\.([012])\.layers\.", lambda m: f"{m[1]}.res_unit{int(m[2]) + 1}.layers."),
    (r"^(encoder\.block\.\d+)\.layers\.3\.", r"\1.snake1."), (r"^(encoder\.block\.\d+)\.layers\.4\.", r"\1.conv1."),
    (r"^(decoder\.block\.\d+)\.layers\.([234])\.layers\.", lambda m: f"{m[1]}.res_unit{int(m[2]) - 1}.layers."),
    (r"^(decoder\.block\.\d+)\.layers\.0\.", r"\1.snake1."), (r"^(decoder\.block\.\d+)\.layers\.1\.", r"\1.conv_t1."),
    (r"(\.res_unit\d)\.layers\.([02])\.", lambda m: f"{m[1]}.snake{int(m[2]) // 2 + 1}."),
    (r"(\.res_unit\d)\.layers\.([13])\.", lambda m: f"{m[1]}.conv{int(m[2]) // 2 + 1}."),
]  # fmt: skip
_PROJECTION = [(r"^start\.", "start_number_conditioner."), (r"^total\.", "end_number_conditioner."), (r"embedder\.embedding\.", "time_positional_embedding.")]


def _renamed(name: str, rules: list) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
