"""The loop: it descends, stops, repeats itself, keeps the best and says when numbers break."""

import dataclasses

import pytest
import torch
from toys import GaussianGenerator

from concept_algebra.ops.objective.value import Measure, Objective
from concept_algebra.ops.optimise import OptimisationError, Schedule, Step, optimise
from concept_algebra.ops.priors.none import NoPrior
from concept_algebra.ops.priors.protocol import PriorStep


def toward(target):
    def measure(media, moment):
        distance = (media - target).square().flatten(1).mean(1)
        return Measure(distance, {"distance": distance.detach()})

    return Objective("toward", measure)


def jittered(target):
    """An objective that draws from the run's randomness."""

    def measure(media, moment):
        noise = 0.1 * torch.randn(media.shape, generator=moment.rng)
        return toward(target)(media + noise, moment)

    return Objective("jittered", measure)


SCHEDULE = Schedule(steps=60, lr=0.1, final_lr=0.01, look_every=20)


def run(objective=None, prior=None, schedule=SCHEDULE, seed=7, **more):
    return list(optimise(GaussianGenerator(), objective or toward(0.5), prior or NoPrior(), schedule, seed, **more))


def test_descends_to_the_closed_form_optimum():
    steps = run(schedule=Schedule(steps=300, lr=0.1, final_lr=0.001))
    assert steps[0].loss > 0.5
    assert torch.allclose(steps[-1].latent, torch.full_like(steps[-1].latent, 0.5), atol=0.01)


def test_first_rates_and_steps_are_adams():
    # Adam's first step moves every value by exactly the rate, whatever the gradient.
    steps = run(schedule=Schedule(steps=2, lr=0.1, final_lr=0.1, warmup=0))
    moved = (steps[1].latent - steps[0].latent).abs()
    assert torch.allclose(moved, torch.full_like(moved, 0.1), atol=1e-3)


def test_rate_is_warmed_up_then_falls_along_a_half_cosine():
    schedule = Schedule(steps=100, lr=0.1, final_lr=0.02, warmup=4)
    assert schedule.rate(0) == pytest.approx(0.02, rel=0.01)
    assert schedule.rate(50) == pytest.approx(0.06)
    assert schedule.rate(100) == pytest.approx(0.02)


def test_step_says_where_it_is():
    steps = run()
    assert [step.index for step in steps] == list(range(60))
    assert {step.total for step in steps} == {60}
    assert set(steps[3].metrics) == {"distance", "rate", "norm"}
    assert [step.index for step in steps if step.preview is not None] == [0, 20, 40, 59]
    with pytest.raises(dataclasses.FrozenInstanceError):
        steps[0].loss = 0.0


def test_reader_reads_the_previews_and_only_them():
    steps = run(reader=lambda media: float(media.mean()))
    for step in steps:
        assert step.reading == (None if step.preview is None else float(step.preview.mean()))


def test_preview_is_the_measured_latent_decoded():
    step = run()[20]
    assert torch.equal(step.preview, step.latent)


def test_equal_seeds_are_bit_equal_and_others_are_not():
    first, second, third = run(jittered(0.5)), run(jittered(0.5)), run(jittered(0.5), seed=8)
    assert all(torch.equal(a.latent, b.latent) and a.loss == b.loss for a, b in zip(first, second))
    assert not torch.equal(first[0].latent, third[0].latent)


def test_global_randomness_is_neither_used_nor_moved():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = run(jittered(0.5))[-1].latent
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(first, run(jittered(0.5))[-1].latent)


def test_steps_do_not_change_after_they_were_given():
    steps = optimise(GaussianGenerator(), toward(0.5), NoPrior(), SCHEDULE, 7)
    first = next(steps)
    kept = first.latent.clone()
    for _ in range(5):
        next(steps)
    assert torch.equal(first.latent, kept)


def test_closing_stops():
    measured = []

    def measure(media, moment):
        measured.append(moment.progress)
        return toward(0.5)(media, moment)

    steps = optimise(GaussianGenerator(), Objective("counted", measure), NoPrior(), SCHEDULE, 7)
    next(steps), next(steps)
    steps.close()
    assert list(steps) == []
    assert len(measured) == 2


def test_works_where_gradients_are_off_and_leaves_them_off():
    with torch.no_grad():
        steps = optimise(GaussianGenerator(), toward(0.5), NoPrior(), SCHEDULE, 7)
        next(steps), next(steps)
        assert not torch.is_grad_enabled()


