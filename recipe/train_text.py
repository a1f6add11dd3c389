"""Distils the language anchor into the pocket text tower.

    python -m recipe.train_text --data DIR --minutes 22      trains, resumes, writes ops/pocket/weights/text.safetensors

The tower starts as the mean of its tokens' anchors (so that a single word is right before the first step) and learns
order, composition and spelling: cosine to the anchor, agreement with the anchor on which vocabulary entries lie near,
and each word token's own place. One word in some phrases is spelled in pieces, so that unknown words have meaning.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from concept_algebra.benchmarks.pocket_text import agreement, nearest
from concept_algebra.ops.atomic import write_bytes
from concept_algebra.ops.encoders.pocket_text import CONTEXT, CONTINUED, LETTERS, SPECIAL, PocketText, Tokenizer, words_of
from concept_algebra.ops.pocket.store import FOLDER

from .loop import options, started, train
from .phrases import is_held_out, phrases
from .text import DIMENSION, anchor
from .vocabulary import TARGET as VOCABULARY
from .wordnet import read_glove_order

WEIGHTS = FOLDER / "text.safetensors"
TOKENS = 18_000  # with width 256 the file stays under 13 MB
FREQUENT = 20_000  # GloVe words that are always trained on
BATCH, POOL = 768, 16  # phrases a step; batches that are sorted by length together
FROM_VOCABULARY, SPELLED = 0.3, 0.12
NEIGHBOURS, TEMPERATURE = 4_096, 0.05
NEAR, WORDS = 0.1, 0.1  # weights of the two further losses


def choose_tokens(vocabulary: list[str], glove: list[str]) -> list[str]:
    """The token list: letters, the vocabulary's words, GloVe's most common words, and the commonest rests of all others."""
    words = dict.fromkeys(word for entry in vocabulary for word in words_of(entry) if len(word) > 1)
    plain = [word for word in glove if word.isascii() and word.isalpha() and len(word) > 1]
    words.update(dict.fromkeys(plain[:1_000]))
    whole = list(dict.fromkeys([*LETTERS, *words]))
    known, rests = set(whole), Counter()
    for word in plain:
        if word in known:
            continue
        split = next(end for end in range(len(word) - 1, 0, -1) if word[:end] in known)
        rest = word[split:]
        rests[rest] += 2 * len(rest)
        for end in range(2, min(len(rest), 6)):
            rests[rest[:end]] += end - 1
    letters = [CONTINUED + letter for letter in LETTERS]
    room = TOKENS - len(SPECIAL) - len(whole) - len(letters)
    pieces = [CONTINUED + rest for rest, _ in rests.most_common() if len(rest) > 1][:room]
    return [*SPECIAL, *whole, *letters, *pieces]


def start(tower: PocketText, places: Tensor, named: Tensor) -> None:
    """Make the tower the mean of its tokens' places: `places` [T, 768] anchors of the tokens for which `named` [T] holds."""
    width = tower.text_projection.in_features
    basis = torch.linalg.eigh(places[named].T @ places[named])[1][:, -width:]
    # Layer norm removes the mean coordinate: turn the frame so that the least component lies along it.
    frame = torch.randn(width, width, generator=torch.Generator().manual_seed(0))
    frame[:, 0] = 1
    turned = torch.linalg.qr(frame)[0].T  # first row is the all-ones direction, eigh's first column the least component
    basis = basis @ turned
    with torch.no_grad():
        table = torch.where(named[:, None], places @ basis, 0.0)
        tower.text_model.embeddings.token_embedding.weight.copy_(0.5 * width**0.5 * table)
        # Exactly zero: the norm would blow any small noise at the start and end tokens up to a word's size.
        nn.init.zeros_(tower.text_model.embeddings.position_embedding.weight)
        tower.text_projection.weight.copy_(basis)
        for index, layer in enumerate(tower.text_model.encoder.layers):
            nn.init.zeros_(layer.mlp.fc2.weight)
            nn.init.zeros_(layer.self_attn.out_proj.weight)
            if index == 0:
                for part in (layer.self_attn.q_proj, layer.self_attn.k_proj):
                    nn.init.normal_(part.weight, std=0.02)
                for part in (layer.self_attn.v_proj, layer.self_attn.out_proj):
                    nn.init.eye_(part.weight)
            for part in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj, layer.self_attn.out_proj, layer.mlp.fc2):
                nn.init.zeros_(part.bias)


