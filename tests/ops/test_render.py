"""A render and its neighbours: batches, what is chosen, the dial, both tracks, the prior alone, taken up again."""

import copy
import dataclasses

import pytest
import torch
from contracts.mps import apple_silicon
from toys import ToyClip, ToyPicture, ToySound

from concept_algebra.ops import alone as remembered
from concept_algebra.ops.alone import alone
from concept_algebra.ops.concept import Concept
from concept_algebra.ops.generators.pocket import load
from concept_algebra.ops.instruments import Judge, cosines
from concept_algebra.ops.objective.value import Measure, Objective
from concept_algebra.ops.optimise import optimise
from concept_algebra.ops.pyramid import Pyramid
from concept_algebra.ops.priors.flair import Flair
from concept_algebra.ops.priors.none import NoPrior
from concept_algebra.ops.priors.settings import FlairSettings, NoSettings, VsdSettings
from concept_algebra.ops.priors.vsd import PriorAlarm
from concept_algebra.ops.render import APART, RESTART, render, renders, stages
from concept_algebra.ops.run_state import OtherRun, RunState
from concept_algebra.ops.tracks import Hold, both, dialled, settings
from concept_algebra.ops.wear import worn

STEPS = 8
GENERATORS = {"image": ToyPicture((3, 16, 16)), "audio": ToySound(), "video": ToyClip()}


@pytest.fixture(scope="module")
def target(encoder):
    return Concept.from_text("fire", encoder)


def made(target, encoder, dial=0.0, modality="image", seed=3, **more):
    return render(target, encoder, GENERATORS[modality], "natural" if dial else "honest", dialled(modality, dial, steps=STEPS), seed, **more)


def equal(a, b):
    return torch.equal(a.latent, b.latent) and torch.equal(a.media, b.media) and a.trajectory == b.trajectory


def test_a_batch_starts_each_seed_where_it_starts_alone(target, encoder):
    two = renders(target, encoder, GENERATORS["image"], "honest", settings("image", "honest", steps=1), [3, 4])
    assert [each.seed for each in two] == [3, 4]
    for each in two:
        start = GENERATORS["image"].start(1, each.seed)
        assert torch.equal(each.latent, start)
        assert len(each.trajectory) == 1 and each.trajectory[0]["norm"] == pytest.approx(float(start.square().mean().sqrt()))


@pytest.mark.parametrize("dial", [0.0, 1.0])
@pytest.mark.parametrize("modality", GENERATORS)
def test_one_look_draws_nothing_and_then_a_batch_is_its_renders_alone(target, encoder, modality, dial):
    # with one look nothing random is in the objective; a sweep of one level draws no fresh noise either
    chosen = dataclasses.replace(dialled(modality, dial, steps=4), crops=1, prior=FlairSettings(1) if dial else NoSettings())
    together = renders(target, encoder, GENERATORS[modality], "honest", chosen, [3, 4, 5])
    for each in together:
        lone = render(target, encoder, GENERATORS[modality], "honest", chosen, each.seed)
        # two looks of the same worth may be told apart by the last bit; rounding is all that may differ
        assert torch.allclose(each.latent, lone.latent, atol=2e-3)
        assert each.cosine == pytest.approx(lone.cosine, abs=1e-3)
        assert [row["loss"] for row in each.trajectory] == pytest.approx([row["loss"] for row in lone.trajectory], abs=1e-3)


def test_of_candidates_the_best_scored_is_kept(target, encoder):
    generator = GENERATORS["image"]
    chosen = dataclasses.replace(settings("image", "natural", steps=4), candidates=3)
    two = renders(target, encoder, generator, "natural", chosen, [3, 4], leakage=True)
    assert [each.seed for each in two] == [3, 4]
    for each in two:
        assert each.looks[-1][1] is each.media and len(each.trajectory) == 4
        assert 0 <= each.settings["candidate"] < 3
    # in one batch they share the looks' randomness and not more: one with a single look is told from another by its start
    drawn = dataclasses.replace(chosen, crops=1, prior=FlairSettings(1))
    whole = render(target, encoder, generator, "natural", drawn, 3)
    each = [render(target, encoder, generator, "natural", dataclasses.replace(drawn, candidates=1), 3 + k * APART) for k in range(3)]
    assert whole.instruments.robust == pytest.approx(max(one.instruments.robust for one in each), abs=1e-3)
    assert whole.settings["candidate"] == max(range(3), key=lambda k: each[k].instruments.robust)


