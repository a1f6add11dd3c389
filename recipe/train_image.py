"""Trains the picture tower toward the frozen text tower: names, keywords and composed colours.

    python -m recipe.train_image --data DIR --minutes 50
    python -m recipe.train_image --data DIR --minutes 50 --thaw       (after it: the stem's last stage learns as well)

The stem comes from a photograph classifier and is frozen at first; for the first 70 % of each budget the layers see a
random 24 of the 64 patch tokens, then all of them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from concept_algebra.ops.encoders.pocket_vision import SIZE, normalise, tower

from .loop import options, started, train
from .photo_teacher import load_into
from .names import Names, clean, hits, matching_loss
from .partial import drawn_tokens, embed_partly, frozen_features
from .pictures import COLOURS, Pictures, backgrounds, flatten, jitter, place, tint
from .language import language

SHARES = {"openclipart": 0.1, "game-icons": 0.14, "meteocons": 0.02}
TINTED, DENSE = 0.2, 0.3
THAWED = 3  # blocks of the last stage, 8x8: little to compute, and the least general


class Learner(nn.Module):
    def __init__(self, data: Path, thaw: bool = False):
        super().__init__()
        self.tower = tower().to(memory_format=torch.channels_last)
        stem = self.tower.vision_model.embeddings.patch_embedding
        load_into(stem, data)
        self.frozen = len(stem.blocks) - (THAWED if thaw else 0)
        for part in (stem.stem, stem.blocks[: self.frozen]):
            part.requires_grad_(False)
        self.scale = nn.Parameter(torch.tensor(3.0))

    def forward(self, x: Tensor, keep: Tensor | None) -> tuple[Tensor, Tensor]:
        """Pooled and dense embeddings, from the patch tokens `keep` names or from all."""
        stem = self.tower.vision_model.embeddings.patch_embedding
        features = frozen_features(stem, x, self.frozen)
        for block in stem.blocks[self.frozen :]:
            features = block(features)
        return embed_partly(self.tower, features, keep)


class Batches:
    """Pictures drawn by set, placed on backgrounds, a fifth of them re-coloured and renamed."""

    def __init__(self, pictures: Pictures, names: Names, rng: torch.Generator):
        self.pictures, self.names, self.rng = pictures, names, rng
        style = pictures.style[pictures.trained]
        weight = np.ones(len(style))
        for name, share in SHARES.items():
            weight[style == name] = share / (style == name).sum()
        emoji = ~np.isin(style, list(SHARES))
        weight[emoji] = (1 - sum(SHARES.values())) / emoji.sum()
        self.weight = torch.from_numpy(weight)
        self.colours = list(COLOURS)
        self.palette = torch.tensor(list(COLOURS.values()))

    def draw(self, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels [B, 3, 128, 128], candidates [K + composed, 768], soft targets [B, K + composed]."""
        rng = self.rng
        rows = self.pictures.trained[torch.multinomial(self.weight, size, replacement=True, generator=rng).numpy()]
        x = place(self.pictures.cut_outs(rows, SIZE), rng)
        silhouette = torch.from_numpy(self.pictures.style[rows] == "game-icons")
        tinted = torch.rand(size, generator=rng) < torch.where(silhouette, 0.6, TINTED)
        choice = torch.randint(len(self.colours), (size,), generator=rng)
        x[tinted] = tint(x[tinted], self.palette[choice[tinted]])
        x = jitter(flatten(x, backgrounds(size, SIZE, rng, white=0.45)), rng)
        target = self.names.targets(rows)
        where = tinted.nonzero()[:, 0].tolist()
        phrases = [f"{self.colours[choice[i]]} {self.names.labels[rows[i]]}" for i in where]
        extra = torch.zeros(size, len(where))
        if where:
            hue = torch.tensor([self.names.index[self.colours[choice[i]]] for i in where])
            target[where] *= 0.3
            target[torch.tensor(where), hue] += 0.2
            extra[torch.tensor(where), torch.arange(len(where))] = 0.5
        composed = language(phrases)
        table = torch.cat([self.names.table, composed])
        return normalise(x).contiguous(memory_format=torch.channels_last), table, torch.cat([target, extra], 1)


def embed(model: nn.Module, pictures: Pictures, rows: np.ndarray) -> Tensor:
    out = []
    for part in np.array_split(rows, max(1, len(rows) // 64)):
        x = normalise(pictures.plain(part, 128)).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            out.append(model(x)[0])
    return torch.cat(out)


def held_out_figures(model: nn.Module, pictures: Pictures, few: bool = False) -> dict[str, float]:
    """Unseen style among all trained concepts; unseen concepts among themselves. Candidates are names alone."""
    emoji = [r for r in pictures.rows if r["style"] not in SHARES]
    trained = list(dict.fromkeys(clean(r["label"]) for r in emoji if not r["unseen"]))
    unseen = list(dict.fromkeys(clean(r["label"]) for r in emoji if r["unseen"]))
    figures = {}
    for name, rows, labels, ks in (("style", pictures.unseen_style, trained, (1, 5)), ("concept", pictures.unseen_concepts, unseen, (1, 5))):
        rows = rows[:: max(1, len(rows) // 300)] if few else rows
        table = language(labels)
        truth = torch.tensor([labels.index(clean(pictures.rows[i]["label"])) for i in rows])
        pooled = embed(model, pictures, rows)
        for k in ks:
            figures[f"image_{name}_top{k}"] = hits(pooled, table, truth, k)
    return figures


def picture_run(runs: Path) -> Path:
    """The run of the picture tower that others build on: the thawed stage, where there is one."""
    thawed = runs / "image_thawed"
    return thawed if thawed.exists() else runs / "image"


def main() -> None:
    parser = options(__doc__, minutes=50)
    parser.add_argument("--thaw", action="store_true")
    args = started(parser)
    pictures = Pictures(args.data)
    names = Names(pictures.rows, extra=COLOURS)
    batches = Batches(pictures, names, torch.Generator().manual_seed(0))
    model = Learner(args.data, args.thaw)
    if args.thaw:
        model.load_state_dict(torch.load(args.runs / "image" / "state.pt", weights_only=True)["mean"])
    run = args.runs / ("image_thawed" if args.thaw else "image")

    def step(index: int, progress: float) -> Tensor:
        model.train()
        x, table, target = batches.draw(128 if progress < 0.7 else 64)
        keep = drawn_tokens(batches.rng) if progress < 0.7 else None
        with torch.autocast("cpu", torch.bfloat16):
            pooled, dense = model(x, keep)
        spread = F.normalize(dense.mean(1), dim=-1)
        return matching_loss(pooled, model.scale, table, target) + DENSE * matching_loss(spread, model.scale, table, target)

    mean = train(model, step, run, args.minutes, lr=6e-4 if args.thaw else 1.2e-3, evaluate=lambda m: held_out_figures(m.tower, pictures, few=True), evaluate_every=6)
    torch.save(mean.tower.state_dict(), run / "final.pt")
    print(held_out_figures(mean.tower, pictures))


if __name__ == "__main__":
    main()