class Batches:
    """Batch `index` is the same on every run: phrases of like length, part vocabulary, some with a word in pieces."""

    def __init__(self, tokenizer: Tokenizer, texts: list[str], vocabulary_size: int):
        self.tokenizer, self.texts, self.vocabulary_size = tokenizer, texts, vocabulary_size
        self.ids = [tokenizer(text) for text in texts]
        self.pool: list[np.ndarray] = []

    def rows(self, index: int) -> np.ndarray:
        turn, place = divmod(index, POOL)
        if not self.pool or self.turn != turn:
            rng = np.random.default_rng(turn)
            count = POOL * BATCH
            first = rng.integers(self.vocabulary_size, size=int(FROM_VOCABULARY * count))
            rest = rng.integers(len(self.texts), size=count - len(first))
            rows = np.concatenate([first, rest])
            rows = rows[np.argsort([len(self.ids[row]) for row in rows], kind="stable")]
            self.pool, self.turn = [rows[start : start + BATCH] for start in range(0, count, BATCH)], turn
            rng.shuffle(self.pool)
        return self.pool[place]

    def draw(self, index: int) -> tuple[np.ndarray, Tensor, Tensor]:
        """Rows [B], ids [B, L], ends [B]."""
        rows, rng = self.rows(index), random.Random(index)
        lists = [self.spelled(row, rng) if rng.random() < SPELLED else self.ids[row] for row in rows]
        ids = nn.utils.rnn.pad_sequence([torch.tensor(each) for each in lists], batch_first=True, padding_value=1)
        return rows, ids, torch.tensor([len(each) - 1 for each in lists])

    def spelled(self, row: int, rng: random.Random) -> list[int]:
        """The tokens of a phrase with one of its words broken at random."""
        words = words_of(self.texts[row])
        broken = rng.randrange(len(words))
        cut = rng.randint(1, len(words[broken]))
        ids = []
        for place, word in enumerate(words):
            if place == broken:
                ids += self.tokenizer.pieces(word[:cut]) + self.tokenizer.pieces(word[cut:], start=CONTINUED)
            else:
                ids += self.tokenizer.pieces(word)
        return [0, *ids[: CONTEXT - 2], 1]


def split(data: Path, vocabulary: list[str], glove: list[str]) -> tuple[list[str], list[str]]:
    """All texts to learn, the vocabulary first, and those held out: neither vocabulary nor a frequent word."""
    frequent = {*vocabulary, *glove[:FREQUENT]}
    made = [text for kind in phrases(data).values() for text in kind if words_of(text)]
    held_out = [text for text in made if text not in frequent and is_held_out(text)]
    return [*vocabulary, *sorted({*made} - {*vocabulary} - {*held_out})], held_out


def targets(texts: list[str], data: Path) -> np.ndarray:
    """Anchors [N, 768] float16 of all training texts, kept as one file beside the cache."""
    kept = data / "ready" / "text_targets.npy"
    spelling = data / "ready" / "text_targets.json"
    if not (kept.exists() and spelling.exists() and json.loads(spelling.read_text()) == texts):
        table = np.lib.format.open_memmap(kept, "w+", np.float16, (len(texts), DIMENSION))
        for begin in range(0, len(texts), 20_000):
            table[begin : begin + 20_000] = anchor(texts[begin : begin + 20_000], data)
        table.flush()
        spelling.write_text(json.dumps(texts))
    return np.load(kept, mmap_mode="r")


