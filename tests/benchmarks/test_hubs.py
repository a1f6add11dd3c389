"""The benchmark of hub words: its measures where it is known which word is a hub, and its figures on the shipped judge."""

import pytest
import torch
from torch.nn.functional import normalize

from concept_algebra.benchmarks.hubs import ranked, run, shapes, spread


def test_a_hub_spreads_the_words_and_taking_the_mean_off_takes_it_away():
    rng = torch.Generator().manual_seed(0)
    words = normalize(torch.randn(700, 64, generator=rng), dim=-1)
    truth = list(range(1, 201))
    clean = normalize(words[truth] + 0.1 * torch.randn(200, 64, generator=rng), dim=-1)
    pulled = clean + 1.5 * words[0]
    assert spread(pulled @ words.T) > 3 * spread(clean @ words.T)
    assert spread((pulled - pulled.mean(0)) @ words.T) < 1.5 * spread(clean @ words.T)
    bent, freed = (sum(found.top1 for found in ranked(seen @ words.T, truth)) for seen in (pulled, pulled - pulled.mean(0)))
    assert freed > bent
    assert all(found.count == 600 for found in ranked(clean @ words.T, truth))


def test_drawn_shapes_are_pictures_that_differ_on_white():
    made = shapes(6, torch.Generator().manual_seed(0))
    assert made.shape == (6, 3, 64, 64) and 0 <= made.min() and made.max() == 1
    assert all((picture == 1).all(0).any() and (picture < 1).any() for picture in made) and not torch.equal(made[0], made[1])


@pytest.fixture(scope="module")
def figures():
    rows, found = run(quick=True)
    assert len({len(row) for row in rows}) == 1
    return found


def test_what_a_run_could_take_off_makes_recognition_worse(figures):
    # the reason why `score` takes nothing off: if this fails, it should
    bare = figures["top5_as_it_is"]
    assert all(figures[f"top5_mean_of_{name}"] < bare for name in ("1_other", "7_others", "drawn_shapes", "smooth_noise"))
    assert abs(figures["top5_mean_of_the_other_pictures"] - bare) < 0.03
    assert figures["spread_mean_of_the_other_pictures"] < 0.3 * figures["spread_as_it_is"] < 0.05
