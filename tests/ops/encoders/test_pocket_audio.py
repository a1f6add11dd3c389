"""The sound tower: windows, silence, determinism, gradients, and what the shipped weights have learned."""

from __future__ import annotations

import math

import pytest
import torch

from concept_algebra.ops import signal
from concept_algebra.ops.encoders.pocket_audio import PocketAudio, crops, normalise, restore
from concept_algebra.ops.pocket.store import read
from concept_algebra.ops.weights import fill


@pytest.fixture(scope="module")
def fresh():
    torch.manual_seed(0)
    return PocketAudio().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def shipped():
    return fill(PocketAudio(), read("audio")[0], "audio")


def sweep(seconds, rate=signal.RATE, channels=1):
    t = torch.arange(int(seconds * rate)) / rate
    return (0.3 * torch.sin(2 * math.pi * (200 + 300 * t) * t)).expand(1, channels, -1)


def test_shapes_and_unit_length(fresh):
    heard = fresh(sweep(1.0, 22050, channels=2), 22050)
    assert heard.pooled.shape == (1, 768) and heard.tokens.shape == (1, 32, 192) and heard.dense.shape == (1, 32, 768)
    assert heard.grid == (4, 8) and heard.modality == "audio"
    torch.testing.assert_close(heard.pooled.norm(dim=-1), torch.ones(1))
    torch.testing.assert_close(heard.dense.norm(dim=-1), torch.ones(1, 32))


def test_short_clip_is_repeated_and_a_long_one_gives_three_windows():
    short = torch.arange(1000.0)[None]
    windows = crops(short)
    assert windows.shape == (1, 3, signal.SAMPLES)
    assert torch.equal(windows[0, 0], torch.arange(signal.SAMPLES) % 1000.0) and torch.equal(windows[0, 0], windows[0, 2])
    length = 3 * signal.SAMPLES + 10
    windows = crops(torch.arange(float(length))[None])
    assert windows[0, :, 0].tolist() == [0, (length - signal.SAMPLES) // 2, length - signal.SAMPLES]
    assert windows[0, 2, -1] == length - 1


def test_repetition_by_hand_changes_nothing(fresh):
    # 8192 divides SAMPLES, so the clip and its fourfold repetition fill the window alike
    wave = sweep(8192 / signal.RATE)
    torch.testing.assert_close(fresh(wave, signal.RATE).pooled, fresh(wave.repeat(1, 1, 4), signal.RATE).pooled)


def test_channels_are_mixed_down(fresh):
    wave = sweep(0.7, channels=2) * torch.tensor([[[0.2], [0.8]]])
    torch.testing.assert_close(fresh(wave, 16000).pooled, fresh(wave.mean(1, keepdim=True), 16000).pooled)


def test_rate_matters_little(fresh):
    low, high = fresh(sweep(2.0, 16000), 16000).pooled, fresh(sweep(2.0, 48000), 48000).pooled
    assert (low * high).sum() > 0.999


@pytest.mark.parametrize("length", [1, 5000, 100_000])
def test_silence_is_finite_with_a_zero_gradient(fresh, length):
    wave = torch.zeros(1, 1, length, requires_grad=True)
    heard = fresh(wave, 16000)
    assert all(torch.isfinite(x).all() for x in (heard.pooled, heard.tokens, heard.dense))
    torch.testing.assert_close(heard.pooled, fresh(torch.zeros(1, 1, 32768), 16000).pooled)
    (gradient,) = torch.autograd.grad(heard.pooled.sum(), wave)
    assert torch.isfinite(gradient).all() and (gradient == 0).all()


@pytest.mark.parametrize("shape", [(100,), (1, 100), (1, 1, 0), (1, 0, 100)])
def test_wrong_shape_is_named(fresh, shape):
    with pytest.raises(ValueError, match=r"expected \[B, C, T\]"):
        fresh(torch.zeros(shape), 16000)


@pytest.mark.parametrize("rate,seconds", [(16000, 0.2), (22050, 2.5)])
def test_gradient_is_the_finite_difference(rate, seconds):
    torch.manual_seed(1)
    tower = PocketAudio().eval().double()
    generator = torch.Generator().manual_seed(2)
    wave = (sweep(seconds, rate).double() + 0.01 * torch.randn(1, 1, int(seconds * rate), generator=generator, dtype=torch.float64)).requires_grad_()
    aim = torch.randn(768, generator=generator, dtype=torch.float64)
    direction = torch.randn(wave.shape, generator=generator, dtype=torch.float64)

    def loss(x):
        # unnormalised: `forward` ends in float32, too coarse for a difference quotient
        states, _ = tower.vision_model.embeddings(normalise(signal.log_mel(crops(signal.resample(x.mean(1), rate, signal.RATE)))))
        final = tower.vision_model.post_layernorm(tower.vision_model.encoder(tower.vision_model.pre_layrnorm(states))[-1])
        return (tower.visual_projection(final[:, 0]) * aim).sum()

    (gradient,) = torch.autograd.grad(loss(wave), wave)
    step = 1e-6
    with torch.no_grad():
        numeric = (loss(wave + step * direction) - loss(wave - step * direction)) / (2 * step)
    torch.testing.assert_close((gradient * direction).sum(), numeric, rtol=1e-5, atol=1e-7)


def test_gradient_reaches_the_wave_through_the_whole_call(fresh):
    wave = sweep(1.3, 44100).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(fresh(wave, 44100).pooled[0, 0], wave)
    assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0


def test_same_call_same_embedding(fresh):
    wave = sweep(5.0)
    assert torch.equal(fresh(wave, 16000).pooled, fresh(wave, 16000).pooled)


def test_normalise_and_restore_are_inverse():
    x = torch.linspace(-16, 3, 50)
    torch.testing.assert_close(restore(normalise(x)), x)


def test_layer_names_are_clips(shipped):
    names = shipped.state_dict().keys()
    for wanted in (
        "vision_model.embeddings.class_embedding",
        "vision_model.embeddings.position_embedding.weight",
        "vision_model.pre_layrnorm.weight",
        "vision_model.encoder.layers.4.self_attn.out_proj.weight",
        "vision_model.encoder.layers.0.mlp.fc1.weight",
        "vision_model.post_layernorm.weight",
        "visual_projection.weight",
    ):
        assert wanted in names


def test_shipped_weights_fit_their_budget():
    tensors = read("audio")[0]
    assert sum(t.numel() * t.element_size() for t in tensors.values()) <= 5_000_000
