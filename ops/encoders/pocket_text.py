"""The pocket text tower: any English phrase to the 768-d joint space, with a tokenizer of its own.

Tokens are whole words and `##` continuation pieces, longest first (the greedy matching of WordPiece: Wu et al. 2016,
arXiv 1609.08144), over CLIP's causal text transformer (Radford et al. 2021, arXiv 2103.00020) pooled at the end token.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

from torch import Tensor

from ..weights import WeightsError, fill
from .protocol import Embedding
from .text_tower import TextTower, UnreadableText, checked

CONTEXT = 24  # positions, the start and the end token among them
CONTINUED = "##"
SPECIAL = ("<start>", "<end>")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def words_of(text: str) -> list[str]:
    """Lower-case words of a-z and 0-9. Accents go, a symbol or emoji becomes its Unicode name, all else separates.

    >>> words_of("Café-crème 🔥")
    ['cafe', 'creme', 'fire']
    """
    spelled = []
    for mark in unicodedata.normalize("NFKD", text).casefold():
        if mark in LETTERS:
            spelled.append(mark)
        elif unicodedata.category(mark) == "So":
            spelled.append(f" {unicodedata.name(mark, '').casefold().replace('-', ' ')} ")
        elif not unicodedata.combining(mark) and mark not in "'’":
            name = unicodedata.name(mark, "").split()
            # Letters such as o with stroke do not decompose, but are named after the plain letter.
            spelled.append(name[3].lower() if name[:3] == ["LATIN", "SMALL", "LETTER"] and len(name[3:4] and name[3]) == 1 else " ")
    return "".join(spelled).split()


class Tokenizer:
    """Greedy longest-match tokens. `tokens` lists the vocabulary: SPECIAL first, and every letter and digit in both forms."""

    def __init__(self, tokens: Sequence[str]):
        self.tokens = tuple(tokens)
        self.ids = {token: index for index, token in enumerate(self.tokens)}
        if self.tokens[:2] != SPECIAL or len(self.ids) != len(self.tokens):
            raise ValueError(f"the token list has to start with {SPECIAL} and to name each token once")
        lacking = [form for letter in LETTERS for form in (letter, CONTINUED + letter) if form not in self.ids]
        if lacking:
            raise ValueError(f"the token list lacks {lacking}: every letter and digit is needed, so that any word can be spelled")
        self.longest = max(map(len, self.tokens))

    def pieces(self, word: str, limit: int = CONTEXT - 2, start: str = "") -> list[int]:
        """Ids of one word from `words_of`, at most `limit` of them; `start` = CONTINUED for the rest of a word."""
        ids: list[int] = []
        position = 0
        while position < len(word) and len(ids) < limit:
            prefix = CONTINUED if position else start
            for end in range(min(len(word), position + self.longest), position, -1):
                found = self.ids.get(prefix + word[position:end])
                if found is not None:
                    ids.append(found)
                    position = end
                    break
        return ids

    def __call__(self, text: str) -> list[int]:
        """Start, pieces, end: at most CONTEXT ids. A longer text ends with the last word that fits whole.

        Raises UnreadableText when the text has no letter (Latin alphabet), digit or named symbol.
        """
        words = words_of(text)
        if not words:
            raise UnreadableText(f"text {text[:60]!r} has no word: write at least one letter (Latin alphabet), digit or emoji")
        ids = self.pieces(words[0])
        for word in words[1:]:
            more = self.pieces(word, CONTEXT)
            if len(ids) + len(more) > CONTEXT - 2:
                break
            ids += more
        return [0, *ids, 1]


class PocketText(TextTower):
    """Text to `Embedding`: `TextTower` with a tokenizer of its own."""

    def __init__(self, tokens: Sequence[str], width: int = 256, layers: int = 3, heads: int = 4, hidden: int = 512, projection: int = 768):
        super().__init__(len(tokens), CONTEXT, width, layers, heads, hidden, projection)
        self.tokenizer = Tokenizer(tokens)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> PocketText:
        """The tower of a weights file, in float32. `metadata`: "tokens" (one a line) and "heads".

        Raises WeightsError when one of them or a tensor is missing or does not fit.
        """
        if lacking := {"tokens", "heads"} - set(metadata):
            raise WeightsError(f"weights 'text' do not fit: no {sorted(lacking)} in the metadata; take a file that recipe/train_text.py wrote")
        try:
            layers = sum(name.endswith("mlp.fc1.bias") for name in tensors)
            projection, width = tensors["text_projection.weight"].shape
            hidden = len(tensors["text_model.encoder.layers.0.mlp.fc1.bias"])
            tower = cls(metadata["tokens"].split("\n"), width, layers, int(metadata["heads"]), hidden, projection)
        except (KeyError, ValueError) as error:
            raise WeightsError(f"weights 'text' do not fit: {error}") from None
        return fill(tower, tensors, "text")

    def forward(self, texts: Sequence[str]) -> Embedding:
        """Embed B phrases (see `TextTower.embed`); at most 22 tokens of each are read (longer text is cut after a whole word).

        Raises UnreadableText, naming the text, and ValueError for a bare string or no text at all.
        """
        return self.embed([self.tokenizer(text) for text in checked(texts)])
