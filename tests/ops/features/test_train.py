"""Training: what it learns, that it repeats itself bit for bit, and that it can be put down and taken up."""

import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from concept_algebra.benchmarks.synthetic_features import hierarchy, recovered
from concept_algebra.ops.features.sae import ANY
from concept_algebra.ops.features.train import Recipe, TrainingError, _Run, recipe, split, train

SMALL = Recipe(48, 4, (3, 9, 21, 48), 40, 64, 1e-3, seed=5)


def data(**counts):
    rng = torch.Generator().manual_seed(1)
    atoms = torch.nn.functional.normalize(torch.randn(32, 16, generator=rng), dim=1)
    made = {}
    for modality, count in counts.items():
        x = (torch.rand(count, 32, generator=rng) < 0.1).float() @ atoms + 0.05 * torch.randn(count, 16, generator=rng)
        x = x - x.mean(0)
        made[modality] = x / x.square().sum(1).mean().sqrt()
    return made


def same(one, other):
    return (
        all(torch.equal(a, b) for a, b in zip(one.autoencoder.parameters(), other.autoencoder.parameters()))
        and one.thresholds.keys() == other.thresholds.keys()
        and all(torch.equal(one.thresholds[m], other.thresholds[m]) for m in one.thresholds)
        and one.held_out == other.held_out
    )


@pytest.fixture(scope="module")
def tree():
    """(the data, {prefixes: what was trained}) of eight parents with five children each."""
    made = hierarchy(8, 5, 32, 64, 6000)
    plan = replace(recipe(6000, 64, width=80, k=5, steps=500), batch=256)
    return made, {name: train({"image": made.x}, replace(plan, groups=groups)) for name, groups in (("prefixes", plan.groups), ("plain", (80,)))}


def test_parents_are_recovered_and_a_plain_batch_top_k_lets_children_absorb_them(tree):
    made, trained = tree
    shares = {}
    for name, result in trained.items():
        code = result.autoencoder.encode(made.x, result.thresholds["image"])
        shares[name] = recovered(made, result.autoencoder.decoder, code)
    assert shares["prefixes"] >= 0.95 and shares["plain"] < 0.6


def test_few_latents_die_and_most_is_explained(tree):
    found = tree[1]["prefixes"].held_out["image"]
    # a quarter of the mean squared length is noise and stays; a tenth is noise after the signal's three features
    assert found.dead <= 0.1 and found.fvu < 0.2 and found.l0 == pytest.approx(5, abs=0.01)
    assert list(found.prefix_fvu) == sorted(found.prefix_fvu, reverse=True)
    assert found.prefix_fvu[0] > 0.7 and tree[1]["plain"].held_out["image"].fvu < found.fvu


def test_every_modality_has_k_nonzeros_by_its_own_threshold():
    result = train(data(text=700, image=300, video=64), SMALL)
    assert set(result.thresholds) == {"text", "image", "video", ANY} and set(result.held_out) == {"text", "image", "video"}
    for found in result.held_out.values():
        assert found.l0 == pytest.approx(4, abs=1 / found.count)
    assert len({float(threshold[0]) for threshold in result.thresholds.values()}) == 4


def test_equal_seeds_give_equal_bits_and_others_not():
    one, other = train(data(text=400), SMALL), train(data(text=400), SMALL)
    assert same(one, other) and not same(one, train(data(text=400), replace(SMALL, seed=6)))


class Stopped(Exception):
    pass


@pytest.mark.parametrize("stop", [1, 17, 40])
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path, stop):
    path, steps = tmp_path / "run.safetensors", []

    def until(progress):
        if progress.index + 1 == stop:
            raise Stopped

    with pytest.raises(Stopped):
        train(data(text=400, image=200), SMALL, path, until)
    taken_up = train(data(text=400, image=200), SMALL, path, lambda progress: steps.append(progress.index))
    assert steps == list(range(stop, 40))
    assert same(taken_up, train(data(text=400, image=200), SMALL))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_checkpoint_of_another_run_and_a_damaged_one_are_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    train(data(text=400), SMALL, path)
    for other in ((data(text=400), replace(SMALL, k=5)), (data(text=401), SMALL), (data(image=400), SMALL)):
        with pytest.raises(ValueError, match="run.safetensors is not a checkpoint of this recipe on these data"):
            train(*other, path)
    save_file({name: tensor for name, tensor in load_file(path).items() if name != "decoder.first"}, path)
    with pytest.raises(ValueError, match="is not a checkpoint of this recipe"):
        train(data(text=400), SMALL, path)
    path.write_bytes(b"\0" * 40)
    with pytest.raises(ValueError, match="is not a checkpoint: .*delete it to start anew"):
        train(data(text=400), SMALL, path)


