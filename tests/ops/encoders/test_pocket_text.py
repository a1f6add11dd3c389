import re
import subprocess
import sys

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from concept_algebra.benchmarks.pocket_text import ShippedText, agreement, figures, nearest, vocabulary
from concept_algebra.ops.encoders.pocket_text import CONTEXT, CONTINUED, LETTERS, SPECIAL, PocketText, Tokenizer, UnreadableText, words_of
from concept_algebra.ops.pocket.store import read
from concept_algebra.ops.weights import WeightsError

COMMON = ["fire", "purple dog", "a photo of a grand piano", "ice cream", "unputdownableness", "king"]


@pytest.fixture(scope="module")
def shipped():
    return ShippedText()


@pytest.fixture(scope="module")
def tokenizer(shipped):
    return shipped.tower.tokenizer


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return PocketText([*SPECIAL, *LETTERS, *(CONTINUED + letter for letter in LETTERS), "dog", "purple"], width=16, layers=3, heads=2, hidden=32).eval()


@given(st.text(max_size=80))
@example("犬")
@example("\ud800")
@settings(deadline=None)
def test_any_text_becomes_tokens_in_range_or_is_refused(tokenizer, text):
    try:
        ids = tokenizer(text)
    except UnreadableText:
        assert words_of(text) == []
        return
    assert ids[0] == 0 and ids[-1] == 1 and 3 <= len(ids) <= CONTEXT
    assert all(1 < index < len(tokenizer.tokens) for index in ids[1:-1])


@given(st.from_regex(r"[a-z0-9]{1,22}", fullmatch=True))
def test_pieces_spell_the_word(tokenizer, word):
    spelled = [tokenizer.tokens[index] for index in tokenizer.pieces(word)]
    assert "".join(piece.removeprefix(CONTINUED) for piece in spelled) == word
    assert [piece.startswith(CONTINUED) for piece in spelled] == [False] + [True] * (len(spelled) - 1)


def test_every_vocabulary_word_is_one_token(tokenizer):
    words = [word for entry in vocabulary() for word in words_of(entry) if len(word) > 1]
    assert [word for word in words if tokenizer.pieces(word) != [tokenizer.ids[word]]] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Café-crème", ["cafe", "creme"]),
        ("🔥", ["fire"]),
        ("👩‍🚒!", ["woman", "fire", "engine"]),
        ("Ørsted's STRAẞE", ["orsteds", "strasse"]),
        ("x² + ½", ["x2", "1", "2"]),
        ("犬 Ж", []),
    ],
)
def test_spelling(text, words):
    assert words_of(text) == words


def test_long_text_ends_with_a_whole_word(tokenizer):
    text = "the quick brown fox jumps over an unquestionably lazy dog " * 4
    ids = tokenizer(text)
    assert len(ids) <= CONTEXT
    kept = re.sub(f" {CONTINUED}", "", " ".join(tokenizer.tokens[index] for index in ids[1:-1])).split()
    assert kept == text.split()[: len(kept)] and len(kept) > 10


def test_a_word_longer_than_the_context_is_cut(tokenizer):
    assert len(tokenizer("zq" * 5_000)) == CONTEXT


@pytest.mark.parametrize("text", ["", "  \n", "?!", "犬"])
def test_unreadable_text_is_named(shipped, text):
    with pytest.raises(UnreadableText, match=re.escape(repr(text))):
        shipped.text(["fire", text])


@pytest.mark.parametrize("texts", [[], "fire"])
def test_texts_must_be_a_list(shipped, texts):
    with pytest.raises(ValueError, match="give a list"):
        shipped.text(texts)


def test_a_token_list_without_a_letter_is_refused():
    with pytest.raises(ValueError, match="'##q'"):
        Tokenizer([*SPECIAL, *LETTERS, *(CONTINUED + letter for letter in LETTERS if letter != "q")])