@torch.inference_mode()
def embed(tower: PocketText, texts: list[str]) -> Tensor:
    """Unit vectors [N, 768], computed in batches of like length."""
    order = sorted(range(len(texts)), key=lambda row: len(tower.tokenizer(texts[row])))
    out = torch.empty(len(texts), tower.text_projection.out_features)
    for begin in range(0, len(order), 512):
        chosen = order[begin : begin + 512]
        out[chosen] = tower([texts[row] for row in chosen]).pooled
    return out


def export(tower: PocketText, path: Path) -> None:
    tensors = {name: tensor.half().contiguous() for name, tensor in tower.state_dict().items()}
    heads = tower.text_model.encoder.layers[0].self_attn.heads
    write_bytes(path, save(tensors, {"tokens": "\n".join(tower.tokenizer.tokens), "heads": str(heads)}))


def main() -> None:
    args = started(options(__doc__, minutes=22))
    run = args.runs / "text"

    vocabulary = VOCABULARY.read_text().splitlines()
    glove = read_glove_order(args.data, 60_000)
    texts, held_out = split(args.data, vocabulary, glove)
    print(f"{len(texts):,} texts to learn, {len(held_out):,} held out", flush=True)
    table = targets(texts, args.data)

    tower = PocketText(choose_tokens(vocabulary, glove))
    tokens = tower.tokenizer.tokens
    named = torch.tensor([len(token) > 1 and token not in SPECIAL and not token.startswith(CONTINUED) for token in tokens])
    places = torch.zeros(len(tokens), DIMENSION)
    places[named] = torch.from_numpy(anchor([token for token, is_name in zip(tokens, named) if is_name], args.data))
    start(tower, places, named)
    near = torch.from_numpy(table[: len(vocabulary)].astype(np.float32))
    batches = Batches(tower.tokenizer, texts, len(vocabulary))

    common = nearest(near[:1_000], near[:10_000], 10, own=True)
    rng = random.Random(0)
    unseen = rng.sample([text for text in held_out if " " in text], 1_000)
    spelled = rng.sample([text for text in held_out if " " not in text], 300)
    truth, spelled_truth = (torch.from_numpy(anchor(group, args.data)) for group in (unseen, spelled))

    def evaluate(model: nn.Module) -> dict[str, float]:
        words, found = embed(model, vocabulary[:10_000]), embed(model, unseen)
        return {
            "common_words": agreement(nearest(words[:1_000], words, 10, own=True), common),
            "unseen_phrases": agreement(nearest(found, words, 10), nearest(truth, near[:10_000], 10)),
            "unseen_cosine": (found * truth).sum(1).mean().item(),
            "unseen_words_cosine": (embed(model, spelled) * spelled_truth).sum(1).mean().item(),
        }

    def step(index: int, progress: float) -> Tensor:
        rows, ids, ends = batches.draw(index)
        goal = torch.from_numpy(table[rows].astype(np.float32))
        # The fused CPU kernel's backward takes half the step on such short sequences; plain matmuls do not.
        with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
            pooled, _, projected = tower.encode(ids, ends)
            chosen = torch.randperm(len(near), generator=torch.Generator().manual_seed(index))[:NEIGHBOURS]
            found, wanted = pooled @ near[chosen].T, goal @ near[chosen].T
        apart = F.kl_div(F.log_softmax(found.float() / TEMPERATURE, 1), F.softmax(wanted.float() / TEMPERATURE, 1), reduction="batchmean")
        place = named[ids]
        own = (projected[place] * places[ids[place]]).sum(-1)
        return (1 - (pooled * goal).sum(1)).mean() + NEAR * apart + WORDS * (1 - own).mean()

    print("before training", {name: round(value, 3) for name, value in evaluate(tower).items()}, flush=True)
    mean = train(tower, step, run, args.minutes, lr=1e-3, weight_decay=0.01, average=0.997, evaluate=evaluate, evaluate_every=4)
    export(mean, WEIGHTS)
    print(f"{WEIGHTS.name}: {WEIGHTS.stat().st_size / 1e6:.1f} MB", {name: round(value, 3) for name, value in evaluate(mean).items()})


if __name__ == "__main__":
    main()
