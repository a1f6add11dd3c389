"""Cleaning against ftfy, cutting against the pattern that OpenAI published, run by the regex module."""

from __future__ import annotations

import sys
from unicodedata import category

import pytest
from hypothesis import example, given, strategies as st

from concept_algebra.ops.encoders import text_cleaning
from concept_algebra.ops.encoders.text_cleaning import clean, repair, words

PATTERN = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
ODD = [
    "\n", "\r\n", "\r", "\t", "\x85", "\u2028", "<", "&", ";", "&amp;", "&lt;", "&ldquo;", "&EACUTE;", "&SZLIG;", "&nTILDE;", "&AMP;",
    "&#59;", "&#x93;", "&#xd800;", "&#0;", "&copyfoo;", "&nosuch;", "&#12x;", "\ud83d", "\ude00", "\x1b[31;1m", "\x1b", "[", "m", "\x00",
    "\ufeff", "\u2018", "\u201d", "\u02bc", "\u0149", "\ufb05", "\ufb03", "\u01c5", "\uff21", "\uff76\uff9e", "\u3000", "e\u0301", "\x93",
]  # fmt: skip
ODD_TEXTS = st.lists(st.sampled_from(ODD) | st.text(max_size=4), max_size=12).map("".join)
# the regex module may know a later Unicode than this Python, which has no category for what came with it
KNOWN = st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=6)
MARKED = st.lists(st.sampled_from(["'s", "'S", "'\u017f", "'", "'re", "'LL", "<|endoftext|>", "<|STARTOFTEXT|>", "<|", "1", "\xbd", " "]) | KNOWN)


@pytest.fixture(scope="module")
def ftfy():
    return pytest.importorskip("ftfy", reason="pip install openai-clip")


@pytest.fixture(scope="module")
def pattern():
    regex = pytest.importorskip("regex", reason="pip install openai-clip")
    return regex.compile(PATTERN, regex.IGNORECASE)


@pytest.fixture
def no_ftfy(monkeypatch):
    monkeypatch.setitem(sys.modules, "ftfy", None)
    text_cleaning._repairer.cache_clear()
    yield
    text_cleaning._repairer.cache_clear()


def one_line(text):
    return " ".join(text.split())


def test_every_character_is_repaired_as_ftfy_does(ftfy):
    text = "|".join(map(chr, range(0x110000)))
    assert one_line(repair(text)) == one_line(ftfy.fix_text(text, fix_encoding=False))


@given(ODD_TEXTS)
@example("&ldquo;a&rdquo; &amp;hellip;\n<b> &lt;\nc &lt;")
@example("&amp;amp;amp;ldquo;")
@example("&GTDOT; &COPYSR; &GTdot;")
@example("\x1b\uff3b31m")
def test_repair_is_ftfys_without_its_guess_at_encodings(ftfy, text):
    assert one_line(repair(text)) == one_line(ftfy.fix_text(text, fix_encoding=False))


@given(ODD_TEXTS)
def test_clean_text_can_be_encoded_and_is_one_lower_case_line(text):
    cleaned = clean(text)
    assert cleaned.encode().decode() == cleaned == one_line(cleaned)
    assert cleaned == cleaned.lower() and "\x00" not in cleaned


def test_wrongly_decoded_text_is_what_needs_ftfy(ftfy, no_ftfy):
    assert clean("sch\xc3\xb6n") == "sch\xe3\xb6n"
    text_cleaning._repairer.cache_clear()
    sys.modules["ftfy"] = ftfy
    assert clean("sch\xc3\xb6n") == "sch\xf6n"


def test_a_surrogate_and_a_nul_do_no_harm(no_ftfy):
    assert clean("a\ud800b\x00c \ud83d\ude00") == "a\ufffdbc \U0001f600"


def test_every_character_has_the_patterns_class(pattern):
    known = [c for c in map(chr, range(0x110000)) if category(c) != "Cn" and c not in "\x1c\x1d\x1e\x1f"]
    text = "".join(f"a{c}1{c}" for c in known)
    assert list(words(text)) == pattern.findall(text)


@given(MARKED.map("".join))
def test_words_are_those_of_the_pattern(pattern, text):
    # the regex module does not count four separators as white space, which repair has taken out long before
    text = text.translate(dict.fromkeys(range(0x1C, 0x20)))
    assert list(words(text)) == pattern.findall(text)
