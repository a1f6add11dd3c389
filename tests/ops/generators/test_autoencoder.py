import torch

from concept_algebra.ops.generators.autoencoder import Autoencoder


def test_shapes_and_standardised_latents():
    torch.manual_seed(0)
    coder = Autoencoder(3, 5, widths=(8, 16, 24)).eval()
    x = torch.rand(4, 3, 32, 64)
    raw = coder.encode(x)
    assert raw.shape == (4, 5, 4, 8) and coder.decode(raw).shape == x.shape
    before = coder.decode(raw)
    coder.mean.copy_(raw.mean((0, 2, 3)).view(-1, 1, 1))
    coder.std.copy_(raw.std((0, 2, 3)).view(-1, 1, 1))
    z = coder.encode(x)
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.std((0, 2, 3)), torch.ones(5), atol=1e-4, rtol=0)
    torch.testing.assert_close(coder.decode(z), before, atol=1e-5, rtol=1e-4)


def test_decoding_is_differentiable_to_the_latent():
    torch.manual_seed(0)
    coder = Autoencoder(3, 4, widths=(8, 8, 16)).double().eval()
    z = torch.randn(1, 4, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: coder.decode(y).sum((1, 2)), z, eps=1e-6, atol=1e-5)
