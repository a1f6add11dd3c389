"""The measures of attribution maps: exact on a linear model, above chance on the pocket's trained towers."""

import pytest
import torch

from concept_algebra.ops.encoders.decoded import Played
from concept_algebra.benchmarks import attribution
from concept_algebra.benchmarks.attribution_composites import Composite, composites
from concept_algebra.benchmarks.attribution_faithfulness import gains, inserted
from concept_algebra.ops.concept import Concept
from concept_algebra.ops.encoders.pocket import load
from concept_algebra.ops.encoders.tower import VisionTower
from concept_algebra.ops.interpret.attribution import Attribution, integrated_gradients, relevance
from concept_algebra.ops.interpret.detector import Detector, concept_detector
from concept_algebra.ops.interpret.seen import Seen, see
from concept_algebra.ops.space import Space


class Straight(Seen):
    """Linear from the medium to the embedding."""

    def pooled(self, patches):
        return patches.flatten(1) @ torch.randn(24 * 16, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def straight():
    torch.manual_seed(0)
    tower = VisionTower(torch.nn.Conv2d(3, 24, 4, 4), (4, 4), 24, 1, heads=3, projection=8)
    x = torch.randn(1, 3, 16, 16)
    return Straight(tower, Space("toy", 8), "image", x, x.clamp(0, 1)), Detector("w", Space("toy", 8), torch.randn(8))


@pytest.fixture(scope="module")
def pocket():
    return load()


def found(values):
    return Attribution(values, "relevance", "image", of="w")


def test_of_a_linear_model_an_order_and_its_reverse_make_up_for_each_other(straight):
    seen, detector = straight
    orders = torch.stack([torch.randperm(16, generator=torch.Generator().manual_seed(seed)) for seed in range(5)])
    ends = detector(seen.pooled(torch.cat([seen.patches, seen.baseline])), "image").sum()
    torch.testing.assert_close(inserted(seen, detector, orders) + inserted(seen, detector, orders.flip(1)), ends.expand(5), atol=1e-3, rtol=1e-4)


def test_the_right_order_gains_and_the_wrong_one_loses(straight):
    seen, detector = straight
    right = integrated_gradients(seen, [detector], nodes=1)[0]
    insertion, deletion = gains(seen, detector, [right, found(-right.values)], torch.Generator().manual_seed(0))
    assert insertion[0] > 0 > insertion[1] and deletion[0] > 0 > deletion[1]


def test_parts_of_a_frame():
    pair, four = (Composite(torch.ones(1, 3, 128, 128), tuple("abcd"[:count])) for count in (2, 4))
    for row, column, half, quarter in ((0, 0, 0, 0), (7, 3, 0, 2), (3, 4, 1, 1), (4, 7, 1, 3)):
        peak = torch.zeros(8, 8)
        peak[row, column] = 1.0
        assert pair.points_at(found(peak)) == half and four.points_at(found(peak)) == quarter


def test_drawings_stand_in_their_parts():
    made = composites("four", 3, torch.Generator().manual_seed(0))
    for one in made:
        words = [word for name in one.names for word in name.split()]
        assert len(one.names) == 4 and len(set(words)) == len(words)
        ink = (1 - one.pixels[0]).abs().sum(0)
        assert all(part.sum() > 10 for part in (ink[:64, :64], ink[:64, 64:], ink[64:, :64], ink[64:, 64:]))
    (pair,) = composites("pair", 1, torch.Generator().manual_seed(0))
    assert (pair.pixels[..., :32, :] == 1).all() and (pair.pixels[..., 96:, :] == 1).all()


def test_maps_point_at_what_is_asked_for_more_often_than_chance(pocket):
    right = 0
    for one in composites("pair", 16, torch.Generator().manual_seed(0)):
        asked = [concept_detector(Concept.from_text(name, pocket)) for name in one.names]
        right += sum(one.points_at(map_) == part for part, map_ in enumerate(relevance(see(pocket, one.pixels, Played("image")), asked)))
    # guessing is right 16 times of 32, and 22 or more once in forty
    assert right >= 22


def test_maps_find_the_patches_that_matter_better_than_chance(pocket):
    rng, better = torch.Generator().manual_seed(0), []
    for seen, name in attribution.media(pocket, "image", 4):
        detector = concept_detector(Concept.from_text(name, pocket))
        better.append(torch.stack(gains(seen, detector, relevance(seen, [detector]), rng)))
    insertion, deletion = torch.stack(better).mean(0)[:, 0]
    assert insertion > 0 and deletion > 0


def test_intervals():
    mean, low, high = attribution.interval([1.0, 2.0, 3.0])
    assert mean == 2 and (low, high) == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-3)
    assert attribution.interval([1.0])[1] != attribution.interval([1.0])[1]
