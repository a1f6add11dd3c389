"""The bar chart as a picture: lengths that say the amounts, colours that tell what is taken away."""

import pytest
import torch
from PIL import ImageColor

from concept_algebra.ops.interpret.chart import PAD, ROW, TAKEN, THERE, WIDTH, chart


def length(picture, row, colour):
    """Pixels of a colour along the middle of a row; the title is row 0."""
    line = picture[:, PAD + ROW * row + ROW // 2]
    wanted = torch.tensor(ImageColor.getrgb(colour)) / 255
    return int(((line - wanted[:, None]).abs() < 1e-3).all(0).sum())


def test_bars_are_as_long_as_amounts():
    picture = chart([("fur", 0.8), ("dog", 0.4)], [("car", 0.2)], "purple dog")
    assert picture.shape == (3, 2 * PAD + 4 * ROW, WIDTH) and picture.dtype == torch.float32
    longest = length(picture, 1, THERE)
    assert longest > 200
    assert length(picture, 2, THERE) == pytest.approx(longest / 2, abs=1)
    assert length(picture, 3, TAKEN) == pytest.approx(longest / 4, abs=1) and length(picture, 3, THERE) == 0


def test_long_names_stay_in_their_column():
    short, long = (chart([(name, 1.0)], [], "x") for name in ("a", "very long name " * 20))
    assert length(short, 1, THERE) == length(long, 1, THERE)
    assert torch.equal(short[:, PAD + ROW :, WIDTH // 2 :], long[:, PAD + ROW :, WIDTH // 2 :])


def test_a_concept_without_features_has_a_chart_that_says_so():
    picture = chart([], [], "noise")
    assert picture.shape == (3, 2 * PAD + 2 * ROW, WIDTH) and picture[:, PAD + ROW :].min() < 0.9


def test_it_can_be_differentiated_by_a_later_node():
    with torch.inference_mode():
        assert not chart([("fur", 1.0)], [], "dog").is_inference()
