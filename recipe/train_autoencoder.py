"""Trains the picture autoencoder on random 64 px crops of composed pictures.

    python -m recipe.train_autoencoder --data DIR --minutes 30
"""

from __future__ import annotations


import numpy as np
import torch
from torch import Tensor

from concept_algebra.ops.generators.autoencoder import Autoencoder

from .loop import options, started, train
from .pictures import COLOURS, Pictures, backgrounds, flatten, jitter, place, tint

LATENT = 8


def batch(pictures: Pictures, size: int, rng: torch.Generator) -> Tensor:
    index = pictures.trained[torch.randint(len(pictures.trained), (size,), generator=rng).numpy()]
    x = pictures.cut_outs(index, 128)
    moved = place(x, rng)
    x = torch.where(torch.rand(size, 1, 1, 1, generator=rng) < 0.7, moved, x)
    palette = torch.tensor(list(COLOURS.values()))[torch.randint(len(COLOURS), (size,), generator=rng)]
    x = torch.where(torch.rand(size, 1, 1, 1, generator=rng) < 0.1, tint(x, palette), x)
    ground = backgrounds(size, 128, rng, white=0.55)
    behind = torch.rand(size, 1, 1, 1, generator=rng) < 0.15
    ground = torch.where(behind, flatten(moved.roll(1, 0), ground), ground)
    x = flatten(x, ground)
    x = torch.where(torch.rand(size, 1, 1, 1, generator=rng) < 0.3, jitter(x, rng), x)
    top, left = (int(torch.randint(0, 65, (1,), generator=rng)) for _ in range(2))
    return x[:, :, top : top + 64, left : left + 64].contiguous(memory_format=torch.channels_last)


def psnr(model: Autoencoder, x: Tensor) -> float:
    """Mean over pictures of 10 log10(1 / MSE), reconstruction clamped to 0..1."""
    with torch.no_grad():
        y = model.decode(model.encode(x)).float().clamp(0, 1)
    return (-10 * torch.log10((y - x).square().mean((1, 2, 3)))).mean().item()


def main() -> None:
    args = started(options(__doc__, minutes=30))
    run = args.runs / "autoencoder"
    rng = torch.Generator().manual_seed(0)
    pictures = Pictures(args.data)
    model = Autoencoder(3, LATENT).to(memory_format=torch.channels_last)
    held_out = pictures.plain(pictures.unseen_style[:128], 128).contiguous(memory_format=torch.channels_last)

    def step(index: int, progress: float) -> Tensor:
        x = batch(pictures, 32, rng)
        with torch.autocast("cpu", torch.bfloat16):
            z = model.encode(x)
            # noise on the latent keeps neighbouring latents decoding alike, which the prior and the optimiser need
            y = model.decode(z + 0.05 * z.detach().std() * torch.randn(z.shape, generator=rng))
        error = y.float() - x
        edges = sum((error.diff(dim=d)).square().mean() for d in (2, 3))
        return error.square().mean() + 0.05 * error.abs().mean() + 0.25 * edges + 1e-5 * z.square().mean()

    mean = train(model, step, run, args.minutes, lr=2e-3, weight_decay=0.01, evaluate=lambda m: {"psnr": psnr(m, held_out)})
    with torch.no_grad():
        z = torch.cat([mean.encode(pictures.plain(i, 128).contiguous(memory_format=torch.channels_last)) for i in np.array_split(pictures.trained[::8], 60)])
    mean.mean.copy_(z.mean((0, 2, 3)).view(-1, 1, 1))
    mean.std.copy_(z.std((0, 2, 3)).view(-1, 1, 1))
    torch.save(mean.state_dict(), run / "final.pt")
    print("final psnr on the unseen style", psnr(mean, pictures.plain(pictures.unseen_style, 128).contiguous(memory_format=torch.channels_last)))


if __name__ == "__main__":
    main()
