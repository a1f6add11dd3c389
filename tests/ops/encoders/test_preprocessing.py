import pytest
import torch
import torch.nn.functional as F

from concept_algebra.ops.encoders.preprocessing import resize, square


@pytest.mark.parametrize("source, target", [((37, 91), (16, 40)), ((16, 16), (50, 33)), ((128, 128), (128, 64))])
def test_resize_equals_torchs_antialiased_bilinear(source, target):
    x = torch.rand(2, 3, *source)
    expected = F.interpolate(x, target, mode="bilinear", antialias=True, align_corners=False)
    torch.testing.assert_close(resize(x, *target), expected, atol=2e-6, rtol=0)


def test_square_cuts_the_middle_of_the_shorter_side():
    x = torch.zeros(1, 3, 64, 192)
    x[..., 64:128] = 1
    assert torch.equal(square(x, 64), torch.ones(1, 3, 64, 64))
    assert square(torch.zeros(1, 3, 1, 300), 32).shape == (1, 3, 32, 32)


def test_resize_is_linear_so_its_gradient_is_its_transpose():
    x = torch.rand(1, 1, 20, 30, requires_grad=True)
    cotangent = torch.rand(1, 1, 7, 9)
    (resize(x, 7, 9) * cotangent).sum().backward()
    other = torch.rand(1, 1, 20, 30)
    torch.testing.assert_close((x.grad * other).sum(), (resize(other, 7, 9) * cotangent).sum())
