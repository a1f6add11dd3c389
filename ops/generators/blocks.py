"""Blocks of a network that compute in another way for a while: with less memory, or so that gradients pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint


@contextmanager
def replaced(blocks: Iterable[nn.Module], forward: Callable[[nn.Module], Callable]) -> Iterator[None]:
    """Within it each block's forward is what `forward` gives for it, whoever calls the block."""
    own = [(block, block.__dict__.get("forward")) for block in blocks]
    try:
        for block, _ in own:
            block.forward = forward(block)
        yield
    finally:
        for block, before in own:
            if before is not None:
                block.forward = before
            elif "forward" in block.__dict__:
                del block.forward


def checkpointed(blocks: Iterable[nn.Module], again: Callable[[], AbstractContextManager] = nullcontext) -> AbstractContextManager[None]:
    """Within it, blocks called with gradients keep their inputs alone, and a backward pass, within it or after, computes the
    rest again (Chen et al. 2016, arXiv 1604.06174). Values and gradients are those without it.

    again: gives what has to be around a block when it is computed again, where it is around it now and will be gone by then, as
    the hooks of a LoRA are. Not for blocks that draw random numbers.
    """
    return replaced(blocks, lambda block: partial(_recomputed, block.forward, again))


def _recomputed(forward: Callable, again: Callable[[], AbstractContextManager], *args: Any, **kwargs: Any) -> Any:
    # dictionaries as they are now: some networks write into the options that they hand from block to block
    args = [dict(arg) if isinstance(arg, dict) else arg for arg in args]
    kwargs = {name: dict(arg) if isinstance(arg, dict) else arg for name, arg in kwargs.items()}
    contexts = lambda: (nullcontext(), again())  # noqa: E731
    return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, context_fn=contexts, **kwargs)
