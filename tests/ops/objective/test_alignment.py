"""The objective of a render: which terms a concept allows, how weights tell, and the gradient of the whole."""

from dataclasses import fields, replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import ToyDictionary

from concept_algebra.ops.concept import Concept
from concept_algebra.ops.objective.alignment import Weights, alignment
from concept_algebra.ops.objective.value import Moment
from concept_algebra.ops.objective.views import CUTOUTS
from concept_algebra.ops.space import SpaceMismatch

GENERATORS = {modality: SimpleNamespace(modality=modality, rate=16000, fps=8.0) for modality in ("image", "audio", "video")}
NAMES = [f"feature {i}" for i in range(200)]
EVERY = Weights(1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
NOTHING = Weights(*[0.0] * len(fields(Weights)))


def rand(*shape, seed=0, dtype=torch.float32):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.fixture(scope="module")
def at(encoder):
    """The encoder, a dictionary of its space, and a concept of every modality."""
    fire, water = (Concept.from_text(word, encoder) for word in ("fire", "water"))
    here, there = (Concept.from_image(rand(3, 16, 16, seed=seed), encoder) for seed in (1, 2))
    sound = Concept.from_audio(rand(1, 2048, seed=3) - 0.5, encoder)
    clip = Concept.from_video(rand(3, 3, 16, 16, seed=4), encoder)
    toy = ToyDictionary(encoder.space, NAMES)
    return SimpleNamespace(encoder=encoder, toy=toy, fire=fire, water=water, here=here, there=there, sound=sound, clip=clip)


PIXELS, LATENT = rand(2, 3, 12, 12, seed=5), rand(2, 4, 3, 3, seed=6)


def measured(encoder, concept, weights=EVERY, media=PIXELS, modality="image", **more):
    moment = Moment(0.5, torch.Generator().manual_seed(0), LATENT.to(media))
    return alignment(concept, encoder, GENERATORS[modality], weights, 3, 0, **more)(media, moment)


def test_by_default_it_is_the_whole_and_the_parts(at):
    loss, metrics = measured(at.encoder, at.fire, Weights())
    assert set(metrics) == {"cosine", "patches"}
    only = measured(at.encoder, at.fire, Weights(patches=0.0))
    assert set(only.metrics) == {"cosine"} and torch.equal(only.metrics["cosine"], metrics["cosine"])
    assert not torch.allclose(only.loss, loss)


@settings(max_examples=25)
@given(st.lists(st.floats(0, 4), min_size=len(fields(Weights)), max_size=len(fields(Weights))))
def test_the_loss_is_linear_in_the_weights(at, numbers):
    concept = (at.here + at.fire - at.water).decomposed(at.toy)
    alone = torch.stack([measured(at.encoder, concept, replace(NOTHING, **{field.name: 1.0})).loss for field in fields(Weights)])
    together = measured(at.encoder, concept, Weights(*numbers)).loss
    assert torch.allclose(together, torch.tensor(numbers) @ alone, rtol=1e-4, atol=1e-4)


def test_terms_of_no_weight_are_not_computed_but_the_cosine_is_always_there(at):
    nothing = measured(at.encoder, at.fire, NOTHING)
    assert set(nothing.metrics) == {"cosine"} and not nothing.loss.any()
    assert torch.equal(nothing.metrics["cosine"], measured(at.encoder, at.fire, EVERY).metrics["cosine"])
    # a term that would be computed would ask for the latent
    alignment(at.fire, at.encoder, GENERATORS["image"], Weights(), 1, 0)(PIXELS, Moment(0.5, torch.Generator()))


def test_nothing_weighed_still_has_a_gradient_which_is_zero(at):
    media = PIXELS.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(measured(at.encoder, at.fire, NOTHING, media).loss.sum(), media)
    assert not gradient.any()


@pytest.mark.parametrize("modality, shape", [("image", (1, 3, 12, 12)), ("audio", (1, 1, 2048)), ("video", (1, 3, 3, 12, 12))])
@pytest.mark.parametrize(
    "concept, fit",
    [
        (lambda at: at.fire, {}),
        (lambda at: at.here, {"image": 1, "video": 1}),
        (lambda at: at.clip - at.fire, {"image": 1, "video": 1}),
        (lambda at: at.sound - at.here, {"audio": 1}),
        (lambda at: at.fire - at.here, {}),
        (lambda at: at.here + 3 * at.fire, {"image": 0.25, "video": 0.25}),
    ],
    ids=["word", "picture", "clip - word", "sound - picture", "word - picture", "picture + 3 word"],
)
def test_tokens_are_transported_by_the_share_of_the_operands_that_fit_the_medium(at, concept, fit, modality, shape):
    concept = concept(at)
    share = fit.get(modality, 0)
    made = alignment(concept, at.encoder, GENERATORS[modality], Weights(patches=2.0), 1, 0)
    assert (f"{2 * share:g} * (transport to" in made.description) == (share > 0)
    assert (f"{2 * (1 - share):g} * (patches among" in made.description) == (share < 1)
    metrics = measured(at.encoder, concept, Weights(), rand(*shape, seed=8), modality).metrics
    assert ("transport" in metrics, "patches" in metrics) == (share > 0, share < 1)


def test_a_picture_aligned_with_itself_costs_less_than_with_another(at):
    itself, other = rand(1, 3, 16, 16, seed=1), rand(1, 3, 16, 16, seed=2)
    tokens_only = replace(NOTHING, patches=1.0)
    assert float(measured(at.encoder, at.here, tokens_only, itself).metrics["transport"]) == pytest.approx(1, abs=1e-5)
    assert float(measured(at.encoder, at.here, tokens_only, itself).loss) < float(measured(at.encoder, at.here, tokens_only, other).loss)


def test_features_are_aligned_where_there_are_some(at):
    only = replace(NOTHING, features=1.0)
    assert set(measured(at.encoder, at.fire, only).metrics) == {"cosine"}
    nameless = at.fire.decomposed(ToyDictionary(at.encoder.space, NAMES, threshold=9.0))
    assert not nameless.code.amounts.any() and set(measured(at.encoder, nameless, only).metrics) == {"cosine"}
    assert set(measured(at.encoder, at.fire.decomposed(at.toy), only).metrics) == {"cosine", "features"}
    assert set(measured(at.encoder, (at.fire - at.water).decomposed(at.toy), only).metrics) == {"cosine", "features"}
    assert set(measured(at.encoder, at.fire.decomposed(at.toy) - at.water.decomposed(at.toy), only).metrics) == {"cosine", "features", "removed"}


def test_framing_is_that_of_the_looks(at):
    assert not torch.equal(measured(at.encoder, at.fire).loss, measured(at.encoder, at.fire, framing=CUTOUTS).loss)
    assert torch.allclose(measured(at.encoder, at.fire).metrics["cosine"], measured(at.encoder, at.fire, framing=CUTOUTS).metrics["cosine"], atol=1e-6)


@pytest.mark.parametrize("modality, shape", [("image", (1, 3, 6, 6)), ("audio", (1, 1, 48)), ("video", (1, 2, 3, 6, 4))])
def test_gradient_of_the_whole_is_that_of_finite_differences(at, modality, shape):
    encoder = type(at.encoder)()
    encoder.projection = encoder.projection.double()
    encoder.offsets = {key: value.double() for key, value in encoder.offsets.items()}
    concept = (at.sound if modality == "audio" else at.here).decomposed(at.toy) + at.fire - (at.there if modality != "audio" else at.water)
    objective = alignment(concept, encoder, GENERATORS[modality], EVERY, 2, 0)

    def loss(media):
        return objective(media, Moment(0.5, torch.Generator().manual_seed(0), 0.5 + media)).loss

    media = rand(*shape, seed=7, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(loss, media, eps=1e-7, atol=1e-4)


def test_made_under_a_hosts_inference_mode_it_has_gradients_afterwards(at):
    with torch.inference_mode():
        encoder = type(at.encoder)()
        concept = Concept.from_image(rand(3, 16, 16, seed=1), encoder).decomposed(at.toy) + Concept.from_text("fire", encoder)
        objective = alignment(concept, encoder, GENERATORS["image"], EVERY, 2, 0)
    encoder.projection, encoder.offsets = at.encoder.projection, at.encoder.offsets
    media = PIXELS.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(objective(media, Moment(0.5, torch.Generator(), media)).loss.sum(), media)
    assert torch.isfinite(gradient).all() and gradient.any()


def test_describes_itself_in_one_line(at):
    concept = at.here - at.there
    here, there = (leaf.written for leaf in concept.operands)
    weights = Weights(contrast=0.2, total_variation=0.1, norm=0.3)
    assert alignment(concept, at.encoder, GENERATORS["image"], weights, 3, 0).description == (
        f"mean over 3 views of (1 * (pooled cosine) + 0.5 * (transport to {here} away from {there}) "
        "+ 0.2 * (contrast among 25 concepts)) + 0.1 * (total variation) + 0.3 * (norm shell)"
    )


@pytest.mark.parametrize("name", [field.name for field in fields(Weights)])
@pytest.mark.parametrize("wrong", [-0.1, float("nan"), float("inf")])
def test_a_weight_that_makes_no_sense_is_refused(name, wrong):
    with pytest.raises(ValueError, match=f"weight of {name} is {wrong}, expected a number of 0 or more"):
        Weights(**{name: wrong})


def test_distractors_want_a_vocabulary_and_only_they(at):
    encoder = type(at.encoder)()
    encoder.space = replace(encoder.space, vocabulary=None)
    for weights, concept in ((Weights(), at.fire), (Weights(patches=0.0, contrast=1.0), at.here)):
        with pytest.raises(ValueError, match="has no vocabulary"):
            alignment(concept, encoder, GENERATORS["image"], weights, 1, 0)
    alignment(at.here, encoder, GENERATORS["image"], Weights(), 1, 0)
    alignment(at.fire, encoder, GENERATORS["image"], Weights(patches=0.0), 1, 0)


def test_a_concept_of_another_space_or_of_nothing_is_refused(at):
    other = type(at.encoder)()
    other.space = replace(other.space, id="other")
    with pytest.raises(SpaceMismatch):
        alignment(at.fire, other, GENERATORS["image"], Weights(), 1, 0)
    with pytest.raises(ValueError, match="comes out as zero"):
        alignment(at.fire - at.fire, at.encoder, GENERATORS["image"], Weights(), 1, 0)
