"""Words that are the same but for their endings, and whether a phrase only says again what it was composed for."""

from __future__ import annotations

import re

from ..parser import parse
from ..syntax import Feature, Phrase, leaves

FUNCTION_WORDS = frozenset("a an and at by for from in into of off on or over the to under up with without".split())
"""What two phrases may share without one of them repeating the other."""
COMPOUND = 4
"""Letters from which a word counts as a part of a longer one: fire of campfire, but not cat of catalogue."""


def stems(text: str) -> frozenset[str]:
    """The words of three letters and more in a text, in lower case, without the s or es of a plural."""
    return frozenset(_stem(word) for word in re.findall(r"[^\W\d_]{3,}", text))


def repeated(phrase: str, expression: str) -> tuple[list[str], str]:
    """(the words of a phrase that are words of an expression too, in the order said; what else the phrase says, "" for nothing).

    In singular or plural, and a word of `COMPOUND` letters or more that another begins or ends with; neither function words nor file
    names count. The rest is the phrase itself where nothing is repeated. ExpressionError for a mistake in the expression.
    """
    texts = [leaf.text if isinstance(leaf, Phrase) else leaf.name for leaf in leaves(parse(expression)) if isinstance(leaf, (Phrase, Feature))]
    own = [word for text in texts for word in _words(text)]
    said = [word for word in dict.fromkeys(_words(phrase)) if any(_same(word, other) for other in own)]
    return said, " ".join(word for word in _words(phrase) if word not in said) if said else phrase


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"[^\W_]+", text.lower()) if word not in FUNCTION_WORDS]


def _stem(word: str) -> str:
    return re.sub(r"(?<=[^s]{2})s$|(?<=[sxzh])es$", "", word.lower())


def _singulars(word: str) -> set[str]:
    """What a word may be the plural of, and itself: of roses both ros and rose, for of boxes it is box."""
    return {word, re.sub(r"(?<=[^s]{2})s$", "", word), re.sub(r"(?<=[sxzh]e)s$", "", word), re.sub(r"(?<=[sxzh])es$", "", word)}


def _same(a: str, b: str) -> bool:
    short, long = sorted((_stem(a), _stem(b)), key=len)
    return bool(_singulars(a) & _singulars(b)) or (len(short) >= COMPOUND and (long.startswith(short) or long.endswith(short)))