def test_a_phrase_embeds_alike_alone_and_in_company(shipped):
    together = shipped.text(COMMON)
    for row, phrase in enumerate(COMMON):
        alone = shipped.text([phrase])
        count = alone.grid[0]
        assert torch.allclose(together.pooled[row], alone.pooled[0], atol=1e-5)
        assert torch.allclose(together.tokens[row, :count], alone.tokens[0], atol=1e-4)
        assert torch.allclose(together.dense[row, :count], alone.dense[0], atol=1e-5)


def test_embedding_has_the_promised_shape(shipped):
    found = shipped.text(["dog", "purple dog"])
    assert found.grid == (2,) and found.modality == "text"
    assert found.pooled.shape == (2, 768) and found.dense.shape == (2, 2, 768) and found.tokens.shape[:2] == (2, 2)
    for unit in (found.pooled, found.dense):
        assert torch.allclose(unit.norm(dim=-1), torch.ones(unit.shape[:-1]), atol=1e-5)
    assert torch.equal(found.dense[0, 0], found.dense[0, 1])  # a short row goes round its own tokens


def test_embedding_is_deterministic(shipped):
    assert torch.equal(shipped.text(COMMON).pooled, ShippedText().text(COMMON).pooled)


def test_word_order_matters(small):
    a, b = small(["purple dog", "dog purple"]).pooled
    assert not torch.allclose(a, b, atol=1e-4)


def test_what_stands_after_the_end_cannot_be_seen(small):
    ids = torch.tensor([[0, 74, 1, 1], [0, 74, 1, 75]])
    pooled = small.encode(ids, torch.tensor([2, 2]))[0]
    assert torch.equal(pooled[0], pooled[1])


def test_gradient_reaches_every_parameter(small):
    small.requires_grad_(True).zero_grad()
    small(["purple dog", "d0g"]).pooled[:, :7].sum().backward()
    assert [name for name, weight in small.named_parameters() if weight.grad is None or not weight.grad.isfinite().all()] == []
    assert small.text_model.embeddings.token_embedding.weight.grad[74].abs().sum() > 0


def test_weights_load_quickly():
    # In a fresh process: what loading imports counts. Processor time, so that a busy machine does not fail it.
    timing = (
        "import time; from concept_algebra.benchmarks.pocket_text import ShippedText;"
        "began = time.process_time(); ShippedText(); print(time.process_time() - began)"
    )
    answer = subprocess.run([sys.executable, "-c", timing], capture_output=True, text=True, check=True)
    assert float(answer.stdout) < 0.6


def test_weights_that_do_not_fit_are_refused():
    tensors, metadata = read("text")
    with pytest.raises(WeightsError, match="tokens"):
        PocketText.from_tensors(tensors, {"heads": "4"})
    with pytest.raises(WeightsError, match="text_projection"):
        PocketText.from_tensors({name: tensor for name, tensor in tensors.items() if "projection" not in name}, metadata)
    with pytest.raises(WeightsError, match="token_embedding"):
        PocketText.from_tensors(tensors, {**metadata, "tokens": metadata["tokens"] + "\nzyzzyva"})


def test_agreement_counts_shared_neighbours():
    table = torch.eye(4)
    assert nearest(torch.tensor([[0.9, 0.5, 0.1, 0.0]]), table, 2).tolist() == [[0, 1]]
    assert 0 not in nearest(table[:1], table, 3, own=True)[0]
    assert agreement(torch.tensor([[0, 1], [2, 3]]), torch.tensor([[1, 0], [3, 0]])) == 0.75


def test_neighbourhoods_are_the_teachers(shipped):
    found = figures(shipped, quick=True)
    assert found["text_common_agreement"] >= 0.85
    assert found["text_phrase_agreement"] >= 0.72
    assert found["text_phrase_cosine"] >= 0.85
    assert found["text_queen_rank"] <= 3 and found["text_winter_rank"] <= 3
