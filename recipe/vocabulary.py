"""The readout's vocabulary: everyday words and short phrases, most common first.

    python -m recipe.vocabulary [--data DIR]      writes ops/pocket/vocabulary.txt

From WordNet lemmas (one of the first two senses, common nouns, adjectives and verbs) among GloVe's first words,
two-word WordNet names of everyday things, emojibase labels and tags, sounds (`sound_names.txt`), colours (`colours.txt`).
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from concept_algebra.ops.atomic import write_bytes

from .text import data_folder
from .wordnet import Sense, read_glove_order, read_wordnet

HERE = Path(__file__).parent
TARGET = HERE.parent / "ops" / "pocket" / "vocabulary.txt"
WORDS = 36_000  # GloVe words looked at
PAIR_WORDS = 4_500  # both words of a two-word name are among GloVe's first so many
PAIR_KINDS = {"05", "06", "13", "17", "19"}  # animals, artifacts, food, natural objects, phenomena (man 5 lexnames)
SHORT = {"tv", "ox", "pi", "dj", "cd", "ax", "ad", "ok"}
SPELLING = re.compile(r"[a-z]+(['-][a-z]+)*( [a-z]+(['-][a-z]+)*)*")
ROMAN = re.compile(r"[ivxlc]{2,}")


def read_list(name: str) -> list[str]:
    """The lines of a text file beside this module, without comments."""
    return [line.strip() for line in (HERE / name).read_text().splitlines() if line.strip() and not line.startswith("#")]


def printable_filter() -> re.Pattern[str]:
    """Matches what `unprintable.txt` leaves out: a whole entry, or any word of a phrase that starts with a stem."""
    lines = read_list("unprintable.txt")
    stems = "|".join(re.escape(line[:-1]) for line in lines if line.endswith("*"))
    whole = "|".join(re.escape(line) for line in lines if not line.endswith("*"))
    return re.compile(rf"(?:.*\b(?:{stems}).*|(?:{whole}))$")


def is_common(word: str, senses: list[Sense]) -> bool:
    """Whether a lemma is a word of the language (spelled lower-case in a sense) and not a slur in its first sense."""
    return any(word in sense.words for sense in senses) and not senses[0].rude


def emoji_strings(data: Path) -> list[str]:
    """Labels and tags of emojibase without flags and skin tones, at most four words each."""
    entries = json.loads((data / "src" / "emojibase-data-17.0.0" / "en" / "data.json").read_text())
    found = []
    for entry in entries:
        if entry["label"].startswith(("flag", "keycap")) or "group" not in entry:
            continue
        for text in [entry["label"], *entry.get("tags", ())]:
            plain = " ".join(re.sub(r"[“”’():,.!]", lambda mark: "'" if mark[0] == "’" else " ", text.lower()).split())
            if len(plain.split()) <= 4:
                found.append(plain)
    return found


def build(data: Path) -> list[str]:
    """The vocabulary, 10-20 thousand distinct entries, the most common first."""
    wordnet, glove = read_wordnet(data), read_glove_order(data, 60_000)
    rank = {word: index for index, word in enumerate(glove)}
    left_out = printable_filter()
    words = [word for word in glove[:WORDS] if word in wordnet and is_common(word, wordnet[word])]
    pairs = [
        name
        for name, senses in wordnet.items()
        if name.count(" ") == 1
        and senses[0].kind in PAIR_KINDS
        and senses[0].words[0] == name
        and all(rank.get(word, WORDS) < PAIR_WORDS for word in name.split())
    ]
    extra = emoji_strings(data) + read_list("sound_names.txt") + read_list("colours.txt")
    entries = {
        text
        for text in words + pairs + extra
        if SPELLING.fullmatch(text)
        and not left_out.fullmatch(text)
        and (len(text) > 2 or text in SHORT)
        and not (ROMAN.fullmatch(text) and rank.get(text, 0) > 2_000)
    }

    def commonness(text: str) -> tuple[int, str]:
        # A phrase is rarer than its rarest word; added ranks stand in for a count nobody publishes freely.
        parts = text.replace("-", " ").split()
        return sum(rank.get(part, WORDS) for part in parts) + 3_000 * (len(parts) - 1), text

    return sorted(entries, key=commonness)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write ops/pocket/vocabulary.txt.")
    parser.add_argument("--data", help="folder of the recipe's downloads")
    entries = build(data_folder(parser.parse_args().data))
    write_bytes(TARGET, ("\n".join(entries) + "\n").encode())
    print(f"{len(entries):,} entries, {sum(' ' in entry for entry in entries):,} of them phrases")


if __name__ == "__main__":
    main()
