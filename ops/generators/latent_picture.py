"""What the diffusers library's generators of pictures share: a variational autoencoder around a diffusion network, and text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..runtime import tower_dtype
from ..space import Modality
from ..weights import WeightsError
from .checkpointing import Checkpointed, on_the_way, residual
from .diffusers_loading import component, converted, library, mark, shapes, tensors, text_part
from .families import Family
from .tiny_decoder import tiny_decoder

NETWORK, FIRST_STAGE = "model.diffusion_model.", "first_stage_model."
"""Before the names of the tensors of a single file, by what they belong to."""


class Conditioning(NamedTuple):
    """A prompt as the networks read it: a row for each token [1, tokens, D] and one for all of it [1, P]."""

    text: Tensor
    pooled: Tensor


class LatentPicture(Checkpointed):
    """A `Generator` (see protocol.py) of pictures of one size, on diffusers' modules; a member adds `x0`, `blocks`, `null`,
    `settings` and these facts.

    family: what is known of it. part, kind: of the network, the subfolder of a diffusers folder and the class. scale: what single
    files do not say of their autoencoder. pipeline: the library's class that knows how a prompt is embedded. texts: the
    subfolders of its text encoders and tokenizers, in the pipeline's order, with their classes in transformers; those that are
    `spared` may be missing.
    """

    modality: Modality = "image"
    family: Family
    part: str
    kind: str
    scale: Mapping[str, float]
    pipeline: str
    texts: Mapping[str, str]
    spared: frozenset[str] = frozenset()
    # of all attentions: queries, keys, values and what they give
    adapts = re.compile(r".*\.attn[12]?\..*")

    def __init__(
        self, network: nn.Module, autoencoder: nn.Module, width: int, height: int, fast: nn.Module | None = None, folder: Path | None = None
    ):
        """fast: a decoder of model-space latents to -1..1. folder: where the text encoders are, if anywhere.

        ValueError for a size, and for an autoencoder, that does not fit the family.
        """
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
            with on_the_way(z, residual(self.autoencoder.decoder)):
                pixels = self.autoencoder.decode(raw.to(self.autoencoder.dtype)).sample
        return pixels.to(z) / 2 + 0.5

    def encode(self, media: Tensor) -> Tensor:
        """The latents, in the middle of what the encoder allows, of pictures [B, 3, H, W] in 0..1."""
        settings = self.autoencoder.config
        raw = self.autoencoder.encode((media * 2 - 1).to(self.autoencoder.dtype)).latent_dist.mode().to(media)
        return (raw - (settings.shift_factor or 0.0)) * settings.scaling_factor

    def null(self) -> Conditioning:
        """What the family was trained to read as no prompt."""
        raise NotImplementedError

    @staticmethod
    def settings(found: Mapping[str, tuple[int, ...]], source: Path) -> dict[str, Any]:
        """Of `kind`, as the tensors of a single file are for it, by their shapes; WeightsError, naming it, for another's file."""
        raise NotImplementedError

    def condition(self, prompt: str | None) -> Conditioning:
        """The conditioning of a prompt, by text encoders that are loaded for the call; None needs none.

        ValueError for a prompt where there are no text encoders, or damaged ones.
        """
        # kept over a run, so not born under a host's inference mode
        with torch.inference_mode(False), torch.no_grad():
            if prompt is None:
                return Conditioning(*(part.to(self.device) for part in self.null()))
            return self._read(prompt)

    def _read(self, prompt: str) -> Conditioning:
        there = [name for name in self.texts if self.folder is not None and (self.folder / name).is_dir()]
        if missing := [name for name in self.texts if name not in there and name not in self.spared]:
            where = f"{self.folder} has no {', '.join(missing)}" if self.folder else "it was loaded from a single file"
            raise ValueError(f"prompt {prompt[:60]!r}: this {self.family.title} has no text encoders, {where}; a diffusers folder has them")
        parts = dict.fromkeys(self.texts) | {name: text_part(self.folder / name, self.texts[name], self.dtype, self.device) for name in there}
        made = getattr(library(), self.pipeline)(vae=self.autoencoder, scheduler=None, **{self.part: self.network}, **parts)
        # each encoder could be given a prompt of its own
        others = [None] * (sum("encoder" in name for name in self.texts) - 1)
        text, _, pooled, _ = made.encode_prompt(prompt, *others, device=self.device, do_classifier_free_guidance=False)
        return Conditioning(text, pooled)


def loaded(
    member: type[LatentPicture], path: Path, width: int, height: int, device: str | torch.device, dtype: torch.dtype | None, fast: Path | None
) -> LatentPicture:
    """A member of `LatentPicture` from a diffusers folder, or from a single safetensors file in Stability AI's layout.

    width, height: of its pictures in pixels. dtype: of the network, `runtime.tower_dtype` of the device unless said; the
    autoencoder is float32. fast: a tiny decoder, as `tiny_decoder` takes it. WeightsError for another family's weights and for
    such as are not whole; ValueError for a size; ModuleNotFoundError without the libraries.
    """
    path, dtype = Path(path), dtype or tower_dtype(device)
    # kept for good, and moved to the device here: nothing of it may be born under a host's inference mode
    with torch.inference_mode(False):
        if path.is_dir():
            network, autoencoder = component(path, member.part, member.kind, dtype), component(path, "vae", "AutoencoderKL", torch.float32)
        else:
            found = shapes(path)
            settings = autoencoder_settings(found, path) | member.scale
            network = converted(member.kind, tensors(path, NETWORK, dtype), member.settings(found, path), dtype, path)
            autoencoder = converted("AutoencoderKL", tensors(path, FIRST_STAGE, torch.float32), settings, torch.float32, path)
        small = tiny_decoder(fast, member.family.channels, dtype) if fast else None
        return member(network, autoencoder, width, height, small, path if path.is_dir() else None).eval().to(device)


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
