"""The phrases that the text tower learns from: words, names, definitions and composed phrases; seeded, about 350,000.

One phrase in twenty is held out by a hash of its own spelling, so the split never depends on order or count.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator
from pathlib import Path

from .vocabulary import SPELLING, emoji_strings, read_list
from .wordnet import Sense, read_glove_order, read_wordnet

HELD_OUT = 20
CONCRETE = {"05", "06", "08", "13", "17", "18", "19", "20"}  # animal, artifact, body, food, object, person, phenomenon, plant
MOTIONS = """moving left|moving right|moving up|moving down|rising|falling|spinning|turning|flickering|bouncing|shaking|growing
shrinking|zooming in|zooming out|swinging|fading in|fading out|pulsing|drifting|jumping|rolling|standing still|blinking|waving
flying away|running fast|moving slowly""".replace("\n", "|").split("|")
LOUDNESS = ["loud", "quiet", "soft", "very loud", "faint", "distant", "gentle", ""]
PITCHES = ["high", "low", "deep", "high-pitched", "low-pitched", "medium", "fast", "slow", "short", "long", "rising", "falling", ""]
FRAMES = """a photo of a {}|a picture of a {}|a drawing of a {}|an emoji of a {}|an icon of a {}|a {}|the {}|two {}|many {}|a small {}|a big {}
the sound of a {}|sound of {}|a video of a {}|a painting of {}|a close-up of a {}|{} in the background|{} on white|a black and white {}|a kind of {}
a toy {}|not a {}|made of {}|something like a {}|the colour of {}|full of {}|i love {}|my {}|without {}""".replace("\n", "|").split("|")
JOINS = ["{} and {}", "{} and {}", "{} with {}", "{} in {}", "{} on a {}", "{} under a {}", "{} without {}", "{} or {}", "{} next to a {}",
         "a {} and a {}", "{}, {}", "{} made of {}", "half {} half {}", "{} near the {}", "{} turning into {}"]  # fmt: skip


def is_held_out(phrase: str) -> bool:
    """One phrase in twenty, by its spelling alone."""
    return int.from_bytes(hashlib.blake2b(phrase.encode(), digest_size=4).digest(), "big") % HELD_OUT == 0


def phrases(data: Path, seed: int = 0) -> dict[str, list[str]]:
    """Kind -> distinct phrases of that kind, each phrase in one kind only."""
    seen: set[str] = set()
    kinds = {}
    for kind, candidates in _kinds(data, random.Random(seed)):
        fresh = [phrase for phrase in dict.fromkeys(candidates) if phrase and phrase not in seen]
        seen.update(fresh)
        kinds[kind] = fresh
    return kinds


def _kinds(data: Path, rng: random.Random) -> Iterator[tuple[str, list[str]]]:
    wordnet, glove = read_wordnet(data), read_glove_order(data, 60_000)
    rank = {word: index for index, word in enumerate(glove)}
    known = [word for word in glove if word in wordnet and SPELLING.fullmatch(word) and len(word) > 2]

    def of(part: str, kinds: set[str] | None, limit: int) -> list[str]:
        return [word for word in known if rank[word] < limit and _is(wordnet[word], word, part, kinds)]

    things = of("noun", CONCRETE, 30_000)
    nouns = of("noun", None, 20_000)
    adjectives = of("adj", None, 20_000)
    doing = [form for form in (ing_form(verb, rank) for verb in of("verb", None, 15_000)) if form]
    pairs = [name for name, senses in wordnet.items() if name.count(" ") == 1 and senses[0].kind in CONCRETE and _usual(name, rank, 12_000)]
    colours, sounds = read_list("colours.txt"), read_list("sound_names.txt")
    everyday = sorted({word for word in emoji_strings(data) if word in wordnet and _is(wordnet[word], word, "noun", None)})

    def thing() -> str:
        chance = rng.random()
        if chance < 0.35:
            return rng.choice(everyday)
        return rng.choice(pairs) if chance < 0.42 else _common(rng, things)

    def times(count: int, make) -> list[str]:
        return [make() for _ in range(count)]

    yield "emoji", emoji_strings(data)
    yield "words", [word for word in glove if re.fullmatch(r"[a-z]{2,}", word)]
    names = [name for name, senses in wordnet.items() if 1 <= name.count(" ") <= 2 and SPELLING.fullmatch(name) and _usual(name, rank, 30_000)]
    yield "names", rng.sample(names, min(len(names), 40_000))
    yield "glosses", [_fragment(rng, sense.gloss) for word in known[:25_000] for sense in wordnet[word]][:50_000]
    yield "adjective noun", times(60_000, lambda: f"{_common(rng, adjectives)} {thing()}")
    yield "colour noun", times(30_000, lambda: f"{rng.choice(colours)} {thing()}")
    yield "noun noun", times(30_000, lambda: f"{_common(rng, nouns)} {_common(rng, nouns)}")
    yield "doing", times(25_000, lambda: rng.choice(["{0} {1}", "{1} {0}", "a {0} {1}", "{0} is {1}"]).format(thing(), _common(rng, doing)))
    yield "frames", times(30_000, lambda: rng.choice(FRAMES).format(_described(rng, thing(), adjectives, colours)))
    yield "joins", times(45_000, lambda: rng.choice(JOINS).format(_common(rng, nouns), thing()))
    yield "motions", times(20_000, lambda: f"{_described(rng, thing(), adjectives, colours)} {rng.choice(MOTIONS)}")
    yield "sounds", times(12_000, lambda: " ".join(f"{rng.choice(LOUDNESS)} {rng.choice(PITCHES)} {rng.choice(sounds)}".split()))
    yield "scenes", times(25_000, lambda: f"a {_common(rng, adjectives)} {thing()} {_common(rng, doing)} {rng.choice(['in', 'on', 'near', 'over', 'with'])} the {thing()}")


def _common(rng: random.Random, words: list[str]) -> str:
    """A word of a list in frequency order, common ones more often."""
    return words[int(len(words) * rng.random() ** 1.5)]


def _is(senses: list[Sense], word: str, part: str, kinds: set[str] | None) -> bool:
    return any(sense.part == part and word in sense.words and (kinds is None or sense.kind in kinds) for sense in senses)


def _usual(name: str, rank: dict[str, int], limit: int) -> bool:
    return all(rank.get(word, limit) < limit for word in name.replace("-", " ").split())


def _described(rng: random.Random, thing: str, adjectives: list[str], colours: list[str]) -> str:
    chance = rng.random()
    if chance < 0.25:
        return f"{rng.choice(colours)} {thing}"
    return f"{_common(rng, adjectives)} {thing}" if chance < 0.45 else thing


def _fragment(rng: random.Random, gloss: str) -> str:
    """The first clause of a definition, cut to 2-8 words."""
    clause = re.split(r"[;,:(]", re.sub(r"^\([^)]*\)\s*", "", gloss))[0].lower()
    words = re.findall(r"[a-z]+(?:['-][a-z]+)*", clause)
    return " ".join(words[: rng.randint(2, 8)]) if len(words) > 1 else ""


def ing_form(verb: str, known: dict[str, int]) -> str | None:
    """The most frequent known -ing form of a verb: walk walking, make making, run running."""
    candidates = {verb + "ing", verb.removesuffix("e") + "ing", verb + verb[-1] + "ing", verb.removesuffix("ie") + "ying"}
    return min((form for form in candidates if form in known), key=known.__getitem__, default=None)
