"""Several seeds in one batch, the running mean, the kept best, the plateau: against closed forms and runs alone."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_optimise import SCHEDULE, jittered, run, toward
from toys import GaussianGenerator

from concept_algebra.ops.objective.value import Measure, Objective
from concept_algebra.ops.optimise import OptimisationError
from concept_algebra.ops.particles import Best, Mean
from concept_algebra.ops.pyramid import Pyramid
from concept_algebra.ops.schedule import Plateau, Schedule, Watch


@pytest.mark.parametrize("descent", ["adam", "normalised"])
@pytest.mark.parametrize("levels", [1, 3])
def test_a_particle_in_a_batch_goes_as_it_goes_alone(descent, levels):
    schedule = Schedule(20, lr=0.1, final_lr=0.01, look_every=5, descent=descent, ema=0.9, parametrisation=Pyramid(levels))
    score = lambda media: -media.flatten(1).square().mean(1)  # noqa: E731
    together = run(schedule=schedule, seed=[3, 11, 5], score=score)
    for i, seed in enumerate([3, 11, 5]):
        for batch, alone in zip(together, run(schedule=schedule, seed=seed, score=score)):
            assert torch.allclose(batch.latent[i], alone.latent[0], atol=1e-6)
            assert torch.allclose(batch.best[i], alone.best[0], atol=1e-6)
            assert torch.allclose(batch.losses[i], alone.losses[0], rtol=1e-5)
            assert torch.allclose(batch.scores[i], alone.scores[0], rtol=1e-5)
            assert {name: values[i].item() for name, values in batch.measured.items()} == pytest.approx(alone.metrics, rel=1e-5)


@pytest.mark.parametrize("descent", ["adam", "normalised"])
def test_how_large_a_loss_is_changes_nothing_at_any_step(descent):
    """Weights mean the same whatever the medium's gradients are: not only at the first step, as Adam alone would have it."""
    schedule = Schedule(20, lr=0.1, final_lr=0.01, descent=descent)
    grown = Objective("grown", lambda media, moment: Measure(10 ** (4 * moment.progress - 2) * toward(0.5)(media, moment).loss, {}))
    assert torch.allclose(run(schedule=schedule)[-1].latent, run(grown, schedule=schedule)[-1].latent, atol=1e-4)


def test_starts_are_the_seeds_own_bit_for_bit():
    together = run(schedule=Schedule(1, 0.1, 0.1), seed=[3, 11])
    assert torch.equal(together[0].latent, torch.cat([GaussianGenerator().start(1, seed) for seed in (3, 11)]))


def test_one_loss_and_metric_are_the_means_of_the_particles():
    step = run(seed=[3, 11])[4]
    assert step.loss == pytest.approx(float(step.losses.mean())) and len(step.losses) == 2
    assert step.metrics["norm"] == pytest.approx(float(step.latent.square().flatten(1).mean(1).sqrt().mean()))


def test_each_particle_keeps_its_own_best():
    steps = run(schedule=Schedule(30, lr=2.0, final_lr=2.0), seed=[3, 11])
    kept = [min(range(30), key=lambda n: float(steps[n].losses[i])) for i in (0, 1)]
    for i, n in enumerate(kept):
        assert torch.equal(steps[-1].best[i], steps[n].latent[i])


def test_no_seeds_are_refused():
    with pytest.raises(ValueError, match="no seed was given"):
        run(seed=[])


def test_a_score_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"the score of 2 media has shape \(\), expected one number for each"):
        run(seed=[1, 2], score=lambda media: media.mean())


def test_result_is_chosen_by_score_and_not_by_loss():
    # the score likes latents near 0.9, which the run passes on its way from above to 0.5
    schedule = Schedule(60, lr=0.1, final_lr=0.1, look_every=1, warmup=0)
    score = lambda media: -(media - 0.9).square().flatten(1).mean(1)  # noqa: E731
    start = torch.full((1, *GaussianGenerator().latent_shape), 3.0)
    steps = run(schedule=schedule, score=score, start=start)
    scores = [float(score(step.latent)) for step in steps]
    best = max(range(60), key=scores.__getitem__)
    assert 0 < best < 59 and steps[best].loss > steps[-1].loss
    assert torch.equal(steps[-1].best, steps[best].latent)
    assert float(steps[-1].scores) == pytest.approx(scores[best])


def test_scores_are_asked_for_only_at_looks_and_of_full_decodings():
    asked = []

    class Two(GaussianGenerator):
        def decode(self, z, fast=False):
            return z + (100.0 if fast else 0.0)

    def score(media):
        asked.append(float(media.mean()))
        return media.flatten(1).mean(1)

    from concept_algebra.ops.optimise import optimise
    from concept_algebra.ops.priors.none import NoPrior

    list(optimise(Two(), toward(0.5), NoPrior(), SCHEDULE, 7, score=score))
    assert len(asked) == 4 and all(abs(mean) < 50 for mean in asked)


