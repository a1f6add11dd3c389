"""Low-rank adaptation: its laws, that it leaves no trace, and its files against the peft library."""

import importlib.util
import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from concept_algebra.ops.priors.lora import CONFIG, WEIGHTS, LoRA

PATHS = ["first", "more.0"]


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.act = nn.Linear(6, 10), nn.GELU()
        self.more = nn.ModuleList([nn.Linear(10, 4), nn.Linear(4, 3)])

    def forward(self, x):
        return self.more[1](self.act(self.more[0](self.act(self.first(x)))))


@pytest.fixture
def module():
    torch.manual_seed(0)
    return Small().requires_grad_(False)


def seeded(seed=0):
    return torch.Generator("cpu").manual_seed(seed)


def trained(module, rank=2, alpha=None, seed=0):
    lora = LoRA(module, PATHS, rank, seeded(seed), alpha)
    with torch.no_grad():
        for p in lora.parameters():
            p.normal_(generator=seeded(seed + 1))
    return lora


X = torch.randn(5, 6, generator=seeded(9))


def test_a_fresh_one_changes_nothing_and_a_is_gaussian(module):
    before = module(X)
    lora = LoRA(module, ["first"], 64, seeded())
    with lora.on():
        assert torch.equal(module(X), before)
    a, b = lora.parameters()
    assert a.shape == (64, 6) and b.shape == (10, 64) and not b.any()
    assert a.std().item() == pytest.approx(1 / 64, rel=0.15)


@given(rank=st.integers(1, 8), alpha=st.floats(0.1, 20), seed=st.integers(0, 100))
def test_on_is_the_merged_weight(rank, alpha, seed):
    torch.manual_seed(seed)
    module, merged = Small().requires_grad_(False).double(), Small().double()
    lora = trained(module, rank, alpha, seed)
    merged.load_state_dict(module.state_dict())
    with torch.no_grad():
        a1, b1, a2, b2 = lora.parameters()
        merged.first.weight += alpha / rank * (b1 @ a1)
        merged.more[0].weight += alpha / rank * (b2 @ a2)
    with lora.on():
        # the adaptation itself is in single precision
        torch.testing.assert_close(module(X.double()), merged(X.double()), atol=1e-4, rtol=1e-4)


def test_off_leaves_no_trace_even_after_an_error(module):
    before, state = module(X), {k: v.clone() for k, v in module.state_dict().items()}
    lora = trained(module)
    with pytest.raises(RuntimeError, match="stop"):
        with lora.on():
            assert not torch.equal(module(X), before)
            assert module.state_dict().keys() == state.keys() and len(list(module.parameters())) == 6
            raise RuntimeError("stop")
    assert torch.equal(module(X), before)
    assert all(torch.equal(v, state[k]) for k, v in module.state_dict().items())
    assert not any(part._forward_hooks for part in module.modules())


def test_two_on_one_module_do_not_mix(module):
    one, other = trained(module, seed=1), trained(module, seed=2)
    with one.on():
        first = module(X)
    with other.on():
        assert not torch.allclose(module(X), first)
    with one.on():
        assert torch.equal(module(X), first)


def test_gradients_reach_the_lora_alone_and_are_right(module):
    module.double().requires_grad_(True)
    lora = trained(module)
    a = lora.parameters()[0]

    def loss():
        with lora.on():
            return module(X.double()).square().sum()

    (gradient,) = torch.autograd.grad(loss(), [a])
    direction = torch.randn(a.shape, generator=seeded(4))
    step = 2.0**-7
    with torch.no_grad():
        a += step * direction
        above = loss()
        a -= 2 * step * direction
        numeric = (above - loss()) / (2 * step)
    assert float((gradient * direction).sum()) == pytest.approx(float(numeric), rel=1e-3)
    assert all(p.grad is None for p in module.parameters())


