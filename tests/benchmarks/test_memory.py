"""The memory table counts what is held: by hand on a toy, and as autograd on the CPU keeps it on small models."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from concept_algebra.benchmarks.memory_meter import Meter, fused_attention, resident


def test_a_toy_counts_as_by_hand():
    # y = x w: x [4, 8] kept for nothing (w is frozen), relu's output kept for its own backward
    layer = nn.Linear(8, 16, bias=False, device="meta").requires_grad_(False)
    x = torch.empty(4, 8, device="meta", requires_grad=True)
    assert resident([layer]) == 8 * 16 * 4
    with Meter() as meter:
        y = layer(x)
        assert meter.live == 4 * 16 * 4
        y = y.relu()
        assert meter.live == 4 * 16 * 4 and meter.peak == 2 * 4 * 16 * 4
        loss = y.sum()
        assert meter.live == 4 * 16 * 4 + 4
        del y
        assert meter.live == 4 * 16 * 4 + 4
        (gradient,) = torch.autograd.grad(loss, x)
        del loss
        assert meter.live == gradient.numel() * 4
    # the gradients of relu and of the product, beside the kept activation and the two scalars of the loss
    assert meter.peak >= 4 * 16 * 4 * 2


def test_views_and_changes_in_place_make_nothing():
    x = torch.empty(8, 8, device="meta")
    with Meter() as meter:
        x.view(64).add_(1)
        assert meter.peak == 0
        y = x.clone()
        z = y.t()[2:]
        del y
        assert meter.live == 8 * 8 * 4
        del z
        assert meter.live == 0


def test_shared_weights_are_resident_once():
    layer = nn.Linear(8, 8, bias=False, device="meta")
    assert resident([layer, nn.Sequential(layer, layer)]) == 8 * 8 * 4


class Small(nn.Module):
    """Convolution, norms, attention and an MLP: the operators of the models that are counted."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.norm = nn.GroupNorm(4, 16)
        self.qkv = nn.Linear(16, 48)
        self.mlp = nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 16))
        self.checkpointed = False

    def attend(self, x):
        q, k, v = self.qkv(x).unflatten(-1, (3, 2, 8)).permute(2, 0, 3, 1, 4)
        # 70 tokens and scores of 70 x 70 would be told apart; the kernel's own padding is not
        return nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)

    def forward(self, x):
        x = nn.functional.silu(self.norm(self.stem(x))).flatten(2).transpose(1, 2)
        x = x + (checkpoint(self.attend, x, use_reentrant=False) if self.checkpointed else self.attend(x))
        return (x + self.mlp(x)).square().mean()


def kept_on_cpu(model, x):
    """Bytes of what autograd keeps between forward and backward on the CPU, weights and input apart, by its own hooks."""
    outside = {p.untyped_storage().data_ptr() for p in (*model.parameters(), x)}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in outside:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(x)
    return sum(kept.values()), loss


@pytest.mark.parametrize("checkpointed", [False, True], ids=["plain", "checkpointed"])
@pytest.mark.parametrize("fused", [False, True], ids=["written out", "fused"])
def test_what_is_counted_on_meta_is_what_the_cpu_keeps(checkpointed, fused):
    model = Small().requires_grad_(False)
    model.checkpointed = checkpointed
    kernel = nn.attention.SDPBackend.FLASH_ATTENTION if fused else nn.attention.SDPBackend.MATH
    with nn.attention.sdpa_kernel(kernel):
        measured, loss = kept_on_cpu(model, torch.rand(2, 3, 16, 20, requires_grad=True))
    x = torch.rand(2, 3, 16, 20, device="meta", requires_grad=True)
    model.to("meta")
    with fused_attention() if fused else nullcontext(), Meter() as meter:
        loss = model(x)
        # the loss itself is not kept for its own backward
        assert meter.live - loss.element_size() == measured
        before = meter.peak
        torch.autograd.grad(loss, x)
        assert meter.peak >= before


def test_recomputation_takes_its_room_again():
    class Deep(nn.Module):
        def __init__(self, checkpointed):
            super().__init__()
            self.blocks = nn.ModuleList(Small().mlp for _ in range(6))
            self.checkpointed = checkpointed

        def forward(self, x):
            for block in self.blocks:
                x = x + (checkpoint(block, x, use_reentrant=False) if self.checkpointed else block(x))
            return x.sum()

    peaks = {}
    for checkpointed in (False, True):
        model = Deep(checkpointed).requires_grad_(False).to("meta")
        x = torch.empty(1, 50, 16, device="meta", requires_grad=True)
        with Meter() as meter:
            loss = model(x)
            held = meter.live
            torch.autograd.grad(loss, x)
        peaks[checkpointed] = (held, meter.peak)
    one_block = 50 * 64 * 4
    assert peaks[True][0] < peaks[False][0] / 3
    assert peaks[True][1] > peaks[True][0] + one_block
