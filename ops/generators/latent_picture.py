"""What the diffusers library's generators of pictures share: a variational autoencoder around a diffusion network, and text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..space import Modality
from ..weights import WeightsError
from .checkpointing import Checkpointed, checkpointed, residual
from .diffusers_loading import library, mark
from .families import Family

ATTENTION = re.compile(r"\.attn[12]?\.")
FIRST_STAGE = "first_stage_model."


class Conditioning(NamedTuple):
    """A prompt as the networks read it: a row for each token [1, tokens, D] and one for all of it [1, P]."""

    text: Tensor
    pooled: Tensor


class LatentPicture(Checkpointed):
    """A `Generator` (see protocol.py) of pictures of one size, on diffusers' modules; a member adds `x0` and the class attributes.

    family: what is known of it. text_parts: the subfolders that its text encoders and tokenizers are in, with the classes of
    transformers; those of `spared` may be missing. pipeline: the diffusers class that knows how a prompt is embedded with them.
    null: shapes of the conditioning of no prompt, which is zeros.
    """

    modality: Modality = "image"
    family: Family
    pipeline: str
    text_parts: Mapping[str, str]
    spared: frozenset[str] = frozenset()

    def __init__(self, network: nn.Module, autoencoder: nn.Module, width: int, height: int, fast: nn.Module | None, folder: Path | None):
        """fast: a decoder of model-space latents to -1..1. folder: where the text encoders are, if anywhere."""
        super().__init__()
        self.latent_shape = self.family.picture(width, height)
        found = autoencoder.config.latent_channels
        if found != self.family.channels:
            raise ValueError(f"this autoencoder's latents have {found} channels, those of {self.family.title} {self.family.channels}")
        self.network, self.autoencoder, self.fast, self.folder = network, autoencoder, fast, folder
        self.id = f"{self.family.name}-{mark(network, autoencoder)}"

    @property
    def dtype(self) -> torch.dtype:
        return next(self.network.parameters()).dtype

    def noise(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The family's schedule."""
        return self.family.schedule(t)

    def decode(self, z: Tensor, fast: bool = False) -> Tensor:
        """Pictures [B, 3, H, W], about 0..1 and unclamped; by the tiny decoder if `fast` and there is one."""
        if fast and self.fast is not None:
            pixels = self.fast(z.to(self.dtype))
        else:
            settings = self.autoencoder.config
            raw = z / settings.scaling_factor + (settings.shift_factor or 0.0)
            wanted = torch.is_grad_enabled() and z.requires_grad
            with checkpointed(residual(self.autoencoder.decoder)) if wanted else nullcontext():
                pixels = self.autoencoder.decode(raw.to(self.autoencoder.dtype)).sample
        return pixels.to(z) / 2 + 0.5

    def encode(self, media: Tensor) -> Tensor:
        """The latents, in the middle of what the encoder allows, of pictures [B, 3, H, W] in 0..1."""
        settings = self.autoencoder.config
        raw = self.autoencoder.encode((media * 2 - 1).to(self.autoencoder.dtype)).latent_dist.mode().to(media)
        return (raw - (settings.shift_factor or 0.0)) * settings.scaling_factor

    def adapted(self) -> list[str]:
        """All attentions: queries, keys, values and what they give."""
        return [path for path, part in self.network.named_modules() if isinstance(part, nn.Linear) and ATTENTION.search(path)]

    def null(self) -> Conditioning:
        """What the family was trained to read as no prompt."""
        raise NotImplementedError

    def condition(self, prompt: str | None) -> Conditioning:
        """The conditioning of a prompt, by text encoders that are loaded for the call; None needs none.

        ValueError for a prompt where there are no text encoders.
        """
        # kept over a run, so not born under a host's inference mode
        with torch.inference_mode(False), torch.no_grad():
            if prompt is None:
                return Conditioning(*(part.to(self.device) for part in self.null()))
            return self._embedded(prompt)

    def _embedded(self, prompt: str) -> Conditioning:
        there = lambda name: self.folder is not None and (self.folder / name).is_dir()  # noqa: E731
        if missing := [name for name in self.text_parts if not there(name) and name not in self.spared]:
            where = f"{self.folder} has no {', '.join(missing)}" if self.folder else "it was loaded from a single file"
            raise ValueError(f"prompt {prompt[:60]!r}: this {self.family.title} has no text encoders, {where}; a diffusers folder has them")
        diffusers = library()
        import transformers

        parts: dict[str, Any] = dict.fromkeys(self.text_parts)
        for name in filter(there, self.text_parts):
            dtype = {} if "tokenizer" in name else {"dtype": self.dtype}
            made = getattr(transformers, self.text_parts[name]).from_pretrained(str(self.folder / name), local_files_only=True, **dtype)
            parts[name] = made.eval().to(self.device) if dtype else made
        return self.embedded(getattr(diffusers, self.pipeline), parts, prompt)

    def embedded(self, pipeline: type, parts: Mapping[str, Any], prompt: str) -> Conditioning:
        """A prompt's conditioning by the library's pipeline, given its text encoders and tokenizers."""
        raise NotImplementedError


def autoencoder_settings(found: Mapping[str, tuple[int, ...]], source: Path) -> dict[str, Any]:
    """Of diffusers' AutoencoderKL, as the tensors of a single file are for it, by their shapes; scale and shift not among them.

    WeightsError, naming `source`, for a file without an autoencoder.
    """
    try:
        latent = found[f"{FIRST_STAGE}decoder.conv_in.weight"][1]
        widths = [found[f"{FIRST_STAGE}decoder.up.{level}.block.0.conv1.weight"][0] for level in range(counted(found, f"{FIRST_STAGE}decoder.up."))]
        per_level = counted(found, f"{FIRST_STAGE}encoder.down.0.block.")
    except KeyError as error:
        raise WeightsError(f"{source} has no autoencoder: no tensor {error}; a whole checkpoint has one") from error
    return {
        "in_channels": 3, "out_channels": 3, "latent_channels": latent, "block_out_channels": widths, "layers_per_block": per_level,
        "down_block_types": ["DownEncoderBlock2D"] * len(widths), "up_block_types": ["UpDecoderBlock2D"] * len(widths),
        "use_quant_conv": f"{FIRST_STAGE}quant_conv.weight" in found, "use_post_quant_conv": f"{FIRST_STAGE}post_quant_conv.weight" in found,
    }  # fmt: skip


def counted(names: Mapping[str, Any], prefix: str) -> int:
    """How many numbers follow a prefix in names."""
    return len({name[len(prefix) :].split(".", 1)[0] for name in names if name.startswith(prefix)})
