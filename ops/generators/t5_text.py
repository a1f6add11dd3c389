"""Prompts through the T5 encoder of a diffusers folder, which is there for as long as that takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..weights import WeightsError

ENCODER, TOKENIZER = "text_encoder", "tokenizer"


def present(folder: Path) -> bool:
    """Whether a folder has a text encoder with its tokenizer."""
    return (folder / ENCODER / "config.json").is_file() and (folder / TOKENIZER).is_dir()


@torch.no_grad()
def embeddings(folder: Path, prompts: Sequence[str], length: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Embeddings [B, length, D] in `dtype` on `device`, and masks [B, length], True where there is a token of the prompt.

    The encoder sees the padding too, as in diffusers' pipelines. It is loaded for the call and let go after it. WeightsError, naming
    the folder, for files that cannot be read; ModuleNotFoundError where the transformers library is not installed.
    """
    try:
        from transformers import AutoTokenizer, T5EncoderModel
    except ImportError as error:
        raise ModuleNotFoundError(f"reading prompts needs a library: pip install transformers ({error})") from error

    with torch.inference_mode(False):
        try:
            tokenizer = AutoTokenizer.from_pretrained(str(folder / TOKENIZER), local_files_only=True)
            settings = {"local_files_only": True, "use_safetensors": True, "dtype": dtype}
            encoder = T5EncoderModel.from_pretrained(str(folder / ENCODER), **settings).eval().to(device)
        except (OSError, ValueError, RuntimeError) as error:
            raise WeightsError(f"{folder} has no text encoder that can be read ({str(error).splitlines()[0]})") from error
        tokens = tokenizer(list(prompts), padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        return encoder(tokens.input_ids.to(device))[0], tokens.attention_mask.bool().to(device)
