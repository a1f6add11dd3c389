"""Regularisers: closed forms, what they see of nature and of static, gradients by finite differences."""

import math

import pytest
import torch

from concept_algebra.ops.objective.regularisers import FALL, norm_shell, octaves, spectrum, total_variation
from concept_algebra.ops.objective.value import Moment

RNG = torch.Generator("cpu")
MOMENT = Moment(0.5, RNG)
SHAPES = {"image": (2, 3, 12, 10), "video": (2, 3, 3, 8, 6), "audio": (2, 2, 40)}


def drawn(modality, seed=0, dtype=torch.float32):
    return torch.randn(SHAPES[modality], generator=torch.Generator().manual_seed(seed)).to(dtype)


def coloured(shape, fall, seed=0):
    """Noise whose power at every frequency f is exactly f^-fall."""
    axes = (-1,) if len(shape) == 3 else (-2, -1)
    waves = torch.fft.rfftn(torch.randn(shape, generator=torch.Generator().manual_seed(seed)), dim=axes, norm="ortho")
    sides = [torch.fft.fftfreq(shape[axis]) for axis in axes[:-1]] + [torch.fft.rfftfreq(shape[-1])]
    frequency = sum(part.square() for part in torch.meshgrid(*sides, indexing="ij")).sqrt()
    frequency.view(-1)[0] = math.inf
    return torch.fft.irfftn(waves / waves.abs() * frequency.pow(-fall / 2), s=shape[-len(axes) :], dim=axes, norm="ortho")


@pytest.mark.parametrize("modality", SHAPES)
@pytest.mark.parametrize("kind", [total_variation, spectrum])
def test_gradient_is_that_of_finite_differences(kind, modality):
    shape = {"image": (2, 2, 6, 5), "video": (1, 2, 2, 5, 4), "audio": (2, 1, 17)}[modality]
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: kind(modality)(x, MOMENT).loss, x)


def test_gradient_of_the_norm_shell_is_that_of_finite_differences():
    z = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: norm_shell()(None, Moment(0.5, RNG, z)).loss, z)


def test_total_variation_by_hand():
    picture = torch.tensor([[0.0, 1.0, 0.5], [0.25, 1.0, 1.0]]).expand(1, 3, 2, 3)
    loss, metrics = total_variation("image")(picture, MOMENT)
    assert float(loss) == pytest.approx((1 + 0.5 + 0.75 + 0) / 4 + (0.25 + 0 + 0.5) / 3) == float(metrics["variation"])
    assert float(total_variation("audio")(torch.tensor([[[0.0, 1.0, -1.0]]]), MOMENT).loss) == pytest.approx(1.5)
    still = picture[:, None].expand(1, 4, 3, 2, 3)
    blinking = still * torch.tensor([0.0, 1.0, 0.0, 1.0]).view(1, 4, 1, 1, 1)
    assert float(total_variation("video")(still, MOMENT).loss) == pytest.approx(float(loss))
    assert float(total_variation("video")(blinking, MOMENT).loss) == pytest.approx(float(loss) / 2 + float(picture.mean()))


def test_total_variation_of_what_is_flat_is_nothing_and_of_a_chessboard_two():
    board = (torch.arange(6)[:, None] + torch.arange(6)).remainder(2).float().expand(1, 3, 6, 6)
    assert float(total_variation("image")(torch.full((1, 3, 6, 6), 0.7), MOMENT).loss) == 0
    assert float(total_variation("image")(board, MOMENT).loss) == 2


@pytest.mark.parametrize("modality, shape", [("image", (1, 3, 64, 48)), ("video", (1, 2, 3, 33, 32)), ("audio", (1, 2, 1001))])
@pytest.mark.parametrize("more", [-1.0, 0.0, 1.5])
def test_spectrum_is_zero_where_power_falls_as_in_nature_and_the_slope_is_the_exponent(modality, shape, more):
    fall = FALL[modality] + more
    loss, metrics = spectrum(modality)(coloured(shape, fall), MOMENT)
    assert float(metrics["slope"]) == pytest.approx(-fall, abs=0.1)
    if more == 0:
        assert float(loss) == pytest.approx(0, abs=1e-4)
    else:
        assert float(loss) > 0.5


