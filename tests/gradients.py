"""Numbers drawn for generators, and gradients held against finite differences: of decoding, and of a LoRA."""

import pytest
import torch


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def near(found, expected, rtol=1e-4):
    """Within rtol of the expected's own size."""
    assert (found.double() - expected.double()).norm() <= rtol * expected.double().norm()


def decodes_with_its_gradient(generator, media):
    """Decoding a latent to media of this shape has the gradient of finite differences, along one direction and for one weighting, and
    gives the same bits twice. Returns (a function that is that weighting of what a latent decodes to, the latent, the gradient)."""
    shape = generator.latent_shape
    latent, along, weights = draw(1, *shape).requires_grad_(), draw(1, *shape, seed=1), draw(1, *media, seed=2).double()
    value = lambda z: (generator.decode(z).double() * weights).sum()  # noqa: E731
    (gradient,) = torch.autograd.grad(value(latent), latent)
    with torch.no_grad():
        difference = (value(latent + 1e-3 * along) - value(latent - 1e-3 * along)) / 2e-3
        assert torch.equal(generator.decode(latent), generator.decode(latent))
    assert float((gradient * along).sum()) == pytest.approx(float(difference), rel=5e-3)
    return value, latent, gradient


def lora_has_its_gradient(estimate, plain, lora, step=1e-3, rel=5e-3, rtol=0.0, atol=0.0):
    """A LoRA's parameters, moved away from where it starts, have the gradient of finite differences through an estimate.

    estimate, plain: the same tensor twice, with and without recomputation; their gradients may differ by rtol and atol.
    """
    parameters = lora.parameters()
    with torch.no_grad():
        for i, p in enumerate(parameters):
            p.add_(0.1 * draw(*p.shape, seed=10 + i))
    aim = draw(*estimate().shape, seed=1).double()
    found, expected = (torch.autograd.grad((made().double() * aim).sum(), parameters) for made in (estimate, plain))
    for a, b in zip(found, expected):
        assert a.any()
        torch.testing.assert_close(a, b, rtol=rtol, atol=atol)
    along = [draw(*p.shape, seed=50 + i) for i, p in enumerate(parameters)]
    values = []
    with torch.no_grad():
        for move in (step, -2 * step):
            for p, way in zip(parameters, along):
                p.add_(move * way)
            values.append(float((estimate().double() * aim).sum()))
    slope = sum(float((g * way).sum()) for g, way in zip(found, along))
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(slope, rel=rel)
