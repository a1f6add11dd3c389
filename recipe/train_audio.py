"""Trains the pocket's sound side on the clips of `sounds.py`, one stage at a time; every stage resumes.

    python -m recipe.train_audio tower --data DIR --runs DIR --minutes 25
    python -m recipe.train_audio autoencoder --data DIR --runs DIR --minutes 10
    python -m recipe.train_audio prior --data DIR --runs DIR --minutes 20        (after the autoencoder)
    python -m recipe.train_audio judge --data DIR --runs DIR --minutes 5         (an independent classifier, not shipped)
    python -m recipe.train_audio export --data DIR --runs DIR                    (writes ops/pocket/weights/audio*.safetensors)
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from concept_algebra.benchmarks.pocket_audio import as_picture
from concept_algebra.ops.encoders.pocket_audio import PocketAudio, normalise
from concept_algebra.ops.generators.flow import flow_matching_loss
from concept_algebra.ops.generators.pocket_audio import autoencoder, prior
from concept_algebra.ops.pocket.judge import Judge
from concept_algebra.ops.signal import FRAMES

from .evaluation_sheet import BENCHMARKS
from .export import ship, weights
from .loop import options, started, train
from .names import hits, matching_loss
from .real_sounds import load_real
from .sound_augmentation import SILENCE, as_loud_as, compress, equalise, hiss, mask, narrow, repeat, smear, stretch
from .sound_names import CONCEPTS
from .sounds import load_sounds
from .language import language

WORDS = ("high", "low", "fast", "slow", "loud", "quiet", "distant", "rising", "falling")
NAMES = [c.name for c in CONCEPTS]
DENSE = 0.3
DROP = 0.15


class Sounds:
    """Clips with their targets; more shards are taken in as they appear."""

    def __init__(self, data: Path):
        self.data = data
        self.phrases = list(dict.fromkeys([*NAMES, *(k for c in CONCEPTS for k in c.keywords), *WORDS]))
        self.index = {p: i for i, p in enumerate(self.phrases)}
        self.table = language(self.phrases)
        self.own = torch.zeros(len(NAMES), len(self.phrases))  # a concept's keywords, each row summing to 1
        for i, concept in enumerate(CONCEPTS):
            for word in concept.keywords:
                self.own[i, self.index[word]] += 1 / len(concept.keywords)
        self.count, self.read = 0, 0.0
        self.refresh()

    def refresh(self) -> None:
        if time.monotonic() - self.read < 60 and self.count:
            return
        self.read = time.monotonic()
        mels, rows = load_sounds(self.data)
        if len(rows) == self.count:
            return
        self.count = len(rows)
        self.mels = torch.from_numpy(mels)
        self.rows = rows
        self.name = torch.tensor([row["name"] for row in rows])
        self.second = torch.tensor([row["second"] for row in rows])
        self.plain = torch.tensor([row["phrase"] == NAMES[row["name"]] for row in rows])
        self.said = [[w for w in row["phrase"].split() if w in WORDS] if row["second"] < 0 else [] for row in rows]
        composed = list(dict.fromkeys(row["phrase"] for row in rows))
        self.composed = {p: i for i, p in enumerate(composed)}
        self.composed_table = language(composed)
        self.takes = [(self.name == i).nonzero()[:, 0] for i in range(len(NAMES))]
        print(f"{self.count} clips, {len(self.phrases)} phrases, {len(composed)} composed", flush=True)

    def targets(self, rows: list[int], guests: list[int]) -> tuple[Tensor, Tensor]:
        """Candidates [K + composed, 768] and soft targets [B, K + composed].

        A guest is a clip mixed in on the fly, or -1. Name .6 and keywords .4; a composed phrase takes .4 of it all.
        """
        target = torch.zeros(len(rows), len(self.phrases))
        composed: dict[int, int] = {}
        places = []
        for b, (row, guest) in enumerate(zip(rows, guests)):
            heard = [int(self.name[row])]
            heard += [int(self.second[row])] if self.second[row] >= 0 else []
            heard += [int(self.name[guest])] if guest >= 0 else []
            for i in heard:
                target[b, i] += 0.6 / len(heard)
                target[b] += 0.4 / len(heard) * self.own[i]
            if guest < 0 and not self.plain[row]:
                for word in self.said[row]:
                    target[b, self.index[word]] += 0.25 / len(self.said[row])
                target[b] *= 0.6 / target[b].sum()
                column = composed.setdefault(self.composed[self.rows[row]["phrase"]], len(composed))
                places.append((b, column))
        extra = torch.zeros(len(rows), len(composed))
        for b, column in places:
            extra[b, column] = 0.4
        table = torch.cat([self.table, self.composed_table[list(composed)]]) if composed else self.table
        return table, torch.cat([target, extra], 1)

    def batch(self, size: int, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Log-mels [B, 3, MELS, FRAMES] with candidates and targets, augmented in ways that keep the label true."""
        self.refresh()
        rows = torch.randint(self.count, (size,), generator=rng)
        mels = self.mels[rows].float()
        coin = lambda share: torch.rand(size, 1, 1, generator=rng) < share  # noqa: E731
        said = torch.tensor([bool(self.said[r]) for r in rows.tolist()])[:, None, None]
        mels = equalise(mels, rng)
        mels = torch.where(coin(0.3) & ~said, stretch(mels, rng), mels)
        mels = torch.where(coin(0.3) & ~said, compress(mels, rng), mels)
        mels = torch.where(coin(0.6) & ~said, mels + torch.randn(size, 1, 1, generator=rng) * 1.5, mels)
        guest = torch.randint(self.count, (size,), generator=rng)
        mixed = coin(0.15) & ~said & (self.second[rows] < 0)[:, None, None] & (self.second[guest] < 0)[:, None, None]
        other = as_loud_as(mels, self.mels[guest].float())
        mels = torch.where(mixed, torch.logaddexp(mels, other + torch.randn(size, 1, 1, generator=rng)), mels)
        mels = torch.where(coin(0.12), repeat(mels, rng), mels)
        mels = torch.where(coin(0.3), smear(mels, rng), mels)
        beside = as_loud_as(mels, self.mels[torch.randint(self.count, (size,), generator=rng)].float())
        mels = torch.where(coin(0.2), torch.logaddexp(mels, beside - 1.8 - 3 * torch.rand(size, 1, 1, generator=rng)), mels)
        mels = torch.where(coin(0.3), hiss(mels, rng), mels)
        mels = torch.where(coin(0.3), narrow(mels, rng), mels).clamp_min(SILENCE)
        mels = mels.roll(int(torch.randint(FRAMES, (1,), generator=rng)), -1)
        picked = mixed[:, 0, 0]
        table, target = self.targets(rows.tolist(), [int(g) if p else -1 for g, p in zip(guest, picked)])
        x = mels[:, None].expand(-1, 3, -1, -1).clone()
        # Long recordings show three different windows: other stretches of the clip, or other takes of its name.
        long = (torch.rand(size, generator=rng) < 0.25) & ~picked & ~said[:, 0, 0]
        for b in long.nonzero()[:, 0].tolist():
            takes = self.takes[int(self.name[rows[b]])]
            take = int(takes[int(torch.randint(len(takes), (1,), generator=rng))])
            x[b, 1] = x[b, 0].roll(int(torch.randint(FRAMES, (1,), generator=rng)), -1)
            x[b, 2] = self.mels[take].float() if self.second[take] < 0 and self.second[rows[b]] < 0 else x[b, 0].roll(17, -1)
        return mask(x, rng), table, target