def test_progress_is_told_and_held_out_vectors_are_measured_ten_times():
    told = []
    train(data(text=400, audio=100), SMALL, watch=told.append)
    assert [p.index for p in told] == list(range(40)) and {p.total for p in told} == {40}
    assert [p.index for p in told if p.held_out] == list(range(3, 40, 4))
    assert all(set(p.held_out) == {"text", "audio"} for p in told if p.held_out)
    assert told[-1].loss < told[0].loss and told[-1].held_out["text"].fvu < told[3].held_out["text"].fvu


def test_held_out_vectors_are_never_trained_on():
    x = data(text=400)["text"]
    learned, held = split(400, SMALL.seed)
    assert sorted([*learned.tolist(), *held.tolist()]) == list(range(400)) and len(held) == 32
    other = x.clone()
    other[held] = other[held].flip(1)
    one, two = train({"text": x}, SMALL), train({"text": other}, SMALL)
    assert all(torch.equal(a, b) for a, b in zip(one.autoencoder.parameters(), two.autoencoder.parameters()))
    assert one.held_out != two.held_out


def test_the_dead_are_offered_the_rest_and_come_back():
    x = data(text=2000)["text"]
    run = _Run(replace(SMALL, steps=400), 16, 400)
    run.autoencoder.encoder[24:] *= 0.02
    before = run.autoencoder.encoder[24:].clone()
    dead = []
    for _ in range(250):
        run.advance(x[torch.randint(2000, (64,), generator=run.rng)])
        dead.append(len(run.dead))
        if run.step < 40:
            # nobody counts as dead yet, and what does not fire is not touched
            assert torch.equal(run.autoencoder.encoder[24:], before) and dead[-1] == 0
    assert run.patience == 2560 and dead[39] == 24 and dead[-1] <= 4


def test_half_precision_data_and_inference_mode():
    x = data(text=400)["text"]
    with torch.inference_mode():
        result = train({"text": x.half()}, SMALL)
    leaf = x[:3].clone().requires_grad_()
    result.autoencoder.pre_activation(leaf).sum().backward()
    assert same(result, train({"text": x.half()}, SMALL))


def test_rows_stay_unit_and_the_rate_rises_and_falls():
    result = train(data(text=400), SMALL)
    assert (result.autoencoder.decoder.norm(dim=1) - 1).abs().max() < 1e-6
    plan = replace(SMALL, steps=100)
    rates = [plan.rate_at(step) for step in range(100)]
    assert rates[:5] == pytest.approx([2e-4, 4e-4, 6e-4, 8e-4, 1e-3]) and rates[5:81] == [1e-3] * 76
    assert rates[80:] == pytest.approx([1e-3 * (100 - step) / 20 for step in range(80, 100)])


@pytest.mark.parametrize("count, dimension, width", [(100_000, 768, 3072), (8000, 768, 800), (500, 16, 64), (10**6, 16, 64)])
def test_recipes_suit_the_data(count, dimension, width):
    plan = recipe(count, dimension)
    assert plan.width == width and plan.groups[-1] == width and plan.groups[0] == width // 16
    assert plan.k == min(24, width // 8) and plan.batch <= 1024
    assert len(recipe(count, dimension, width=9).groups) == len(set(recipe(count, dimension, width=9).groups))


def test_a_width_above_what_there_is_to_learn_from_is_refused():
    assert recipe(100, 16, width=100).width == 100
    with pytest.raises(ValueError, match="width is 101, expected at most 100"):
        recipe(100, 16, width=101)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"k": 0}, "k is 0, expected 1..47"),
        ({"k": 48}, "k is 48, expected 1..47"),
        ({"groups": (3, 9)}, "the last of them 48"),
        ({"groups": (9, 3, 48)}, "are not rising prefix ends"),
        ({"steps": 0}, "steps 0"),
        ({"batch": 3}, "batch 3"),
        ({"rate": math.nan}, "rate nan"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_impossible_recipes_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        train(data(text=100), replace(SMALL, **change))


@pytest.mark.parametrize(
    "x, message",
    [
        ({}, "nothing to train on"),
        ({"text": torch.zeros(63, 16)}, r"text data have shape \(63, 16\), expected 64 or more vectors of 16"),
        ({"text": torch.zeros(100)}, "text data have shape"),
        ({"text": data(text=100)["text"], "image": torch.zeros(100, 15)}, r"image data have shape \(100, 15\)"),
        ({"text": torch.full((100, 16), torch.nan)}, "text data contains NaN"),
        ({"text": 20 * data(text=100)["text"]}, "root mean square length of 20, expected about 1: centre them"),
    ],
)
def test_data_that_cannot_be_trained_on_are_named(x, message):
    with pytest.raises(ValueError, match=message):
        train(x, SMALL)


def test_a_loss_that_is_no_number_is_named():
    run = _Run(SMALL, 16, 400)
    run.autoencoder.encoder *= 1e30
    with pytest.raises(TrainingError, match="at step 0 of 40; try a smaller rate than 0.001"):
        run.advance(data(text=100)["text"])
