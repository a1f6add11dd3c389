"""Curves: every point lands where its numbers say, and the drawing is well-formed."""

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concept_algebra.ops.curves import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, curves, ticked

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)


def points(svg, name):
    (line,) = (line for line in ET.fromstring(svg).iter("polyline") if line.get("class") == name)
    return [tuple(map(float, point.split(","))) for point in line.get("points").split()]


@given(VALUES, VALUES)
def test_everything_is_drawn_inside(first, second):
    svg = curves({"honest": list(enumerate(first)), "natural": list(enumerate(second))}, "two")
    for name, values in (("honest", first), ("natural", second)):
        drawn = points(svg, name)
        assert len(drawn) == len(values)
        assert all(LEFT - 0.1 <= x <= WIDTH - RIGHT + 0.1 and TOP - 0.1 <= y <= HEIGHT - BOTTOM + 0.1 for x, y in drawn)


def test_larger_is_higher_and_later_is_further_right():
    drawn = points(curves({"a": [(0, 0.1), (1, 0.5), (2, 0.3)]}, "one"), "a")
    assert drawn[0][0] < drawn[1][0] < drawn[2][0]
    assert drawn[1][1] < drawn[2][1] < drawn[0][1]


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_ticks_cover_the_range_and_are_few(low, span):
    ticks = ticked(low, low + span)
    slack = 1e-6 * (1 + abs(low) + span)
    assert ticks[0] <= low + slack and ticks[-1] >= low + span - slack
    assert 2 <= len(ticks) <= 7
    assert ticks == sorted(set(ticks))


def test_the_sign_of_a_small_number_is_not_cut_off():
    texts = [t for t in ET.fromstring(curves({"a": [(0, -0.045), (1, 0.04)]}, "one")).iter("text") if t.get("text-anchor") == "end"]
    assert "-0.025" in [t.text for t in texts]
    assert all(float(t.get("x")) >= 7 * len(t.text) for t in texts if t.text != "1")  # seven units a letter, as broad as a page's get


def test_end_labels_keep_apart():
    svg = curves({"a": [(0, 0), (1, 0.5)], "b": [(0, 0), (1, 0.5)], "c": [(0, 0), (1, 0.0)]}, "three")
    heights = sorted(float(t.get("y")) for t in ET.fromstring(svg).iter("text") if t.get("class"))
    assert all(later - earlier >= 12.9 for earlier, later in zip(heights, heights[1:]))


def test_names_and_labels_are_escaped():
    ET.fromstring(curves({'<&"': [(0, 1), (1, 2)]}, 'a "label" <here>'))


@pytest.mark.parametrize("series", [{}, {"a": []}, {"a": [(0, float("nan"))]}])
def test_nothing_to_draw_draws_nothing(series):
    assert curves(series, "none") == ""
