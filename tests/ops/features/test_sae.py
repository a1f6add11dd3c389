"""The autoencoder, its gradient, its thresholds, and what is measured of it: against dense formulas and by laws."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from concept_algebra.ops.features import sae as module
from concept_algebra.ops.features.fidelity import fidelity
from concept_algebra.ops.features.gradient import AUXILIARY, REVIVED, batch_top_k, gradient
from concept_algebra.ops.features.sae import SparseAutoencoder, calibrated_threshold
from concept_algebra.ops.features.statistics import TOP, statistics

GROUPS = (4, 12, 28, 64)


def made(dimension=24, groups=GROUPS, seed=0, biased=False):
    """An autoencoder whose encoder is not its decoder any more."""
    rng = torch.Generator().manual_seed(seed)
    start = SparseAutoencoder.seeded(dimension, groups[-1], groups, rng)
    bias = 0.1 * torch.randn(dimension, generator=rng) if biased else start.decoder_bias
    encoder = start.encoder + 0.1 * torch.randn(start.encoder.shape, generator=rng)
    return SparseAutoencoder(encoder, 0.05 * torch.randn(groups[-1], generator=rng), start.decoder, bias, groups)


def vectors(count, dimension=24, seed=1):
    return torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed)) / math.sqrt(dimension)


def dense_gradient(autoencoder, x, k, dead):
    """(loss, gradients of encoder, its bias and decoder) as autograd has them from the dense formulas, in double."""
    encoder, bias, decoder = (p.detach().double().requires_grad_() for p in (autoencoder.encoder, autoencoder.encoder_bias, autoencoder.decoder))
    pre = x.double() @ encoder.T + bias
    flat = pre.relu().flatten()
    top = flat.topk(min(k * len(x), len(flat)))
    code = torch.zeros_like(flat).scatter(0, top.indices, top.values).view_as(pre)
    loss = sum((x - code[:, :end] @ decoder[:end]).square().sum(1).mean() for end in autoencoder.groups) / len(autoencoder.groups)
    whole = loss
    if len(dead):
        rest = (x - code @ decoder).detach()
        offered = pre[:, dead].relu().topk(min(REVIVED, len(dead)), dim=1)
        revived = torch.zeros(len(x), len(dead), dtype=torch.float64).scatter(1, offered.indices, offered.values)
        left = (rest - revived @ decoder[dead]).square().sum(1).mean()
        whole = loss + AUXILIARY * left / (rest - rest.mean(0)).square().sum(1).mean()
    whole.backward()
    return float(loss.detach()), encoder.grad, bias.grad, decoder.grad, (code > 0).any(0).numpy()


@settings(max_examples=25)
@given(st.integers(2, 40), st.integers(1, 12), st.integers(0, 100), st.lists(st.integers(0, 63), max_size=12, unique=True))
def test_the_sparse_gradient_is_the_dense_one(count, k, seed, dead):
    autoencoder, x, dead = made(seed=seed), vectors(count, seed=seed + 1), np.array(sorted(dead), dtype=np.int64)
    found = gradient(autoencoder, x, k, dead)
    loss, *slopes, fired = dense_gradient(autoencoder, x, k, dead)
    assert found.loss == pytest.approx(loss, rel=1e-5)
    for ours, theirs in zip((found.encoder, found.encoder_bias, found.decoder), slopes):
        assert torch.allclose(ours, theirs.float(), atol=1e-5 * float(theirs.abs().max()) + 1e-8)
    assert np.array_equal(found.fired, fired)


def test_more_dead_latents_than_are_offered():
    autoencoder, x = made(16, (40, 160)), vectors(30, 16)
    dead = np.arange(50, 150)
    _, *slopes, _ = dense_gradient(autoencoder, x, 3, dead)
    found = gradient(autoencoder, x, 3, dead)
    assert len(dead) > REVIVED and torch.allclose(found.decoder, slopes[2].float(), atol=1e-6)


def test_half_precision_points_the_same_way():
    autoencoder, x = made(48, (32, 256)), vectors(256, 48)
    exact, half = (gradient(autoencoder, x, 8, np.array([], dtype=np.int64), half) for half in (False, True))
    assert half.loss == pytest.approx(exact.loss, rel=0.01)
    for name in ("encoder", "decoder"):
        assert torch.cosine_similarity(getattr(exact, name).flatten(), getattr(half, name).flatten(), dim=0) > 0.99


@given(st.integers(1, 20), st.integers(2, 30), st.integers(1, 40), st.booleans(), st.integers(0, 1000), st.integers(1, 50))
def test_batch_top_k_keeps_the_largest_positive(batch, width, k, half, seed, levels):
    # few levels: many ties
    pre = torch.randint(-levels, levels + 1, (batch, width), generator=torch.Generator().manual_seed(seed)) / levels
    pre = pre.to(torch.bfloat16 if half else torch.float32)
    places = batch_top_k(pre, k)
    flat = pre.flatten()
    expected = flat.relu().topk(min(k * batch, len(flat))).values
    assert torch.equal(flat[torch.from_numpy(places)].sort(descending=True).values, expected[expected > 0])
    assert (np.diff(places) > 0).all()


@given(st.integers(1, 60), st.integers(1, 63), st.integers(1, 20), st.integers(0, 100))
def test_the_threshold_gives_k_nonzeros_however_it_is_batched(count, k, rows, seed):
    autoencoder, x = made(seed=seed), vectors(count, seed=seed)
    before, module.ROWS = module.ROWS, rows
    try:
        threshold = calibrated_threshold(autoencoder, x, k)
    finally:
        module.ROWS = before
    pre = autoencoder.pre_activation(x)
    wanted = min(k * count, int((pre > 0).sum()))
    # a product of other shapes may round the entry at the threshold the other way
    assert abs(int((autoencoder.encode(x, threshold) > 0).sum()) - wanted) <= 1
    assert threshold.shape == (64,) and threshold.min() == threshold.max() >= 0


@given(st.integers(0, 1000), st.booleans())
def test_code_and_residual_give_the_vector_back(seed, biased):
    autoencoder, x = made(seed=seed, biased=biased), vectors(20, seed=seed)
    code = autoencoder.encode(x, torch.full((64,), 0.2))
    residual = x - autoencoder.decode(code)
    assert torch.allclose(autoencoder.decode(code) + residual, x, atol=1e-7) and code.min() >= 0
    pre = (x - autoencoder.decoder_bias) @ autoencoder.encoder.T + autoencoder.encoder_bias
    assert torch.allclose(code, torch.where(pre > 0.2, pre, 0.0), atol=1e-6) and (code > 0).any()


def test_a_prefix_decodes_by_its_latents_alone():
    autoencoder = made(biased=True)
    code = autoencoder.encode(vectors(5), torch.zeros(64))
    first = code.clone()
    first[:, 12:] = 0
    assert torch.allclose(autoencoder.decode(code, 12), autoencoder.decode(first), atol=1e-6)
    assert torch.equal(autoencoder.decode(code, 64), autoencoder.decode(code))
    assert torch.equal(autoencoder.decode(code, 0), autoencoder.decoder_bias.expand(5, -1))
    for prefix in (-1, 65):
        with pytest.raises(ValueError, match=f"prefix is {prefix}, expected 0..64"):
            autoencoder.decode(code, prefix)


def test_pre_activations_lead_gradients_back_where_the_gate_is_shut():
    autoencoder, x = made(), vectors(3).requires_grad_()
    (slope,) = torch.autograd.grad(autoencoder.pre_activation(x)[:, 7].sum(), x)
    assert torch.allclose(slope, autoencoder.encoder[7].expand(3, -1))


@given(st.integers(48, 256), st.integers(0, 1000))
def test_rounding_twice_changes_nothing(dimension, seed):
    once = made(dimension, (4, 16), seed).rounded()
    twice = once.rounded()
    assert all(torch.equal(a, b) for a, b in zip(once.parameters(), twice.parameters()))
    assert (once.decoder.norm(dim=1) - 1).abs().max() < 1e-6
    assert all(torch.allclose(a, b, rtol=2e-3, atol=1e-6) for a, b in zip(once.parameters(), made(dimension, (4, 16), seed).parameters()))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"encoder": torch.zeros(64, 23)}, r"encoder has shape \(64, 23\), expected \(64, 24\)"),
        ({"encoder_bias": torch.zeros(63)}, r"encoder_bias has shape \(63,\), expected \(64,\)"),
        ({"decoder_bias": torch.zeros(64)}, r"decoder_bias has shape \(64,\), expected \(24,\)"),
        ({"decoder": torch.zeros(24)}, "encoder has shape"),
        ({"encoder": torch.full((64, 24), torch.nan)}, "encoder contains NaN"),
        ({"decoder": torch.ones(64, 24)}, "decoder rows are up to 3.9 off unit length"),
        ({"groups": (4, 4, 64)}, "are not rising prefix ends, the last of them 64"),
        ({"groups": (4, 60)}, "the last of them 64"),
        ({"groups": ()}, "the last of them 64"),
    ],
)
def test_parts_that_do_not_fit_are_named(change, message):
    start = made()
    parts = {name: getattr(start, name) for name in ("encoder", "encoder_bias", "decoder", "decoder_bias", "groups")}
    with pytest.raises(ValueError, match=message):
        SparseAutoencoder(**(parts | change))


@pytest.mark.parametrize("count, k", [(0, 4), (5, 0), (5, 64)])
def test_no_threshold_without_vectors_or_for_an_impossible_k(count, k):
    with pytest.raises(ValueError, match=rf"{count} vectors and k {k}, expected"):
        calibrated_threshold(made(), vectors(count), k)


def test_made_and_calibrated_under_inference_mode_it_still_serves_a_backward_pass():
    with torch.inference_mode():
        autoencoder = made().rounded()
        threshold = calibrated_threshold(autoencoder, vectors(20), 4)
    x = vectors(3).requires_grad_()
    autoencoder.encode(x, threshold).sum().backward()
    assert x.grad.abs().sum() > 0


def test_fidelity_is_what_its_formulas_say(monkeypatch):
    monkeypatch.setattr("concept_algebra.ops.features.fidelity.ROWS", 7)
    autoencoder, x = made(biased=True), vectors(50) + 0.3
    threshold = torch.full((64,), 0.5)
    found = fidelity(autoencoder, x, threshold)
    code = autoencoder.encode(x, threshold)
    total = (x - x.mean(0)).square().sum()
    for end, share in zip(GROUPS, found.prefix_fvu):
        assert share == pytest.approx(float((x - autoencoder.decode(code, end)).square().sum() / total), rel=1e-5)
    active = (code > 0).sum(1).float()
    assert found.fvu == found.prefix_fvu[-1] and found.count == 50
    assert found.centred_cosine == pytest.approx(float(torch.cosine_similarity(x, autoencoder.decode(code)).mean()), rel=1e-5)
    assert found.l0 == pytest.approx(float(active.mean())) and found.l0_deviation == pytest.approx(float(active.std(unbiased=False)), rel=1e-5)
    assert found.empty == pytest.approx(float((active == 0).float().mean())) and 0 < found.dead < 1
    assert found.dead == pytest.approx(float((code == 0).all(0).float().mean()))


def test_silence_explains_nothing_and_perfect_atoms_everything():
    x = torch.eye(8)[torch.arange(40) % 8]
    basis = SparseAutoencoder(torch.eye(8), torch.zeros(8), torch.eye(8), torch.zeros(8), (4, 8))
    perfect = fidelity(basis, x, torch.full((8,), 0.5))
    assert perfect.fvu == 0 and perfect.centred_cosine == pytest.approx(1) and perfect.l0 == 1 and perfect.dead == 0
    nothing = fidelity(basis, x - x.mean(0), torch.full((8,), 2.0))
    assert nothing.fvu == pytest.approx(1) and nothing.centred_cosine == 0 and nothing.empty == nothing.dead == 1


@pytest.mark.parametrize("x, message", [(vectors(1), "1 vectors have no variance"), (vectors(1).expand(9, -1), "do not differ")])
def test_without_variance_there_is_no_fidelity(x, message):
    with pytest.raises(ValueError, match=message):
        fidelity(made(), x, torch.zeros(64))


def test_statistics_are_what_a_loop_over_latents_finds(monkeypatch):
    monkeypatch.setattr("concept_algebra.ops.features.statistics.ROWS", 7)
    autoencoder, x = made(), vectors(50)
    threshold = torch.linspace(0, 1, 64)
    captions = [f"phrase {i}" for i in range(50)]
    found = statistics(autoencoder, threshold, x, captions)
    code = autoencoder.encode(x, threshold)
    lengths = set()
    for j in range(64):
        on = code[:, j] > 0
        order = code[:, j].argsort(descending=True)[: min(TOP, int(on.sum()))]
        assert found.examples[j] == tuple(captions[i] for i in order)
        assert float(found.rate[j]) == pytest.approx(float(on.float().mean()))
        assert float(found.maximum[j]) == pytest.approx(float(code[:, j].max()), abs=1e-6)
        assert float(found.mean[j]) == pytest.approx(float(code[on, j].mean()) if on.any() else 0.0, rel=1e-5)
        lengths.add(len(order))
    assert 0 in lengths and TOP in lengths and found.count == 50
    with pytest.raises(ValueError, match="50 vectors and 49 captions"):
        statistics(autoencoder, threshold, x, captions[1:])


def test_seeded_ones_are_unit_and_the_same():
    one, other = (SparseAutoencoder.seeded(24, 64, GROUPS, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one.decoder, other.decoder) and torch.equal(one.encoder, one.decoder)
    assert torch.allclose(one.decoder, normalize(one.decoder, dim=1)) and one.width == 64 and one.dimension == 24
