"""Every hot path of the pocket keeps the Apple Silicon contract: one step of each modality, forward and backward."""

import pytest
import torch
from contracts.mps import ContractBroken, apple_silicon

from concept_algebra.ops.concept import Concept
from concept_algebra.ops.encoders import pocket as encoders
from concept_algebra.ops.generators import pocket as generators
from concept_algebra.ops.interpret.readout import compose, readout
from concept_algebra.ops.objective.alignment import alignment
from concept_algebra.ops.objective.value import Measure, Objective
from concept_algebra.ops.optimise import Schedule, optimise
from concept_algebra.ops.priors.flair import Flair

SCHEDULE = Schedule(steps=2, lr=0.1, final_lr=0.01)


@pytest.fixture(scope="module")
def pocket():
    encoder = encoders.load()
    encoder.space.word_directions  # made once, outside the watch, from what `text` gives
    return encoder


@pytest.fixture(scope="module", params=["image", "audio", "video"])
def generator(request, pocket):
    return generators.load(request.param, pocket)


def test_a_step_with_prior_views_and_reading(pocket, generator):
    direction = Concept.from_text("fire", pocket).direction
    objective = alignment(direction, pocket, generator, crops=2, patch_weight=0.5, seed=0)
    with apple_silicon():
        steps = list(optimise(generator, objective, Flair(generator, 2), SCHEDULE, seed=0))
    assert len(steps) == 2


def test_a_planted_float64_in_the_loss_is_caught(pocket, generator):
    """The same step with an objective that goes through float64 for a moment."""

    def measure(media, moment):
        return Measure(media.double().square().flatten(1).mean(1).float(), {})

    with pytest.raises(ContractBroken, match="float64"):
        with apple_silicon():
            next(optimise(generator, Objective("planted", measure), Flair(generator, 2), SCHEDULE, seed=0))


def test_text_and_reading_in_words(pocket):
    with apple_silicon():
        with torch.no_grad():
            pocket.text(["fire", "a burning wave"])
        concept = Concept.from_text("fire", pocket)
        readout(concept, pocket.space, 5)
        compose(concept, pocket)
