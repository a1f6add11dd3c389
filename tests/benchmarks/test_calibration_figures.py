"""The figures of `bench calibration`, at bars well under what the whole sample gives, and the simulation against a truth of its own."""

import pytest
import torch

from concept_algebra.benchmarks import calibration, interval_figures


@pytest.fixture(scope="module")
def found():
    rows, figures = calibration.run(quick=True)
    assert [row[0] for row in rows[1:]] == list(figures) and all(len(row) == 4 for row in rows)
    return figures


def test_the_figures_that_are_asked_for_are_there(found):
    assert {"readout_top5", "probe_balanced_accuracy", "interval_coverage"} <= found.keys()
    assert all(isinstance(value, float) for value in found.values())


BARS = {"readout_top5": 0.5, "readout_top5_sound": 0.75, "probe_balanced_accuracy": 0.93, "probe_pictures": 0.75, "verdict_recognised": 0.6}


@pytest.mark.parametrize("figure, bar", BARS.items())
def test_figure_is_above_its_bar(found, figure, bar):
    assert found[figure] >= bar


def test_a_wrong_name_is_seldom_recognised(found):
    # chance is five in six hundred; names that mean nearly the same come on top
    assert found["verdict_mistaken"] < 0.04


def test_intervals_hold_the_truth_as_often_as_they_say(found):
    assert abs(found["interval_coverage"] - 0.95) < 0.02 and abs(found["interval_coverage_percentile"] - 0.95) < 0.02
    # a rate of few trials takes few values: no interval of it is right at every rate
    assert found["interval_coverage_low"] > 0.85 and found["interval_absent"] < 0.05


def test_the_simulation_notices_intervals_that_are_too_narrow(monkeypatch):
    honest = interval_figures.percentile_interval
    monkeypatch.setattr(interval_figures, "percentile_interval", lambda values, rivals: honest(values, rivals, level=0.7))
    assert interval_figures.figures(quick=True)["interval_coverage_percentile"] < 0.8


def test_simulated_percentiles_are_uniform_by_chance():
    drawn = interval_figures._percentiles(0.0, 1.0, 20_000, torch.Generator().manual_seed(1))
    # standing like its rivals, a target is as likely at one place as at another
    assert torch.histc(drawn, 10, 0, 1).sub(2000).abs().max() < 250