class Telling(ToyPicture):
    """A generator that reads any direction as one and the same law of pictures."""

    def told(self, direction, space):
        return (0.5, 1.0)


@pytest.mark.parametrize("prior, told", [(FlairSettings(2), True), (NoSettings(), False)])
def test_the_record_says_told_where_a_prior_was(target, encoder, prior, told):
    chosen = dataclasses.replace(settings("image", "natural", steps=2), prior=prior, candidates=1)
    assert chosen.told
    assert render(target, encoder, Telling(), "natural", chosen, 3).settings["told"] is told
    assert render(target, encoder, GENERATORS["image"], "natural", chosen, 3).settings["told"] is False


def test_no_seeds_are_refused(target, encoder):
    with pytest.raises(ValueError, match="no seed was given"):
        renders(target, encoder, GENERATORS["image"], "honest", settings("image", "honest", steps=1), [])


def test_no_candidates_are_refused():
    with pytest.raises(ValueError, match="candidates must be at least 1, not 0"):
        dataclasses.replace(settings("image", "natural"), candidates=0)


def test_a_prior_has_the_schedule_that_suits_it():
    natural = settings("image", "natural", prior=VsdSettings())
    assert natural.prior == VsdSettings() and natural.schedule.descent == "adam" and not natural.told and natural.candidates == 1
    assert settings("image", "natural", prior=FlairSettings(7)).prior.levels == 7
    half = dialled("image", 0.5, hold=Hold(VsdSettings()))
    assert half == dataclasses.replace(natural, schedule=dataclasses.replace(natural.schedule, strength=0.5))
    ((schedule, prior),) = stages(half, GENERATORS["image"], False)
    assert schedule.strength == 0.5 and prior.settings == VsdSettings()
    with pytest.raises(ValueError, match="honest render has no prior, and this one has VsdSettings"):
        settings("image", "honest", prior=VsdSettings())


def test_the_honest_result_is_the_look_that_survives_wear_best(target, encoder):
    one = made(target, encoder)
    generator = GENERATORS["image"]
    assert one.score == pytest.approx(one.instruments.robust, abs=1e-3)
    for step, media, _ in one.looks:
        shown = float(cosines(worn(media[None], "image"), target.direction, encoder, generator))
        assert shown <= one.score + 0.02, f"the look at step {step} was better"


def test_a_judge_chooses_and_its_gap_is_measured(target, encoder):
    other = copy.copy(encoder)
    other.space = dataclasses.replace(encoder.space, id="judge-0")
    judge = Judge(other, Concept.from_text("water", other))
    one = made(target, encoder, judge=judge)
    clean = float(cosines(one.media[None], judge.concept.direction, other, GENERATORS["image"]))
    assert one.score == pytest.approx(clean, abs=0.02) and one.instruments.held_out_gap is not None
    assert made(target, encoder).instruments.held_out_gap is None


def test_a_judge_that_says_nothing_is_refused_before_anything_is_drawn(target, encoder):
    drawn = []
    with pytest.raises(ValueError, match="another encoder has to judge it"):
        made(target, encoder, judge=Judge(encoder, target), watch=drawn.append)
    seeing = copy.copy(encoder)
    seeing.space, seeing.modalities = dataclasses.replace(encoder.space, id="judge-0"), frozenset({"text", "image"})
    with pytest.raises(ValueError, match="the judge 'judge-0' embeds image, text, and the medium is audio"):
        made(target, encoder, modality="audio", judge=Judge(seeing, Concept.from_text("fire", seeing)), watch=drawn.append)
    assert not drawn


# --- the dial


@pytest.mark.parametrize("modality", GENERATORS)
def test_the_ends_of_the_dial_are_the_tracks_bit_for_bit(target, encoder, modality):
    for dial, track in ((0.0, "honest"), (1.0, "natural")):
        generator = GENERATORS[modality]
        assert equal(made(target, encoder, dial, modality), render(target, encoder, generator, track, settings(modality, track, steps=STEPS), 3))


