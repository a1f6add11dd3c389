"""The tokenizer against LanguageBind's recorded ids and OpenAI's own code, and every file its vocabulary may come in."""

from __future__ import annotations

import gzip
import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, strategies as st
from safetensors import safe_open

from concept_algebra.ops.encoders import text_cleaning
from concept_algebra.ops.encoders.clip_tokenizer import CONTEXT, FILES, MERGES, ClipTokenizer

REFERENCE = Path(__file__).parents[2] / "reference/languagebind/tokenizer.safetensors"
KNOWN = st.characters(exclude_categories=["Cs", "Cn"])  # see test_text_cleaning


@pytest.fixture(scope="session")
def package():
    """The folder of openai-clip, which is not imported: it would want torchvision."""
    spec = importlib.util.find_spec("clip")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    if not (folder / "bpe_simple_vocab_16e6.txt.gz").is_file():
        pytest.skip("needs CLIP's vocabulary: pip install openai-clip")
    return folder


@pytest.fixture(scope="session")
def openai(package):
    """OpenAI's tokenizer itself."""
    spec = importlib.util.spec_from_file_location("openai_simple_tokenizer", package / "simple_tokenizer.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SimpleTokenizer()


@pytest.fixture(scope="session")
def tokenizer(package):
    return ClipTokenizer.from_folder(package)


@pytest.fixture
def hugging_face(tokenizer, openai, tmp_path):
    """A folder with merges.txt and vocab.json, as CLIP's repositories have."""
    (tmp_path / "merges.txt").write_text(f"#version: 0.2\n{tokenizer.merges}\n", encoding="utf-8")
    (tmp_path / "vocab.json").write_text(json.dumps(openai.encoder), encoding="utf-8")
    return tmp_path


def recorded():
    with safe_open(REFERENCE, framework="pt") as file:
        strings = json.loads(file.metadata()["config"])["strings"]
        return strings, file.get_tensor("out.input_ids"), file.get_tensor("out.attention_mask")


@pytest.mark.parametrize("with_ftfy", [True, False])
def test_ids_are_languagebinds(tokenizer, with_ftfy, monkeypatch):
    if with_ftfy:
        pytest.importorskip("ftfy")
    else:
        monkeypatch.setitem(sys.modules, "ftfy", None)
    text_cleaning._repairer.cache_clear()
    strings, ids, mask = recorded()
    try:
        ours = tokenizer(strings)
        lengths = [len(tokenizer.encode(text)) for text in strings]
    finally:
        text_cleaning._repairer.cache_clear()
    assert ours.dtype == torch.int64 and len(strings) == 20
    assert torch.equal(ours, ids)
    assert lengths == mask.sum(1).tolist()


def test_vocabulary_is_openais(tokenizer, openai):
    assert tokenizer.vocabulary == openai.encoder and len(tokenizer.vocabulary) == 49408
    assert (tokenizer.start, tokenizer.end) == (49406, 49407)


@given(st.text(KNOWN, max_size=40))
@example("sch\xc3\xb6n \xe2\x80\x9cquoted\xe2\x80\x9d")
@example("a <|endoftext|> b<|StartOfText|>'s it'S !'s 1\xbd2")
@example("&lt;b&gt; <b> &amp;ldquo;")
@example("\U0001f469\u200d\U0001f467 \u0130\u017f '\u017f")
def test_ids_are_openais(tokenizer, openai, text):
    assert tokenizer.encode(text, 10_000) == [49406, *openai.encode(text), 49407]


@given(st.text("aehinorst", min_size=1, max_size=300) | st.lists(st.sampled_from(["th", "e", "the", "ha", "\xe9", "\u4e00", "a"])).map("".join))
def test_merging_gives_openais_pieces_of_long_words(tokenizer, openai, word):
    assert tokenizer.encode(word, 10_000)[1:-1] == openai.encode(word)


def test_every_byte_has_openais_two_ids(openai):
    plain = ClipTokenizer([])
    ids = {byte: plain._byte[byte] for byte in range(256)}
    assert ids == {byte: openai.encoder[symbol] for byte, symbol in openai.byte_encoder.items()}
    assert sorted(ids.values()) == list(range(256))
    # all bytes that UTF-8 has, from one-character words of every lead byte and continuation
    seen = set()
    for code in [*range(0x80), *range(0x80, 0x800), *range(0x800, 0x10000, 64), *range(0x10000, 0x110000, 4096)]:
        if not 0xD800 <= code < 0xE000:
            pieces = plain._pieces(chr(code))
            assert pieces == (*(ids[byte] for byte in chr(code).encode()[:-1]), ids[chr(code).encode()[-1]] + 256)
            seen |= {piece % 256 for piece in pieces}
    assert seen == {ids[byte] for byte in set(range(256)) - {0xC0, 0xC1, *range(0xF5, 0x100)}}


def test_small_vocabulary_by_hand():
    tokenizer = ClipTokenizer("#version: 0.2\nt h\nth e</w>\n")
    letter = {c: ord(c) - ord("!") for c in "abcdefghijklmnopqrstuvwxyz"}
    assert (tokenizer.start, tokenizer.end, len(tokenizer.vocabulary)) == (514, 515, 516)
    assert tokenizer.encode("The theme") == [514, 513, 512, letter["e"], letter["m"], letter["e"] + 256, 515]
    assert tokenizer(["the", "a b c d e"], 5).tolist() == [[514, 513, 515, 515, 515], [514, *(letter[c] + 256 for c in "abc"), 515]]


def test_nothing_is_start_and_end():
    tokenizer = ClipTokenizer([])
    for text in ("", " \n\t ", "\x00", "\ufeff"):
        assert tokenizer.encode(text) == [512, 513]
    assert tokenizer([""]).tolist() == [[512] + [513] * (CONTEXT - 1)]
    assert tokenizer([]).shape == (0, CONTEXT)


def test_a_surrogate_and_a_nul_do_no_harm():
    tokenizer = ClipTokenizer([])
    assert tokenizer.encode("a\ud800") == tokenizer.encode("a\ufffd")
    assert tokenizer.encode("a\x00b") == tokenizer.encode("ab")
    assert tokenizer.encode("\ud83d\ude00") == tokenizer.encode("\U0001f600")


class CountingDict(dict):
    asked = 0

    def get(self, *key):
        self.asked += 1
        return super().get(*key)


@pytest.mark.parametrize("letters", ["a", "the", "holiday"])
def test_work_grows_with_the_length_of_a_word(package, letters):
    tokenizer = ClipTokenizer.from_folder(package)
    tokenizer._merged = CountingDict(tokenizer._merged)
    word = (letters * 10_000)[:10_000]
    ids = tokenizer.encode(word)
    assert len(ids) == CONTEXT and ids[-1] == tokenizer.end
    # each pair is looked up once, and each merge takes one look at itself and makes two pairs, which may be in vain
    assert 10_000 <= tokenizer._merged.asked < 6 * 10_000


def test_words_are_kept_but_not_without_bound(package):
    tokenizer = ClipTokenizer.from_folder(package)
    first = tokenizer.encode("a parakeet, a parakeet, a ladder")
    kept = tokenizer._kept.cache_info()
    assert (kept.misses, kept.hits) == (4, 4) and kept.maxsize
    assert tokenizer.encode("a parakeet, a parakeet, a ladder") == first
    assert tokenizer._kept.cache_info().misses == 4
    tokenizer.encode("parakeet" * 100)
    assert tokenizer._kept.cache_info().currsize == 4
    assert ClipTokenizer.from_folder(package).encode("a parakeet, a parakeet, a ladder") == first


def test_reading_stops_where_the_context_ends(package):
    tokenizer = ClipTokenizer.from_folder(package)
    tokenizer.encode(" ".join(f"{a}{b}" for a in "bcdfghjklm" for b in "aeiouyxyz" * 5))
    assert tokenizer._kept.cache_info().misses <= CONTEXT


def test_every_layout_gives_one_tokenizer(tokenizer, package, hugging_face, tmp_path):
    lines = tokenizer.merges.split("\n")
    assert len(lines) == MERGES and lines[:2] == ["i n", "t h"]
    folders = [hugging_face]
    for name, merges in (("strings", lines), ("pairs", [line.split(" ") for line in lines])):
        folders.append(tmp_path / name)
        folders[-1].mkdir()
        (folders[-1] / "tokenizer.json").write_text(json.dumps({"model": {"merges": merges}}), encoding="utf-8")
    for other in [*map(ClipTokenizer.from_folder, folders), ClipTokenizer(tokenizer.merges), ClipTokenizer(lines)]:
        assert other.merges == tokenizer.merges and other.vocabulary == tokenizer.vocabulary
        assert other.encode("Training a parakeet") == tokenizer.encode("Training a parakeet")


def test_a_folder_without_a_vocabulary_is_told_what_to_fetch(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(ValueError, match="Hugging Face.*comfy/sd1_tokenizer") as caught:
            ClipTokenizer.from_folder(folder)
        assert str(folder) in str(caught.value) and all(name in str(caught.value) for name in FILES)


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("merges.txt", b"", "it has 0 merges, CLIP has 48,894"),
        ("merges.txt", b"#version: 0.2\ni n\nt h\n", "it has 2 merges"),
        ("merges.txt", b"#version: 0.2\ni n\nth e</w>\n", "merge 2 .*'th e</w>'"),
        ("merges.txt", b"\xff\xfe", "utf-8"),
        ("bpe_simple_vocab_16e6.txt.gz", b"version https://git-lfs", "gzip"),
        ("bpe_simple_vocab_16e6.txt.gz", gzip.compress(b"header\ni n\n" * 50)[:-12], "ended before"),
        ("bpe_simple_vocab_16e6.txt.gz", gzip.compress(b"header\ni n\nt h\n"), "it has 2 merges"),
        ("tokenizer.json", b"{", "Expecting"),
        ("tokenizer.json", b"[" * 100_000, "recursion"),
        ("tokenizer.json", b"[]", "no list of strings or pairs at model.merges"),
        ("tokenizer.json", b'{"model": {"vocab": {}}}', "no list of strings or pairs at model.merges"),
        ("tokenizer.json", b'{"model": {"merges": null}}', "no list of strings or pairs at model.merges"),
        ("tokenizer.json", b'{"model": {"merges": [["i", 1]]}}', "no list of strings or pairs at model.merges"),
        ("tokenizer.json", b'{"model": {"merges": [["i", "n", "g"]]}}', "merge 1 .*'i n g'"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=said) as caught:
        ClipTokenizer.from_folder(tmp_path)
    assert str(tmp_path / name) in str(caught.value)


def test_a_file_cut_short_is_refused(hugging_face, package, tmp_path):
    merges = (hugging_face / "merges.txt").read_bytes()
    for length in (len(merges) // 2, len(merges) - 20):
        (hugging_face / "merges.txt").write_bytes(merges[:length])
        with pytest.raises(ValueError, match="merge"):
            ClipTokenizer.from_folder(hugging_face)
    (tmp_path / "cut").mkdir()
    target = tmp_path / "cut" / FILES[1]
    shutil.copyfile(package / FILES[1], target)
    target.write_bytes(target.read_bytes()[:200_000])
    with pytest.raises(ValueError, match="fetch it again"):
        ClipTokenizer.from_folder(target.parent)


@pytest.mark.parametrize("change", ["swapped", "extra", "missing", "list", "torn"])
def test_a_vocabulary_that_does_not_agree_is_refused(hugging_face, openai, change):
    vocabulary = dict(openai.encoder)
    if change == "swapped":
        vocabulary["the</w>"], vocabulary["of</w>"] = vocabulary["of</w>"], vocabulary["the</w>"]
    elif change == "extra":
        vocabulary["<mask>"] = 49408
    elif change == "missing":
        del vocabulary["<|endoftext|>"]
    written = json.dumps(list(vocabulary) if change == "list" else vocabulary)
    (hugging_face / "vocab.json").write_text(written[:-9] if change == "torn" else written, encoding="utf-8")
    said = {"swapped": "'(the|of)</w>'", "extra": "<mask>", "missing": "endoftext", "list": "not one JSON object", "torn": "Unterminated"}
    with pytest.raises(ValueError, match=said[change]) as caught:
        ClipTokenizer.from_folder(hugging_face)
    assert str(hugging_face / "vocab.json") in str(caught.value)


@pytest.mark.parametrize("merges", [["a"], ["a b c"], ["a  b"], [""], ["ab c"], ["a b", "a b"], ["\u4e00 a"]])
def test_merges_that_do_not_follow_are_refused(merges):
    with pytest.raises(ValueError, match=f"merge {len(merges)} of the CLIP vocabulary"):
        ClipTokenizer(merges)


def test_wrong_arguments_are_named():
    tokenizer = ClipTokenizer([])
    with pytest.raises(ValueError, match="texts is the string 'fire'; wanted a list"):
        tokenizer("fire")
    with pytest.raises(ValueError, match="text is 3; wanted a string"):
        tokenizer([3])
    with pytest.raises(ValueError, match="context is 1; wanted at least 2"):
        tokenizer(["fire"], context=1)
