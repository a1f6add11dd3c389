"""The Apple Silicon contract can fail, rule by rule."""

import pytest
import torch
from contracts.mps import CHOSEN_BY_DEVICE, ContractBroken, apple_silicon, dispatch_keys
from torch import nn
from torch.nn import functional as F


def test_ordinary_network_keeps_the_contract():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.SiLU(), nn.ConvTranspose2d(8, 4, 2, 2))
    with apple_silicon():
        x = torch.randn(2, 3, 8, 8, requires_grad=True)
        y = net(x).flatten(2).transpose(1, 2)
        y = F.layer_norm(y, (4,))
        y = F.scaled_dot_product_attention(y[:, None], y[:, None], y[:, None])
        F.cross_entropy(y.mean((1, 2)), torch.zeros(2, dtype=torch.long)).backward()
        torch.optim.Adam([x], 0.1).step()
    assert x.grad is not None


def _backward_of_antialias():
    x = torch.randn(1, 3, 8, 8, requires_grad=True)
    F.interpolate(x, (4, 4), mode="bilinear", antialias=True).sum().backward()


OFFENDERS = {
    "a float64 leaf": (lambda: torch.ones(2, dtype=torch.float64), "float64"),
    "float64 on the way": (lambda: torch.ones(2).double().float(), "float64"),
    "complex128": (lambda: torch.ones(2).to(torch.complex128), "complex128"),
    "numpy's default type": (lambda: torch.ones(2) * torch.from_numpy(__import__("numpy").ones(2)), "float64"),
    "no MPS kernel": (lambda: F.adaptive_avg_pool3d(torch.ones(1, 1, 4, 4, 4), 3), "_adaptive_avg_pool3d"),
    "no MPS kernel behind a structured delegate": (_backward_of_antialias, "_upsample_bilinear2d_aa_backward"),
    "no MPS kernel behind a composite": (lambda: torch.linalg.matrix_norm(torch.eye(2), "nuc"), "linalg_svd"),
    "no MPS kernel in a generated out variant": (
        lambda: torch.ops.aten._adaptive_avg_pool3d.out(torch.ones(1, 1, 4, 4, 4), [3, 3, 3], out=torch.empty(1, 1, 3, 3, 3)),
        "_adaptive_avg_pool3d",
    ),
}


@pytest.mark.parametrize("offender, word", OFFENDERS.values(), ids=OFFENDERS)
def test_offender_is_caught(offender, word):
    with pytest.raises(ContractBroken, match=word):
        with apple_silicon():
            offender()


def test_operator_of_another_library_is_caught():
    library = torch.library.Library("concept_algebra_test", "DEF")
    library.define("same(Tensor x) -> Tensor")
    library.impl("same", torch.clone, "CPU")
    with pytest.raises(ContractBroken, match="concept_algebra_test"):
        with apple_silicon():
            torch.ops.concept_algebra_test.same(torch.ones(2))


def test_a_composite_is_run_to_its_parts_in_inference_mode_too():
    with pytest.raises(ContractBroken, match="_adaptive_avg_pool3d"):
        with apple_silicon(), torch.inference_mode():
            F.adaptive_avg_pool3d(torch.ones(1, 1, 4, 4, 4), 3)


def test_errors_inside_are_not_hidden():
    with pytest.raises(RuntimeError, match="shape"):
        with apple_silicon():
            torch.ones(2, 3) @ torch.ones(2, 3)


def test_table_is_read_right():
    assert "MPS" in dispatch_keys("add.Tensor"), "through its structured delegate"
    assert "MPS" in dispatch_keys("native_layer_norm.out"), "through autogen"
    assert dispatch_keys("conv2d") == {"CompositeImplicitAutograd"}, "no dispatch section"
    assert dispatch_keys("no_such_operator") is None
    for chosen in CHOSEN_BY_DEVICE.values():
        assert all("MPS" in dispatch_keys(name) for name in chosen)