def test_between_the_ends_steps_are_shared_and_a_sweep_begins_at_the_dial():
    generator = GENERATORS["image"]
    for dial, opening in ((0.25, 75), (0.5, 50), (0.9, 10)):
        (first, none), (second, prior) = stages(dialled("image", dial, steps=100), generator, False)
        assert isinstance(none, NoPrior) and isinstance(prior, Flair)
        assert (first.steps, second.steps, prior.settings.levels, prior.highest) == (opening, 100 - opening, 100 - opening, dial)
        assert second.strength == 1 and first.descent == "adam"
    assert stages(dialled("image", 0.9), generator, True)[-1][1].highest == RESTART


def test_one_trajectory_runs_through_both_stages(target, encoder):
    seen = []
    one = made(target, encoder, 0.5, watch=seen.append)
    assert [row["step"] for row in one.trajectory] == [step.index for step in seen] == list(range(STEPS))
    assert {step.total for step in seen} == {STEPS}
    assert ["prior_time" in row for row in one.trajectory] == [False] * 4 + [True] * 4


def test_more_of_the_dial_keeps_less_of_what_the_objective_drew():
    """The sweep alone, over a latent that it did not make: its likeness falls as the dial rises."""
    generator = ToyPicture((3, 64, 64))
    given = generator.start(1, 9)
    kept = []
    for dial in (0.1, 0.3, 0.6, 0.9, 1.0):
        (schedule, prior) = stages(dialled("image", dial), generator, False)[-1]
        nothing = Objective("nothing", lambda media, moment: Measure(0 * media.flatten(1).sum(1), {}))
        last = list(optimise(generator, nothing, prior, schedule, 3, start=given))[-1].latent
        assert float(last.square().mean().sqrt()) == pytest.approx(1, abs=0.05), "a sweep ends on the data's own law from any level"
        kept.append(float(torch.cosine_similarity(last.flatten(), given.flatten(), dim=0)))
    # at 1 the given latent is itself the noise
    assert kept[:4] == sorted(kept[:4], reverse=True) and kept[0] > 0.95 and kept[3] < 0.3


def test_noise_laid_over_a_given_latent_is_not_the_noise_it_began_with():
    generator = ToyPicture((3, 64, 64))
    start = generator.start(1, 3)
    prior = Flair(generator, FlairSettings(4), 0.5)
    next(optimise(generator, Objective("nothing", lambda media, moment: Measure(0 * media.flatten(1).sum(1), {})), prior, settings("image", "honest", steps=4).schedule, 3, start=start))
    noise = prior.state_dict()["noise"]
    assert abs(float(torch.cosine_similarity(noise.flatten(), start.flatten(), dim=0))) < 0.05


@pytest.mark.parametrize("dial", [-0.1, 1.1, float("nan")])
def test_a_dial_outside_its_range_is_refused(dial):
    with pytest.raises(ValueError, match="dial must lie in 0..1"):
        dialled("image", dial)


@pytest.mark.parametrize("started, highest", [(False, 1.0), (True, RESTART)])
def test_a_dial_that_leaves_no_step_to_draw_is_the_whole_sweep(started, highest):
    """Noise of level .9 laid over noise that nothing was drawn from is not what a prior at that level expects."""
    ((schedule, prior),) = stages(dialled("image", 0.9, steps=4), GENERATORS["image"], started)
    assert (schedule.steps, prior.highest) == (4, highest)
    assert stages(dialled("image", 0.55, steps=1), GENERATORS["image"], True)[-1][1].highest == 0.55


def test_half_a_sweep_without_an_opening_is_refused():
    natural = dialled("image", 0.5)
    with pytest.raises(ValueError, match="needs an opening"):
        dataclasses.replace(natural, opening=None)


# --- both tracks


