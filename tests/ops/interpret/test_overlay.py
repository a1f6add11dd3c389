"""The map over its medium: colours where the map is, nothing where it is not, one scale for all frames."""

import pytest
import torch

from concept_algebra.ops.interpret.attribution import Attribution
from concept_algebra.ops.interpret.chart import PAD, ROW
from concept_algebra.ops.interpret.overlay import COLUMNS, FRAME, MARGIN, SIDE, SOUND, STRONGEST, coloured, overlay

TOP = PAD + 2 * ROW


def found(values, modality="image", **more):
    return Attribution(values, "integrated gradients", modality, of="cow", value=0.3, baseline=0.1, **more)


def tint(panel):
    """Mean of red less blue over a region [3, H, W]."""
    return float((panel[0] - panel[2]).mean())


def test_red_where_it_speaks_for_blue_where_against_and_grey_elsewhere():
    values = torch.zeros(4, 4)
    values[0, 0], values[3, 3] = 1.0, -0.5
    picture = overlay(found(values), torch.full((1, 3, 64, 64), 0.5))
    panel = picture[:, TOP : TOP + SIDE, PAD : PAD + SIDE]
    corner = SIDE // 8
    assert tint(panel[:, :corner, :corner]) > 0.3 and tint(panel[:, -corner:, -corner:]) < -0.1
    assert abs(tint(panel[:, -corner:, :corner])) < 0.02
    assert picture.shape[0] == 3 and 0 <= picture.min() and picture.max() <= 1


def test_nothing_is_coloured_that_no_patch_has():
    values = torch.zeros(8, 8)
    values[4, 4] = 1.0
    panel = overlay(found(values), torch.full((1, 3, 64, 64), 0.5))[:, TOP : TOP + SIDE, PAD : PAD + SIDE]
    assert float((panel[2] - panel[0]).max()) < 0.02


def test_colours_are_mixed_by_the_value():
    grey, values = torch.full((1, 1, 1, 3), 0.4), torch.tensor([0.0, 0.5, -1.0]).view(1, 1, 1, 3)
    mixed = coloured(grey, values)[0, :, 0].T
    torch.testing.assert_close(mixed[0], torch.full((3,), 0.4))
    torch.testing.assert_close(mixed[1], 0.4 * (1 - STRONGEST / 2) + torch.tensor([0.86, 0.16, 0.08]) * STRONGEST / 2)
    torch.testing.assert_close(mixed[2], 0.4 * (1 - STRONGEST) + torch.tensor([0.10, 0.35, 0.90]) * STRONGEST)


def test_frames_share_one_scale():
    values = torch.zeros(6, 2, 2)
    values[0], values[5] = 1.0, 0.25
    picture = overlay(found(values, "video"), torch.full((6, 3, 32, 32), 0.5))
    first = picture[:, TOP : TOP + FRAME, PAD : PAD + FRAME]
    left, top = PAD + 5 % COLUMNS * (FRAME + MARGIN), TOP + FRAME + MARGIN
    last = picture[:, top : top + FRAME, left : left + FRAME]
    assert tint(last) == pytest.approx(tint(first) / 4, rel=0.05)


def test_of_a_sound_pitch_runs_up():
    values = torch.zeros(4, 8)
    values[0] = 1.0  # the lowest band
    picture = overlay(found(values, "audio"), torch.full((1, 3, 64, 128), 0.5))
    panel = picture[:, TOP : TOP + SOUND[0], PAD : PAD + SOUND[1]]
    assert tint(panel[:, -SOUND[0] // 8 :]) > 0.3 and abs(tint(panel[:, : SOUND[0] // 8])) < 0.02


@pytest.mark.parametrize("values", [torch.zeros(4, 4), torch.full((4, 4), -2.0)])
def test_empty_and_wholly_negative_maps_can_be_drawn(values):
    panel = overlay(found(values), torch.full((1, 3, 64, 64), 0.5))[:, TOP : TOP + SIDE, PAD : PAD + SIDE]
    assert torch.isfinite(panel).all() and (abs(tint(panel)) < 0.02) == (values[0, 0] == 0)


def test_the_title_says_what_is_shown():
    shown = torch.full((1, 3, 64, 64), 0.5)
    heads = [
        overlay(one, shown)[:, :TOP]
        for one in (found(torch.ones(4, 4)), found(torch.ones(4, 4), active=False), Attribution(torch.ones(4, 4), "rollout", "image"))
    ]
    assert not torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])


def test_another_number_of_frames_is_refused():
    with pytest.raises(ValueError, match=r"expected \(3, 3, H, W\) for a map of shape \(3, 2, 2\)"):
        overlay(found(torch.zeros(3, 2, 2), "video"), torch.zeros(2, 3, 8, 8))


def test_it_can_be_used_by_a_later_node():
    with torch.inference_mode():
        assert not overlay(found(torch.ones(2, 2)), torch.zeros(1, 3, 8, 8)).is_inference()
