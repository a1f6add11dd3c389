"""Transport: the distance by hand and against a plain loop, its laws, gradients by finite differences, real pictures."""

import pytest
import torch
from drawn import MOMENT, SIZE, SPACE, drawn, embedding, operand
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from concept_algebra.ops.objective.transport import MARGIN, REPULSION, SHARPNESS, fitting, registers, relaxed_distance, transport

DIRECTION = drawn(SIZE, seed=2)
seeds = st.integers(0, 2**16)


def looks(tokens):
    """An embedding of tokens [B, N, W]; what is dense is not asked for."""
    return embedding(torch.zeros(len(tokens), SIZE), torch.zeros(len(tokens), tokens.shape[1], SIZE), tokens)


def cost(tokens, *operands, direction=DIRECTION):
    return transport(operands, direction, SPACE)(looks(tokens), MOMENT)


def test_distance_by_hand():
    costs = torch.tensor([[[0.1, 0.9, 0.8], [0.7, 0.2, 0.6]]])
    everyone = torch.ones(1, 2, dtype=torch.bool)
    # there: (.1 + .2) / 2 = .15; back: .1, .2, .6 weighed
    assert float(relaxed_distance(costs, everyone, torch.tensor([0.5, 0.25, 0.25]))) == pytest.approx(0.25)
    assert float(relaxed_distance(costs, everyone, torch.tensor([1.0, 0.0, 0.0]))) == pytest.approx(0.15)
    # without the second row: there .1; back .1, .9, .8
    assert float(relaxed_distance(costs, torch.tensor([[True, False]]), torch.tensor([0.0, 0.5, 0.5]))) == pytest.approx(0.85)


def by_loops(tokens, operands, direction):
    """The loss of one look from the docstring's formula, a token at a time, in numpy's double precision."""
    unit = lambda x: x / (x**2).sum(-1, keepdims=True) ** 0.5  # noqa: E731
    look, target = unit(tokens.double().numpy()), unit(direction.double().numpy())
    near, away = ([leaf for leaf in operands if leaf.weight * sign > 0] for sign in (1, -1))
    bank, weights = [], []
    for leaf in near:
        served = [float(unit(row) @ target) for row in SPACE.centre(leaf.dense, "image").double().numpy()]
        shares = torch.tensor([cosine / SHARPNESS for cosine in served]).exp()
        bank += list(unit(leaf.tokens.double().numpy()))
        weights += [leaf.weight * float(share) / float(shares.sum()) for share in shares]
    there = sum(min(1 - row @ other for other in bank) for row in look) / len(look)
    back = sum(w * min(1 - row @ other for row in look) for w, other in zip(weights, bank)) / sum(weights)
    loss = max(there, back)
    if away:
        total = sum(-leaf.weight for leaf in away)
        alike = 0.0
        for leaf in away:
            other = unit(leaf.tokens.double().numpy())
            alike += -leaf.weight / total * sum(max(row @ o for o in other) for row in look) / len(look)
        loss += REPULSION * min(1, total / sum(leaf.weight for leaf in near)) * max(0, alike - (1 - there) + MARGIN)
    return loss


@given(seeds, st.integers(1, 3), st.integers(0, 2))
def test_loss_is_that_of_plain_loops(seed, near, away):
    leaves = [
        operand(drawn(4 + i, 7, seed=seed + i), (0.5 + i) * sign, f"{sign} {i}", dense=normalize(drawn(4 + i, SIZE, seed=seed + 9 * i), dim=-1))
        for sign, count in ((1, near), (-1, away)) for i in range(count)
    ]  # fmt: skip
    tokens = drawn(1, 6, 7, seed=seed + 100)
    assume(not any(registers(x).any() for x in [tokens, *(leaf.tokens for leaf in leaves)]))
    assert float(cost(tokens, *leaves).loss) == pytest.approx(by_loops(tokens[0], leaves, DIRECTION), abs=1e-5)


@given(seeds, st.floats(0.1, 10))
def test_equal_sets_are_at_no_distance_whatever_their_order_and_scale(seed, scale):
    tokens = drawn(8, SIZE, seed=seed)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(seed))
    loss, metrics = cost(scale * tokens[order][None], operand(tokens))
    assert float(loss) == pytest.approx(0, abs=1e-5) and float(metrics["transport"]) == pytest.approx(1, abs=1e-5)


@given(seeds)
def test_order_of_tokens_is_of_no_account_on_either_side(seed):
    tokens, leaf, other = drawn(2, 6, SIZE, seed=seed), drawn(5, SIZE, seed=seed + 1), drawn(5, SIZE, seed=seed + 2)
    mixed = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    turned = torch.randperm(5, generator=torch.Generator().manual_seed(seed))
    plain = cost(tokens, operand(leaf), operand(other, -1.0)).loss
    assert torch.allclose(plain, cost(tokens[:, mixed], operand(leaf[turned]), operand(other[turned], -1.0)).loss, atol=1e-5)


@given(seeds, st.floats(0.1, 10))
def test_what_weights_have_in_common_is_of_no_account(seed, scale):
    tokens, leaves = drawn(2, 6, SIZE, seed=seed), [drawn(5, SIZE, seed=seed + i) for i in range(3)]
    plain, scaled = (
        cost(tokens, *(operand(leaf, factor * w, str(w)) for leaf, w in zip(leaves, (1.0, 0.5, -0.7)))).loss for factor in (1, scale)
    )
    assert torch.allclose(plain, scaled, atol=1e-5)