class Learner(nn.Module):
    def __init__(self):
        super().__init__()
        self.tower = PocketAudio().to(memory_format=torch.channels_last)
        self.scale = nn.Parameter(torch.tensor(3.0))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            heard = self.tower.from_log_mels(x)
        return heard.pooled, heard.dense


@torch.no_grad()
def figures(tower: PocketAudio, data: Path) -> dict[str, float]:
    """Unseen takes and, where the evaluation sets are at hand, real recordings, among all sound names."""
    table = language(NAMES)
    mels, rows = load_sounds(data, held_out=True)
    alone = [i for i, row in enumerate(rows) if row["second"] < 0]
    sets = {"audio": (torch.from_numpy(mels[alone]).float()[:, None].expand(-1, 3, -1, -1), torch.tensor([rows[i]["name"] for i in alone]))}
    real = load_real(data)
    if real:
        sets["audio_real"] = real
    out = {}
    for name, (x, truth) in sets.items():
        pooled = torch.cat([tower.from_log_mels(part).pooled for part in x.split(64)])
        out |= {f"{name}_top{k}": hits(pooled, table, truth, k) for k in (1, 5)}
    return out


def train_tower(data: Path, run: Path, minutes: float) -> None:
    sounds = Sounds(data)
    rng = torch.Generator().manual_seed(0)
    model = Learner()

    def step(index: int, progress: float) -> Tensor:
        model.train()
        x, table, target = sounds.batch(96, rng)
        pooled, dense = model(x)
        spread = F.normalize(dense.mean(1), dim=-1)
        return matching_loss(pooled, model.scale, table, target) + DENSE * matching_loss(spread, model.scale, table, target)

    mean = train(model, step, run, minutes, lr=1.5e-3, average=0.998, evaluate=lambda m: figures(m.tower, data), evaluate_every=4)
    torch.save(mean.tower.state_dict(), run / "final.pt")


