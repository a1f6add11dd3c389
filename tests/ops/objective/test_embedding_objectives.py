"""Objectives on embeddings: closed forms, gradients by finite differences, and the controls of research/optimise.md 2.5."""

import pytest
import torch
from drawn import MOMENT, SIZE, SPACE, drawn, embedding, with_tokens
from torch.nn.functional import normalize

from concept_algebra.ops.objective.contrast import contrast
from concept_algebra.ops.objective.patches import patches
from concept_algebra.ops.objective.pooled import pooled
from concept_algebra.ops.objective.rivals import distractors
from concept_algebra.ops.objective.pooling import best_fraction

def test_pooled_is_zero_where_the_space_places_the_direction():
    direction = drawn(SIZE, seed=2)
    placed = SPACE.place(direction, "image")[None]
    loss, metrics = pooled(direction, SPACE)(embedding(placed, placed[:, None]), MOMENT)
    assert float(loss) == pytest.approx(0, abs=1e-6)
    assert float(metrics["cosine"]) == pytest.approx(1, abs=1e-6)


def test_pooled_is_one_minus_the_centred_cosine():
    rows, direction = normalize(drawn(4, SIZE, seed=3), dim=-1), drawn(SIZE, seed=2)
    expected = torch.cosine_similarity(rows - SPACE.means["image"], direction[None])
    loss, metrics = pooled(5.0 * direction, SPACE)(embedding(rows, rows[:, None]), MOMENT)
    assert torch.allclose(loss, 1 - expected, atol=1e-6)
    assert torch.allclose(metrics["cosine"], expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["pooled", "patches", "contrast"])
def test_gradient_is_that_of_finite_differences(kind):
    direction, rivals = drawn(SIZE, seed=2, dtype=torch.float64), drawn(5, SIZE, seed=4, dtype=torch.float64)
    objective = {
        "pooled": pooled(direction, SPACE),
        "patches": patches(direction, rivals, SPACE),
        "contrast": contrast(direction, rivals, SPACE, temperature=0.3),
    }[kind]
    rows = normalize(drawn(2, 6, SIZE, seed=5, dtype=torch.float64), dim=-1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: objective(with_tokens(x), MOMENT).loss, rows)


def scored(rows, direction, rivals, **more):
    return patches(direction, rivals, SPACE, **more)(with_tokens(rows), MOMENT)


DIRECTION, RIVALS = drawn(SIZE, seed=2), drawn(5, SIZE, seed=4)
ROWS = normalize(drawn(2, 8, SIZE, seed=5), dim=-1)


def test_order_of_tokens_is_of_no_account():
    shuffled = ROWS[:, torch.randperm(8, generator=torch.Generator("cpu").manual_seed(6))]
    assert torch.allclose(scored(ROWS, DIRECTION, RIVALS).loss, scored(shuffled, DIRECTION, RIVALS).loss, atol=1e-6)


def test_right_target_costs_less_than_a_wrong_one():
    at_target = SPACE.place(DIRECTION, "image").expand(1, 8, SIZE)
    right = scored(at_target, DIRECTION, RIVALS)
    wrong = scored(at_target, RIVALS[0], torch.cat([DIRECTION[None], RIVALS[1:]]))
    assert float(right.loss) < 0.2 < 1 < float(wrong.loss)
    assert float(right.metrics["patches"]) > 0.5 > float(wrong.metrics["patches"])


def test_an_undecided_picture_costs_one():
    rows = ROWS[:1]
    loss = scored(rows, DIRECTION, DIRECTION.expand(5, SIZE)).loss
    assert float(loss) == pytest.approx(1, abs=1e-5)


def test_only_the_best_fraction_counts():
    # Half the tokens are at the target; what the other half says must not matter while half are asked for.
    there = SPACE.place(DIRECTION, "image").expand(1, 4, SIZE)
    away = SPACE.place(-DIRECTION, "image").expand(1, 4, SIZE)
    rival = drawn(1, SIZE, seed=9) - 3 * DIRECTION  # never the best of these tokens by the target's side
    half = scored(torch.cat([there, away], 1), DIRECTION, rival, fraction=0.5).metrics["patches"]
    full = scored(torch.cat([there, there], 1), DIRECTION, rival, fraction=0.5).metrics["patches"]
    assert torch.allclose(half, full, atol=1e-5)
    assert float(scored(torch.cat([there, away], 1), DIRECTION, rival, fraction=1.0).metrics["patches"]) < float(half)


