"""CLIP's causal text transformer (Radford et al. 2021, arXiv 2103.00020), pooled at the end token."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .protocol import Embedding
from .tower import Activation, Encoder


class UnreadableText(ValueError):
    """A text with nothing in it that the tokenizer can read."""


class TextEmbeddings(nn.Module):
    def __init__(self, tokens: int, context: int, width: int):
        super().__init__()
        self.token_embedding = nn.Embedding(tokens, width)
        self.position_embedding = nn.Embedding(context, width)

    def forward(self, ids: Tensor) -> Tensor:
        return self.token_embedding(ids) + self.position_embedding.weight[: ids.shape[1]]


class TextModel(nn.Module):
    def __init__(self, embeddings: TextEmbeddings, encoder: Encoder, width: int):
        super().__init__()
        self.embeddings = embeddings
        self.encoder = encoder
        self.final_layer_norm = nn.LayerNorm(width)


class TextTower(nn.Module):
    """Token ids to `Embedding`; parameter names are those of CLIP's text tower."""

    def __init__(
        self, tokens: int, context: int, width: int, layers: int, heads: int, hidden: int, projection: int = 768, activation: Activation = F.gelu
    ):
        super().__init__()
        self.middle = (layers + 1) // 2
        encoder = Encoder(layers, width, heads, hidden, activation=activation)
        self.text_model = TextModel(TextEmbeddings(tokens, context, width), encoder, width)
        self.text_projection = nn.Linear(width, projection, bias=False)

    def encode(self, ids: Tensor, ends: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Ids [B, L] padded after the end token, and where each end token lies [B].

        Returns (pooled [B, D], middle states [B, L, W], projected states [B, L, D]), first and last L2-normalised float32.
        Attention is causal, so that what stands after the end token cannot be seen from it.
        """
        model = self.text_model
        states = model.encoder(model.embeddings(ids), causal=True)
        projected = F.normalize(self.text_projection(model.final_layer_norm(states[-1])).float(), dim=-1)
        return projected[torch.arange(len(ids), device=ids.device), ends], states[self.middle], projected

    def embed(self, rows: Sequence[Sequence[int]]) -> Embedding:
        """Embed B rows of ids, each from its start token to its end token with one word token or more between.

        `tokens` and `dense` hold the word tokens, without start and end. N is the longest row's: shorter ones go round
        their own tokens again, so that no row needs a mask.
        """
        device = self.text_projection.weight.device
        ids = nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=1).to(device)
        ends = torch.tensor([len(row) - 1 for row in rows], device=device)
        pooled, middle, projected = self.encode(ids, ends)
        count = ids.shape[1] - 2
        turn = 1 + torch.arange(count, device=device) % (ends - 1)[:, None]
        row = torch.arange(len(rows), device=device)[:, None]
        return Embedding(pooled, middle[row, turn], projected[row, turn], (count,), "text")


def checked(texts: list[str]) -> list[str]:
    """The texts. Raises ValueError for a bare string or no text at all."""
    if isinstance(texts, str) or not texts:
        raise ValueError(f"texts is {texts!r}: give a list with at least one phrase")
    return texts
