"""LTX-Video 0.9.x as a generator of clips, on the diffusers library: causal video autoencoder and flow transformer.

HaCohen et al. 2024, arXiv 2501.00103. What is passed to the networks follows diffusers' `LTXPipeline`, and from 0.9.5 on its
`LTXConditionPipeline`, which places frames in time as those versions learned it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from .. import runtime
from ..space import Modality
from . import ltx_file, t5_text
from .checkpointing import Checkpointed, checkpointed, residual
from .diffusers_loading import component, config, converted, mark, shapes, tensors
from .families import LTX
from .flow import x0_from_velocity

DECODED_AT = 0.05
"""The time that decoders from 0.9.1 on are told, as their makers do (`decode_timestep` of the published settings)."""
TOKENS = 128
"""Of a prompt, with its padding."""

Conditioning = tuple[Tensor, Tensor]
"""A text's T5 embedding [1, tokens, D] and its mask [1, tokens], true where it is read."""


class LTXVideo(Checkpointed):
    """A `Generator` (see protocol.py) of clips of `frames` frames of width x height pixels, at `LTX.fps`.

    vae, transformer: diffusers' `AutoencoderKLLTXVideo` and `LTXVideoTransformer3DModel`. causal: whether the transformer counts time
    as those from 0.9.5 on (`seconds`). null: conditioning that stands for no prompt, the T5 embedding of the empty text; text: a
    diffusers folder to make it, and any prompt's, from. Without either there is no conditioning to give, and no prior.

    Decoding is without noise. From 0.9.1 on decoders are meant to be given a little, on the latent and, in 0.9.1, within their
    blocks: here both are zero, so that a latent has one clip, on every device, and nothing but the latent moves it. The noise
    within is taken out of the `vae` given.

    ValueError for sides that are no multiples of 32, for frames other than 8 n + 1, and for a null of another shape.
    """

    modality: Modality = "video"
    fps = LTX.fps

    def __init__(
        self, vae: nn.Module, transformer: nn.Module, width: int, height: int, frames: int,
        causal: bool = False, null: Conditioning | None = None, text: Path | None = None,
    ):  # fmt: skip
        super().__init__()
        self.latent_shape = LTX.clip(width, height, frames)
        for block in vae.decoder.modules():
            if getattr(block, "per_channel_scale1", None) is not None:
                block.per_channel_scale1 = block.per_channel_scale2 = None
        self.vae, self.transformer, self.causal, self._text = vae, transformer, causal, text
        self.id = f"{LTX.name}-{mark(vae, transformer)}"
        self._said = {} if null is None else {"": self._checked(null)}

    @property
    def network(self) -> nn.Module:
        return self.transformer

    def blocks(self) -> Iterable[nn.Module]:
        return self.transformer.transformer_blocks

    def adapted(self) -> list[str]:
        """Queries, keys, values and outputs of every attention, within the clip and to the text."""
        ends = ("to_q", "to_k", "to_v", "to_out.0")
        return [path for path, part in self.transformer.named_modules() if path.endswith(ends) and isinstance(part, nn.Linear)]

    def noise(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Rectified flow: alpha = 1 - t, sigma = t."""
        return LTX.schedule(t)

    def x0(self, x_t: Tensor, t: Tensor, cond: Conditioning) -> Tensor:
        batch, frames, _, height, width = x_t.shape
        dtype = self.transformer.dtype
        embedding, mask = (part.to(x_t.device).expand(batch, *part.shape[1:]) for part in cond)
        velocity = self.transformer(
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
        """A prompt's conditioning; None gives the empty text's, which the network was trained with as no prompt. Each is made once.

        ValueError where nothing can make it: the honest track needs none.
        """
        words = prompt or ""
        if words not in self._said:
            if self._text is None:
                raise ValueError(
                    f"LTX-Video has no text encoder here for {f'the prompt {words[:60]!r}' if words else 'no prompt, the empty text'}: "
                    "load it from a diffusers folder with text_encoder and tokenizer, or give `null`, T5's embedding of ''"
                )
            self._said[words] = self._checked(t5_text.embeddings(self._text, [words], TOKENS, self.device, self.transformer.dtype))
        return self._said[words]

    def decode(self, z: Tensor, fast: bool = False) -> Tensor:
        """Clips [B, 8 (T - 1) + 1, 3, H, W] of latents [B, T, C, h, w]. There is one decoder: `fast` changes nothing."""
        mean, deviation = self._statistics()
        latent = (z * deviation + mean).movedim(2, 1)
        told = torch.full((len(z),), DECODED_AT, device=z.device) if self.vae.config.timestep_conditioning else None
        wanted = torch.is_grad_enabled() and z.requires_grad
        with checkpointed(residual(self.vae.decoder)) if wanted else nullcontext():
            frames = self.vae.decode(latent.to(self.vae.dtype), told, return_dict=False)[0]
        return (frames.float().movedim(2, 1) + 1) / 2

    def encode(self, media: Tensor) -> Tensor:
        """The mean latents [B, *latent_shape] of clips [B, frames, 3, H, W] in 0..1. ValueError for clips of another size."""
        frames, (height, width) = (self.latent_shape[0] - 1) * LTX.period + 1, (side * LTX.cell for side in self.latent_shape[2:])
        if media.shape[1:] != (frames, 3, height, width):
            raise ValueError(f"media has shape {tuple(media.shape)}, expected [B, {frames}, 3, {height}, {width}]")
        mean, deviation = self._statistics()
        latent = self.vae.encode((2 * media - 1).movedim(2, 1).to(self.vae.dtype)).latent_dist.mode()
        return (latent.float().movedim(1, 2) - mean) / deviation

    def _statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the autoencoder's latents, [C, 1, 1] each: the transformer sees them standardised."""
        mean, deviation = (part.float()[:, None, None] for part in (self.vae.latents_mean, self.vae.latents_std))
        return mean, deviation / self.vae.config.scaling_factor

    def _checked(self, cond: Conditioning) -> Conditioning:
        embedding, mask = cond
        width = self.transformer.config.caption_channels
        if embedding.dim() != 3 or embedding.shape[::2] != (1, width) or mask.shape != embedding.shape[:2]:
            raise ValueError(
                f"null has shapes {tuple(embedding.shape)} and {tuple(mask.shape)}, expected an embedding [1, tokens, {width}] and a mask [1, tokens]"
            )
        # kept over runs, so nothing of it may be an inference tensor
        with torch.inference_mode(False), torch.no_grad():
            return embedding.detach().clone(), mask.detach().clone()


def load(
    path: str | Path, width: int = 512, height: int = 320, frames: int = 25, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> LTXVideo:
    """LTX-Video 0.9.x from a diffusers folder, or from one of its makers' single files (safetensors), which has no text encoder.

    dtype: of the transformer, by default what large towers compute in on the device; the autoencoder is float32.
    WeightsError for files that are missing, damaged or another model's; ValueError for sizes that do not fit, ModuleNotFoundError
    without the diffusers library.
    """
    path, dtype = Path(path), dtype or runtime.tower_dtype(device)
    LTX.clip(width, height, frames)
    text = null = None
    if path.is_dir():
        text = path if t5_text.present(path) else None
        if text:
            # first, and once: the text encoder takes more memory than all the rest, which would lie beside it later
            null = t5_text.embeddings(text, [""], TOKENS, torch.device(device), dtype)
        vae = component(path, "vae", "AutoencoderKLLTXVideo", torch.float32)
        transformer = component(path, "transformer", "LTXVideoTransformer3DModel", dtype)
        causal = "LTXVideo095DownBlock3D" in config(path / "vae").get("down_block_types", ())
    else:
        there = shapes(path)
        ltx_file.require(there, path)
        stored = tensors(path, ltx_file.VAE, torch.float32)
        for name in ltx_file.UNREAD:
            stored.pop(f"{ltx_file.VAE}per_channel_statistics.{name}", None)
        vae = converted("AutoencoderKLLTXVideo", stored, ltx_file.autoencoder(there), torch.float32, path)
        told = ltx_file.transformer(there, ltx_file.spoken(path))
        transformer = converted("LTXVideoTransformer3DModel", tensors(path, ltx_file.TRANSFORMER, dtype), told, dtype, path)
        causal = ltx_file.causal(there)
    with torch.inference_mode(False):
        return LTXVideo(vae, transformer, width, height, frames, causal, null, text).eval().to(device)
