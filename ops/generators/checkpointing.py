"""Recomputing the blocks of large networks and decoders on the way back, for gradients that would not fit in memory otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..priors.lora import LoRA
from .latent_diffusion import LatentDiffusion


class Checkpointed(LatentDiffusion):
    """A `LatentDiffusion` that keeps only what lies between the blocks of its network when gradients are asked for: in a LoRA,
    or in the latent, which comes back through the network where a prior sweeps (see priors/flair.py).

    A member adds `blocks`. Without gradients its network runs as it is.
    """

    def blocks(self) -> Iterable[nn.Module]:
        """Modules of the network, none within another, that are computed again each by itself."""
        raise NotImplementedError

    def predict_x0(self, x_t: Tensor, t: Tensor, cond: Any, lora: LoRA | None = None) -> Tensor:
        """As `LatentDiffusion.predict_x0`; the gradient is that without recomputation."""
        wanted = torch.is_grad_enabled() and (lora is not None or x_t.requires_grad)
        with checkpointed(self.blocks(), lora) if wanted else nullcontext():
            return super().predict_x0(x_t, t, cond, lora)


@contextmanager
def checkpointed(blocks: Iterable[nn.Module], lora: LoRA | None = None) -> Iterator[None]:
    """Within it the blocks keep what they were given and no more; on the way back they run again, with `lora` on if there is one.

    For use while `lora` is on, if there is one. The blocks must compute the same from the same, so no dropout (Chen et al. 2016, arXiv 1604.06174).
    """
    going_forward = True

    def recomputed(forward):
        def kept(*args, **kwargs):
            def run(*copies, **named):
                if going_forward:
                    return forward(*args, **kwargs)
                # by the time of the way back the LoRA is off again: whoever uses the module then gets the module
                with nullcontext() if lora is None else lora.on():
                    return forward(*map(_copied, copies), **{name: _copied(value) for name, value in named.items()})

            # a network may hand one dictionary from block to block and write into it on the way: ComfyUI's do
            now = {name: _copied(value) for name, value in kwargs.items()}
            return checkpoint(run, *map(_copied, args), use_reentrant=False, preserve_rng_state=False, **now)

        return kept

    changed = []
    try:
        for block in blocks:
            changed.append((block, block.__dict__.get("forward")))
            # in the instance, which hides the class's own until it is taken away
            block.forward = recomputed(block.forward)
        yield
    finally:
        going_forward = False
        for block, own in changed:
            if own is None:
                block.__dict__.pop("forward", None)
            else:
                block.forward = own


def _copied(value: Any) -> Any:
    return dict(value) if type(value) is dict else value


def on_the_way(latent: Tensor, blocks: Iterable[nn.Module]) -> AbstractContextManager:
    """`checkpointed` where a gradient in the latent is wanted; nothing otherwise."""
    return checkpointed(blocks) if torch.is_grad_enabled() and latent.requires_grad else nullcontext()


def residual(decoder: nn.Module) -> list[nn.Module]:
    """The residual blocks of a diffusers decoder of pictures or clips, where nearly all of its activations are."""
    return [part for part in decoder.modules() if hasattr(part, "conv1") and hasattr(part, "conv2")]
