import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, strategies as st

from concept_algebra.ops.encoders.preprocessing import cubic, linear, resize, resize_middle, square


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


TORCHS = {cubic: {"mode": "bicubic", "antialias": True}, linear: {"mode": "bilinear"}}


@pytest.mark.parametrize("kernel", TORCHS, ids=lambda kernel: kernel.__name__)
@pytest.mark.parametrize("h, w", [(37, 91), (8, 5), (1, 40), (40, 40), (64, 300)])
def test_resize_middle_is_the_middle_of_torchs_resize(kernel, h, w):
    x = torch.rand(2, 3, h, w, dtype=torch.float64)
    whole = F.interpolate(x, (41, 63), align_corners=False, **TORCHS[kernel])
    torch.testing.assert_close(resize_middle(x, 41, 63, 39, kernel), whole[..., 1:40, 12:51], atol=1e-9, rtol=0)


@pytest.mark.parametrize("height, top", [(9, 0), (11, 2), (13, 2), (15, 4)])
def test_half_a_row_of_margin_goes_to_the_even_side(height, top):
    x = torch.arange(float(height))[:, None].expand(1, 1, height, 8)
    assert resize_middle(x, height, 8, 8, linear)[0, 0, :, 0].tolist() == list(range(top, top + 8))


@given(st.sampled_from(list(TORCHS)), st.integers(1, 300), st.integers(1, 300), st.data())
def test_rows_of_a_kernel_weigh_one_and_are_cut_from_the_whole(kernel, source, target, data):
    first = data.draw(st.integers(0, target - 1))
    count = data.draw(st.integers(1, target - first))
    whole = kernel(source, target, 0, target)
    assert whole.shape == (target, source)
    np.testing.assert_allclose(whole.sum(1), 1, atol=1e-12)
    assert np.array_equal(kernel(source, target, first, count), whole[first : first + count])
    # mirrored, the matrix is itself
    np.testing.assert_allclose(whole[::-1, ::-1], whole, atol=1e-9)


@given(st.sampled_from(list(TORCHS)), st.integers(1, 100))
def test_the_same_size_is_the_same_picture(kernel, size):
    assert np.array_equal(kernel(size, size, 0, size), np.eye(size))
