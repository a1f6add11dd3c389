"""Trains the judge encoder: what the judge sees of a drawing, into the teacher's own place of its name.

    python -m recipe.train_judge_encoder --data DIR          (after recipe.train_judge and recipe.export)

The judge's convolutions stay as they are, and a linear map from them is learned toward the sentence models of `recipe.text`, where
the shipped towers learn toward the text tower: by least squares at first, then by contrast with all names and keywords. It sees most of the styles that those towers saw least. The pictures that
the judge was kept from are kept back here too. Writes benchmarks/data/judge_encoder.safetensors.
"""

from __future__ import annotations

import json

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from concept_algebra.benchmarks.evaluation import judge
from concept_algebra.benchmarks.legibility_targets import WORDS
from concept_algebra.ops.pocket.judge import SIZE
from concept_algebra.ops.pocket.store import read
from concept_algebra.ops.space import fingerprint

from .evaluation_sheet import BENCHMARKS
from .export import ship
from .loop import options, started, train
from .names import Names, clean, hits, matching_loss
from .pictures import COLOURS, Pictures, backgrounds, flatten, jitter, place
from .text import anchor
from .train_judge import SEED as JUDGES
from .train_judge import recoloured, split

STYLES = {"emojione": 0.25, "fxemoji": 0.1, "streamline": 0.08}
"""Shares of the styles that no shipped tower saw, or saw little of; the other emoji share the rest."""
DRAWN, PART, BATCH = 24_000, 200, 256
RIDGE = 1e-3
"""Of the least squares, as a share of the features' mean variance."""
SEED = 4321


def drawn_by_style(style: np.ndarray) -> Tensor:
    """How likely each picture [N] is to be drawn."""
    weight = np.ones(len(style))
    for name, share in STYLES.items():
        weight[style == name] = share / (style == name).sum()
    others = ~np.isin(style, list(STYLES))
    weight[others] = (1 - sum(STYLES.values())) / others.sum()
    return torch.from_numpy(weight)


@torch.no_grad()
def seen(trunk: nn.Module, pictures: Pictures, rows: np.ndarray, rng: torch.Generator) -> tuple[Tensor, np.ndarray]:
    """What the judge's convolutions make [DRAWN, F] of pictures that are placed, re-coloured and blurred as it learned
    from them, and the row of each."""
    likely, palette = drawn_by_style(pictures.style[rows]), torch.tensor(list(COLOURS.values()))
    drawn, found = rows[torch.multinomial(likely, DRAWN, replacement=True, generator=rng).numpy()], []
    for part in np.split(drawn, DRAWN // PART):
        x = recoloured(place(pictures.cut_outs(part, SIZE), rng), palette, rng)
        found.append(trunk(jitter(flatten(x, backgrounds(len(x), SIZE, rng, white=0.5)), rng)))
    return torch.cat(found), drawn


class Head(nn.Module):
    """The linear map from features [N, F], begun as the ridge regression of directions [N, 768] on them."""

    def __init__(self, features: Tensor, directions: Tensor):
        super().__init__()
        self.map = nn.Linear(features.shape[1], directions.shape[1])
        self.scale = nn.Parameter(torch.tensor(3.5))
        mean, middle = features.mean(0), directions.mean(0)
        x = features - mean
        gram = x.T @ x
        gram += RIDGE * gram.diagonal().mean() * torch.eye(len(gram))
        with torch.no_grad():
            self.map.weight.copy_(torch.linalg.solve(gram, x.T @ (directions - middle)).T)
            self.map.bias.copy_(middle - self.map.weight @ mean)

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.map(x), dim=-1)


def main() -> None:
    args = started(options(__doc__, minutes=5), seed=SEED)
    run = args.runs / "judge_encoder"
    rng = torch.Generator().manual_seed(SEED)
    pictures = Pictures(args.data)
    emoji, kept = split(pictures, torch.Generator().manual_seed(JUDGES))
    names = Names([pictures.rows[i] for i in emoji])
    # the teacher itself and not the shipped text tower: nothing that the optimiser sees has a part in the judgement
    names.table = torch.from_numpy(anchor(names.phrases, args.data))
    position = {int(row): i for i, row in enumerate(emoji)}
    labels = list(dict.fromkeys(clean(pictures.rows[i]["label"]) for i in emoji))
    trunk = judge()[0]
    trunk.classify = nn.Identity()
    training, held_out = emoji[~kept.numpy()], emoji[kept.numpy()]
    with torch.no_grad():
        plain = torch.cat([trunk(pictures.plain(part, SIZE)) for part in np.array_split(held_out, 8)])
    truth = torch.tensor([labels.index(clean(pictures.rows[i]["label"])) for i in held_out])
    candidates = names.table[[names.index[label] for label in labels]]
    learned, rows = seen(trunk, pictures, training, rng)
    shown, of = np.unique(rows, return_inverse=True)
    meant = torch.cat([names.targets([position[int(i)] for i in part]) @ names.table for part in np.array_split(shown, 40)])
    head = Head(learned, F.normalize(meant, dim=-1)[of])

    def step(index: int, progress: float) -> Tensor:
        pick = torch.randint(len(learned), (BATCH,), generator=rng)
        return matching_loss(head(learned[pick]), head.scale, names.table, names.targets([position[int(rows[i])] for i in pick]))

    @torch.no_grad()
    def figures(model: nn.Module) -> dict[str, float]:
        return {f"top{k}": hits(model(plain), candidates, truth, k) for k in (1, 5)}

    print("least squares", figures(head.eval()), flush=True)
    mean = train(head, step, run, args.minutes, lr=2e-3, evaluate=figures, evaluate_every=0.25)
    torch.save(mean.state_dict(), run / "final.pt")
    phrases = list(dict.fromkeys([*labels, *WORDS]))
    tensors = {"classify.weight": mean.map.weight, "classify.bias": mean.map.bias}
    tensors["table"] = torch.from_numpy(anchor(phrases, args.data))
    eyes = {name: tensor for name, tensor in read("judge", BENCHMARKS)[0].items() if name.startswith("features.")}
    sheet = json.loads((BENCHMARKS / "pictures.json").read_text("utf-8"))["tiles"]
    unseen = {(clean(pictures.rows[i]["label"]), pictures.rows[i]["style"]) for i in held_out}
    tiles = [i for i, tile in enumerate(sheet) if (tile["name"], tile["set"]) in unseen]
    told = {"phrases": json.dumps(phrases), "unseen_tiles": json.dumps(tiles), "judge": fingerprint(eyes)}
    ship("judge_encoder", tensors, told, BENCHMARKS)
    print(figures(mean), len(held_out), "kept back,", len(tiles), "of them on the contact sheet")


if __name__ == "__main__":
    main()