def test_running_mean_is_previewed_and_can_win():
    # swinging about the optimum, every latent is off and their mean is not
    schedule = Schedule(60, lr=1.0, final_lr=1.0, warmup=0, look_every=60, ema=0.97)
    steps = run(schedule=schedule, score=lambda media: -(media - 0.5).square().flatten(1).mean(1))
    decay, latents = 0.97, torch.cat([step.latent for step in steps])
    weights = decay ** torch.arange(59, -1, -1.0)
    mean = (weights.view(-1, 1, 1, 1) * latents).sum(0, keepdim=True) / weights.sum()
    assert torch.allclose(steps[-1].preview, mean, atol=1e-5)
    far = lambda z: float((z - 0.5).square().mean())  # noqa: E731
    assert far(mean) < far(steps[-1].latent)
    assert torch.equal(steps[-1].best, steps[-1].preview)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=20), st.floats(0, 0.99))
def test_mean_of_what_never_changes_is_that(values, decay):
    mean = Mean(torch.zeros(1, 2), decay)
    for _ in values:
        mean.add(torch.full((1, 2), values[0]))
    assert torch.allclose(mean.latent, torch.full((1, 2), values[0]), rtol=1e-4, atol=1e-5)


def test_a_cost_that_is_no_number_is_never_best():
    best = Best(torch.zeros(2, 3))
    best.offer(torch.ones(2, 3), torch.tensor([float("nan"), 1.0]))
    assert torch.equal(best.latent, torch.tensor([[0.0] * 3, [1.0] * 3]))


def stopping(losses, plateau):
    watch = Watch(plateau, 1)
    return next((n for n, loss in enumerate(losses, 1) if watch.stops(torch.tensor([loss]))), None)


@given(st.integers(2, 30), st.floats(0.1, 5))
def test_a_constant_loss_stops_after_three_windows(window, loss):
    assert stopping([loss] * 200, Plateau(window, 0.01)) == 3 * window


@pytest.mark.parametrize("share, stops", [(0.9, True), (1.1, False)])
def test_an_exponential_stops_just_when_it_gains_less_than_the_share(share, stops):
    # exp(-k n) falls by 1 - exp(-k window) of itself in every window, however it is averaged
    window, gain = 20, 0.1
    k = -torch.tensor(1 - share * gain).log().item() / window
    losses = [2.718281828 ** (-k * n) for n in range(600)]
    assert (stopping(losses, Plateau(window, gain)) is not None) == stops


def test_one_bad_window_does_not_stop():
    window = 10
    falling = [1 - 0.01 * n for n in range(20)]
    assert stopping([*falling, *[falling[-1]] * window, *(falling[-1] * 0.9**n for n in range(60))], Plateau(window, 0.05)) is None


def test_a_batch_goes_on_while_one_particle_gains():
    watch = Watch(Plateau(5, 0.01), 2)
    assert not any(watch.stops(torch.tensor([1.0, 0.9**n])) for n in range(50))


def test_a_run_on_a_plateau_ends_with_a_look_and_says_why():
    schedule = Schedule(200, lr=0.5, final_lr=0.5, look_every=1000, plateau=Plateau(10, 0.002))
    flat = Objective("flat", lambda media, moment: Measure(1 + 0 * media.flatten(1).sum(1), {}))
    steps = run(flat, schedule=schedule)
    assert len(steps) == 30 and steps[-1].preview is not None
    assert steps[-1].stopped == "the loss gained less than 0.20% over 10 steps, 2 times in a row: stopped after 30 of 200 steps"
    assert {step.stopped for step in steps[:-1]} == {None}
    assert len(run(flat, schedule=dataclasses.replace(schedule, plateau=None))) == 200


@pytest.mark.parametrize("wrong", [{"window": 1}, {"gain": 0.0}, {"gain": 1.0}])
def test_a_plateau_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Plateau(**wrong)


@pytest.mark.parametrize("ema", [1.0, -0.1])
def test_a_decay_that_makes_no_sense_is_refused(ema):
    with pytest.raises(ValueError, match="ema"):
        Schedule(10, 0.1, 0.1, ema=ema)


@pytest.mark.parametrize("name, wrong", [("warmup", -1), ("descent", "Adam")])
def test_a_schedule_that_makes_no_sense_is_refused(name, wrong):
    with pytest.raises(ValueError, match=f"^{name} must be"):
        Schedule(10, 0.1, 0.1, **{name: wrong})


def trouble(steps):
    """toward 0.5, with a loss that is no number on these calls."""
    calls = []

    def measure(media, moment):
        calls.append(moment.progress)
        loss, metrics = jittered(0.5)(media, moment)
        return Measure(loss + (float("nan") if len(calls) - 1 in steps else 0.0), metrics)

    return Objective("trouble", measure)


def test_trouble_once_goes_back_to_the_last_safe_point_at_half_the_rate():
    schedule = Schedule(60, lr=0.1, final_lr=0.1, warmup=0)
    well, ill = run(jittered(0.5), schedule=schedule), run(trouble({40}), schedule=schedule)
    assert [step.index for step in ill] == list(range(60))
    assert all(torch.equal(a.latent, b.latent) for a, b in zip(well[:40], ill[:40]))
    assert torch.equal(ill[40].latent, well[25].latent), "25 steps are from one safe point to the next"
    assert [step.metrics["rate"] for step in ill[38:42]] == pytest.approx([0.1, 0.1, 0.05, 0.05])
    assert ill[-1].loss < 0.02


def test_trouble_twice_ends_the_run():
    with pytest.raises(OptimisationError, match="at step 50 of 60"):
        run(trouble({40, 51}), schedule=Schedule(60, lr=0.1, final_lr=0.1))