def train_autoencoder(data: Path, run: Path, minutes: float) -> None:
    sounds = Sounds(data)
    rng = torch.Generator().manual_seed(1)
    model = autoencoder().to(memory_format=torch.channels_last)
    unseen = normalise(torch.from_numpy(load_sounds(data, held_out=True)[0][:256]).float())[:, None]

    def draw(size: int) -> Tensor:
        rows = torch.randint(sounds.count, (size,), generator=rng)
        mels = sounds.mels[rows].float().roll(int(torch.randint(FRAMES, (1,), generator=rng)), -1)
        mels = mels + torch.randn(size, 1, 1, generator=rng) * 0.7
        return normalise(mels.clamp_min(SILENCE))[:, None]

    def step(index: int, progress: float) -> Tensor:
        model.train()
        x = draw(32)
        with torch.autocast("cpu", torch.bfloat16):
            z = model.encode(x)
            # noise on the latent keeps neighbouring latents decoding alike, which the prior and the optimiser need
            y = model.decode(z + 0.05 * z.detach().std() * torch.randn(z.shape, generator=rng))
        error = y.float() - x
        return error.square().mean() + 0.2 * error.abs().mean() + 1e-4 * z.square().mean()

    def evaluate(coder: nn.Module) -> dict[str, float]:
        error = coder.decode(coder.encode(unseen)) - unseen
        # the log-mel spans FLOOR to full scale: the range against which PSNR is taken
        span = normalise(torch.tensor(0.0)) - normalise(torch.tensor(SILENCE))
        return {"rmse": error.square().mean().sqrt().item(), "psnr": (-10 * torch.log10(error.square().mean((1, 2, 3)) / span**2)).mean().item()}

    mean = train(model, step, run, minutes, lr=2e-3, weight_decay=0.01, evaluate=evaluate, evaluate_every=3)
    with torch.no_grad():
        z = torch.cat([mean.encode(normalise(sounds.mels[part].float())[:, None]) for part in torch.arange(0, sounds.count, 8).split(64)])
    mean.mean.copy_(z.mean((0, 2, 3)).view(-1, 1, 1))
    mean.std.copy_(z.std((0, 2, 3)).view(-1, 1, 1))
    torch.save(mean.state_dict(), run / "final.pt")


def load_autoencoder(run: Path) -> nn.Module:
    coder = autoencoder()
    coder.load_state_dict(torch.load(run / "final.pt", weights_only=True))
    return coder.eval()


