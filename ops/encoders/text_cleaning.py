"""Text as CLIP's training saw it: repaired, unescaped, lower case, on one line, and cut into words.

Follows OpenAI's simple_tokenizer.py (Radford et al. 2021, arXiv 2103.00020). Its first step is ftfy's fix_text, which is
used where ftfy is installed. Without it `repair` does the same, except that it does not look for text decoded in the
wrong encoding (a right quote that reads as three accented letters, say): only such text then gives other words.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from html.entities import html5
from unicodedata import category, normalize

_ENTITY = re.compile("&#?[0-9A-Za-z]{1,24};")
_TERMINAL = re.compile(r"\x1b\[[\d;]*[A-Za-z]")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]")
_PAIRS = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_FIXED = re.compile(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d", re.IGNORECASE)
_RUN = re.compile("L+|N|O+|S+")
_IOTA_BELOW = "\u0345"


@lru_cache(maxsize=1)
def _plain() -> dict[int, str]:
    """Code point to the plain spelling that ftfy 6 gives it (its tables, rebuilt from Unicode's compatibility forms)."""
    digraphs = [*range(0x132, 0x134), 0x149, *range(0x1C4, 0x1CD), *range(0x1F1, 0x1F4), *range(0xFB00, 0xFB07)]
    table = {code: normalize("NFKC", chr(code)) for code in [*digraphs, 0x3000, *range(0xFF01, 0xFFF0)]}
    table[0xFB05] = "\u017ft"  # keeps its long s
    table |= {byte: bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in range(0x80, 0xA0)}
    table |= dict.fromkeys([0x2BC, *range(0x2018, 0x201C)], "'") | dict.fromkeys(range(0x201C, 0x2020), '"')
    return table | dict.fromkeys([0x0D, 0x2028, 0x2029], "\n")


def _unescape(entity: re.Match[str]) -> str:
    """One entity with its semicolon; a name in capitals means a capital where HTML has no such name of its own."""
    whole, name = entity.group(), entity.group()[1:]
    if name in html5:
        return html5[name]
    plain = html.unescape(whole)
    if name.isupper() and name.lower() in html5 and plain == whole:
        return html5[name.lower()].upper()
    return plain if name[0] == "#" and ";" not in plain else whole


def repair(text: str) -> str:
    """What ftfy.fix_text(text, fix_encoding=False) gives (ftfy 6), up to the kind and number of line breaks.

    Entities are read until the first line that has a `<`; ligatures of Latin letters, full-width and half-width forms,
    curly quotes and C1 controls become plain, stray surrogates U+FFFD; terminal escapes and controls go; the result is NFC.
    """
    lines, escaped = [], True
    for line in text.split("\n"):
        escaped = escaped and "<" not in line
        before = None
        while line != before:
            before = line
            line = (_ENTITY.sub(_unescape, line) if escaped else line).translate(_plain())
            line = _PAIRS.sub(lambda pair: pair.group().encode("utf-16", "surrogatepass").decode("utf-16"), line)
            line = _CONTROLS.sub("", _TERMINAL.sub("", _SURROGATES.sub("\ufffd", line)))
            line = normalize("NFC", line)
        lines.append(line)
    return "\n".join(lines)


@lru_cache(maxsize=1)
def _repairer() -> Callable[[str], str]:
    # kept, because Python searches its whole path again for a package that is not there
    try:
        from ftfy import fix_text
    except ImportError:
        return repair
    return fix_text


def clean(text: str) -> str:
    """The text as `words` wants it: repaired, HTML entities read (twice, as OpenAI does), white space single, lower case."""
    return " ".join(html.unescape(html.unescape(_repairer()(text))).split()).lower()


def _kind(mark: str) -> str:
    # OpenAI's pattern ignores case, and so loses the one mark that is no letter but whose capital is
    if mark.isspace() or mark == _IOTA_BELOW:
        return "S"
    first = category(mark)[0]
    return first if first in "LN" else "O"


def words(text: str) -> Iterator[str]:
    """The pieces of cleaned text that byte pairs are merged within: runs of letters, single number characters, runs of
    other marks, English contractions (`'s`) and CLIP's two special tokens; white space separates.

    Letters and numbers are those of Python's own Unicode tables: a letter newer than they are counts as a mark.
    """
    kinds = "".join(map(_kind, text))
    position = 0
    while position < len(text):
        found = _FIXED.match(text, position) or _RUN.match(kinds, position)
        if kinds[position] != "S":
            yield text[position : found.end()]
        position = found.end()
