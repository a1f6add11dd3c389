"""Modules that were built or moved under inference mode become differentiable, and everything else stays as it was."""

import copy

import pytest
import torch
from torch import nn

from concept_algebra.ops.grad import differentiable, frozen, thaw


def net():
    torch.manual_seed(0)
    tied = nn.Linear(6, 6)
    return nn.Sequential(tied, nn.GroupNorm(2, 6), nn.GELU(), nn.BatchNorm1d(6), tied)


def built(make):
    with torch.inference_mode():
        return make()


def moved(make):
    module = make()
    with torch.inference_mode():
        return module.to(torch.float64).to(torch.float32)


def assigned(make):
    """What a loader leaves behind that replaces the data of parameters under inference mode."""
    module = make()
    with torch.inference_mode():
        for tensor in [*module.parameters(), *module.buffers()]:
            tensor.data = tensor.data.clone()
    return module


@pytest.mark.parametrize("spoil", [built, moved, assigned])
def test_gradient_through_a_spoilt_module_is_right(spoil):
    reference = net().eval()
    module = spoil(lambda: copy.deepcopy(reference))
    with torch.inference_mode():
        x = torch.linspace(-1, 1, 18).view(3, 6)
        with differentiable(module):
            z = x.clone().requires_grad_()
            (ours,) = torch.autograd.grad(module(z).square().sum(), z)
    z = torch.linspace(-1, 1, 18).view(3, 6).requires_grad_()
    (truth,) = torch.autograd.grad(reference(z).square().sum(), z)
    assert torch.allclose(ours, truth, atol=1e-6)
    assert all(p.grad is None for p in module.parameters())


def test_without_thawing_the_same_backward_is_refused():
    # the planted offender: if this ever passes by itself, `thaw` has nothing left to do
    module = built(net).eval()
    z = torch.linspace(-1, 1, 18).view(3, 6).requires_grad_()
    with pytest.raises(RuntimeError, match="[Ii]nference tensors"):
        torch.autograd.grad(module(z).square().sum(), z)


def test_thawed_values_are_equal_and_ties_and_flags_stay():
    module = built(net)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert thaw(module) == 9
    assert thaw(module) == 0
    assert not any(frozen(p) for p in [*module.parameters(), *module.buffers()])
    assert module[0].weight is module[4].weight
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert all(isinstance(p, nn.Parameter) for p in module.parameters())


def test_flags_and_modes_come_back_whatever_ends_it():
    module = net().train()
    module[1].weight.requires_grad_(False)
    flags = [p.requires_grad for p in module.parameters()]
    module[3].eval()
    with torch.inference_mode():
        with pytest.raises(KeyboardInterrupt):
            with differentiable(module):
                assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
                assert not module.training and not any(p.requires_grad for p in module.parameters())
                raise KeyboardInterrupt
        assert torch.is_inference_mode_enabled() and not torch.is_grad_enabled()
    assert [p.requires_grad for p in module.parameters()] == flags
    assert module.training and module[0].training and not module[3].training


def test_a_thawed_module_still_serves_under_inference_mode():
    module = built(net).eval()
    thaw(module)
    with torch.inference_mode():
        out = module(torch.ones(3, 6))
    assert out.is_inference() and torch.isfinite(out).all()