def train_prior(data: Path, run: Path, minutes: float) -> None:
    sounds = Sounds(data)
    rng = torch.Generator().manual_seed(2)
    coder = load_autoencoder(run.parent / "audio_autoencoder")
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        parts = [coder.encode(normalise(part.float())[:, None]).half() for part in sounds.mels.split(64)]
    latents = torch.cat(parts)  # outside autocast, whose cat refuses halves
    model = prior()

    def condition(row: int, coin: float) -> Tensor:
        if coin < DROP:
            return torch.full((768,), torch.nan)
        if coin < 0.6 or sounds.second[row] >= 0:
            return sounds.composed_table[sounds.composed[sounds.rows[row]["phrase"]]]
        if coin < 0.85:
            return sounds.table[sounds.name[row]]
        words = sounds.own[sounds.name[row]]
        return sounds.table[int(torch.multinomial(words, 1, generator=rng))]

    def step(index: int, progress: float) -> Tensor:
        model.train()
        rows = torch.randint(len(latents), (64,), generator=rng)
        coins = torch.rand(64, generator=rng).tolist()
        cond = torch.stack([condition(r, c) for r, c in zip(rows.tolist(), coins)])
        x0 = latents[rows].float()
        t = torch.sigmoid(torch.randn(64, generator=rng))
        with torch.autocast("cpu", torch.bfloat16):
            return flow_matching_loss(model, x0, cond, t, torch.randn(x0.shape, generator=rng))

    mean = train(model, step, run, minutes, lr=1e-3, weight_decay=0.01, average=0.9995)
    torch.save(mean.state_dict(), run / "final.pt")


def train_judge(data: Path, run: Path, minutes: float) -> None:
    sounds = Sounds(data)
    rng = torch.Generator().manual_seed(3)
    model = Judge(len(NAMES), (24, 48, 96, 160))
    mels, rows = load_sounds(data, held_out=True)
    alone = [i for i, row in enumerate(rows) if row["second"] < 0]
    unseen, truth = torch.from_numpy(mels[alone]).float(), torch.tensor([rows[i]["name"] for i in alone])
    single = (sounds.second < 0).nonzero()[:, 0]

    def step(index: int, progress: float) -> Tensor:
        model.train()
        picked = single[torch.randint(len(single), (96,), generator=rng)]
        x = equalise(sounds.mels[picked].float(), rng).roll(int(torch.randint(FRAMES, (1,), generator=rng)), -1)
        x = mask((x + torch.randn(96, 1, 1, generator=rng))[:, None], rng)[:, 0]
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(as_picture(x))
        return F.cross_entropy(logits.float(), sounds.name[picked], label_smoothing=0.05)

    def evaluate(judge: nn.Module) -> dict[str, float]:
        logits = torch.cat([judge(as_picture(part)) for part in unseen.split(128)])
        return {f"top{k}": logits.topk(k).indices.eq(truth[:, None]).any(1).float().mean().item() for k in (1, 5)}

    mean = train(model, step, run, minutes, lr=3e-3, evaluate=evaluate)
    torch.save(mean.state_dict(), run / "final.pt")


def export(runs: Path) -> None:
    """Writes the shipped tower and generator and the benchmark's judge; `recipe.export` then adds the sounds' cloud."""
    ship("audio", weights(runs / "audio", "tower."))
    parts = (("autoencoder", "audio_autoencoder"), ("prior", "audio_prior"))
    ship("audio_generator", {f"{part}.{k}": v for part, name in parts for k, v in weights(runs / name).items()})
    ship("audio_judge", weights(runs / "audio_judge"), folder=BENCHMARKS)


STAGES = {"tower": ("audio", train_tower), "autoencoder": ("audio_autoencoder", train_autoencoder), "prior": ("audio_prior", train_prior), "judge": ("audio_judge", train_judge)}


def main() -> None:
    parser = options(__doc__, minutes=10)
    parser.add_argument("stage", choices=(*STAGES, "export"))
    args = started(parser)
    if args.stage == "export":
        export(args.runs)
        return
    folder, stage = STAGES[args.stage]
    stage(args.data, args.runs / folder, args.minutes)


if __name__ == "__main__":
    main()
