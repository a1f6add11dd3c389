"""Objectives on embeddings: closed forms, gradients by finite differences, and the controls of research/optimise.md 2.5."""

import pytest
import torch
from torch.nn.functional import normalize

from concept_algebra.ops.encoders.protocol import Embedding
from concept_algebra.ops.objective.patches import distractors, patches
from concept_algebra.ops.objective.pooled import pooled
from concept_algebra.ops.objective.value import Moment
from concept_algebra.ops.space import Space

SIZE = 12
MOMENT = Moment(0.5, torch.Generator("cpu"))


def drawn(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator("cpu").manual_seed(seed)).to(dtype)


SPACE = Space("test", SIZE, {"image": 0.3 * normalize(drawn(SIZE, seed=1), dim=0)}, {"image": 0.7})


def embedding(pooled_rows, dense_rows):
    return Embedding(pooled_rows, dense_rows, dense_rows, (dense_rows.shape[1],), "image")


def with_tokens(dense_rows):
    return embedding(normalize(dense_rows.mean(1), dim=-1), dense_rows)


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


@pytest.mark.parametrize("kind", ["pooled", "patches"])
def test_gradient_is_that_of_finite_differences(kind):
    direction, rivals = drawn(SIZE, seed=2, dtype=torch.float64), drawn(5, SIZE, seed=4, dtype=torch.float64)
    objective = pooled(direction, SPACE) if kind == "pooled" else patches(direction, rivals, SPACE)
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
