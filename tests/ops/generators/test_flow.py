import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from concept_algebra.ops.generators.flow import (
    FlowTransformer,
    cut,
    flow_matching_loss,
    fold,
    interpolate,
    join,
    unfold,
    x0_from_velocity,
)


def model(frames=0, zero=True):
    torch.manual_seed(0)
    made = FlowTransformer(4, (8, 12), outer=12, inner=24, depth=2, ends=1, heads=3, condition=10, frames=frames)
    if not zero:
        for p in made.parameters():
            torch.nn.init.normal_(p, std=0.1)
    return made.eval()


@given(st.integers(1, 3), st.integers(1, 4), st.sampled_from([(4, 4), (8, 12), (16, 16)]))
def test_patches_come_apart_and_together(b, c, grid):
    x = torch.randn(b, c, *grid)
    h, w = grid[0] // 2, grid[1] // 2
    tokens = fold(x)
    assert torch.equal(unfold(tokens, h, w), x)
    assert torch.equal(cut(join(tokens, h, w), h, w), tokens)
    # a token is the 2x2 patch at its place
    assert torch.equal(tokens[0, w + 1] if h > 1 and w > 1 else tokens[0, 0], (x[0, :, 2:4, 2:4] if h > 1 and w > 1 else x[0, :, :2, :2]).reshape(-1))


@given(st.floats(0.01, 0.99), st.integers(0, 1000))
def test_rectified_flow_identities(t, seed):
    rng = torch.Generator().manual_seed(seed)
    x0, eps = torch.randn(2, 3, 4, generator=rng), torch.randn(2, 3, 4, generator=rng)
    time = torch.full((2,), t)
    x_t = interpolate(x0, eps, time)
    torch.testing.assert_close(x0_from_velocity(x_t, eps - x0, time), x0, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(x_t + (1 - t) * (eps - x0), eps, atol=1e-5, rtol=1e-5)


def test_a_row_of_nan_takes_the_null_condition_and_rows_do_not_mix():
    made = model(zero=False)
    x, t = torch.randn(2, 4, 8, 12), torch.tensor([0.3, 0.8])
    condition = torch.randn(2, 10)
    condition[1] = torch.nan
    both = made(x, t, condition)
    assert torch.isfinite(both).all()
    torch.testing.assert_close(both[:1], made(x[:1], t[:1], condition[:1]), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(both[1:], made(x[1:], t[1:], condition[1:]), atol=1e-5, rtol=1e-4)
    with torch.no_grad():
        made.null += 1
    moved = made(x, t, condition)
    torch.testing.assert_close(moved[0], both[0], atol=1e-5, rtol=1e-4)
    assert (moved[1] - both[1]).abs().max() > 1e-3


def test_a_clip_prior_without_temporal_weight_is_the_picture_prior():
    still = model(zero=False)
    moving = model(frames=3)
    missing, unexpected = moving.load_state_dict(still.state_dict(), strict=False)
    assert not unexpected and all("temporal" in k for k in missing)
    x, t, condition = torch.randn(2, 3, 4, 8, 12), torch.tensor([0.2, 0.9]), torch.randn(2, 10)
    clip = moving(x, t, condition)
    for frame in range(3):
        torch.testing.assert_close(clip[:, frame], still(x[:, frame], t, condition), atol=1e-5, rtol=1e-4)


def test_the_loss_of_the_exact_velocity_is_zero():
    x0, eps, t = torch.randn(2, 4, 8, 12), torch.randn(2, 4, 8, 12), torch.tensor([0.1, 0.6])
    exact = lambda x_t, t, c: eps - x0  # noqa: E731
    assert flow_matching_loss(exact, x0, None, t, eps).item() == 0
    # the output layer starts at zero: the loss is then the velocity's own power
    start = flow_matching_loss(model(), x0, torch.zeros(2, 10), t, eps)
    torch.testing.assert_close(start, (eps - x0).square().mean())


def test_a_grid_that_cannot_be_merged_is_refused():
    with pytest.raises(ValueError, match="latent grid .*multiples of 4"):
        FlowTransformer(4, (6, 8), 12, 24, 1)
