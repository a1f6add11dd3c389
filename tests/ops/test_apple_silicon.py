"""Every hot path of the pocket keeps the Apple Silicon contract: one step of each modality, forward and backward."""

from dataclasses import replace

import pytest
import torch
from contracts.mps import ContractBroken, apple_silicon

from concept_algebra.ops import features
from concept_algebra.ops.calibration import Calibration, calibrated
from concept_algebra.ops.collection import MINIMUM, Sample, calibrate
from concept_algebra.ops.concept import Concept
from concept_algebra.ops.encoders import pocket as encoders
from concept_algebra.ops.encoders.decoded import embed
from concept_algebra.ops.generators import pocket as generators
from concept_algebra.ops.interpret.readout import compose, readout
from concept_algebra.ops.media import write_mp4, write_png, write_wav
from concept_algebra.ops.objective.alignment import Weights, alignment
from concept_algebra.ops.objective.value import Measure, Objective
from concept_algebra.ops.optimise import Schedule, optimise
from concept_algebra.ops.priors.flair import Flair
from concept_algebra.ops.priors.settings import BridgeSettings, FlairSettings, VsdSettings, make
from concept_algebra.ops.render import render
from concept_algebra.ops.tracks import dialled
from concept_algebra.ops.written import phrase

SCHEDULE = Schedule(steps=2, lr=0.1, final_lr=0.01)


@pytest.fixture(scope="module")
def pocket():
    encoder = encoders.load()
    encoder.space.word_directions  # made once, outside the watch, from what `text` gives
    return encoder


@pytest.fixture(scope="module", params=["image", "audio", "video"])
def generator(request, pocket):
    return generators.load(request.param, pocket)


def test_a_step_with_every_term_prior_views_and_reading(pocket, generator):
    drawn = [generator.decode(generator.start(1, seed)) for seed in (1, 2)]
    leaves = [Concept.from_embedding(embed(pocket, generator, media), pocket.space, phrase(f"drawn {i}")) for i, media in enumerate(drawn)]
    concept = (Concept.from_text("fire", pocket) + leaves[0] - leaves[1]).decomposed(features.load("pocket", pocket)[1])
    objective = alignment(concept, pocket, generator, Weights(1, 1, 1, 1, 1, 1, 1), crops=2, seed=0)
    with apple_silicon():
        steps = list(optimise(generator, objective, Flair(generator, FlairSettings(2)), SCHEDULE, seed=0))
    assert len(steps) == 2


@pytest.mark.parametrize("settings", [VsdSettings(rank=2, guidance=2.0), BridgeSettings()])
def test_the_distilling_priors(generator, settings):
    cond = generator.condition("fire") if isinstance(settings, VsdSettings) else None
    with apple_silicon():
        prior = make(settings, generator, cond=cond)
        z = generator.start(1, 0)
        prior.begin(z, 60, torch.Generator("cpu").manual_seed(0))
        for step in range(2):  # the second is shown the first's latent, and has moments
            delta = prior.step(z, step).delta
    assert torch.isfinite(delta).all()


def test_a_render_with_its_dial_scores_and_instruments(pocket, generator):
    between = dialled(generator.modality, 0.5, steps=2)
    concept = Concept.from_text("fire", pocket)
    with apple_silicon():
        made = render(concept, pocket, generator, "natural", replace(between, crops=1), seed=0, leakage=True)
    assert made.instruments.round_trip is not None and len(made.trajectory) == 2


def test_a_planted_float64_in_the_loss_is_caught(pocket, generator):
    """The same step with an objective that goes through float64 for a moment."""

    def measure(media, moment):
        return Measure(media.double().square().flatten(1).mean(1).float(), {})

    with pytest.raises(ContractBroken, match="float64"):
        with apple_silicon():
            next(optimise(generator, Objective("planted", measure), Flair(generator, FlairSettings(2)), SCHEDULE, seed=0))


def test_text_and_reading_in_words(pocket):
    with apple_silicon():
        with torch.no_grad():
            pocket.text(["fire", "a burning wave"])
        concept = Concept.from_text("fire", pocket)
        readout(concept, pocket.space, 5)
        compose(concept, pocket)


@pytest.mark.parametrize("modality", ["text", "image", "audio", "video"])
def test_calibrating_and_going_back_through_the_calibrated_space(pocket, modality, tmp_path):
    rng = torch.Generator().manual_seed(0)
    items = tuple(f"word {i}" if modality == "text" else str(tmp_path / f"{i}") for i in range(MINIMUM))
    for item in items if modality != "text" else ():
        if modality == "image":
            write_png(item, torch.rand(3, 16, 20, generator=rng))
        elif modality == "audio":
            write_wav(item, torch.rand(1, 2048, generator=rng) - 0.5, 8000)
        else:
            write_mp4(item, torch.rand(2, 3, 16, 16, generator=rng), 8.0)
    x = torch.randn(2, 768, generator=rng).requires_grad_()
    with apple_silicon():
        cloud = calibrate(pocket, Sample(modality, items, "made"))
        space = calibrated(pocket, Calibration(pocket.space.encoder_id, {modality: cloud})).space
        space.centre(space.place(x, modality), modality).square().sum().backward()
