"""What every pocket generator shares: an autoencoder, a flow prior on its latents, and the text that may condition it."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from ..encoders.pocket import PocketEncoder
from ..encoders.protocol import Encoder
from ..space import Space, fingerprint
from .flow import along, x0_from_velocity
from .latent_diffusion import LatentDiffusion


class LatentFlow(LatentDiffusion):
    """The diffusion side of a `Generator` (see protocol.py); a modality adds `latent_shape`, `decode` and `encode`."""

    def __init__(self, autoencoder: nn.Module, prior: nn.Module, encoder: Encoder):
        super().__init__()
        self.autoencoder, self.prior = autoencoder, prior
        # what a run's record names the weights by
        self.id = "pocket-" + fingerprint(self.state_dict())
        # held in a tuple: the encoder is a neighbour, not a part whose weights this module owns
        self._encoder = (encoder,)

    # every attention and MLP of the hourglass's body, where a token sees the whole latent
    adapts = re.compile(r"body\..*")

    @property
    def network(self) -> nn.Module:
        return self.prior

    def noise(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Rectified flow: alpha = 1 - t, sigma = t."""
        return 1 - t, t

    def condition(self, prompt: str | None) -> Tensor:
        """Condition rows [1, 768]: the prompt's text embedding, or NaN throughout, which the prior reads as no prompt.

        Raises ValueError for a prompt when the encoder is not the pocket's: the prior has learned no other language.
        """
        if prompt is None:
            return torch.full((1, 768), torch.nan, device=self.device)
        if not isinstance(self._encoder[0], PocketEncoder):
            raise ValueError(f"prompt {prompt[:60]!r}: a pocket generator reads prompts with the pocket encoder only, not '{self._encoder[0].space.id}'")
        with torch.no_grad():
            return self._encoder[0].text([prompt]).pooled.to(self.device)

    def told(self, direction: Tensor, space: Space) -> Tensor | None:
        """The condition row [1, 768] of a centred direction: where the text tower would put a phrase that meant it. None for
        another space than that of the pocket encoder that the prior has learned from."""
        encoder = self._encoder[0]
        if not isinstance(encoder, PocketEncoder) or encoder.space.encoder_id != space.encoder_id:
            return None
        return space.place(direction.detach(), "text")[None].to(self.device)

    def x0(self, x_t: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """From cond [1, 768] or [B, 768]."""
        return x0_from_velocity(x_t, self.prior(x_t, t, cond.expand(len(x_t), -1)), t)

    @torch.no_grad()
    def sample(self, cond: Tensor, size: int, seed: int, steps: int = 24, guidance: float = 3.0) -> Tensor:
        """Latents [size, *latent_shape] drawn from the prior by Euler steps from t = 1 to 0, with classifier-free guidance."""
        z = self.start(size, seed)
        null = self.condition(None)
        grid = torch.linspace(1, 0, steps + 1, device=self.device)
        for now, after in zip(grid, grid[1:]):
            t = now.expand(size)
            x0 = self.predict_x0(z, t, cond)
            if guidance != 1 and not cond.isnan().any():
                free = self.predict_x0(z, t, null)
                x0 = free + guidance * (x0 - free)
            eps = (z - along(1 - t, z) * x0) / along(t, z)
            z = along((1 - after).expand(size), z) * x0 + along(after.expand(size), z) * eps
        return z