def test_both_tracks_from_one_call(target, encoder):
    seen = []
    honest, between, natural = both(target, encoder, GENERATORS["image"], 3, dial=0.5, steps=STEPS, watch=lambda dial, step: seen.append(dial))
    assert equal(honest, made(target, encoder, 0.0)) and equal(between, made(target, encoder, 0.5)) and equal(natural, made(target, encoder, 1.0))
    assert seen == [0.0] * STEPS + [0.5] * STEPS + [1.0] * STEPS
    assert [each.track for each in (honest, between, natural)] == ["honest", "natural", "natural"]
    assert len(both(target, encoder, GENERATORS["image"], 3, steps=2)) == 2
    assert len(both(target, encoder, GENERATORS["image"], 3, dial=1.0, steps=2)) == 2


# --- the prior alone


@pytest.mark.parametrize("dial", [0.5, 1.0])
def test_alone_is_a_run_without_a_gradient(dial):
    generator = GENERATORS["image"]
    todo = lambda: stages(dialled("image", dial, steps=STEPS), generator, False)  # noqa: E731
    nothing = Objective("nothing", lambda media, moment: Measure(0 * media.flatten(1).sum(1), {}))
    last = None
    for schedule, prior in todo():
        last = list(optimise(generator, nothing, prior, schedule, 3, start=last))[-1].latent
    assert torch.allclose(alone(generator, todo(), [3]), last, atol=1e-5)


def test_alone_is_made_once_for_every_target_and_with_room_for_few(monkeypatch):
    calls = []

    class Counted(ToyPicture):
        def predict_x0(self, *args, **more):
            calls.append(1)
            return super().predict_x0(*args, **more)

    generator = Counted((3, 8, 8))
    generator.id = "counted"
    todo = lambda steps: stages(dialled("image", 1.0, steps=steps), generator, False)  # noqa: E731
    with torch.inference_mode():
        first = alone(generator, todo(3), [1])
    assert not first.is_inference()
    count = len(calls)
    assert torch.equal(alone(generator, todo(3), [1]), first) and len(calls) == count
    monkeypatch.setattr(remembered, "KEPT", 2)
    for steps in (4, 5):
        alone(generator, todo(steps), [1])
    alone(generator, todo(3), [1])
    assert len(calls) > 2 * count, "the oldest was forgotten"


def test_alone_is_made_for_each_size_of_one_generator():
    made = []
    for side in (8, 16):
        generator = ToyPicture((3, side, side))
        generator.id = "of any size"
        made.append(alone(generator, stages(dialled("image", 1.0, steps=3), generator, False), [1]))
    assert [each.shape[-1] for each in made] == [8, 16]


def test_a_lone_prior_raises_no_alarm_that_would_be_the_renders(target, encoder, recwarn):
    generator, chosen = load("image", encoder), dialled("image", 1.0, steps=8, hold=Hold(VsdSettings(replay=0, rank=2, lr=1e-9)))
    [(schedule, prior)] = stages(chosen, generator, False)
    alone(generator, [(schedule, prior)], [5])
    assert not [w for w in recwarn if w.category is PriorAlarm]
    nothing = Objective("nothing", lambda media, moment: Measure(0 * media.flatten(1).sum(1), {}))
    list(optimise(generator, nothing, prior, schedule, 5))
    assert [w for w in recwarn if w.category is PriorAlarm], "what learns nothing is one in a render"


def test_alone_shows_every_step_and_stops_when_it_is_asked_to():
    class Stop(Exception):
        pass

    def stopping(done, total):
        seen.append((done, total))
        if done == 2:
            raise Stop

    generator, seen = GENERATORS["image"], []
    todo = lambda: stages(dialled("image", 0.5, steps=4), generator, False)  # noqa: E731
    with pytest.raises(Stop):
        alone(generator, todo(), [11], watch=stopping)
    assert seen == [(1, 4), (2, 4)]
    seen.clear()
    watch = lambda done, total: seen.append((done, total))  # noqa: E731
    whole = alone(generator, todo(), [11], watch=watch)
    assert seen == [(done, 4) for done in (1, 2, 3, 4)], "half a run is not remembered"
    assert alone(generator, todo(), [11], watch=watch) is whole and seen[4:] == [(4, 4)]


