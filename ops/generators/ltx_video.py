"""LTX-Video 0.9.x as a generator of clips, on the diffusers library: causal video autoencoder and flow transformer.

HaCohen et al. 2024, arXiv 2501.00103. What is passed to the networks follows diffusers' `LTXPipeline`, and from 0.9.5 on its
`LTXConditionPipeline`, which places frames in time as those versions learned it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from .. import runtime
from ..space import Modality
from . import ltx_file
from .checkpointing import Checkpointed, on_the_way, residual
from .diffusers_loading import component, config, converted, library, mark, shapes, tensors, text_part
from .families import LTX
from .flow import x0_from_velocity

DECODED_AT = 0.05
"""The time that decoders from 0.9.1 on are told, as their makers do (`decode_timestep` of the published settings)."""
TEXT = {"text_encoder": "T5EncoderModel", "tokenizer": "T5TokenizerFast"}
"""Subfolders of a diffusers folder that read prompts, with their classes in transformers."""

Conditioning = tuple[Tensor, Tensor]
"""A text's T5 embedding [1, tokens, D] and its mask [1, tokens], true where it is read."""


class LTXVideo(Checkpointed):
    """A `Generator` (see protocol.py) of clips of `frames` frames of width x height pixels, at `LTX.fps`.

    network, autoencoder: diffusers' `LTXVideoTransformer3DModel` and `AutoencoderKLLTXVideo`. causal: whether the network counts time
    as those from 0.9.5 on (`seconds`). null: conditioning that stands for no prompt, T5's embedding of the empty text; folder: where
    the text encoder is to make it, and any prompt's. Without either there is no conditioning to give, and no prior.

    Decoding is without noise. From 0.9.1 on decoders are meant to be given a little, on the latent and, in 0.9.1, within their
    blocks: here both are zero, so that a latent has one clip, on every device, and nothing but the latent moves it. The noise
    within is taken out of the autoencoder given.

    ValueError for sides that are no multiples of 32, for frames other than 8 n + 1, and for a null of another shape.
    """

    modality: Modality = "video"
    fps = LTX.fps
    # queries, keys, values and outputs of every attention, within the clip and to the text
    adapts = re.compile(r".*\.(to_q|to_k|to_v|to_out\.0)")

    def __init__(
        self, network: nn.Module, autoencoder: nn.Module, width: int, height: int, frames: int,
        causal: bool = False, null: Conditioning | None = None, folder: Path | None = None,
    ):  # fmt: skip
        super().__init__()
        self.latent_shape = LTX.clip(width, height, frames)
        for block in autoencoder.decoder.modules():
            if getattr(block, "per_channel_scale1", None) is not None:
                block.per_channel_scale1 = block.per_channel_scale2 = None
        self.network, self.autoencoder, self.causal, self.folder = network, autoencoder, causal, folder
        self.id = f"{LTX.name}-{mark(network, autoencoder)}"
        self._said = {} if null is None else {"": self._checked(null)}

    def blocks(self) -> Iterable[nn.Module]:
        return self.network.transformer_blocks

    def noise(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Rectified flow: alpha = 1 - t, sigma = t."""
        return LTX.schedule(t)

    def x0(self, x_t: Tensor, t: Tensor, cond: Conditioning) -> Tensor:
        batch, frames, _, height, width = x_t.shape
        dtype = self.network.dtype
        embedding, mask = (part.to(x_t.device).expand(batch, *part.shape[1:]) for part in cond)
        velocity = self.network(
            # a token is a place of a frame, and its channels are its numbers
            hidden_states=x_t.movedim(2, -1).flatten(1, 3).to(dtype),
            encoder_hidden_states=embedding.to(dtype),
            timestep=t * 1000,
            encoder_attention_mask=mask,
            num_frames=frames,
            height=height,
            width=width,
            video_coords=self.places(frames, height, width).to(x_t.device).expand(batch, -1, -1),
            return_dict=False,
        )[0].float()
        return x0_from_velocity(x_t, velocity.unflatten(1, (frames, height, width)).movedim(-1, 2), t)

    def places(self, frames: int, height: int, width: int) -> Tensor:
        """Where the tokens of latent frames are: seconds, pixels down and pixels across [1, 3, frames * height * width]."""
        down, across = (LTX.cell * torch.arange(side, dtype=torch.float32) for side in (height, width))
        grid = torch.meshgrid(self.seconds(frames), down, across, indexing="ij")
        return torch.stack(grid).flatten(1)[None]

    def seconds(self, frames: int) -> Tensor:
        """When each latent frame begins [frames]. Early versions took the first for as long as the others; later ones know that
        it stands for a single frame of the clip."""
        begins = LTX.period * torch.arange(frames, dtype=torch.float32)
        return (begins - (LTX.period - 1)).clamp(min=0) / self.fps if self.causal else begins / self.fps

    def condition(self, prompt: str | None) -> Conditioning:
        """A prompt's conditioning; None gives the empty text's, which the network was trained with as no prompt. Each is made once,
        by a text encoder that is loaded for the call.

        ValueError where there is none, or a damaged one: the honest track needs no conditioning.
        """
        words = prompt or ""
        if words not in self._said:
            self._said[words] = self._checked(self._read(words))
        return self._said[words]

    def _read(self, words: str) -> Conditioning:
        if self.folder is None or not reads(self.folder):
            what = f"the prompt {words[:60]!r}" if words else "the empty prompt, its null conditioning,"
            raise ValueError(
                f"{LTX.title} has no text encoder to read {what} with: "
                f"load it from a diffusers folder with {' and '.join(TEXT)}, or give `null`, T5's embedding of the empty text and its mask"
            )
        return embedded(self.folder, words, self.network.dtype, self.device)

    def decode(self, z: Tensor, fast: bool = False) -> Tensor:
        """Clips [B, 8 (T - 1) + 1, 3, H, W] of latents [B, T, C, h, w]. There is one decoder: `fast` changes nothing."""
        mean, deviation = self._statistics()
        latent = (z * deviation + mean).movedim(2, 1)
        told = torch.full((len(z),), DECODED_AT, device=z.device) if self.autoencoder.config.timestep_conditioning else None
        with on_the_way(z, residual(self.autoencoder.decoder)):
            frames = self.autoencoder.decode(latent.to(self.autoencoder.dtype), told, return_dict=False)[0]
        return (frames.float().movedim(2, 1) + 1) / 2

    def encode(self, media: Tensor) -> Tensor:
        """The mean latents [B, *latent_shape] of clips [B, frames, 3, H, W] in 0..1. ValueError for clips of another size."""
        frames, (height, width) = (self.latent_shape[0] - 1) * LTX.period + 1, (side * LTX.cell for side in self.latent_shape[2:])
        if media.shape[1:] != (frames, 3, height, width):
            raise ValueError(f"media has shape {tuple(media.shape)}, expected [B, {frames}, 3, {height}, {width}]")
        mean, deviation = self._statistics()
        latent = self.autoencoder.encode((2 * media - 1).movedim(2, 1).to(self.autoencoder.dtype)).latent_dist.mode()
        return (latent.float().movedim(1, 2) - mean) / deviation

    def _statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the autoencoder's latents, [C, 1, 1] each: the transformer sees them standardised."""
        mean, deviation = (part.float()[:, None, None] for part in (self.autoencoder.latents_mean, self.autoencoder.latents_std))
        return mean, deviation / self.autoencoder.config.scaling_factor

    def _checked(self, cond: Conditioning) -> Conditioning:
        embedding, mask = cond
        width = self.network.config.caption_channels
        if embedding.dim() != 3 or embedding.shape[::2] != (1, width) or mask.shape != embedding.shape[:2]:
            raise ValueError(
                f"null has shapes {tuple(embedding.shape)} and {tuple(mask.shape)}, expected an embedding [1, tokens, {width}] and a mask [1, tokens]"
            )
        # a host may have made it in inference mode
        with torch.inference_mode(False), torch.no_grad():
            return embedding.detach().clone(), mask.detach().clone()


def reads(folder: Path) -> bool:
    """Whether a diffusers folder has all that reads prompts."""
    return all((folder / part).is_dir() for part in TEXT)


def embedded(folder: Path, words: str, dtype: torch.dtype, device: torch.device) -> Conditioning:
    """A prompt's conditioning by the text encoder of a diffusers folder, which is loaded for the call. WeightsError for a damaged one."""
    # kept over a run, so not born under a host's inference mode
    with torch.inference_mode(False), torch.no_grad():
        parts = {name: text_part(folder / name, kind, dtype, device) for name, kind in TEXT.items()}
        made = library().LTXPipeline(scheduler=None, vae=None, transformer=None, **parts)
        return made.encode_prompt(words, device=device, do_classifier_free_guidance=False)[:2]


def load(
    path: str | Path, width: int = 512, height: int = 320, frames: int = 25, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> LTXVideo:
    """LTX-Video 0.9.x from a diffusers folder, or from one of its makers' single files (safetensors), which has no text encoder.

    dtype: of the network, `runtime.tower_dtype` of the device unless said; the autoencoder is float32.
    WeightsError for files that are missing, damaged or another model's; ValueError for sizes that do not fit, ModuleNotFoundError
    without the diffusers library.
    """
    path, dtype = Path(path), dtype or runtime.tower_dtype(device)
    LTX.clip(width, height, frames)
    null = None
    if path.is_dir():
        if reads(path):
            # first, and once: the text encoder takes more memory than all the rest, which would lie beside it later
            null = embedded(path, "", dtype, torch.device(device))
        autoencoder = component(path, "vae", "AutoencoderKLLTXVideo", torch.float32)
        network = component(path, "transformer", "LTXVideoTransformer3DModel", dtype)
        causal = "LTXVideo095DownBlock3D" in config(path / "vae").get("down_block_types", ())
    else:
        there = shapes(path)
        ltx_file.require(there, path)
        stored = tensors(path, ltx_file.VAE, torch.float32)
        for name in ltx_file.UNREAD:
            stored.pop(f"{ltx_file.VAE}per_channel_statistics.{name}", None)
        autoencoder = converted("AutoencoderKLLTXVideo", stored, ltx_file.autoencoder(there), torch.float32, path)
        told = ltx_file.spoken(path)
        settings, causal = ltx_file.transformer(there, told), ltx_file.causal(there, told)
        network = converted("LTXVideoTransformer3DModel", tensors(path, ltx_file.TRANSFORMER, dtype), settings, dtype, path)
    with torch.inference_mode(False):
        return LTXVideo(network, autoencoder, width, height, frames, causal, null, path if path.is_dir() else None).eval().to(device)
