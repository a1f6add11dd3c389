"""Gradients through modules that a host has loaded under inference mode, and everything put back afterwards.

ComfyUI runs every node inside `torch.inference_mode()`. A module built or moved there holds inference tensors, or
ordinary parameters whose data was replaced by one; neither can be saved for a backward pass, and leaving inference mode
does not change that. Each such tensor has to be made anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

# Without cuDNN's kernel, which PyTorch prefers on newer cards: its backward gives NaN for some lengths under a mask
# (pytorch issue 196678, present in torch 2.11 to 2.13).
ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


@contextmanager
def differentiable(*modules: nn.Module) -> Iterator[None]:
    """Within it, gradients flow through the modules to their inputs, whoever loaded them; no weight gets a gradient.

    Inference mode is left and gradients are enabled, the modules are thawed (see `thaw`), frozen and in evaluation
    mode, and attention runs on kernels whose backward can be trusted. Modes and flags are restored on the way out,
    whatever ends it; thawed weights stay, they are equal. Tensors from outside that are saved for the backward pass
    (targets, latents) still have to be cloned within.
    """
    with torch.inference_mode(False), torch.enable_grad(), sdpa_kernel(ATTENTION):
        for module in modules:
            thaw(module)
        parameters = [(p, p.requires_grad) for module in modules for p in module.parameters()]
        training = [(part, part.training) for module in modules for part in module.modules()]
        try:
            for parameter, _ in parameters:
                parameter.requires_grad_(False)
            for module in modules:
                module.eval()
            yield
        finally:
            for parameter, flag in parameters:
                parameter.requires_grad_(flag)
            for part, flag in training:
                part.training = flag


def thaw(module: nn.Module) -> int:
    """Replace every parameter and buffer that autograd would refuse by an equal ordinary one; how many there were.

    One tensor at a time, so the most that is held twice is the largest; tensors that are shared stay shared. A module
    that needs nothing costs a walk over its tensors, so this may run before every use.
    """
    replaced: dict[int, Tensor] = {}
    with torch.inference_mode(False), torch.no_grad():
        for part in module.modules():
            for tensors in (part._parameters, part._buffers):
                for name, tensor in tensors.items():
                    if tensor is None or not frozen(tensor):
                        continue
                    if id(tensor) not in replaced:
                        fresh = thawed(tensor)
                        if isinstance(tensor, nn.Parameter):
                            fresh = nn.Parameter(fresh, requires_grad=tensor.requires_grad)
                        replaced[id(tensor)] = fresh
                    tensors[name] = replaced[id(tensor)]
    return len(replaced)


def thawed(tensor: Tensor) -> Tensor:
    """The tensor itself, or an equal ordinary one without history where autograd would refuse it."""
    if not frozen(tensor):
        return tensor
    with torch.inference_mode(False), torch.no_grad():
        return tensor.detach().clone()


def frozen(tensor: Tensor) -> bool:
    """Whether autograd would refuse to save this tensor. `Tensor.is_inference` alone does not tell: a parameter whose
    data was replaced under inference mode denies it, and still has no version counter."""
    if tensor.is_inference():
        return True
    try:
        return tensor._version < 0
    except RuntimeError:
        return True
