"""The convolutional autoencoder of the pocket generators: 8x smaller in both directions, standardised latents."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Residual(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.silu(self.conv1(F.silu(self.norm(x)))))


class Autoencoder(nn.Module):
    """Media planes [B, C, H, W] <-> latents [B, K, H/8, W/8].

    Latents are standardised: `encode` subtracts the stored per-channel mean and divides by the standard deviation,
    `decode` undoes it, so that a natural latent has |z| / sqrt(d) near 1. Outputs are unclamped.
    """

    def __init__(self, channels: int, latent: int, widths: tuple[int, int, int] = (32, 64, 128)):
        super().__init__()
        a, b, c = widths
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * channels, a, 3, padding=1),
            Residual(a),
            nn.Conv2d(a, b, 3, stride=2, padding=1),
            Residual(b),
            nn.Conv2d(b, c, 3, stride=2, padding=1),
            Residual(c),
            Residual(c),
            nn.Conv2d(c, latent, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(latent, c, 3, padding=1),
            Residual(c),
            Residual(c),
            nn.Conv2d(c, 4 * b, 1),
            nn.PixelShuffle(2),
            Residual(b),
            nn.Conv2d(b, 4 * a, 1),
            nn.PixelShuffle(2),
            Residual(a),
            nn.Conv2d(a, 4 * channels, 3, padding=1),
            nn.PixelShuffle(2),
        )
        self.register_buffer("mean", torch.zeros(latent, 1, 1))
        self.register_buffer("std", torch.ones(latent, 1, 1))

    def encode(self, x: Tensor) -> Tensor:
        return (self.encoder(x).float() - self.mean) / self.std

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z * self.std + self.mean)
