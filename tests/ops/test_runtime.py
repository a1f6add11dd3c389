import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from concept_algebra.ops.runtime import GRADIENTS_AGREE, gradient_self_test, keep_on, pick_device, rng


def test_pick_device():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device().type in ("cuda", "mps", "cpu")
    for wrong in ("cuda:99", "tpu", ""):
        with pytest.raises(ValueError, match=f"device '{wrong}' is not available here, expected one of .*cpu"):
            pick_device(wrong)


def test_the_best_device_that_is_there_is_picked(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device() == torch.device("mps") and pick_device("cpu").type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device() == torch.device("cuda") and pick_device("cuda:1").index == 1 and pick_device("mps").type == "mps"


def test_rng_is_a_cpu_generator_that_repeats():
    first = torch.randn(3, generator=rng(2**63 + 7))
    assert rng(0).device.type == "cpu"
    assert torch.equal(first, torch.randn(3, generator=rng(2**63 + 7)))
    assert not torch.equal(first, torch.randn(3, generator=rng(8)))
    for wrong in (-1, 2**64, 1.5, "1", True):
        with pytest.raises(ValueError, match="seed is .*expected a whole number"):
            rng(wrong)


class Broken(TorchDispatchMode):
    """Spoils the first output of one operator the first time it runs; the device's gradients are taken first."""

    def __init__(self, operator, spoil):
        super().__init__()
        self.operator, self.spoil, self.met = operator, spoil, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if self.operator in str(function):
            self.met += 1
            if self.met == 1:
                return (self.spoil(out[0]), *out[1:]) if isinstance(out, tuple) else self.spoil(out)
        return out


def test_gradients_agree_with_themselves():
    assert gradient_self_test("cpu") == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("operator", ["convolution_backward", "layer_norm_backward", "group_norm_backward", "gelu_backward",
                                      "silu_backward", "upsample_bilinear2d_backward", "adaptive_avg_pool2d_backward", "attention"])  # fmt: skip
@pytest.mark.parametrize("spoil", [torch.neg, lambda x: x.flip(-1), lambda x: 2 * x, lambda x: x * torch.nan])
def test_a_wrong_kernel_is_seen(operator, spoil):
    with Broken(operator, spoil) as broken:
        agreement = gradient_self_test("cpu")
    assert broken.met >= 2 and agreement < GRADIENTS_AGREE


def test_only_the_wanted_towers_stay_on_the_device():
    towers = {name: torch.nn.Linear(2, 2) for name in ("text", "image", "audio")}
    keep_on(torch.device("meta"), towers, {"image"})
    assert {name: tower.weight.device.type for name, tower in towers.items()} == {"text": "cpu", "image": "meta", "audio": "cpu"}
