"""The objective of a render: which terms a concept allows, how weights tell, and the gradient of the whole."""

from dataclasses import fields, replace
from types import SimpleNamespace

import pytest
import torch
from conftest import SmallEncoder
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import ToyDictionary

from concept_algebra.ops.concept import Concept
from concept_algebra.ops.objective.alignment import Weights, alignment
from concept_algebra.ops.objective.value import Moment
from concept_algebra.ops.objective.views import CUTOUTS
from concept_algebra.ops.space import SpaceMismatch

ENCODER = SmallEncoder()
GENERATORS = {modality: SimpleNamespace(modality=modality, rate=16000, fps=8.0) for modality in ("image", "audio", "video")}
TOY = ToyDictionary(ENCODER.space, [f"feature {i}" for i in range(200)])
EVERY = Weights(1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
NOTHING = Weights(*[0.0] * len(fields(Weights)))


def rand(*shape, seed=0, dtype=torch.float32):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


FIRE, WATER = (Concept.from_text(word, ENCODER) for word in ("fire", "water"))
HERE, THERE = (Concept.from_image(rand(3, 16, 16, seed=seed), ENCODER) for seed in (1, 2))
SOUND = Concept.from_audio(rand(1, 2048, seed=3) - 0.5, ENCODER)
CLIP = Concept.from_video(rand(3, 3, 16, 16, seed=4), ENCODER)
PIXELS, LATENT = rand(2, 3, 12, 12, seed=5), rand(2, 4, 3, 3, seed=6)


def measured(concept, weights=EVERY, media=PIXELS, modality="image", encoder=ENCODER, **more):
    moment = Moment(0.5, torch.Generator().manual_seed(0), LATENT.to(media))
    return alignment(concept, encoder, GENERATORS[modality], weights, 3, 0, **more)(media, moment)


def test_by_default_it_is_the_whole_and_the_parts():
    loss, metrics = measured(FIRE, Weights())
    assert set(metrics) == {"cosine", "patches"}
    only = measured(FIRE, Weights(patches=0.0))
    assert set(only.metrics) == {"cosine"} and torch.equal(only.metrics["cosine"], metrics["cosine"])
    assert not torch.allclose(only.loss, loss)


@settings(max_examples=25)
@given(st.lists(st.floats(0, 4), min_size=len(fields(Weights)), max_size=len(fields(Weights))))
def test_the_loss_is_linear_in_the_weights(numbers):
    concept = (HERE + FIRE - WATER).decomposed(TOY)
    alone = torch.stack([measured(concept, replace(NOTHING, **{field.name: 1.0})).loss for field in fields(Weights)])
    together = measured(concept, Weights(*numbers)).loss
    assert torch.allclose(together, torch.tensor(numbers) @ alone, rtol=1e-4, atol=1e-4)


def test_terms_of_no_weight_are_not_computed_but_the_cosine_is_always_there():
    nothing = measured(FIRE, NOTHING)
    assert set(nothing.metrics) == {"cosine"} and not nothing.loss.any()
    assert torch.equal(nothing.metrics["cosine"], measured(FIRE, EVERY).metrics["cosine"])
    # a term that would be computed would ask for the latent
    alignment(FIRE, ENCODER, GENERATORS["image"], Weights(), 1, 0)(PIXELS, Moment(0.5, torch.Generator()))


def test_nothing_weighed_still_has_a_gradient_which_is_zero():
    media = PIXELS.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(measured(FIRE, NOTHING, media).loss.sum(), media)
    assert not gradient.any()


@pytest.mark.parametrize("modality, shape", [("image", (1, 3, 12, 12)), ("audio", (1, 1, 2048)), ("video", (1, 3, 3, 12, 12))])
@pytest.mark.parametrize(
    "concept, fit",
    [
        (FIRE, {}),
        (HERE, {"image": 1, "video": 1}),
        (CLIP - FIRE, {"image": 1, "video": 1}),
        (SOUND - HERE, {"audio": 1}),
        (FIRE - HERE, {}),
        (HERE + 3 * FIRE, {"image": 0.25, "video": 0.25}),
    ],
    ids=str,
)
def test_tokens_are_transported_by_the_share_of_the_operands_that_fit_the_medium(concept, fit, modality, shape):
    share = fit.get(modality, 0)
    made = alignment(concept, ENCODER, GENERATORS[modality], Weights(patches=2.0), 1, 0)
    assert (f"{2 * share:g} * (transport to" in made.description) == (share > 0)
    assert (f"{2 * (1 - share):g} * (patches among" in made.description) == (share < 1)
    metrics = measured(concept, Weights(), rand(*shape, seed=8), modality).metrics
    assert ("transport" in metrics, "patches" in metrics) == (share > 0, share < 1)


def test_a_picture_aligned_with_itself_costs_less_than_with_another():
    itself, other = rand(1, 3, 16, 16, seed=1), rand(1, 3, 16, 16, seed=2)
    tokens_only = replace(NOTHING, patches=1.0)
    assert float(measured(HERE, tokens_only, itself).metrics["transport"]) == pytest.approx(1, abs=1e-5)
    assert float(measured(HERE, tokens_only, itself).loss) < float(measured(HERE, tokens_only, other).loss)


def test_features_are_aligned_where_there_are_some():
    only = replace(NOTHING, features=1.0)
    assert set(measured(FIRE, only).metrics) == {"cosine"}
    nameless = FIRE.decomposed(ToyDictionary(ENCODER.space, TOY.names, threshold=9.0))
    assert not nameless.code.amounts.any() and set(measured(nameless, only).metrics) == {"cosine"}
    assert set(measured(FIRE.decomposed(TOY), only).metrics) == {"cosine", "features"}
    assert set(measured((FIRE - WATER).decomposed(TOY), only).metrics) == {"cosine", "features"}
    assert set(measured(FIRE.decomposed(TOY) - WATER.decomposed(TOY), only).metrics) == {"cosine", "features", "removed"}


def test_framing_is_that_of_the_looks():
    assert not torch.equal(measured(FIRE).loss, measured(FIRE, framing=CUTOUTS).loss)
    assert torch.allclose(measured(FIRE).metrics["cosine"], measured(FIRE, framing=CUTOUTS).metrics["cosine"], atol=1e-6)


@pytest.mark.parametrize("modality, shape", [("image", (1, 3, 6, 6)), ("audio", (1, 1, 48)), ("video", (1, 2, 3, 6, 4))])
def test_gradient_of_the_whole_is_that_of_finite_differences(modality, shape):
    encoder = SmallEncoder()
    encoder.projection = encoder.projection.double()
    encoder.offsets = {key: value.double() for key, value in encoder.offsets.items()}
    concept = (SOUND if modality == "audio" else HERE).decomposed(TOY) + FIRE - (THERE if modality != "audio" else WATER)
    objective = alignment(concept, encoder, GENERATORS[modality], EVERY, 2, 0)

    def loss(media):
        return objective(media, Moment(0.5, torch.Generator().manual_seed(0), 0.5 + media)).loss

    media = rand(*shape, seed=7, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(loss, media, eps=1e-7, atol=1e-4)


def test_made_under_a_hosts_inference_mode_it_has_gradients_afterwards():
    with torch.inference_mode():
        encoder = SmallEncoder()
        concept = Concept.from_image(rand(3, 16, 16, seed=1), encoder).decomposed(TOY) + Concept.from_text("fire", encoder)
        objective = alignment(concept, encoder, GENERATORS["image"], EVERY, 2, 0)
    encoder.projection, encoder.offsets = ENCODER.projection, ENCODER.offsets
    media = PIXELS.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(objective(media, Moment(0.5, torch.Generator(), media)).loss.sum(), media)
    assert torch.isfinite(gradient).all() and gradient.any()


def test_describes_itself_in_one_line():
    concept = HERE - THERE
    here, there = (leaf.written for leaf in concept.operands)
    weights = Weights(contrast=0.2, total_variation=0.1, norm=0.3)
    assert alignment(concept, ENCODER, GENERATORS["image"], weights, 3, 0).description == (
        f"mean over 3 views of (1 * (pooled cosine) + 0.5 * (transport to {here} away from {there}) "
        "+ 0.2 * (contrast among 25 concepts)) + 0.1 * (total variation) + 0.3 * (norm shell)"
    )


@pytest.mark.parametrize("name", [field.name for field in fields(Weights)])
@pytest.mark.parametrize("wrong", [-0.1, float("nan"), float("inf")])
def test_a_weight_that_makes_no_sense_is_refused(name, wrong):
    with pytest.raises(ValueError, match=f"weight of {name} is {wrong}, expected a number of 0 or more"):
        Weights(**{name: wrong})


def test_distractors_want_a_vocabulary_and_only_they():
    encoder = SmallEncoder()
    encoder.space = replace(encoder.space, vocabulary=None)
    for weights, concept in ((Weights(), FIRE), (Weights(patches=0.0, contrast=1.0), HERE)):
        with pytest.raises(ValueError, match="has no vocabulary"):
            alignment(concept, encoder, GENERATORS["image"], weights, 1, 0)
    alignment(HERE, encoder, GENERATORS["image"], Weights(), 1, 0)
    alignment(FIRE, encoder, GENERATORS["image"], Weights(patches=0.0), 1, 0)


def test_a_concept_of_another_space_or_of_nothing_is_refused():
    other = SmallEncoder()
    other.space = replace(other.space, id="other")
    with pytest.raises(SpaceMismatch):
        alignment(FIRE, other, GENERATORS["image"], Weights(), 1, 0)
    with pytest.raises(ValueError, match="comes out as zero"):
        alignment(FIRE - FIRE, ENCODER, GENERATORS["image"], Weights(), 1, 0)
