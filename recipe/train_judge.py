"""Trains the independent judge: emoji of every style into their 1,644 classes, by plain cross-entropy.

    python -m recipe.train_judge --data DIR --minutes 12
"""

from __future__ import annotations

import json

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from concept_algebra.ops.pocket.judge import SIZE, Judge

from .loop import options, started, train
from .names import clean
from .pictures import COLOURS, Pictures, backgrounds, flatten, jitter, place, tint
from .train_image import SHARES

WIDTHS = (40, 80, 144, 224)
SEED = 1234


def recoloured(x: Tensor, palette: Tensor, rng: torch.Generator) -> Tensor:
    """Premultiplied RGBA with a third of the pictures in colours of another picture's, a tenth in one colour's shades,
    and a third blurred: a drawing is known by its form even where a render chooses other colours or soft edges."""
    size = len(x)
    mixing = torch.eye(3) + 0.5 * torch.randn(size, 3, 3, generator=rng) * (torch.rand(size, 1, 1, generator=rng) < 0.33)
    mixing = mixing / mixing.abs().sum(-1, keepdim=True).clamp_min(1)
    colours = torch.einsum("bij,bjhw->bihw", mixing, x[:, :3])
    x = torch.cat([torch.minimum(colours.clamp_min(0), x[:, 3:]), x[:, 3:]], 1)
    choice = torch.randint(len(palette), (size,), generator=rng)
    x = torch.where((torch.rand(size, 1, 1, 1, generator=rng) < 0.1), tint(x, palette[choice]), x)
    soft = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return torch.where(torch.rand(size, 1, 1, 1, generator=rng) < 0.33, soft, x)


def split(pictures: Pictures, rng: torch.Generator) -> tuple[np.ndarray, Tensor]:
    """Rows of all emoji, and which of them are kept back to see that the judge can be believed: one in twenty.

    The judge's own draw comes first from a generator seeded with SEED."""
    emoji = np.flatnonzero(~np.isin(pictures.style, list(SHARES)))
    return emoji, torch.rand(len(emoji), generator=rng) < 0.05


def main() -> None:
    args = started(options(__doc__, minutes=12), seed=SEED)
    run = args.runs / "judge"
    rng = torch.Generator().manual_seed(SEED)
    pictures = Pictures(args.data)
    emoji, kept = split(pictures, rng)
    labels = list(dict.fromkeys(clean(pictures.rows[i]["label"]) for i in emoji))
    tags = {clean(pictures.rows[i]["label"]): [clean(t) for t in pictures.rows[i]["tags"]] for i in emoji}
    classes = torch.tensor([labels.index(clean(pictures.rows[i]["label"])) for i in emoji])
    training = (~kept).nonzero()[:, 0]
    palette = torch.tensor(list(COLOURS.values()))
    model = Judge(len(labels), WIDTHS).to(memory_format=torch.channels_last)

    def step(index: int, progress: float) -> Tensor:
        model.train()
        pick = training[torch.randint(len(training), (160,), generator=rng)]
        x = place(pictures.cut_outs(emoji[pick.numpy()], SIZE), rng)
        x = recoloured(x, palette, rng)
        x = jitter(flatten(x, backgrounds(len(x), SIZE, rng, white=0.5)), rng).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(x)
        return F.cross_entropy(logits.float(), classes[pick], label_smoothing=0.05)

    def figures(m: Judge) -> dict[str, float]:
        rows = kept.nonzero()[:, 0]
        best = m(pictures.plain(emoji[rows.numpy()], SIZE)).topk(5).indices.eq(classes[rows, None])
        return {"top1": best[:, 0].float().mean().item(), "top5": best.any(1).float().mean().item()}

    mean = train(model, step, run, args.minutes, lr=4e-3, evaluate=figures)
    torch.save(mean.state_dict(), run / "final.pt")
    (run / "classes.json").write_text(json.dumps([{"label": label, "tags": tags[label]} for label in labels]))
    print(figures(mean))


if __name__ == "__main__":
    main()
