"""CLIP's transformer, with LanguageBind's layer names and its temporal attention.

Module names follow the published checkpoints (openai/CLIP by way of transformers, PKU-YuanGroup/LanguageBind),
`pre_layrnorm` included, so that a state dict, a patch token and an attention map mean the same in every tower.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = Callable[[Tensor], Tensor]


def quick_gelu(x: Tensor) -> Tensor:
    """x * sigmoid(1.702 x): the approximation OpenAI's own CLIP was trained with (Hendrycks & Gimpel 2016, arXiv 1606.08415)."""
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Activation] = {"gelu": F.gelu, "quick_gelu": quick_gelu}
"""By the name that a published configuration gives them."""
SAVED, SAVED_OVER_TIME = 12, 17
"""States of a layer's width that autograd keeps per token and frozen layer, without and with attention over time: counted
at ViT-L/14's sizes by benchmarks/languagebind.py."""


def beside(tower: nn.Module, media: Tensor) -> Tensor:
    """Media on the device where a tower is."""
    return media.to(next(tower.parameters()).device)


class Attention(nn.Module):
    """Multi-head self-attention over [B, N, W] by `scaled_dot_product_attention`."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of heads {heads}")
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

        self.kept: list[Tensor] | None = None  # see record.py

    def forward(self, x: Tensor, causal: bool = False) -> Tensor:
        q, k, v = self._heads(x)
        if self.kept is None:
            return self._joined(F.scaled_dot_product_attention(q, k, v, is_causal=causal))
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        if causal:
            scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device).triu(1), -torch.inf)
        probabilities = scores.softmax(-1)
        self.kept.append(probabilities)
        return self._joined(probabilities @ v)

    def correlative(self, x: Tensor) -> Tensor:
        """The same weights with softmax(q q^T) + softmax(k k^T) in the place of softmax(q k^T).

        A token then gathers from those like itself, wherever they lie, and keeps its place in the picture (SCLIP: Wang et
        al. 2023, arXiv 2312.01597).
        """
        q, k, v = self._heads(x)
        return self._joined(F.scaled_dot_product_attention(q, q, v) + F.scaled_dot_product_attention(k, k, v))

    def _heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return tuple(p(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj))

    def _joined(self, y: Tensor) -> Tensor:
        return self.out_proj(y.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    def __init__(self, width: int, hidden: int, activation: Activation = F.gelu):
        super().__init__()
        self.activation = activation
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.activation(self.fc1(x)))


class Layer(nn.Module):
    """A pre-norm transformer layer; with `frames` it first attends over time, as LanguageBind's video tower does.

    Input [B, N, W]; a video layer takes [B * T, N, W], sample-major, and adds its temporal embedding before
    attending over the T states of every token position.
    """

    def __init__(self, width: int, heads: int, hidden: int, frames: int = 0, activation: Activation = F.gelu):
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(width)
        self.self_attn = Attention(width, heads)
        self.layer_norm2 = nn.LayerNorm(width)
        self.mlp = MLP(width, hidden, activation)
        self.frames = frames
        if frames:
            self.temporal_embedding = nn.Parameter(torch.zeros(1, frames, width))
            self.temporal_layer_norm1 = nn.LayerNorm(width)
            self.temporal_attn = Attention(width, heads)

    def forward(self, x: Tensor, causal: bool = False) -> Tensor:
        return self._rest(x, partial(self.self_attn, causal=causal))

    def correlative(self, x: Tensor) -> Tensor:
        """The layer with correlative self-attention (see `Attention.correlative`), for tokens that keep their place."""
        return self._rest(x, self.self_attn.correlative)

    def _rest(self, x: Tensor, attention: Callable[[Tensor], Tensor]) -> Tensor:
        if self.frames:
            bt, n, w = x.shape
            y = x.view(-1, self.frames, n, w).transpose(1, 2).reshape(-1, self.frames, w)
            y = y + self.temporal_embedding
            y = y + self.temporal_attn(self.temporal_layer_norm1(y))
            x = y.view(-1, n, self.frames, w).transpose(1, 2).reshape(bt, n, w)
        x = x + attention(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class Encoder(nn.Module):
    def __init__(self, layers: int, width: int, heads: int, hidden: int, frames: int = 0, activation: Activation = F.gelu):
        super().__init__()
        self.layers = nn.ModuleList(Layer(width, heads, hidden, frames, activation) for _ in range(layers))

    def forward(self, x: Tensor, causal: bool = False) -> list[Tensor]:
        """Hidden states [B, N, W]: the input first, then one after every layer."""
        states = [x]
        for layer in self.layers:
            states.append(layer(states[-1], causal))
        return states


class VisionEmbeddings(nn.Module):
    """Patches of [B, C, H, W] by `patch_embedding`, a class token in front, learned positions.

    With `frames`, pictures are frames of clips, sample-major, and each has a class token of its own
    (LanguageBind's "vl_new").
    """

    def __init__(self, patch_embedding: nn.Module, grid: tuple[int, int], width: int, frames: int = 0):
        super().__init__()
        self.grid = grid
        self.patch_embedding = patch_embedding
        self.class_embedding = nn.Parameter(torch.randn((frames, width) if frames else width) * width**-0.5)
        self.position_embedding = nn.Embedding(grid[0] * grid[1] + 1, width)
        nn.init.normal_(self.position_embedding.weight, std=0.02)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        patches = self.patch_embedding(x)
        grid = tuple(patches.shape[-2:])
        patches = patches.flatten(2).transpose(1, 2)
        position = self.position_embedding.weight
        if grid != self.grid:
            # a smaller or larger picture: the learned positions are interpolated, the class position kept
            table = position[1:].T.reshape(1, -1, *self.grid)
            table = F.interpolate(table, size=grid, mode="bilinear", align_corners=False)
            position = torch.cat([position[:1], table.flatten(2)[0].T])
        first = self.class_embedding
        first = first.repeat(len(patches) // len(first), 1)[:, None] if first.dim() > 1 else first.expand(len(patches), 1, -1)
        return torch.cat([first, patches], 1) + position, grid


class VisionModel(nn.Module):
    def __init__(self, embeddings: VisionEmbeddings, encoder: Encoder, width: int):
        super().__init__()
        self.embeddings = embeddings
        self.pre_layrnorm = nn.LayerNorm(width)
        self.encoder = encoder
        self.post_layernorm = nn.LayerNorm(width)


class VisionTower(nn.Module):
    """A CLIP vision tower on [B, C, H, W] (pictures or log-mels), or with `frames` on [B * T, C, H, W] clips.

    `forward` returns (pooled [B, D], tokens [B, N, W] after the middle layer, dense [B, N, D], grid), pooled and
    dense L2-normalised float32; with frames the pooled class tokens are averaged over T and N = T * h * w.

    placed: dense tokens come from the last layer with correlative attention, for towers of which only the class token
    was trained to lie in the joint space: their other last-layer tokens say little about what is where they stand.
    framed: each frame has a class token of its own.
    """

    def __init__(
        self,
        patch_embedding: nn.Module,
        grid: tuple[int, int],
        width: int,
        layers: int,
        heads: int,
        projection: int = 768,
        frames: int = 0,
        hidden: int | None = None,
        activation: Activation = F.gelu,
        placed: bool = False,
        framed: bool = False,
    ):
        super().__init__()
        self.frames, self.placed = frames, placed
        self.middle = (layers + 1) // 2
        embeddings = VisionEmbeddings(patch_embedding, grid, width, frames if framed else 0)
        self.vision_model = VisionModel(embeddings, Encoder(layers, width, heads, hidden or 4 * width, frames, activation), width)
        self.visual_projection = nn.Linear(width, projection, bias=False)

    def saved_bytes(self) -> int:
        """About what autograd keeps of one medium between forward and backward, the patch embedding apart."""
        embeddings, encoder = self.vision_model.embeddings, self.vision_model.encoder
        tokens = embeddings.position_embedding.num_embeddings * (self.frames or 1)
        weight = self.visual_projection.weight
        layers = len(encoder.layers) + (1 if self.placed else 0)
        return tokens * weight.shape[1] * weight.element_size() * layers * (SAVED_OVER_TIME if self.frames else SAVED)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, tuple[int, ...]]:
        model = self.vision_model
        x, grid = model.embeddings(x)
        states = model.encoder(model.pre_layrnorm(x))
        final = model.post_layernorm(states[-1])
        pooled, dense, tokens = final[:, 0], final[:, 1:], states[self.middle][:, 1:]
        if self.placed:
            dense = model.post_layernorm(model.encoder.layers[-1].correlative(states[-2]))[:, 1:]
        if self.frames:
            pooled = pooled.view(-1, self.frames, pooled.shape[-1]).mean(1)
            dense, tokens = (y.reshape(len(pooled), -1, y.shape[-1]) for y in (dense, tokens))
            grid = (self.frames, *grid)
        pooled, dense = (F.normalize(self.visual_projection(y).float(), dim=-1) for y in (pooled, dense))
        return pooled, tokens, dense, grid


def convolutional_stem(channels: list[int], width: int) -> nn.Sequential:
    """A patch embedding made of stride-2 3x3 convolutions: `channels` [in, c1, c2, ...], then 1x1 to `width`.

    Early convolutions train small vision transformers faster and more stably (Xiao et al. 2021, arXiv 2106.14881).
    Total stride is 2 ** (len(channels) - 1).
    """
    blocks: list[nn.Module] = []
    for a, b in zip(channels, channels[1:]):
        blocks += [nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(b), nn.GELU()]
    return nn.Sequential(*blocks, nn.Conv2d(channels[-1], width, 1))
