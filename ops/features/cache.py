"""Embeddings kept on disk: what was embedded once is not embedded again, also after a run that was stopped."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor

from ..atomic import write_bytes
from ..collection import Watch, embedded
from ..encoders.protocol import Encoder
from ..space import Modality, finite

FORMAT = "concept-algebra/embeddings/1"
SHARD = 256
"""Embeddings in a file, unless a run ended before: what a power cut can cost."""


def embed(
    encoder: Encoder, modality: Modality, items: Sequence[str], cache: str | os.PathLike, watch: Watch = lambda *_: None
) -> tuple[Tensor, list[int]]:
    """Unit embeddings [n, D], float32 on the CPU and not centred, of items (phrases, or paths of media), and which items
    they are of: positions, ascending.

    cache: a folder, made when it is not there. Files `SPACE/MODALITY[-TOWER]/SHARD.safetensors` in it hold the embeddings
        in half precision, `SPACE` being the `encoder_id` and `TOWER` the fingerprint of the tower, so that another encoder
        finds none of them. A phrase is found by itself, a file by its path, size and time of change.
    watch: hears first how many the cache holds, then as `embedded` tells it. An item that cannot be read is told and left
        out, and tried again by the next call. Whatever ends the work, a watch that raises too, what is embedded is kept.

    The result is the same, bit for bit, whatever part of it the cache held, as far as the encoder's is.
    Raises ValueError for a damaged file in the cache and for an embedding with NaN; OSError when the cache cannot be written.
    """
    folder = Path(cache) / encoder.space.encoder_id / "-".join(filter(None, (modality, encoder.fingerprints.get(modality))))
    kept = _read(folder)
    keys = [item if modality == "text" else _key(item) for item in items]
    wanted = [item for item, key in zip(items, keys) if key not in kept]
    known = len(items) - len(wanted)
    key_of = dict(zip(items, keys))
    waiting: dict[str, np.ndarray] = {}

    def flush() -> None:
        if waiting:
            _write(folder, waiting)
            kept.update(waiting)
            waiting.clear()

    watch(known, len(items), [])
    try:
        for batch, pooled in embedded(encoder, modality, wanted, lambda done, _, problems: watch(known + done, len(items), problems)):
            rows = finite(pooled.detach().float().cpu(), f"the {modality} embedding of '{batch[0]}'").numpy().astype(np.float16)
            waiting.update((key_of[item], row) for item, row in zip(batch, rows))
            if len(waiting) >= SHARD:
                flush()
    finally:
        flush()
    found = [position for position, key in enumerate(keys) if key in kept]
    rows = np.empty((len(found), encoder.space.dimension), np.float32)
    for row, position in zip(rows, found):
        row[:] = kept[keys[position]]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    with torch.inference_mode(False):  # kept for good
        return torch.from_numpy(rows), found


def _key(path: str) -> str:
    """What a file is found by; one that is not there is left to be told by who reads it."""
    try:
        facts = os.stat(path)
    except OSError:
        return path
    return f"{os.path.realpath(path)}|{facts.st_size}|{facts.st_mtime_ns}"


def _write(folder: Path, rows: dict[str, np.ndarray]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"could not make the cache {folder}: {error.strerror or error}") from error
    items = json.dumps(list(rows))
    name = hashlib.sha256(items.encode()).hexdigest()[:12]
    write_bytes(folder / f"{name}.safetensors", save({"embeddings": np.stack(list(rows.values()))}, {"format": FORMAT, "items": items}))


def _read(folder: Path) -> dict[str, np.ndarray]:
    rows: dict[str, np.ndarray] = {}
    for path in sorted(folder.glob("[!.]*.safetensors")):
        try:
            with safe_open(path, "np") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise ValueError(f"its format is {metadata.get('format')}")
                rows.update(zip(json.loads(metadata["items"]), file.get_tensor("embeddings"), strict=True))
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a file of cached embeddings ({error}): delete it, and its items are embedded anew") from error
    return rows
