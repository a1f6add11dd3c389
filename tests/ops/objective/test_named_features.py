"""Named features: the loss by hand, its laws, gradients by finite differences, and a descent step through the real encoder."""

from dataclasses import replace

import pytest
import torch
from drawn import MOMENT, SIZE, SPACE, drawn, embedding
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize, softplus
from toys import ToyDictionary

from concept_algebra.ops.concept import Concept
from concept_algebra.ops.encoders import pocket
from concept_algebra.ops.features import load
from concept_algebra.ops.features.code import Code
from concept_algebra.ops.features.pursuit import Pursuit
from concept_algebra.ops.objective.features import SOFTNESS, detectors, features, signed_amounts
from concept_algebra.ops.space import Space, SpaceMismatch, Vocabulary

TOY = ToyDictionary(SPACE, [f"feature {i}" for i in range(30)])
seeds = st.integers(0, 2**16)


def code(there, taken=(), dictionary=TOY):
    amounts = torch.zeros(2, len(dictionary.names))
    for row, part in enumerate((dict(there), dict(taken))):
        for feature, amount in part.items():
            amounts[row, feature] = amount
    return Code(dictionary, amounts)


def at(direction, tokens=None):
    """A look whose centred directions are these: of the pooled embedding [D], and of the tokens [N, D] or all the same."""
    tokens = direction.expand(4, SIZE) if tokens is None else tokens
    return embedding(SPACE.place(direction, "image")[None], SPACE.place(tokens, "image")[None])


def test_loss_by_hand():
    # two features there, one taken away beyond what was there
    target = code({2: 1.5, 5: 0.5}, {9: 1.0})
    direction = normalize(drawn(SIZE, seed=3), dim=0)
    p = TOY.atoms @ direction
    amounts = torch.tensor([1.5, 0.5, 1.0]) / target.vector.norm()
    short = torch.stack([1 - p[2] / amounts[0], 1 - p[5] / amounts[1], p[9] / amounts[0]])
    by_hand = (SOFTNESS * softplus(short / SOFTNESS) * torch.tensor([0.5, 1 / 6, 1 / 3])).sum()
    loss, metrics = features(target, SPACE)(at(direction), MOMENT)
    assert float(loss) == pytest.approx(float(by_hand), abs=1e-4)
    found = (p[[2, 5]] / amounts[:2]).clamp(0, 1)
    assert float(metrics["features"]) == pytest.approx(float(0.75 * found[0] + 0.25 * found[1]), abs=1e-5)
    assert float(metrics["removed"]) == pytest.approx(float((p[9] / amounts[0]).clamp(min=0)), abs=1e-5)


@given(seeds, st.floats(0.05, 20))
def test_length_of_the_target_is_of_no_account(seed, factor):
    target, look = code({2: 1.5, 5: 0.5}, {9: 1.0}), at(drawn(SIZE, seed=seed))
    plain, scaled = (features(made, SPACE)(look, MOMENT).loss for made in (target, target.weighed(factor)))
    assert torch.allclose(plain, scaled, rtol=1e-4, atol=1e-5)


@given(seeds)
def test_order_of_tokens_is_of_no_account(seed):
    tokens = drawn(6, SIZE, seed=seed)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    plain, turned = (features(code({2: 1.0}), SPACE)(at(drawn(SIZE), rows), MOMENT).loss for rows in (tokens, tokens[order]))
    assert torch.allclose(plain, turned, atol=1e-5)


def test_a_target_costs_less_than_a_wrong_one_and_an_excess_makes_up_for_nothing():
    atoms = torch.eye(SIZE)
    dictionary = ToyDictionary(SPACE, [f"axis {i}" for i in range(SIZE)])
    dictionary.atoms = atoms
    both = code({0: 1.0, 1: 1.0}, dictionary=dictionary)

    def cost(direction):
        return float(features(both, SPACE)(at(direction), MOMENT).loss)

    assert cost(atoms[0] + atoms[1]) < 0.15 < cost(atoms[0]) < cost(atoms[2])
    assert cost(atoms[0]) == pytest.approx(0.5, abs=0.01), "half of what is wanted is missing, however much there is of the other"


def test_what_was_taken_away_costs_where_it_is_seen_in_a_part():
    target = code({2: 1.0}, {9: 1.0})
    clean = normalize(TOY.atoms[2] - TOY.atoms[9] * (TOY.atoms[2] @ TOY.atoms[9]), dim=0)
    objective = features(target, SPACE)
    free = objective(at(clean), MOMENT)
    spoilt = objective(at(clean, torch.cat([clean.expand(3, SIZE), TOY.atoms[9][None]])), MOMENT)
    assert float(spoilt.loss) > float(free.loss) + 0.02
    assert float(spoilt.metrics["removed"]) == float(free.metrics["removed"]) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("target", [code({2: 1.5, 5: 0.5}), code({2: 1.0}, {9: 1.0, 7: 0.3}), code({}, {9: 1.0})], ids=["up", "both", "down"])
