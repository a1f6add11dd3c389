"""Looking inside an encoder while it embeds: hidden states of chosen layers and attention probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor, nn

from .protocol import Embedding
from .tower import Encoder


@dataclass
class Record:
    """What one pass through one tower left, gradients included.

    states: by layer number, [B, N + 1, W]; 0 is what enters the first layer, n what the n-th gives. Clips: [B * T, ...].
    attention: by layer from the first, probabilities [B, heads, N + 1, N + 1] (clips [B * T, ...]), rows summing to 1;
    empty unless asked for.
    """

    states: dict[int, Tensor] = field(default_factory=dict)
    attention: list[Tensor] = field(default_factory=list)

    def tokens(self, layer: int, embedding: Embedding) -> Tensor:
        """A layer's patch tokens [B, N, W], lying as `embedding.grid` says, without the class token. For media only."""
        state = self.states[layer][:, 1:]
        return state.reshape(len(embedding.pooled), -1, state.shape[-1])


@contextmanager
def recorded(encoder: nn.Module, layers: Sequence[int] = (), attention: bool = False) -> Iterator[Record]:
    """Keep what passes through an encoder's tower: the states of `layers`, and with `attention` its probabilities.

    With `attention` the self-attention is written out in place of the fused kernel: the same numbers to rounding, and
    memory for every probability. Embed one batch of one modality within. Attention over time is not kept.
    Raises ValueError for a layer that no tower has.
    """
    towers = [part for part in encoder.modules() if isinstance(part, Encoder)]
    deepest = max((len(part.layers) for part in towers), default=0)
    if outside := [layer for layer in layers if not 0 <= layer <= deepest]:
        raise ValueError(f"layer {outside[0]} was asked for, the towers have layers 0 to {deepest}")
    record = Record()

    passes = 0

    def keep(module: Encoder, inputs: tuple, states: list[Tensor]) -> None:
        nonlocal passes
        passes += 1
        if passes > 1:
            raise RuntimeError("a record holds one pass: embed one batch of one modality within it")
        if lacking := [layer for layer in layers if layer >= len(states)]:
            raise ValueError(f"layer {lacking[0]} was asked for, this tower has layers 0 to {len(states) - 1}")
        record.states.update((layer, states[layer]) for layer in layers)

    hooks = [part.register_forward_hook(keep) for part in towers]
    attentions = [layer.self_attn for part in towers for layer in part.layers] if attention else []
    for part in attentions:
        part.kept = record.attention
    try:
        yield record
    finally:
        for hook in hooks:
            hook.remove()
        for part in attentions:
            part.kept = None
