"""A generator's autoencoder as ComfyUI's VAE, for VAE Decode, VAE Encode and their audio and tiled kin."""

from __future__ import annotations

import torch
from torch import Tensor

from ..ops.encoders.preprocessing import square
from ..ops.signal import resample
from . import host
from .media import latent_in, pixels_of
from .sockets import HostedGenerator


class GeneratorVAE:
    """What ComfyUI's nodes ask of a VAE. Latents are those of the LATENT socket; media come out clamped, on the CPU.

    Everything is small enough to need no tiles: the tiled calls do the plain work.
    """

    def __init__(self, hosted: HostedGenerator):
        self.hosted = hosted
        generator = hosted.generator
        if generator.modality == "audio":
            self.audio_sample_rate = host.audio_rate(generator.rate)

    def decode(self, samples: Tensor, **_: object) -> Tensor:
        """Pictures [B, H, W, 3], clips [B, T, H, W, 3] or sounds [B, T, C]."""
        generator = self.hosted.generator
        device = self._ready()
        with torch.no_grad():
            parts = [generator.decode(latent_in({"samples": part}, generator).to(device)) for part in samples.split(1)]
        media = torch.cat(parts).float().cpu()
        return media.movedim(1, -1) if generator.modality == "audio" else media.movedim(-3, -1).clamp(0, 1)

    def encode(self, media: Tensor) -> Tensor:
        """Latents of pictures [B, H, W, C], of a clip's frames [T, H, W, C], or of sounds [B, T, C]."""
        generator = self.hosted.generator
        device = self._ready()
        with torch.no_grad():
            if generator.modality == "audio":
                wave = resample(media.clone().float().mean(-1), self.audio_sample_rate, generator.rate)
                return generator.encode(fitted(wave, generator).to(device)[:, None]).float().cpu()
            pixels = square(pixels_of(media), generator.side).to(device)
            if generator.modality == "image":
                return generator.encode(pixels).float().cpu()
            chosen = torch.linspace(0, len(pixels) - 1, generator.frames).round().long()
            return generator.encode(pixels[chosen][None]).movedim(2, 1).float().cpu()

    def decode_tiled(self, samples: Tensor, **_: object) -> Tensor:
        return self.decode(samples)

    def encode_tiled(self, media: Tensor, **_: object) -> Tensor:
        return self.encode(media)

    def spacial_compression_decode(self) -> int:
        """Pixels a latent cell, under the name ComfyUI calls it by."""
        generator = self.hosted.generator
        return 1 if generator.modality == "audio" else generator.side // generator.latent_shape[-1]

    spacial_compression_encode = spacial_compression_decode

    def temporal_compression_decode(self) -> int | None:
        return 1 if self.hosted.generator.modality == "video" else None

    def _ready(self) -> torch.device:
        return host.load(self.hosted.residents(False))


def fitted(wave: Tensor, generator) -> Tensor:
    """Waves [B, T] cut, or repeated from the beginning, to the length the generator's latents stand for."""
    length = generator.samples
    times = -(-length // wave.shape[-1])
    return wave.repeat(1, times)[:, :length]