def test_one_perfect_token_does_not_win():
    there = SPACE.place(DIRECTION, "image").expand(1, 1, SIZE)
    lone = torch.cat([there, ROWS[:1, 1:]], 1)
    all_there = there.expand(1, 8, SIZE)
    assert float(scored(lone, DIRECTION, RIVALS).metrics["patches"]) < 0.7 * float(scored(all_there, DIRECTION, RIVALS).metrics["patches"])


def test_distractors_are_seeded_rows_away_from_the_target():
    bank = normalize(drawn(200, SIZE, seed=7), dim=-1)
    picks = [distractors(DIRECTION, bank, 20, torch.Generator("cpu").manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(picks[0], picks[1]) and not torch.equal(picks[0], picks[2])
    assert picks[0].shape == (20, SIZE)
    assert float((picks[0] @ normalize(DIRECTION, dim=0)).max()) < 0.35


def test_bank_of_synonyms_is_refused():
    with pytest.raises(ValueError, match="wider bank"):
        distractors(DIRECTION, normalize(DIRECTION, dim=0)[None], 4, torch.Generator("cpu"))


@pytest.mark.parametrize("wrong", [{"fraction": 0.0}, {"fraction": 1.5}, {"distractors": RIVALS[0]}, {"distractors": RIVALS[:0]}])
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        patches(**{"direction": DIRECTION, "distractors": RIVALS, "space": SPACE} | wrong)


def told(rows, direction=DIRECTION, rivals=RIVALS, **more):
    return contrast(direction, rivals, SPACE, **more)(embedding(rows, rows[:, None]), MOMENT)


def test_contrast_is_the_cross_entropy_of_the_centred_cosines():
    rows = normalize(drawn(3, SIZE, seed=3), dim=-1)
    cosines = torch.cosine_similarity((rows - SPACE.means["image"])[:, None], torch.cat([DIRECTION[None], RIVALS])[None], dim=-1)
    weights = (cosines.double() / 0.05).exp()
    share = weights[:, 0] / weights.sum(1)
    loss, metrics = told(rows)
    assert torch.allclose(loss.double(), -share.log() / torch.tensor(6.0).log(), atol=1e-4)
    assert torch.allclose(metrics["contrast"].double(), share, atol=1e-5)


def test_contrast_reads_what_a_look_is_nearest_to_and_not_how_near():
    near, far = (SPACE.place(DIRECTION + away * drawn(SIZE, seed=20), "image")[None] for away in (0.0, 0.6))
    assert float(pooled(DIRECTION, SPACE)(embedding(far, far[:, None]), MOMENT).loss) > 0.1
    assert float(told(near).loss) < 0.03 and float(told(far).loss) < 0.03
    assert float(told(far, RIVALS[0], torch.cat([DIRECTION[None], RIVALS[1:]])).loss) > 1


def test_an_undecided_look_costs_one():
    rows = normalize(drawn(1, SIZE, seed=3), dim=-1)
    assert float(told(rows, rivals=DIRECTION.expand(5, SIZE)).loss) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"temperature": float("nan")}, {"distractors": RIVALS[0]}, {"distractors": RIVALS[:0]}])
def test_a_contrast_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        contrast(**{"direction": DIRECTION, "distractors": RIVALS, "space": SPACE} | wrong)


def test_best_fraction_lies_between_the_mean_of_the_best_and_the_maximum():
    scores = drawn(3, 8, 5, seed=1)
    best = scores.sort(1, descending=True).values[:, :4]
    pools = [best_fraction(scores, 0.5, temperature) for temperature in (1e-3, 0.3, 1e3)]
    assert torch.allclose(pools[0], best[:, 0], atol=0.01) and torch.allclose(pools[2], best.mean(1), atol=0.01)
    assert (best.mean(1) < pools[1]).all() and (pools[1] < best[:, 0]).all()
    assert torch.allclose(best_fraction(torch.full((1, 3, 1), 0.25), 0.1, 0.07), torch.tensor(0.25))
