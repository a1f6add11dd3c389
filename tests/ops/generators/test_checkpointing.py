"""Recomputed blocks give the gradients of blocks that are not, whatever their network does with what it hands them."""

import pytest
import torch
from torch import nn

from concept_algebra.ops.generators.checkpointing import checkpointed
from concept_algebra.ops.priors.lora import LoRA


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.line = nn.Linear(4, 4)

    def forward(self, x, options, said=None):
        options["runs"] = options.get("runs", 0) + 1
        said = options if said is None else said
        return torch.tanh(self.line(x)) * (1 + said["block"]) * options["runs"]


class Network(nn.Module):
    """Hands one dictionary from block to block and writes in it which is next, as ComfyUI's networks do; blocks write as well."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(3))

    def forward(self, x, by_name):
        options = {}
        for index, block in enumerate(self.blocks):
            options["block"] = index
            x = block(x, options, said=options) if by_name else block(x, options)
        return x, options


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network()


@pytest.mark.parametrize("by_name", [False, True])
def test_dictionaries_are_recomputed_with_what_they_said_at_the_time(network, by_name):
    x = torch.randn(2, 4, requires_grad=True)
    plain, written = network(x, by_name)
    (expected,) = torch.autograd.grad(plain.square().sum(), x)
    with checkpointed(network.blocks):
        out, options = network(x, by_name)
    assert torch.equal(out, plain) and options == written == {"block": 2, "runs": 3}
    for _ in range(2):
        (found,) = torch.autograd.grad(out.square().sum(), x, retain_graph=True)
        assert torch.equal(found, expected)
    assert options == {"block": 2, "runs": 3}


def test_a_lora_is_on_again_while_blocks_are_recomputed(network):
    lora = LoRA(network, ["blocks.0.line", "blocks.2.line"], 2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for p in lora.parameters():
            p.normal_(generator=torch.Generator().manual_seed(1))
    x = torch.randn(2, 4)
    with lora.on():
        expected = torch.autograd.grad(network(x, False)[0].square().sum(), lora.parameters())
        with checkpointed(network.blocks, lora):
            out, _ = network(x, False)
    assert all(torch.equal(a, b) for a, b in zip(torch.autograd.grad(out.square().sum(), lora.parameters()), expected))


def test_a_forward_of_somebody_elses_is_used_and_left_in_place(network):
    first, others = network.blocks[0], network.blocks[1:]
    own = first.forward
    first.forward = patched = lambda *args, **kwargs: 2 * own(*args, **kwargs)
    x = torch.randn(2, 4, requires_grad=True)
    expected = network(x, False)[0]
    with pytest.raises(ZeroDivisionError), checkpointed(network.blocks):
        assert torch.equal(network(x, False)[0], expected)
        raise ZeroDivisionError
    assert first.forward is patched and not any("forward" in block.__dict__ for block in others)