def test_a_render_shows_how_far_the_prior_alone_has_come(target, encoder):
    seen = []
    made(target, encoder, 1.0, seed=17, leakage=True, watch_alone=lambda done, total: seen.append(done))
    assert seen == list(range(1, STEPS + 1))


class Vivid(ToyPicture):
    """Its pictures have more contrast than can be shown."""

    id = "vivid"

    def decode(self, z, fast=False):
        return 0.5 + 0.5 * z


def test_leakage_is_the_cosine_of_the_prior_alone(target, encoder):
    generator = Vivid((3, 16, 16))
    one = render(target, encoder, generator, "natural", dialled("image", 1.0, steps=STEPS), 3, leakage=True)
    lone = generator.decode(alone(generator, stages(dialled("image", 1.0, steps=STEPS), generator, False), [3 + APART * one.settings["candidate"]]))
    assert lone.min() < 0, "as it is shown, and not as it was decoded, or a range that no picture has would count"
    cosine = float(cosines(lone.clamp(0, 1), target.direction, encoder, generator))
    assert one.cosine > 0.05
    assert one.instruments.leakage == pytest.approx(max(cosine, 0) / one.cosine, abs=1e-4)
    assert made(target, encoder, 1.0).instruments.leakage is None
    assert made(target, encoder, 0.0, leakage=True).instruments.leakage is None


# --- settings


def test_usual_and_thorough_settings():
    usual, thorough = settings("image", "honest").schedule, settings("image", "honest", thorough=True).schedule
    assert (usual.steps, thorough.steps) == (100, 2000)
    for schedule in (usual, thorough):
        assert (schedule.lr, schedule.final_lr, schedule.descent) == (0.1, 0.005, "adam")
    assert thorough.ema == pytest.approx(0.99) and (thorough.plateau.window, thorough.plateau.gain) == (200, 0.002)
    natural = settings("image", "natural", thorough=True)
    assert natural.prior == FlairSettings(natural.schedule.steps) and natural.schedule.ema == 0 and natural.schedule.plateau is None
    with pytest.raises(ValueError, match="quick or thorough"):
        settings("image", "honest", quick=True, thorough=True)
    with pytest.raises(ValueError, match="steps"):
        settings("image", "honest", steps=0)


# --- taken up again


@pytest.mark.parametrize("dial", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("done", [1, 4, 6])
def test_a_render_taken_up_again_is_the_same(target, encoder, tmp_path, dial, done):
    class Stop(Exception):
        pass

    def stopping(step):
        if step.index == done - 1:
            step.state().save(tmp_path / "run.safetensors")
            raise Stop

    with pytest.raises(Stop):
        made(target, encoder, dial, watch=stopping)
    whole, rest = made(target, encoder, dial), made(target, encoder, dial, state=RunState.load(tmp_path / "run.safetensors"))
    assert torch.equal(rest.media, whole.media) and rest.cosine == whole.cosine
    assert rest.trajectory == whole.trajectory[done:]


def test_a_render_of_another_target_is_not_taken_up(target, encoder):
    states = []
    made(target, encoder, watch=lambda step: states.append(step.state()))
    with pytest.raises(OtherRun, match="its objective was"):
        made(Concept.from_text("water", encoder), encoder, state=states[2])
    with pytest.raises(OtherRun, match="its objective was"):
        made(target, encoder, 1.0, state=states[2])
    with pytest.raises(OtherRun, match="from a latent"):
        made(target, encoder, state=states[2], start=torch.ones(1, 3, 16, 16))
    other = copy.copy(encoder)
    other.space = dataclasses.replace(encoder.space, id="another-0")
    with pytest.raises(OtherRun, match="judged by another"):
        made(target, encoder, state=states[2], judge=Judge(other, Concept.from_text("fire", other)))


def test_numbers_on_the_hot_path_suit_apple_silicon(target, encoder):
    chosen = dialled("image", 0.5, steps=2)
    chosen = dataclasses.replace(chosen, opening=dataclasses.replace(chosen.opening, parametrisation=Pyramid(3)))
    with apple_silicon():
        render(target, encoder, GENERATORS["image"], "natural", chosen, 3, leakage=True)
