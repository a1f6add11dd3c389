"""Looks: what they keep, what they draw, and their gradients by finite differences."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch

from concept_algebra.ops.objective.value import Measure, Moment, Objective
from concept_algebra.ops.objective.views import CLOSEST, CUTOUTS, SHRINKING, STEADY, Framing, audio_views, image_views, video_views, views

GLIMPSES = {"image": image_views, "video": video_views, "audio": audio_views}
SHAPES = {"image": (2, 3, 12, 10), "video": (2, 3, 3, 12, 10), "audio": (2, 1, 64)}


def moment(progress=0.5, seed=0):
    return Moment(progress, torch.Generator("cpu").manual_seed(seed))


def media(modality, dtype=torch.float32):
    return torch.rand(SHAPES[modality], generator=torch.Generator("cpu").manual_seed(1)).to(dtype)


@pytest.mark.parametrize("modality", GLIMPSES)
def test_gradient_is_that_of_finite_differences(modality):
    small = {"image": (1, 3, 5, 4), "video": (1, 2, 3, 4, 4), "audio": (1, 1, 16)}[modality]
    x = torch.rand(small, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: GLIMPSES[modality](x, moment(), 3), x)


@pytest.mark.parametrize("modality", GLIMPSES)
def test_looks_keep_shape_and_type_and_follow_the_seed(modality):
    x = media(modality)
    first, again, other = (GLIMPSES[modality](x, moment(seed=seed), 5) for seed in (3, 3, 4))
    assert first.shape == (5, *x.shape) and first.dtype == x.dtype
    assert torch.equal(first, again) and not torch.equal(first, other)


def quiet(x, glimpse, count, progress, seed=0):
    """The looks without their noise: noise is added, so the same draws on two media differ by their looks alone."""
    return glimpse(x, moment(progress, seed), count) - glimpse(torch.zeros_like(x), moment(progress, seed), count)


def test_every_fourth_framing_of_a_picture_is_whole():
    x = media("image")
    looks = quiet(x, image_views, 8, 0.0)
    for index, look in enumerate(looks):
        whole = any(torch.allclose(look, framed, atol=1e-5) for framed in (x, x.flip(-1)))
        assert whole == (index % 4 == 3)


def test_framings_magnify_inside_the_frame():
    # A ramp stays a ramp: its slope says how far a look goes in, its ends that it never leaves the frame.
    ramp = torch.linspace(0, 1, 65).expand(1, 3, 33, 65)
    looks = quiet(ramp, image_views, 64, 0.5)[:, 0, 0, 0]
    assert -1e-5 <= float(looks.min()) and float(looks.max()) <= 1 + 1e-5
    sides = (looks[:, -1] - looks[:, 0]).abs()[[i for i in range(64) if i % 4 != 3]]
    assert CLOSEST - 1e-4 <= float(sides.min()) < CLOSEST + 0.05
    assert 0.95 < float(sides.max()) <= 1 + 1e-4


def test_about_half_of_a_pictures_looks_are_flipped_and_none_of_a_clips():
    ramp = torch.linspace(0, 1, 9).expand(1, 3, 9, 9)
    falling = (quiet(ramp, image_views, 100, 0.0)[:, 0, 0, 0].diff(dim=-1)[:, 0] < 0).float().mean()
    assert 0.3 < float(falling) < 0.7
    frames = quiet(ramp[:, None].expand(1, 2, 3, 9, 9), video_views, 100, 0.0)[:, 0, 0, 0, 0]
    assert bool((frames.diff(dim=-1) > -1e-6).all())


def test_a_clip_is_framed_once_for_all_its_frames():
    still = media("image")[:, None].expand(2, 4, 3, 12, 10)
    looks = quiet(still, video_views, 5, 0.5)
    assert torch.allclose(looks, looks[:, :, :1].expand_as(looks), atol=1e-6)


def test_clips_that_an_encoder_sees_whole_are_not_moved_in_time():
    frames = torch.arange(8.0).view(1, 8, 1, 1, 1).expand(1, 8, 3, 4, 4)
    assert torch.allclose(quiet(frames, video_views, 6, 0.5), frames, atol=1e-5)
    # and nothing is drawn for it: the looks of a picture that is not flipped, drawn from the same numbers
    one, drawn = moment(), moment()
    video_views(frames, one, 3)
    sides, places = torch.rand(3, generator=drawn.rng), torch.rand(3, 2, generator=drawn.rng)
    torch.randn(3, *frames.shape, generator=drawn.rng)
    assert sides.any() and places.any() and torch.equal(one.rng.get_state(), drawn.rng.get_state())


@pytest.mark.parametrize("count", [9, 14, 16, 25, 49, 121])
def test_every_frame_of_a_longer_clip_is_seen_in_some_look_and_by_as_little_as_is_needed(count):
    from concept_algebra.ops.encoders.languagebind_media import frame_indices

    floor, nearest = frame_indices(count, 8), [round(i * (count - 1) / 7) for i in range(8)]
    frames = torch.arange(float(count)).view(1, count, 1, 1, 1).expand(1, count, 3, 2, 2)
    looks = quiet(frames, video_views, 600, 0.5)[:, 0, :, 0, 0, 0].round().long()
    for chosen in (floor, nearest):
        assert set(looks[:, chosen].flatten().tolist()) == set(range(count))
    late = looks - torch.arange(count)
    assert late.abs().max() <= (count + 5) // 7 // 2 + 1
    inner = late[:, count // 2]
    assert torch.equal(looks, (torch.arange(count) + inner[:, None]).clamp(0, count - 1))


def test_the_gradient_reaches_all_frames_through_an_encoder_that_sees_eight():
    frames = torch.rand(1, 14, 3, 6, 6, requires_grad=True)
    seen = SimpleNamespace(video=lambda x, fps: SimpleNamespace(pooled=x[:, [round(i * 13 / 7) for i in range(8)]].flatten(1)))
    objective = views(mean_of(), seen, SimpleNamespace(modality="video", fps=7.0), 8)
    given, rng = torch.zeros(14, dtype=torch.bool), torch.Generator().manual_seed(0)
    for step in range(4):
        (gradient,) = torch.autograd.grad(objective(frames, Moment(step / 4, rng)).loss.sum(), frames)
        given |= gradient.abs().sum((0, 2, 3, 4)) > 0
    assert given.all()


def test_sounds_are_shifted_and_scaled():
    length = 400
    click = torch.zeros(1, 1, length)
    click[..., 200] = 1.0
    for look in quiet(click, audio_views, 20, 0.0)[:, 0, 0]:
        place = int(look.abs().argmax())
        assert abs(place - 200) <= 100
        assert 0.7 < float(look[place]) < 1.42
        assert int((look.abs() > 1e-6).sum()) == 1


@pytest.mark.parametrize("modality, early, late", [("image", 0.1, 0.02), ("video", 0.1, 0.02), ("audio", 0.01, 0.002)])
def test_noise_decays(modality, early, late):
    silence = torch.zeros(SHAPES[modality])
    for progress, deviation in ((0.0, early), (1.0, late)):
        assert float(GLIMPSES[modality](silence, moment(progress), 64).std()) == pytest.approx(deviation, rel=0.05)


def mean_of(name="brightness"):
    def measure(embedding, moment):
        value = embedding.pooled.mean(1)
        return Measure(value, {name: value.detach()})

    return Objective(name, measure)


def spy(seen):
    def encode(x, *rate):
        seen.append((x, *rate))
        return SimpleNamespace(pooled=x.flatten(1))

    return SimpleNamespace(image=encode, audio=encode, video=encode)


@pytest.mark.parametrize("modality, rate", [("image", ()), ("audio", (16000,)), ("video", (8.0,))])
def test_losses_are_averaged_over_looks_and_metrics_are_the_whole_medias(modality, rate):
    seen = []
    generator = SimpleNamespace(modality=modality, rate=16000, fps=8.0)
    x = media(modality)
    loss, metrics = views(mean_of(), spy(seen), generator, 4)(x, moment())
    ((looks, *given),) = seen
    assert tuple(given) == rate
    assert torch.equal(looks[:2], x)
    assert torch.allclose(loss, looks.flatten(1).mean(1).view(4, 2).mean(0))
    assert torch.allclose(metrics["brightness"], x.flatten(1).mean(1))


def test_one_view_is_the_media_itself():
    seen = []
    x = media("image")
    views(mean_of(), spy(seen), SimpleNamespace(modality="image"), 1)(x, moment())
    assert torch.equal(seen[0][0], x)


def test_no_views_are_refused():
    with pytest.raises(ValueError, match="views"):
        views(mean_of(), spy([]), SimpleNamespace(modality="image"), 0)


def sides(framing, progress, count=200):
    """The share of the frame's side that each look takes in, read off a ramp's slope."""
    ramp = torch.linspace(0, 1, 65).expand(1, 3, 9, 65)
    looks = quiet(ramp, partial(image_views, framing=framing), count, progress)[:, 0, 0, 0]
    return (looks[:, -1] - looks[:, 0]).abs()


@pytest.mark.parametrize(
    "framing, progress, smallest, largest",
    [(SHRINKING, 0.0, 0.35, 1.0), (SHRINKING, 0.5, 0.25, 0.8), (SHRINKING, 1.0, 0.15, 0.6), (CUTOUTS, 0.0, 0.5, 0.95), (CUTOUTS, 1.0, 0.5, 0.95)],
)
def test_looks_shrink_as_the_framing_says(framing, progress, smallest, largest):
    found = sides(framing, progress)
    found = found[[i for i in range(200) if not framing.whole or i % 4 != 3]]
    assert smallest - 1e-4 <= float(found.min()) < smallest + 0.05
    assert largest - 0.05 < float(found.max()) <= largest + 1e-4


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_as_many_looks_are_whole_as_the_framing_says(share):
    found = sides(Framing((0.5, 0.6), (0.5, 0.6), share), 0.5, 20)
    assert int((found > 0.99).sum()) == round(20 * share)


def test_sounds_are_shifted_as_the_framing_says_and_never_when_whole():
    length = 400
    click = torch.zeros(1, 1, length)
    click[..., 200] = 1.0
    framing = Framing((0.7, 0.9), (0.95, 1.0), 0.5)
    places = quiet(click, partial(audio_views, framing=framing), 40, 0.0)[:, 0, 0].abs().argmax(-1)
    away = (places - 200).abs()
    assert (away[1::2] == 0).all() and ((away[::2] >= 40) & (away[::2] <= 120)).all() and len(set(places.tolist())) > 10


@pytest.mark.parametrize("modality", GLIMPSES)
def test_noise_is_the_framings(modality):
    silence, framing = torch.zeros(SHAPES[modality]), Framing(noise=(0.4, 0.0))
    assert float(GLIMPSES[modality](silence, moment(0.5), 64, framing).std()) == pytest.approx(0.2, rel=0.05)
    assert not GLIMPSES[modality](silence, moment(1.0), 4, framing).any()


def test_cutouts_leave_the_whole_out_of_the_loss_and_read_the_metrics_off_it():
    seen = []
    x = media("image").requires_grad_()
    loss, metrics = views(mean_of(), spy(seen), SimpleNamespace(modality="image"), 4, CUTOUTS)(x, moment())
    (looks,), (whole,) = seen
    assert len(looks) == 8 and torch.equal(whole, x)
    assert torch.allclose(loss, looks.flatten(1).mean(1).view(4, 2).mean(0))
    assert torch.allclose(metrics["brightness"], x.flatten(1).mean(1))


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"early": (0.0, 1.0)}, "early is"), ({"late": (0.9, 0.5)}, "late is"), ({"late": (0.5, 1.1)}, "late is"),
        ({"whole": 1.5}, "whole is"), ({"noise": (-0.1, 0.0)}, "noise is"), ({"noise": (0.1, float("inf"))}, "noise is"),
    ],
)  # fmt: skip
def test_a_framing_that_makes_no_sense_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Framing(**wrong)


def test_a_pictures_usual_looks_do_not_shrink():
    assert STEADY["image"].range(0.0) == STEADY["image"].range(1.0) == (CLOSEST, 1.0)


def test_looks_of_another_framing_are_another_objective(encoder):
    """A run that was stopped is known by what describes its objective: it is not taken up under other looks."""
    quietest = Objective("nothing", lambda embedding, moment: Measure(0 * embedding.pooled.sum(1), {}))
    told = {views(quietest, encoder, SimpleNamespace(modality="image"), 2, framing).description for framing in (None, STEADY["image"], CUTOUTS, SHRINKING)}
    assert len(told) == 3
