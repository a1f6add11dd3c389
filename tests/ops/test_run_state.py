"""A run taken up again is the run that would have been, bit for bit; another run is refused."""

import dataclasses
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_optimise import jittered
from toys import GaussianGenerator

from concept_algebra.ops.objective.value import Measure
from concept_algebra.ops.optimise import optimise
from concept_algebra.ops.pyramid import Pyramid
from concept_algebra.ops.priors.flair import Flair
from concept_algebra.ops.priors.settings import FlairSettings
from concept_algebra.ops.priors.none import NoPrior
from concept_algebra.ops.run_state import OtherRun, RunState
from concept_algebra.ops.schedule import Plateau, Schedule

STEPS = 24
HONEST = Schedule(STEPS, lr=0.1, final_lr=0.01, look_every=5, ema=0.9, plateau=Plateau(11, 1e-9), parametrisation=Pyramid(2))
NATURAL = Schedule(STEPS, lr=0.2, final_lr=0.0, descent="normalised")
SHAPE = (2, 8, 8)


def honest(state=None, schedule=HONEST, objective=None, generator=None, seed=(3, 5), score=lambda media: -media.flatten(1).mean(1)):
    return optimise(generator or GaussianGenerator(SHAPE), objective or jittered(0.5), NoPrior(), schedule, seed, score=score, state=state)


def natural(state=None, levels=STEPS, highest=1.0):
    generator = GaussianGenerator(SHAPE)
    return optimise(generator, jittered(0.5), Flair(generator, FlairSettings(levels), highest), NATURAL, (3, 5), state=state)


RUNS = {"honest": honest, "natural": natural, "few levels": lambda state=None: natural(state, 5), "from low": lambda state=None: natural(state, 9, 0.5)}


def same(a, b):
    tensors = ("latent", "best", "losses", "scores", "preview")
    pairs = [(getattr(a, name), getattr(b, name)) for name in tensors] + [(a.measured[name], b.measured[name]) for name in a.measured]
    return a.index == b.index and a.measured.keys() == b.measured.keys() and all(x is y is None or torch.equal(x, y) for x, y in pairs)


def stopped_after(steps, done):
    for step in steps:
        if step.index == done - 1:
            return step.state()


@pytest.mark.parametrize("kind", RUNS)
@given(done=st.integers(1, STEPS - 1))
@settings(max_examples=12)
def test_taken_up_from_a_file_the_rest_is_bit_equal(tmp_path_factory, kind, done):
    path = tmp_path_factory.mktemp("run") / "run.safetensors"
    stopped_after(RUNS[kind](), done).save(path)
    rest = list(RUNS[kind](state=RunState.load(path)))
    whole = list(RUNS[kind]())[done:]
    assert len(rest) == len(whole) == STEPS - done
    assert all(same(a, b) for a, b in zip(rest, whole))


def test_stopped_twice_is_as_good():
    once = stopped_after(honest(), 7)
    twice = stopped_after(honest(once), 15)
    assert all(same(a, b) for a, b in zip(honest(twice), list(honest())[15:]))


def test_taking_up_leaves_the_state_as_it_was():
    state = stopped_after(honest(), 7)
    kept = {name: tensor.clone() for name, tensor in state.tensors.items()}
    list(honest(state))
    assert all(torch.equal(tensor, kept[name]) for name, tensor in state.tensors.items())


def test_the_state_is_of_this_step_or_not_at_all():
    steps = honest()
    first = next(steps)
    next(steps)
    with pytest.raises(RuntimeError, match="the run has gone on from step 1 to 2"):
        first.state()


def test_a_run_that_ended_has_nothing_left():
    with pytest.raises(ValueError, match="the run had ended after 24 steps"):
        next(honest(stopped_after(honest(), STEPS)))
    flat = dataclasses.replace(HONEST, plateau=Plateau(3, 0.9))
    with pytest.raises(ValueError, match="the run had ended after 9 steps"):
        next(honest(stopped_after(honest(schedule=flat), 9), flat))


@pytest.mark.parametrize("done", [1, 4, 8])
def test_taken_up_a_run_comes_to_its_plateau_when_it_would_have(done):
    flat = dataclasses.replace(HONEST, plateau=Plateau(3, 0.9))
    rest = list(honest(stopped_after(honest(schedule=flat), done), flat))
    assert [step.index for step in rest] == list(range(done, 9))
    assert rest[-1].stopped == list(honest(schedule=flat))[-1].stopped


def test_taken_up_a_run_stays_as_slow_as_trouble_made_it():
    calls = []

    def measure(media, moment):
        calls.append(1)
        loss, metrics = jittered(0.5)(media, moment)
        return Measure(loss + (float("nan") if len(calls) == 4 else 0.0), metrics)

    troubled = dataclasses.replace(jittered(0.5), measure=measure)
    state = stopped_after(honest(objective=troubled), 7)
    rest, whole = list(honest(state)), list(honest())
    assert [step.metrics["rate"] for step in rest] == pytest.approx([step.metrics["rate"] / 2 for step in whole[7:]])


class Other(GaussianGenerator):
    id = "other"


@pytest.mark.parametrize(
    "name, other",
    [
        ("schedule", {"schedule": dataclasses.replace(HONEST, lr=0.2)}),
        ("seeds", {"seed": (3, 6)}),
        ("generator", {"generator": Other(SHAPE)}),
        ("objective", {"objective": dataclasses.replace(jittered(0.5), description="something else")}),
        ("result", {"score": None}),
    ],
)
def test_another_run_is_refused_by_name(name, other):
    state = stopped_after(honest(), 7)
    with pytest.raises(OtherRun, match=f"its {name} was"):
        next(honest(state, **other))


@pytest.mark.parametrize("other", [{"levels": 7}, {"highest": 0.5}])
def test_another_prior_is_refused(other):
    with pytest.raises(OtherRun, match=r"its prior was Flair\(settings=FlairSettings\(levels=24, guidance=4.0\), highest=1.0, told=False\)"):
        next(natural(stopped_after(natural(), 7), **other))


def test_a_run_of_another_size_is_refused():
    state, larger = stopped_after(honest(), 7), GaussianGenerator((SHAPE[0], *(2 * side for side in SHAPE[1:])))
    larger.id = GaussianGenerator(SHAPE).id
    with pytest.raises(OtherRun, match="its latents were .* and this generator's are"):
        next(honest(state, generator=larger))


def test_a_state_can_be_taken_up_where_gradients_and_versions_are_off(tmp_path):
    with torch.inference_mode():
        state = RunState.of(1, {}, {"part": {"x": torch.ones(3), "n": 2}})
    assert not state.tensors["part.x"].is_inference()
    assert state.part("part")["n"] == 2 and torch.equal(state.part("part")["x"], torch.ones(3))


def test_a_file_that_is_no_run_is_refused(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "x.safetensors"
    save_file({"x": torch.ones(1)}, path, {"format": "concept-algebra/run/1", "run": json.dumps({"index": 1})})
    with pytest.raises(ValueError, match="damaged state of a run"):
        RunState.load(path)
    save_file({"x": torch.ones(1)}, path, {"format": "other"})
    with pytest.raises(ValueError, match="is not a stopped run"):
        RunState.load(path)
    with pytest.raises(OSError):
        RunState.load(tmp_path / "none.safetensors")


def test_an_unwritable_place_is_named_and_leaves_nothing(tmp_path):
    state = stopped_after(honest(), 3)
    with pytest.raises(OSError, match="none"):
        state.save(tmp_path / "none" / "run.safetensors")
    state.save(tmp_path / "run.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["run.safetensors"]
