"""A sheet of pictures: each is on it whole, in its place, and a caption under it."""

import pytest
import torch

from concept_algebra.ops.sheet import GAP, LEAST, LINE, sheet


def grey(level, height, width):
    return torch.full((3, height, width), level)


def test_pictures_stand_in_rows_as_wide_as_the_widest():
    made = sheet([[(grey(0.2, 300, 300), "a"), (grey(0.4, 300, 300), "b")], [(grey(0.6, 75, 150), "c")]])
    assert made.shape == (3, GAP + 300 + LINE + GAP + 150 + LINE + GAP, GAP + 2 * (300 + GAP))
    for row, left, height, level in ((GAP, GAP, 300, 0.2), (GAP, 2 * GAP + 300, 300, 0.4), (2 * GAP + 300 + LINE, GAP, 150, 0.6)):
        place = made[:, row : row + height, left : left + 300]
        assert (place - level).abs().max() < 1 / 255
    # nothing beside the picture that stands alone
    assert made[:, 2 * GAP + 300 + LINE :, 2 * GAP + 300 :].min() == 1


def test_a_caption_is_under_its_picture_and_ends_at_its_edge():
    made = sheet([[(grey(1, 64, 64), "a caption that is much longer than its picture is wide, and so is cut"), (grey(1, 64, 64), "")]])
    assert made.shape[-1] == GAP + 2 * (LEAST + GAP)
    below = made[:, GAP + LEAST :, :]
    assert below[..., GAP : GAP + LEAST].min() < 0.5 and below[..., GAP + LEAST :].min() == 1 and made[:, : GAP + LEAST].min() == 1


def test_of_nothing_there_is_no_sheet():
    with pytest.raises(ValueError, match="one or more"):
        sheet([])
