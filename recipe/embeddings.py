"""What the pocket's dictionary of features is learned from: embeddings of every modality, with captions.

    python -m recipe.embeddings --data DATA --runs RUNS

writes RUNS/sae/embeddings.safetensors: per modality [N, 768] in half precision, and the captions, one for each row.
Everything is drawn from what the towers were trained on; the held-out style and concepts stay unseen.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from concept_algebra.ops.atomic import write_bytes
from concept_algebra.ops.encoders.pocket import PocketEncoder, load
from concept_algebra.ops.encoders.pocket_vision import normalise
from concept_algebra.ops.encoders.vocabulary import embedded, shipped_words
from concept_algebra.ops.pocket.motion import MOTIONS, motion

from .names import clean
from .phrases import is_held_out, phrases
from .pictures import COLOURS, Pictures, backgrounds, flatten, jitter, place, tint
from .sound_names import CONCEPTS
from .sounds import load_sounds

PHRASES, PICTURES, PAIRS, SOUNDS, CLIPS = 50_000, 26_000, 8_000, 21_648, 5_000
SIDE = 128
Rows = tuple[Tensor, list[str]]


def texts(encoder: PocketEncoder, data: Path, media: set[str]) -> Rows:
    """The vocabulary, phrases of every kind that the text tower learned from, and the captions of the media. Phrases that it
    was kept from are left out here too, so that they can judge."""
    rng = random.Random(0)
    others = sorted({phrase for kind in phrases(data).values() for phrase in kind} - set(shipped_words()))
    chosen = [*rng.sample(others, PHRASES), *sorted(media)]
    captions = list(dict.fromkeys([*shipped_words(), *(phrase for phrase in chosen if not is_held_out(phrase))]))
    return embedded(captions, encoder.text, batch=512), captions


def pictures(encoder: PocketEncoder, shown: Pictures) -> Rows:
    """Single pictures, a third plain on white, the others placed, a fifth of them re-coloured; then two side by side."""
    rng = torch.Generator().manual_seed(0)
    palette, colours = torch.tensor(list(COLOURS.values())), list(COLOURS)
    pooled, captions = [], []

    def drawn(size: int) -> tuple[Tensor, list[str]]:
        rows = shown.trained[torch.randint(len(shown.trained), (size,), generator=rng).numpy()]
        return shown.cut_outs(rows, SIDE), [clean(shown.rows[row]["label"]) for row in rows]

    for _ in range(0, PICTURES, 64):
        x, said = drawn(64)
        moved = torch.rand(64, generator=rng) < 0.67
        tinted = torch.rand(64, generator=rng) < 0.2
        choice = torch.randint(len(colours), (64,), generator=rng)
        x[moved] = place(x[moved], rng)
        x[tinted] = tint(x[tinted], palette[choice[tinted]])
        ground = torch.ones(64, 3, SIDE, SIDE)
        ground[moved] = backgrounds(int(moved.sum()), SIDE, rng, white=0.6)
        x = flatten(x, ground)
        x[moved] = jitter(x[moved], rng)
        pooled.append(seen(encoder, x))
        captions += [f"{colours[choice[i]]} {word}" if tinted[i] else word for i, word in enumerate(said)]
    for _ in range(0, PAIRS, 64):
        (left, first), (right, second) = drawn(64), drawn(64)
        pooled.append(seen(encoder, together(left, right)))
        captions += [f"{a} and {b}" for a, b in zip(first, second)]
    return torch.cat(pooled), captions


def together(first: Tensor, second: Tensor) -> Tensor:
    """Two cut-outs [B, 4, S, S] at half their size on white, from the upper left to the lower right: [B, 3, S, S]."""
    sheet = torch.ones(len(first), 3, SIDE, SIDE)
    half = SIDE // 2
    for x, start in ((first, 0), (second, half)):
        small = torch.nn.functional.avg_pool2d(x, 2)
        place = sheet[:, :, start : start + half, start : start + half]
        sheet[:, :, start : start + half, start : start + half] = flatten(small, place)
    return sheet


def seen(encoder: PocketEncoder, pixels: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        pooled = encoder.image_tower(normalise(pixels).contiguous(memory_format=torch.channels_last))[0]
    return torch.nn.functional.normalize(pooled.float(), dim=-1)


def sounds(encoder: PocketEncoder, data: Path) -> Rows:
    """The first training clips; a mixture is captioned with both names."""
    mels, rows = load_sounds(data)
    mels, rows = mels[:SOUNDS], rows[:SOUNDS]
    pooled = [
        encoder.audio_tower.from_log_mels(part.float()[:, None].expand(-1, 3, -1, -1)).pooled
        for part in torch.from_numpy(mels).split(64)
    ]
    second = [f" and {CONCEPTS[row['second']].name}" if row["second"] >= 0 else "" for row in rows]
    return torch.cat(pooled), [row["phrase"] if not more else CONCEPTS[row["name"]].name + more for row, more in zip(rows, second)]


def clips(encoder: PocketEncoder, shown: Pictures) -> Rows:
    """Pictures in motion on white, captioned with the verb."""
    rng = torch.Generator().manual_seed(0)
    pooled, captions = [], []
    for _ in range(0, CLIPS, 16):
        rows = shown.trained[torch.randint(len(shown.trained), (16,), generator=rng).numpy()]
        kinds = [MOTIONS[int(kind)] for kind in torch.randint(len(MOTIONS), (16,), generator=rng)]
        frames = motion(shown.cut_outs(rows, SIDE), kinds, rng).flatten(0, 1)
        x = normalise(flatten(frames, torch.ones(len(frames), 3, SIDE, SIDE))).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            pooled.append(torch.nn.functional.normalize(encoder.video_tower(x)[0].float(), dim=-1))
        captions += [f"{clean(shown.rows[row]['label'])} {'' if kind == 'still' else kind}".strip() for row, kind in zip(rows, kinds)]
    return torch.cat(pooled), captions


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("recipe-data"))
    parser.add_argument("--runs", type=Path, default=Path("recipe-data/run"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    encoder, shown = load(), Pictures(args.data)
    made: dict[str, Rows] = {}
    for modality, rows in (
        ("audio", lambda: sounds(encoder, args.data)),
        ("image", lambda: pictures(encoder, shown)),
        ("video", lambda: clips(encoder, shown)),
        ("text", lambda: texts(encoder, args.data, {caption for _, said in made.values() for caption in said})),
    ):
        made[modality] = rows()
        print(modality, tuple(made[modality][0].shape), flush=True)
        out = args.runs / "sae" / "embeddings.safetensors"
        out.parent.mkdir(parents=True, exist_ok=True)
        captions = {name: json.dumps(said) for name, (_, said) in made.items()}
        write_bytes(out, save({name: x.half().contiguous() for name, (x, _) in made.items()}, {"space": encoder.space.id, **captions}))


if __name__ == "__main__":
    main()