def test_gradient_is_that_of_finite_differences(target):
    objective = features(target, SPACE)
    rows = normalize(drawn(2, 6, SIZE, seed=5, dtype=torch.float64), dim=-1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: objective(embedding(normalize(x.mean(1), dim=-1), x), MOMENT).loss, rows)


@given(st.lists(st.integers(0, 29), min_size=1, max_size=3, unique=True), seeds)
def test_what_was_erased_is_found_again(erased, seed):
    wide = ToyDictionary(Space("wide", 96), [f"feature {i}" for i in range(30)], seed=1)
    whole = Code.of(drawn(96, seed=seed), "text", "made", wide)
    made = whole.erased(torch.tensor(erased))
    signed = signed_amounts(made)
    along = torch.linalg.lstsq(wide.atoms[erased].T, made.residuals[-1][:, None]).solution[:, 0].abs()
    assert made.sources[-1].startswith("erased ")
    # what hardly leaked was hardly projected off
    told = along > 2e-3 * along.max()
    assert torch.allclose(signed[erased][told], -along[told], rtol=0.05)
    kept = [i for i in range(30) if i not in erased]
    assert torch.equal(signed[kept], whole.amounts[0, kept]) and (signed[erased] <= 0).all()


def test_the_residual_of_a_word_is_not_taken_for_an_erasure():
    word = Code.of(drawn(SIZE, seed=3), "text", "erased", TOY)
    assert word.sources[0].startswith("erased ") and (signed_amounts(word) >= 0).all()


def test_says_what_it_names():
    many = code({i: 1.0 - 0.1 * i for i in range(8)}, {9: 1.0})
    assert features(many, SPACE).description == (
        "features feature 0, feature 1, feature 2, feature 3, feature 4, feature 5 and 2 more; without feature 9"
    )


def test_what_has_no_feature_or_no_length_or_lies_elsewhere_is_refused():
    with pytest.raises(ValueError, match="has no feature"):
        features(code({}), SPACE)
    nothing = Code(TOY, code({2: 1.0}).amounts, ("rest",), torch.tensor([[1.0], [0.0]]), -TOY.atoms[2:3])
    with pytest.raises(ValueError, match="comes out as zero"):
        features(nothing, SPACE)
    with pytest.raises(SpaceMismatch):
        features(code({2: 1.0}), Space("other", SIZE))


@pytest.fixture(scope="module")
def encoder():
    return pocket.load()


@pytest.fixture(scope="module")
def sae(encoder):
    return load("pocket", encoder)[1]


@pytest.fixture(scope="module")
def words(encoder):
    few = ["fire", "water", "flame", "ocean", "dog", "bell"]
    vocabulary = Vocabulary(few, lambda: encoder.text(few).pooled)
    return Pursuit(replace(encoder.space, vocabulary=vocabulary))


def test_detectors_are_the_dictionarys_own(sae, words):
    which, x = torch.tensor([3, 700, 41]), drawn(5, 768, seed=1)
    rows, biases = detectors(sae, which)
    assert torch.allclose(x @ rows.T + biases, sae.autoencoder.pre_activation(x)[:, which], atol=1e-4)
    rows, biases = detectors(words, torch.tensor([2, 4]))
    assert torch.equal(rows, words.space.word_directions[[2, 4]]) and not biases.any()


@pytest.mark.parametrize("kind", ["learned", "words"])
def test_a_descent_step_through_the_real_encoder_turns_the_named_up_and_the_removed_down(kind, sae, words, encoder):
    dictionary = sae if kind == "learned" else words
    fire, water = (Concept.from_text(word, encoder).decomposed(dictionary) for word in ("fire", "water"))
    target = (fire - water).code
    named = {sign: ((sign * signed_amounts(target)) > 0).nonzero()[:, 0] for sign in (1, -1)}
    assert all(len(which) for which in named.values())
    pixels = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0)).requires_grad_()
    before = encoder.image(pixels)
    loss = features(target, encoder.space)(before, MOMENT).loss
    (gradient,) = torch.autograd.grad(loss.sum(), pixels)
    with torch.no_grad():
        after = encoder.image(pixels - 0.02 * gradient / gradient.square().mean().sqrt())

    def strength(look, sign):
        rows, biases = detectors(dictionary, named[sign])
        pre = normalize(encoder.space.centre(look.pooled, "image"), dim=-1) @ rows.T + biases
        return float((pre @ signed_amounts(target)[named[sign]].abs()).detach())

    assert float(features(target, encoder.space)(after, MOMENT).loss) < float(loss.detach())
    assert strength(after, 1) > strength(before, 1)
    assert strength(after, -1) < strength(before, -1)
