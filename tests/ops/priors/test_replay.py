import pytest
import torch

from concept_algebra.ops.priors.replay import Replay, turned


def seeded():
    return torch.Generator("cpu").manual_seed(0)


@pytest.mark.parametrize("size, total, kept", [(64, 2000, range(1342, 2000, 11)), (64, 30, range(20, 30)), (2, 30, [20, 25])])
def test_it_remembers_evenly_over_the_last_third(size, total, kept):
    replay = Replay(size, total)
    for step in range(total):
        replay.offer(torch.full((1, 1), float(step)), step)
    held = replay.state_dict()["replay"].flatten().tolist()
    assert held == list(kept)[-len(held) :] and len(held) in (len(list(kept)), len(list(kept)) - 1) and len(held) <= size


def test_half_of_what_it_shows_is_of_the_past_and_of_any_particle():
    replay = Replay(4, 12)
    for step in range(12):
        replay.offer(torch.tensor([[-1.0], [-2.0]]), step)
    shown = torch.cat([replay.mixed(torch.tensor([[1.0], [2.0]]), rng) for rng in [seeded()] for _ in range(500)])
    shares = [float((shown == value).float().mean()) for value in (1, 2, -1, -2)]
    assert shares == [pytest.approx(0.25, abs=0.04)] * 4
    alone = shown.view(-1, 2)
    assert ((alone[:, 0] != 2) & (alone[:, 1] != 1)).all(), "a particle of now stays in its place"


def test_an_empty_or_unwanted_one_shows_the_present():
    z = torch.randn(3, 2)
    assert Replay(4, 30).mixed(z, seeded()) is z
    nothing = Replay(0, 30)
    nothing.offer(z, 0)
    assert nothing.mixed(z, seeded()) is z and nothing.state_dict() == {}


@pytest.mark.parametrize("modality, shape", [("image", (3, 4, 6)), ("video", (2, 3, 4, 6)), ("audio", (3, 4, 6)), ("audio", (5, 6))])
def test_latents_are_rolled_along_the_last_axis_and_mirrored_there_unless_sounds(modality, shape):
    rng, z = seeded(), torch.arange(float(torch.tensor(shape).prod())).view(1, *shape)
    rolls = [z.roll(k, -1) for k in range(6)]
    found = [turned(z, modality, rng) for _ in range(200)]
    straight = [sum(torch.equal(x, roll) for x in found) for roll in rolls]
    mirrored = [sum(torch.equal(x, roll.flip(-1)) for x in found) for roll in rolls]
    assert sum(straight) + sum(mirrored) == 200 and min(straight) > 0
    assert sum(mirrored) == 0 if modality == "audio" else min(mirrored) > 0 and 60 < sum(mirrored) < 140


def test_latents_without_a_place_stay_as_they_are_and_each_is_turned_by_itself():
    z = torch.randn(4, 6)
    assert turned(z, "image", seeded()) is z
    same = torch.arange(6.0).expand(8, 3, 2, 6)
    assert len({tuple(x.flatten().tolist()) for x in turned(same, "image", seeded())}) > 1
