"""Trains the flow priors of pictures and clips on autoencoder latents, conditioned on text embeddings and on nothing.

    python -m recipe.train_prior image --data DIR --minutes 45
    python -m recipe.train_prior video --data DIR --minutes 15    (after the picture prior: adds temporal attention only)
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from concept_algebra.ops.generators.autoencoder import Autoencoder
from concept_algebra.ops.generators.flow import flow_matching_loss
from concept_algebra.ops.generators.pocket_vision import FRAMES, autoencoder, prior
from concept_algebra.ops.pocket.motion import MOTIONS, motion

from .loop import options, started, train
from .names import clean
from .pictures import COLOURS, Pictures, backgrounds, flatten, place, tint
from .language import language

VARIANTS = 5
THINNED = re.compile(
    r"\b(man|men|woman|women|person|people|boy|girl|couple|family|kiss|hand|hands|button|keycap|sign|symbol|arrow|o.clock|thirty|square|circle)\b"
)
DROP = 0.15  # share of rows trained with the null condition


def drawn(pictures: Pictures) -> np.ndarray:
    """Rows the priors learn: emoji and icons in colour, the near-identical people, buttons and clocks thinned to a third."""
    rows = [i for i in pictures.trained if pictures.style[i] not in ("game-icons", "openclipart")]
    rng = np.random.default_rng(0)
    return np.array([i for i in rows if not THINNED.search(pictures.rows[i]["label"]) or rng.random() < 0.34])


def phrases_of(row: dict, colour: str | None, action: str | None = None) -> list[str]:
    """What a drawing may be called; the first is drawn seven times of ten."""
    label, tags = clean(row["label"]), [t for t in map(clean, row["tags"]) if t]
    if colour:
        return [f"{colour} {label}", colour]
    if action:
        return [f"{label} {action}", label, action, *tags[:2]]
    return [label, *tags]


def called(callings: list[int], coin: float) -> int:
    """The first of what a drawing may be called seven times of ten, else one of the others; `coin` in 0..1."""
    if coin < 0.7 or len(callings) == 1:
        return callings[0]
    return callings[1 + int((coin - 0.7) / 0.3 * (len(callings) - 1) * 0.9999)]


@torch.no_grad()
def encode(model: Autoencoder, x: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return model.encode(x.contiguous(memory_format=torch.channels_last)).half()


def picture_latents(pictures: Pictures, model: Autoencoder) -> tuple[Tensor, list[list[str]]]:
    rng = torch.Generator().manual_seed(7)
    palette = torch.tensor(list(COLOURS.values()))
    latents, phrases = [], []
    rows = drawn(pictures)
    for variant in range(VARIANTS):
        for part in np.array_split(rows, len(rows) // 64):
            x = pictures.cut_outs(part, 128)
            if variant:
                x = place(x, rng, spread=0.35)
            choice = torch.randint(len(COLOURS), (len(part),), generator=rng)
            tinted = torch.rand(len(part), generator=rng) < (0.25 if variant == VARIANTS - 1 else 0.0)
            x = torch.where(tinted[:, None, None, None], tint(x, palette[choice]), x)
            latents.append(encode(model, flatten(x, backgrounds(len(part), 128, rng, white=0.9))))
            phrases += [phrases_of(pictures.rows[r], list(COLOURS)[c] if t else None) for r, c, t in zip(part, choice, tinted)]
    return torch.cat(latents), phrases


def clip_latents(pictures: Pictures, model: Autoencoder, data: Path) -> tuple[Tensor, list[list[str]]]:
    rng = torch.Generator().manual_seed(8)
    clips = np.load(data / "ready" / "clips.npy", mmap_mode="r")
    latents, phrases = [], []
    for row, raw in zip(json.loads((data / "ready" / "clips.json").read_text()), clips):
        if not row["unseen"]:
            x = torch.from_numpy(raw.copy()).permute(0, 3, 1, 2).float() / 255
            x[:, :3] *= x[:, 3:]
            latents.append(encode(model, flatten(x, torch.ones(FRAMES, 3, 128, 128)))[None])
            phrases.append(phrases_of(row, None))
    rows = drawn(pictures)
    for part in np.array_split(np.random.default_rng(1).permutation(rows)[:2400], 75):
        kinds = [MOTIONS[int(k)] for k in torch.randint(len(MOTIONS), (len(part),), generator=rng)]
        x = motion(pictures.cut_outs(part, 128), kinds, rng).flatten(0, 1)
        latents.append(encode(model, flatten(x, torch.ones(len(x), 3, 128, 128))).unflatten(0, (-1, FRAMES)))
        phrases += [phrases_of(pictures.rows[r], None, None if k == "still" else k) for r, k in zip(part, kinds)]
    return torch.cat(latents), phrases


def main() -> None:
    parser = options(__doc__, minutes=45)
    parser.add_argument("modality", choices=("image", "video"))
    args = started(parser)
    rng = torch.Generator().manual_seed(0)
    run = args.runs / f"{args.modality}_prior"
    pictures = Pictures(args.data)
    coder = autoencoder().to(memory_format=torch.channels_last)
    coder.load_state_dict(torch.load(args.runs / "autoencoder" / "final.pt", weights_only=True))
    if args.modality == "image":
        latents, phrases = picture_latents(pictures, coder)
        model: nn.Module = prior()
    else:
        latents, phrases = clip_latents(pictures, coder, args.data)
        model = prior(FRAMES)
        learned = torch.load(args.runs / "image_prior" / "final.pt", weights_only=True)
        missing, unexpected = model.load_state_dict(learned, strict=False)
        assert not unexpected and all("temporal" in k for k in missing), (missing, unexpected)
        for name, p in model.named_parameters():
            p.requires_grad_("temporal" in name)
    words = list(dict.fromkeys(p for options in phrases for p in options))
    table = language(words)
    index = {w: i for i, w in enumerate(words)}
    callings = [[index[p] for p in row] for row in phrases]
    print(f"{len(latents)} latents, mean {latents.float().mean():.3f}, deviation {latents.float().std():.3f}, {len(words)} phrases", flush=True)
    size = 64 if args.modality == "image" else 8

    def step(i: int, progress: float) -> Tensor:
        model.train()
        rows = torch.randint(len(latents), (size,), generator=rng)
        coins = torch.rand(size, 2, generator=rng)
        picks = [called(callings[row], coin) for row, coin in zip(rows.tolist(), coins[:, 0].tolist())]
        condition = torch.where(coins[:, 1:] < DROP, torch.nan, table[picks])
        x0 = latents[rows].float()
        # logit-normal times: the middle of the path is where the picture is decided (Esser et al. 2024, arXiv 2403.03206)
        t = torch.sigmoid(0.3 + torch.randn(size, generator=rng))
        with torch.autocast("cpu", torch.bfloat16):
            return flow_matching_loss(model, x0, condition, t, torch.randn(x0.shape, generator=rng))

    mean = train(model, step, run, args.minutes, lr=1.0e-3 if args.modality == "image" else 2e-3, weight_decay=0.01, average=0.9995)
    torch.save(mean.state_dict(), run / "final.pt")


if __name__ == "__main__":
    main()
