import pytest
import torch

from concept_algebra.ops.pocket.motion import FRAMES, MOTIONS, motion


def square():
    """A small opaque square in the middle of an empty 32 px picture."""
    x = torch.zeros(1, 4, 32, 32)
    x[:, :, 12:20, 12:20] = 1
    return x


def centre(frame):
    """Centre of mass of the alpha plane: (x, y) in -1..1, downwards."""
    alpha = frame[3]
    line = (torch.arange(32) + 0.5) / 16 - 1
    return (alpha.sum(0) @ line / alpha.sum()).item(), (alpha.sum(1) @ line / alpha.sum()).item()


def play(kind, seed=0):
    clip = motion(square(), [kind], torch.Generator().manual_seed(seed))[0]
    assert clip.shape == (FRAMES, 4, 32, 32)
    return clip


@pytest.mark.parametrize("kind, axis, sign", [("rising", 1, -1), ("falling", 1, 1), ("moving left", 0, -1), ("moving right", 0, 1)])
def test_what_moves_goes_where_the_word_says(kind, axis, sign):
    clip = play(kind)
    seen = [f for f in clip if f[3].sum() > 20]
    travelled = centre(seen[-1])[axis] - centre(seen[0])[axis]
    assert travelled * sign > 0.4
    assert abs(centre(seen[-1])[1 - axis] - centre(seen[0])[1 - axis]) < 0.05


@pytest.mark.parametrize("kind, sign", [("growing", 1), ("shrinking", -1)])
def test_size_changes_as_the_word_says(kind, sign):
    area = [f[3].sum().item() for f in play(kind)]
    assert all((b - a) * sign >= 0 for a, b in zip(area, area[1:]))
    assert (area[-1] / area[0]) ** sign > 4


def test_flickering_changes_light_and_not_place():
    clip = play("flickering")
    light = clip[:, 3].sum((1, 2))
    assert light.max() > 2 * light.min()
    assert all(abs(c) < 0.05 for f in clip if f[3].sum() > 1 for c in centre(f))


def test_spinning_keeps_place_and_area_and_turns_the_corners():
    clip = play("spinning")
    assert all(abs(c) < 0.05 for f in clip for c in centre(f))
    area = clip[:, 3].sum((1, 2))
    assert (area / area[0] - 1).abs().max() < 0.1
    assert max((f[3] - clip[0, 3]).abs().max().item() for f in clip) > 0.5


def test_still_is_still_and_every_word_is_seeded():
    clip = play("still")
    assert torch.equal(clip, clip[:1].expand_as(clip))
    for kind in MOTIONS:
        assert torch.equal(play(kind, 3), play(kind, 3))