def spoilt(at, how):
    """A good objective until a step, then one whose loss or gradient is not a number."""
    seen = []

    def measure(media, moment):
        seen.append(1)
        loss, metrics = toward(0.5)(media, moment)
        if len(seen) > at:
            # sqrt has an infinite slope at 0; times 0 it is a NaN gradient under a perfectly good loss.
            loss = loss + (float("nan") if how == "loss" else 0 * (media - media.detach()).abs().sum().sqrt())
        return Measure(loss, metrics)

    return Objective("spoilt", measure)


@pytest.mark.parametrize("how", ["loss", "gradient"])
def test_what_is_not_a_number_ends_the_run_and_keeps_the_best(how):
    seen: list[Step] = []
    with pytest.raises(OptimisationError, match=f"the {how} is not a number at step 5 of 60") as caught:
        for step in optimise(GaussianGenerator(), spoilt(5, how), NoPrior(), SCHEDULE, 7):
            seen.append(step)
    assert len(seen) == 5
    assert torch.equal(caught.value.best, min(seen, key=lambda step: step.loss).latent)


def test_best_is_the_lowest_loss_so_far():
    # A rate far too high, so that the loss does not fall at every step.
    steps = run(schedule=Schedule(steps=30, lr=2.0, final_lr=2.0))
    losses = [step.loss for step in steps]
    assert any(later > earlier for earlier, later in zip(losses, losses[1:]))
    for step in steps:
        lowest = min(range(step.index + 1), key=losses.__getitem__)
        assert torch.equal(step.best, steps[lowest].latent)


class Push(NoPrior):
    """Displaces by a constant on one step."""

    def __init__(self, at, by):
        self.at, self.by = at, by

    def wants(self, step):
        return step == self.at

    def step(self, z, step):
        return PriorStep(torch.full_like(z, self.by), {"pushed": self.by})


@pytest.mark.parametrize("strength", [0.0, 0.25, 1.0])
def test_prior_is_added_as_it_is_and_never_through_adam(strength):
    schedule = dataclasses.replace(SCHEDULE, strength=strength)
    free, pushed = run(schedule=schedule), run(prior=Push(10, 3.0), schedule=schedule)
    assert torch.equal(free[9].latent, pushed[9].latent)
    assert torch.allclose(pushed[10].latent - free[10].latent, torch.tensor(3.0 * strength), atol=1e-5)
    assert pushed[10].metrics["pushed"] == 3.0
    assert "pushed" not in pushed[11].metrics


def test_best_starts_anew_when_the_prior_moves_the_latent():
    steps = run(prior=Push(30, 3.0))
    assert steps[30].loss > steps[29].loss
    assert torch.equal(steps[30].best, steps[30].latent)


def test_decodes_fast_first_and_fully_at_the_end():
    asked = []

    class Watched(GaussianGenerator):
        def decode(self, z, fast=False):
            asked.append(fast)
            return z

    list(optimise(Watched(), toward(0.5), NoPrior(), Schedule(steps=10, lr=0.1, final_lr=0.1), 7))
    assert asked == [True] * 8 + [False] * 2


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"look_every": 0}, {"final_lr": 0.2}, {"lr": float("nan")}, {"strength": 1.5}]
)
def test_schedule_refuses_what_makes_no_sense(wrong):
    with pytest.raises(ValueError, match="|".join(wrong)):
        dataclasses.replace(SCHEDULE, **wrong)


def test_begins_with_a_given_latent():
    start = torch.full((1, *GaussianGenerator().latent_shape), 0.25)
    assert torch.equal(run(schedule=Schedule(1, 0.1, 0.1), start=start)[0].latent, start)


@pytest.mark.parametrize("start, message", [(torch.zeros(1, 3), "has shape"), (None, "NaN")])
def test_an_unusable_start_is_refused(start, message):
    start = torch.full((1, *GaussianGenerator().latent_shape), float("nan")) if start is None else start
    with pytest.raises(ValueError, match=message):
        run(start=start)


def test_a_normalised_step_goes_along_the_gradient_and_is_as_long_as_the_rate():
    schedule = Schedule(steps=2, lr=0.1, final_lr=0.1, warmup=0, descent="normalised")
    first, second = run(schedule=schedule)
    moved = second.latent - first.latent
    downhill = 0.5 - first.latent  # of the mean squared distance to 0.5
    assert float(torch.cosine_similarity(moved.flatten(), downhill.flatten(), dim=0)) == pytest.approx(1, abs=1e-5)
    assert float(moved.square().mean().sqrt()) == pytest.approx(0.1, rel=1e-4)


def test_a_normalised_descent_ends_at_the_optimum():
    steps = run(schedule=Schedule(steps=100, lr=0.1, final_lr=0.0, descent="normalised"))
    assert torch.allclose(steps[-1].latent, torch.full_like(steps[-1].latent, 0.5), atol=0.01)