def test_single_precision_beside_half_and_under_autocast(module):
    plain = trained(module)
    with plain.on():
        exact = module(X)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.testing.assert_close(module(X).float(), exact, atol=0.1, rtol=0.05)
    module.bfloat16()
    lora = trained(module)
    assert {p.dtype for p in lora.parameters()} == {torch.float32}
    with lora.on():
        y = module(X.bfloat16())
        assert y.dtype == torch.bfloat16
        gradients = torch.autograd.grad(y.float().sum(), lora.parameters())
    assert {g.dtype for g in gradients} == {torch.float32}
    torch.testing.assert_close(y.float(), exact, atol=0.1, rtol=0.05)


def test_born_under_inference_mode_it_can_learn(module):
    with torch.inference_mode():
        lora = LoRA(module, PATHS, 2, seeded())
    with lora.on():
        assert torch.autograd.grad(module(X).sum(), lora.parameters())[1].any()


def test_saved_and_loaded_it_is_the_same(module, tmp_path):
    lora = trained(module, rank=3, alpha=6.0)
    lora.save(tmp_path / "a")
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == [CONFIG, WEIGHTS]
    back = LoRA.load(tmp_path / "a", module)
    assert (back.rank, back.alpha) == (3, 6.0)
    with lora.on():
        expected = module(X)
    with back.on():
        assert torch.equal(module(X), expected)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"use_dora": True}, "use_dora True; only plain LoRA"),
        ({"rank_pattern": {"first": 4}}, "rank_pattern"),
        ({"r": 5}, "rank 5 on 2 layers does not fit"),
        ({"r": None}, "damaged adapter"),
    ],
)
def test_other_adapters_are_refused(module, tmp_path, change, message):
    trained(module).save(tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(config | change))
    with pytest.raises(ValueError, match=message):
        LoRA.load(tmp_path, module)


def test_files_that_are_none_or_another_models(module, tmp_path):
    with pytest.raises(OSError):
        LoRA.load(tmp_path, module)
    trained(module).save(tmp_path)
    with pytest.raises(ValueError, match="of Linear is nothing"):
        LoRA.load(tmp_path, nn.Linear(2, 2))
    (tmp_path / WEIGHTS).write_bytes(b"no tensors")
    with pytest.raises(ValueError, match="damaged adapter"):
        LoRA.load(tmp_path, module)


@pytest.mark.parametrize("paths, rank, message", [(PATHS, 0, "rank 0"), ([], 2, "on 0 layers"), (["act"], 2, "'act' of Small is GELU")])
def test_what_cannot_be_adapted_is_said(module, paths, rank, message):
    with pytest.raises(ValueError, match=message):
        LoRA(module, paths, rank, seeded())


def test_a_state_that_does_not_fit_changes_nothing(module):
    lora = trained(module)
    before = lora.state_dict()
    with pytest.raises(ValueError, match="does not fit"):
        lora.load_state_dict({k: torch.zeros(1) for k in before})
    assert all(torch.equal(x, before[k]) for k, x in lora.state_dict().items())


needs_peft = pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="peft is not installed")


@needs_peft
def test_peft_reads_what_is_saved_here(module, tmp_path):
    from peft import PeftModel

    lora = trained(module, rank=3, alpha=6.0)
    lora.save(tmp_path)
    with lora.on():
        expected = module(X)
    theirs = PeftModel.from_pretrained(module, tmp_path)
    torch.testing.assert_close(theirs(X), expected, atol=1e-6, rtol=1e-5)


@needs_peft
def test_what_peft_saves_is_read_here(module, tmp_path):
    from peft import LoraConfig, get_peft_model

    fresh = Small()
    fresh.load_state_dict(module.state_dict())
    theirs = get_peft_model(fresh, LoraConfig(r=4, lora_alpha=2, target_modules=PATHS, init_lora_weights=False))
    expected = theirs(X)
    theirs.save_pretrained(tmp_path)
    with LoRA.load(tmp_path, module).on():
        torch.testing.assert_close(module(X), expected, atol=1e-6, rtol=1e-5)
