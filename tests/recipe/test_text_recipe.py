import random

import numpy as np
import pytest
import torch

from concept_algebra.ops.encoders.pocket_text import CONTINUED, LETTERS, SPECIAL, PocketText, words_of
from concept_algebra.ops.pocket.store import FOLDER
from recipe.phrases import HELD_OUT, ing_form, is_held_out
from recipe.text import DIMENSION, HALF, EmptyPhrase, data_folder, join, key
from recipe.train_text import Batches, choose_tokens, start
from recipe.vocabulary import ROMAN, SPELLING, printable_filter

TOKENS = [*SPECIAL, *LETTERS, *(CONTINUED + letter for letter in LETTERS), *"dog cat fire water purple piano ocean winter".split()]


def test_join_centres_and_normalises_each_half():
    rng = np.random.default_rng(0)
    halves, means = rng.normal(size=(5, DIMENSION)), rng.normal(size=(2, HALF)).astype(np.float32)
    joined = join(halves.copy(), *means)
    assert np.allclose(np.linalg.norm(joined, axis=1), 1, atol=1e-6)
    for part, mean in zip((slice(0, HALF), slice(HALF, None)), means):
        centred = halves[:, part] - mean
        assert np.allclose(joined[:, part] * np.sqrt(2), centred / np.linalg.norm(centred, axis=1, keepdims=True), atol=1e-5)


def test_key_is_what_the_teacher_sees():
    assert key("  Purple\n DOG ") == "purple dog"
    with pytest.raises(EmptyPhrase, match="' '"):
        key(" ")


def test_a_folder_without_downloads_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="fetch.sh"):
        data_folder(tmp_path)


def test_one_phrase_in_twenty_is_held_out():
    share = np.mean([is_held_out(f"phrase {number}") for number in range(20_000)])
    assert abs(share - 1 / HELD_OUT) < 0.006  # four standard deviations


@pytest.mark.parametrize(("verb", "form"), [("walk", "walking"), ("make", "making"), ("run", "running"), ("lie", "lying"), ("be", None)])
def test_ing_form(verb, form):
    assert ing_form(verb, {word: rank for rank, word in enumerate(["walking", "making", "running", "lying", "makeing"])}) == form


def test_shipped_vocabulary_is_clean():
    entries = (FOLDER.parent / "vocabulary.txt").read_text(encoding="utf-8").splitlines()
    left_out = printable_filter()
    assert 10_000 <= len(entries) == len(set(entries)) <= 20_000
    assert [entry for entry in entries if not SPELLING.fullmatch(entry) or left_out.fullmatch(entry)] == []
    assert {"fire", "water", "purple", "ice cream", "grand piano"} <= set(entries)


@pytest.mark.parametrize("entry", ["shit", "shitty weather", "bastards", "john", "seven"])
def test_filter_leaves_out(entry):
    assert printable_filter().fullmatch(entry)


@pytest.mark.parametrize("entry", ["grape", "cocktail", "class", "seventh heaven", "asset"])
def test_filter_keeps(entry):
    assert not printable_filter().fullmatch(entry)


def test_roman_numerals_are_told_from_words():
    assert ROMAN.fullmatch("xiv") and not ROMAN.fullmatch("six")


def test_choose_tokens_spells_everything_with_the_commonest_rests():
    tokens = choose_tokens(["walk", "ice cream"], ["the"] * 1 + [f"walk{end}" for end in ("ed", "ed", "ing", "s")] + ["zq"])
    assert tokens[:2] == list(SPECIAL) and len(tokens) == len(set(tokens))
    assert {"walk", "ice", "cream", "the", "##q", "q"} <= set(tokens)


def test_tower_starts_right_for_single_words():
    torch.manual_seed(0)
    tower = PocketText(TOKENS, width=16, layers=3, heads=2, hidden=32)
    named = torch.tensor([len(token) > 1 and not token.startswith(CONTINUED) and token not in SPECIAL for token in TOKENS])
    places = torch.zeros(len(TOKENS), DIMENSION)
    places[named] = torch.nn.functional.normalize(torch.randn(int(named.sum()), DIMENSION), dim=1)  # eight words: rank below the width
    start(tower, places, named)
    words = [token for token, is_name in zip(TOKENS, named) if is_name]
    with torch.no_grad():
        cosine = (tower(words).pooled * places[named]).sum(1)
    assert cosine.min() > 0.98


def test_batches_repeat_and_broken_words_still_spell():
    tower = PocketText(TOKENS, width=16, layers=1, heads=2, hidden=32)
    texts = ["dog", "purple cat", "fire and water", "winter ocean"]
    first, second = (Batches(tower.tokenizer, texts, 1).draw(3) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second))
    batches = Batches(tower.tokenizer, texts, 1)
    for seed in range(20):
        ids = batches.spelled(1, random.Random(seed))
        assert "".join(TOKENS[index].removeprefix(CONTINUED) for index in ids[1:-1]) == "".join(words_of(texts[1]))
