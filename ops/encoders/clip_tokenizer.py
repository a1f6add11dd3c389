"""CLIP's byte-pair tokenizer, from the list of merges that any CLIP or LanguageBind folder carries.

Byte pairs: Sennrich, Haddow and Birch 2016 (arXiv 1508.07909), on bytes; the text handling and the order of the
vocabulary are those of OpenAI's simple_tokenizer.py (Radford et al. 2021, arXiv 2103.00020).
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Sequence
from functools import lru_cache
from heapq import heapify, heappop, heappush
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from .text_cleaning import clean, words

CONTEXT = 77
MERGES = 48894
FILES = ("merges.txt", "bpe_simple_vocab_16e6.txt.gz", "tokenizer.json")

_END_OF_WORD = "</w>"
_SPECIAL = ("<|startoftext|>", "<|endoftext|>")
_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_BYTES = _PRINTABLE + sorted({*range(256)} - {*_PRINTABLE})
"""Bytes in the order of their symbols in the vocabulary. A printable byte is written as its Latin-1 character, the
others as the characters from U+0100 on."""
_SYMBOLS = [chr(byte) for byte in _PRINTABLE] + [chr(0x100 + i) for i in range(256 - len(_PRINTABLE))]
_KEPT_WORDS, _KEPT_LENGTH = 16384, 64


class ClipTokenizer:
    """Text to CLIP's token ids.

    merges: what is merged, best first, each "left right" in CLIP's byte symbols; or the text of a merges file, one a line,
        with or without its `#version` line. A whole CLIP vocabulary has 48,894.

    `vocabulary` maps token to id: the 256 byte symbols, the same at a word's end (`</w>`), the merges in order, then
    `<|startoftext|>` and `<|endoftext|>`, whose ids are `start` and `end` (49406 and 49407). `merges` is the text of the
    merges: ClipTokenizer(tokenizer.merges) is the same tokenizer.

    Raises ValueError, with the number of the merge, when one is not two tokens that the ones before it make, or makes a
    token again.
    """

    def __init__(self, merges: Sequence[str] | str):
        lines = merges.splitlines() if isinstance(merges, str) else list(merges)
        if lines and lines[0].startswith("#version"):
            del lines[0]
        self.vocabulary = {token: index for index, token in enumerate(_SYMBOLS + [symbol + _END_OF_WORD for symbol in _SYMBOLS])}
        self._merged: dict[tuple[int, int], int] = {}
        for number, line in enumerate(lines, 1):
            pair = line.split(" ")
            joined = "".join(pair)
            if len(pair) != 2 or not all(token in self.vocabulary for token in pair) or joined in self.vocabulary:
                raise ValueError(
                    f"merge {number} of the CLIP vocabulary is {line!r}; wanted two tokens that earlier merges make, "
                    "separated by a space, and a token that none of them makes: the list is damaged or out of order"
                )
            left, right = (self.vocabulary[token] for token in pair)
            self._merged[left, right] = self.vocabulary[joined] = len(self.vocabulary)
        self.start, self.end = (self.vocabulary.setdefault(token, len(self.vocabulary)) for token in _SPECIAL)
        self.merges = "\n".join(lines)
        self._byte = {byte: index for index, byte in enumerate(_BYTES)}
        self._special = dict(zip(_SPECIAL, [(self.start,), (self.end,)]))
        self._kept = lru_cache(maxsize=_KEPT_WORDS)(self._pieces)

    @classmethod
    def from_folder(cls, path: str | os.PathLike) -> ClipTokenizer:
        """The tokenizer of a folder with one of FILES, the first there is: Hugging Face's list of merges, OpenAI's (of
        which the first 48,894 count), or a Hugging Face tokenizer.json. A vocab.json beside merges.txt must agree.

        Raises ValueError, naming the file, when there is none, it cannot be read or it does not hold CLIP's vocabulary.
        """
        folder = Path(path)
        file = next((folder / name for name in FILES if (folder / name).is_file()), None)
        if file is None:
            raise ValueError(
                f"{folder} has no CLIP vocabulary: looked for {', '.join(FILES)}. Any LanguageBind or openai/clip folder on "
                "Hugging Face has one (merges.txt and vocab.json are enough); so has comfy/sd1_tokenizer inside ComfyUI"
            )
        try:
            tokenizer = cls(_read(file))
            if len(tokenizer._merged) != MERGES:
                raise ValueError(f"it has {len(tokenizer._merged):,} merges, CLIP has {MERGES:,}")
            if file.name == "merges.txt" and (folder / "vocab.json").is_file():
                file = folder / "vocab.json"
                tokenizer._agree(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
            raise ValueError(f"{file} is not CLIP's vocabulary, or is damaged ({error}): fetch it again") from error
        return tokenizer

    def __call__(self, texts: list[str], context: int = CONTEXT) -> Tensor:
        """Ids [B, context], int64, of B texts: the rows of `encode`, filled up with `end`.

        Raises ValueError for a bare string, and as `encode`.
        """
        if isinstance(texts, str):
            raise ValueError(f"texts is the string {texts[:60]!r}; wanted a list of strings")
        rows = [self.encode(text, context) for text in texts]
        filled = [row + [self.end] * (context - len(row)) for row in rows]
        return torch.tensor(filled, dtype=torch.int64).reshape(len(rows), context)

    def encode(self, text: str, context: int = CONTEXT) -> list[int]:
        """Ids of one text, at most `context`, without padding: `start`, its byte pairs, `end`. A longer text loses its rest.

        Text with nothing in it gives [start, end]. A special token written out in the text is that token, as in CLIP.
        Raises ValueError when `text` is no string or `context` below 2.
        """
        if not isinstance(text, str):
            raise ValueError(f"text is {text!r:.60}; wanted a string")
        if context < 2:
            raise ValueError(f"context is {context}; wanted at least 2, for the start and the end token")
        ids = [self.start]
        for word in words(clean(text)):
            ids += self._special.get(word) or (self._kept if len(word) <= _KEPT_LENGTH else self._pieces)(word)
            if len(ids) >= context:
                break
        return [*ids[: context - 1], self.end]

    def _pieces(self, word: str) -> tuple[int, ...]:
        """Ids of one word. Takes n log n steps for n bytes.

        The best pair goes first, and among its places the leftmost. A pair with a new token comes after that token's own
        in the list (the constructor made sure), so a heap by (id, place) merges in the order of the published loop.
        """
        ids = [self._byte[byte] for byte in word.encode()]
        ids[-1] += len(_BYTES)
        before, after = list(range(-1, len(ids) - 1)), list(range(1, len(ids) + 1))
        heap = [(merged, place) for place, pair in enumerate(pairwise(ids)) if (merged := self._merged.get(pair))]
        heapify(heap)
        while heap:
            merged, left = heappop(heap)
            right = after[left]
            # an entry is out of date when one of its tokens has been merged since
            if right == len(ids) or self._merged.get((ids[left], ids[right])) != merged:
                continue
            ids[left], ids[right] = merged, -1
            after[left] = right = after[right]
            if right < len(ids):
                before[right] = left
                if new := self._merged.get((merged, ids[right])):
                    heappush(heap, (new, left))
            if before[left] >= 0 and (new := self._merged.get((ids[before[left]], merged))):
                heappush(heap, (new, before[left]))
        return tuple(token for token in ids if token >= 0)

    def _agree(self, vocabulary: object) -> None:
        if not isinstance(vocabulary, dict):
            raise ValueError("it is not one JSON object of tokens and ids")
        for token in [*self.vocabulary, *vocabulary]:
            ours, theirs = self.vocabulary.get(token), vocabulary.get(token)
            if ours != theirs:
                raise ValueError(f"token {token!r} has id {theirs} there, {ours} by merges.txt beside it")


def _read(file: Path) -> list[str] | str:
    """The merges that a file of one of the layouts in FILES lists, as ClipTokenizer takes them."""
    if file.suffix == ".gz":
        with gzip.open(file, "rt", encoding="utf-8") as text:
            return text.read().splitlines()[1 : MERGES + 1]
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".txt":
        return text
    try:
        merges = json.loads(text)["model"]["merges"]
        return [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]
    except (KeyError, TypeError):
        raise ValueError("it has no list of strings or pairs at model.merges") from None