def test_one_perfect_patch_does_not_suffice_nor_half_of_the_content():
    content = torch.eye(SIZE)[:6]
    lone = content[:1].expand(1, 6, SIZE)
    assert float(cost(lone, operand(content)).loss) == pytest.approx(5 / 6), "every look token is found, most of the bank is not"
    stray = torch.cat([content, torch.eye(SIZE)[6:]])[None]
    assert float(cost(stray, operand(content)).loss) == pytest.approx(1 / 2), "all of the bank is found, half of the look is not"


def test_only_what_serves_the_target_has_to_be_found():
    tokens = torch.eye(SIZE)[:4]
    serving = SPACE.place(DIRECTION, "image").expand(2, SIZE)
    other = SPACE.place(-DIRECTION, "image").expand(2, SIZE)
    leaf = operand(tokens, dense=torch.cat([serving, other]))
    assert float(cost(tokens[None, :2], leaf).loss) == pytest.approx(0, abs=1e-5)
    assert float(cost(tokens[None, 2:], leaf).loss) == pytest.approx(1, abs=1e-5)


def test_a_wrong_target_costs_more():
    right, wrong = drawn(6, SIZE, seed=3), drawn(6, SIZE, seed=4)
    near = right[None] + 0.3 * drawn(1, 6, SIZE, seed=5)
    assert float(cost(near, operand(right)).loss) < 0.5 * float(cost(near, operand(wrong)).loss)


def test_a_negative_operand_repels_in_the_measure_of_its_weight():
    good, bad = torch.eye(SIZE)[:4], torch.eye(SIZE)[4:8]
    halfway = (good + bad)[None]
    free = float(cost(halfway, operand(good)).loss)
    # there both are equally near, and the margin is all that is asked for
    assert float(cost(halfway, operand(good), operand(bad, -1.0)).loss) == pytest.approx(free + REPULSION * MARGIN, abs=1e-5)
    assert float(cost(halfway, operand(good), operand(bad, -0.5)).loss) == pytest.approx(free + REPULSION * MARGIN / 2, abs=1e-5)
    assert float(cost(halfway, operand(good), operand(bad, -3.0)).loss) == pytest.approx(free + REPULSION * MARGIN, abs=1e-5)
    there = float(cost(bad[None], operand(good), operand(bad, -1.0)).loss)
    assert there == pytest.approx(1 + REPULSION * (1 + MARGIN), abs=1e-5), "at the negative operand it is the most"
    assert float(cost(good[None], operand(good), operand(bad, -1.0)).loss) == pytest.approx(0, abs=1e-5), "away from it nothing"


def test_registers_are_left_out_on_both_sides():
    tokens = drawn(1, 6, SIZE, seed=3)
    register = 40 * drawn(1, 1, SIZE, seed=8)
    leaf = drawn(5, SIZE, seed=4)
    assert registers(torch.cat([tokens, register], 1)).tolist() == [[False] * 6 + [True]]
    plain = cost(tokens, operand(leaf)).loss
    assert torch.allclose(plain, cost(torch.cat([tokens, register], 1), operand(leaf)).loss, atol=1e-6)
    assert torch.allclose(plain, cost(tokens, operand(torch.cat([leaf, register[0]]))).loss, atol=1e-6)


@pytest.mark.parametrize("negative", [False, True])
def test_gradient_is_that_of_finite_differences(negative):
    leaves = [operand(drawn(5, 6, seed=4, dtype=torch.float64)), operand(drawn(3, 6, seed=6, dtype=torch.float64), 0.4, "other")]
    if negative:
        leaves.append(operand(drawn(4, 6, seed=7, dtype=torch.float64), -1.0, "not this"))
    tokens = drawn(2, 4, 6, seed=5, dtype=torch.float64).requires_grad_()
    if negative:
        assert (cost(tokens, *leaves).loss > cost(tokens, *leaves[:2]).loss).any(), "the repulsion has to act for its gradient to be seen"
    assert torch.autograd.gradcheck(lambda x: cost(x, *leaves).loss, tokens)


def test_half_precision_is_compared_in_single():
    tokens = drawn(1, 6, SIZE, seed=3)
    assert cost(tokens.bfloat16(), operand(drawn(5, SIZE, seed=4))).loss.dtype == torch.float32


def test_pictures_and_clips_fit_each_other_and_sounds_fit_sounds():
    leaves = tuple(operand(drawn(3, 4), written=modality, modality=modality) for modality in ("text", "image", "video", "audio"))
    fit = {modality: [leaf.written for leaf in fitting(leaves, modality)] for modality in ("image", "video", "audio")}
    assert fit == {"image": ["image", "video"], "video": ["image", "video"], "audio": ["audio"]}


def test_says_in_words_what_it_does():
    named = transport([operand(drawn(3, 4), written='image("a.png")'), operand(drawn(3, 4), -1.0, 'image("b.png")')], DIRECTION, SPACE)
    assert named.description == 'transport to image("a.png") away from image("b.png")'


def test_nothing_to_move_towards_is_refused():
    with pytest.raises(ValueError, match="none of 1 operands has a positive weight"):
        transport([operand(drawn(3, 4), -1.0)], DIRECTION, SPACE)


def test_tokens_of_another_tower_are_refused():
    with pytest.raises(ValueError, match="width 5, leaf of width 4: .*modality 'image'"):
        cost(drawn(1, 3, 5), operand(drawn(3, 4)))
