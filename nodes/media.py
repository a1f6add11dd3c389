"""Between ComfyUI's media and the core's: axes, one medium out of a batch, and latents as other nodes expect them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..ops.generators.protocol import Generator
from ..ops.render import Render
from ..ops.showcase import picture
from . import host
from .host_models import LoadedGenerator


def pixels_of(image: Tensor) -> Tensor:
    """IMAGE [B, H, W, C] -> [B, 3, H, W] in 0..1; a fourth channel lies over white, one channel becomes three.

    ValueError for another shape.
    """
    if image.ndim != 4 or image.shape[-1] not in (1, 3, 4) or 0 in image.shape:
        raise ValueError(f"image has shape {tuple(image.shape)}, expected [B, H, W, C] with 1, 3 or 4 channels")
    x = image.clone().float().movedim(-1, 1)
    if x.shape[1] == 4:
        x = x[:, :3] * x[:, 3:] + 1 - x[:, 3:]
    # resizing nodes overshoot a little; anything else outside 0..1 is left for the encoder to refuse
    return x.expand(-1, 3, -1, -1).clamp(0, 1) if -0.1 < x.min() and x.max() < 1.1 else x.expand(-1, 3, -1, -1)


def wave_of(audio: dict[str, Any]) -> tuple[Tensor, int]:
    """AUDIO -> (wave [1, C, T], rate). ValueError when it is no sound or a batch of several."""
    wave = audio.get("waveform") if isinstance(audio, dict) else None
    if wave is None or wave.ndim != 3 or 0 in wave.shape:
        raise ValueError("audio holds no sound: connect Load Audio, or a video that has a sound track")
    if wave.shape[0] != 1:
        raise ValueError(f"audio is a batch of {wave.shape[0]} sounds, expected one")
    return wave.clone().float(), int(audio["sample_rate"])


def frames_of(video: Any) -> tuple[Tensor, float]:
    """VIDEO -> (frames [1, T, 3, H, W] in 0..1, frames a second)."""
    parts = video.get_components()
    return pixels_of(parts.images)[None], float(parts.frame_rate)


def latent_out(latent: Tensor, generator: Generator) -> dict[str, Any]:
    """A latent of ours as LATENT: video with channels before time, as every video VAE has it, and of a loaded model in the VAE's scale."""
    samples = latent.detach().clone().float().cpu()
    if isinstance(generator, LoadedGenerator):
        samples = generator.to_vae(samples)
    elif generator.modality == "video":
        samples = samples.movedim(2, 1)
    if generator.modality == "audio":
        return {"samples": samples, "type": "audio", "sample_rate": generator.rate}
    return {"samples": samples}


def latent_in(latent: dict[str, Any], generator: Generator) -> Tensor:
    """The inverse of `latent_out`. ValueError when it is of another generator, holds several, or NaN."""
    samples = latent["samples"]
    if getattr(samples, "is_nested", False):
        raise ValueError("this latent holds picture and sound at once (LTX-2); take it apart first")
    samples = samples.clone().float()
    wanted = (1, *generator.latent_shape)
    if generator.modality == "video":
        wanted = (1, wanted[2], wanted[1], *wanted[3:])
    if tuple(samples.shape) != wanted:
        raise ValueError(
            f"the latent has shape {tuple(samples.shape)}, this {generator.modality} generator takes {wanted}; "
            "encode with this generator's own VAE, at the size it makes"
        )
    if not torch.isfinite(samples).all():
        raise ValueError("the latent contains NaN or infinity: make it anew")
    if isinstance(generator, LoadedGenerator):
        return generator.from_vae(samples)
    return samples.movedim(1, 2) if generator.modality == "video" else samples


def outputs(render: Render, generator: Generator) -> tuple[Any, Any, Any]:
    """A render as (IMAGE, AUDIO, VIDEO). What it is not is blocked with a message; IMAGE there is always:
    the picture, the clip's frames, the sound's spectrogram."""
    media, kind = render.media.clone(), render.modality
    image = media.movedim(1, -1) if kind == "video" else picture(media, kind).movedim(0, -1)[None]
    silent = host.blocked(f"this render is of kind {kind}: it has no sound; load the audio generator for one")
    still = host.blocked(f"this render is of kind {kind}: it is no clip; load the video generator for one")
    audio = {"waveform": media[None], "sample_rate": generator.rate} if kind == "audio" else silent
    video = host.clip(image, generator.fps) if kind == "video" else still
    return image.contiguous(), audio, video
