"""Bytes of tensors that a piece of work holds, counted by watching every storage it makes; no byte of them need exist.

On meta tensors a model of any size is counted in seconds. What a kernel takes for itself and gives back before it returns is
not seen, nor what an allocator keeps.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Meter(TorchDispatchMode):
    """Within it, `live` is how many bytes are held of storages that were made since it was entered, and `peak` the most so far.

    Forward and backward, recomputation under checkpointing included. What was there before (weights, inputs) and views of it
    count nothing; a storage counts from the operator that makes it until the last tensor on it is gone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: dict[int, Any] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        for tensor in _tensors((args, kwargs)):
            self._know(tensor, 0)
        made = func(*args, **(kwargs or {}))
        for tensor in _tensors(made):
            self._know(tensor, tensor.untyped_storage().nbytes())
        self.peak = max(self.peak, self.live)
        return made

    def _know(self, tensor: Tensor, size: int) -> None:
        storage = tensor.untyped_storage()
        # by the storage's own address, and its data has none on meta; forgotten with it, for addresses are used again
        if storage._cdata not in self._known:
            self._known[storage._cdata] = weakref.finalize(storage, self._forget, storage._cdata, size)
            self.live += size

    def _forget(self, address: int, size: int) -> None:
        del self._known[address]
        self.live -= size


@contextmanager
def fused_attention() -> Iterator[None]:
    """Within it, attention on meta tensors is counted as the fused kernels have it, which never hold a matrix of scores.

    Without it, and under a mask, PyTorch gives meta tensors the written-out form: what Apple's GPUs compute where there is a
    gradient.
    """
    written_out = F.scaled_dot_product_attention

    def attention(query: Tensor, key: Tensor, value: Tensor, **how) -> Tensor:
        if how.get("attn_mask") is not None or how.get("enable_gqa") or not query.is_meta:
            return written_out(query, key, value, **how)
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value, is_causal=how.get("is_causal", False), scale=how.get("scale"))[0]

    # in the place of the function, for a torch function mode does not reach what a backward pass recomputes
    F.scaled_dot_product_attention = attention
    try:
        yield
    finally:
        F.scaled_dot_product_attention = written_out


def resident(modules: Iterable[nn.Module]) -> int:
    """Bytes of the modules' parameters and buffers; what they share counts once."""
    held = {id(x): x for module in modules for x in (*module.parameters(), *module.buffers())}
    return sum(x.numel() * x.element_size() for x in held.values())


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