@pytest.mark.parametrize("modality, shape", [("image", (1, 3, 64, 48)), ("audio", (1, 2, 1001))])
def test_a_lone_octave_off_costs_what_a_variance_says(modality, shape):
    """Power of the highest octave quadrupled: off by 2 in log2, in one of K octaves."""
    axes = (-1,) if modality == "audio" else (-2, -1)
    natural = coloured(shape, FALL[modality])
    octave, counts, _, _ = octaves(shape[-len(axes) :], FALL[modality])
    k = len(counts)
    waves = torch.fft.rfftn(natural, dim=axes).flatten(-len(axes))
    waves = torch.where(octave == k - 1, 2 * waves, waves).view(torch.fft.rfftn(natural, dim=axes).shape)
    louder = torch.fft.irfftn(waves, s=shape[-len(axes) :], dim=axes)
    assert float(spectrum(modality)(louder, MOMENT).loss) == pytest.approx(4 * (1 / k) * (1 - 1 / k), rel=0.02)


def test_static_is_told_from_nature_by_its_slope_and_overall_power_is_of_no_account():
    static, natural = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)), coloured((1, 3, 64, 64), 2.0)
    measured = spectrum("image")
    assert float(measured(static, MOMENT).metrics["slope"]) == pytest.approx(0, abs=0.2)
    assert float(measured(static, MOMENT).loss) > 1
    assert torch.allclose(measured(static, MOMENT).loss, measured(0.3 * static + 0.5, MOMENT).loss, rtol=1e-3)
    assert float(measured(0.5 * natural, MOMENT).loss) < 1e-4


def test_constant_media_have_a_finite_spectrum_and_no_gradient():
    x = torch.full((1, 3, 16, 16), 0.5).requires_grad_()
    loss = spectrum("image")(x, MOMENT).loss
    (gradient,) = torch.autograd.grad(loss.sum(), x)
    assert torch.isfinite(loss).all() and float(gradient.abs().max()) < 1e-3


def test_every_frequency_is_in_one_octave():
    octave, counts, natural, centres = octaves((9, 8), 2.0)
    assert len(octave) == 9 * 5 and int(octave[0]) == len(counts), "the mean of the media is of no octave"
    assert torch.equal(octave.bincount()[:-1].float(), counts) and counts.sum() == 44
    assert len(counts) == 3, "below an eighth, below a quarter, and all the rest with the corners"
    assert (centres.diff() > 0.5).all() and (natural.diff() < -1).all()


def test_too_small_media_are_refused():
    with pytest.raises(ValueError, match="2 x 2 have no two octaves"):
        spectrum("image")(torch.rand(1, 3, 2, 2), MOMENT)


def test_norm_shell_in_closed_form():
    z = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    z = z / z.square().mean((1, 2, 3), keepdim=True).sqrt()
    for scale in (0.0, 0.5, 1.0, 3.0):
        loss, metrics = norm_shell()(None, Moment(0.0, RNG, scale * z))
        assert torch.allclose(loss, torch.full((2,), (scale - 1) ** 2), atol=1e-5) and metrics == {}


def test_norm_shell_near_the_shell_is_the_chi_laws_likelihood_over_d():
    """-log p(|z|) = |z|^2 / 2 - (d - 1) log |z| + const."""
    d = 4096
    z = torch.ones(1, d, dtype=torch.float64)

    def chi(r):
        return r**2 / 2 - (d - 1) * math.log(r)

    for scale in (0.98, 1.03):
        ours = float(norm_shell()(None, Moment(0.0, RNG, scale * z)).loss)
        assert ours == pytest.approx((chi(scale * d**0.5) - chi(d**0.5)) / d, rel=0.1)


def test_norm_shell_without_a_latent_is_refused():
    with pytest.raises(ValueError, match="the moment has no latent"):
        norm_shell()(torch.rand(1, 3), MOMENT)
