"""Reading outputs back with the pocket: every number of a bundle is what the part of the pack that it comes from says."""

from functools import partial

import pytest
import torch
from torch.nn.functional import normalize
from toys import ToyPicture

from concept_algebra.ops import features
from concept_algebra.ops.encoders.decoded import Played, embed
from concept_algebra.ops.encoders.pocket import load
from concept_algebra.ops.expression import evaluate
from concept_algebra.ops.features.pursuit import Pursuit
from concept_algebra.ops.instruments import Instruments
from concept_algebra.ops.interpret.attribution import PLANES
from concept_algebra.ops.interpret.probes import SHIPPED, shipped
from concept_algebra.ops.interpret.reader import NODES, PARTS, WORDS, Reader
from concept_algebra.ops.interpret.readout import compose, readout
from concept_algebra.ops.interpret.seen import see
from concept_algebra.ops.render import Render
from concept_algebra.ops.showcase import Measures, showcase


class Cancelled(Exception):
    pass


class Stop:
    """Cancel, pressed before the n-th check."""

    def __init__(self, at):
        self.at, self.calls = at, 0

    def __call__(self):
        self.calls += 1
        if self.calls == self.at:
            raise Cancelled


READ = Instruments(0.1, None, None, 0.0, 1.0, None, None, None)


def made(modality, media, reading=(("fire", 0.5),)):
    """A render that came out as these media."""
    return Render(modality, "honest", media, torch.zeros(1), 0.0, [], [(7, media, list(reading))], {}, 0.0, 5, READ)


def flame():
    """An orange blob in the lower left of a blue ground [3, 128, 128]."""
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    blob = torch.exp(-(((y - 90) / 18) ** 2 + ((x - 40) / 14) ** 2))[None]
    return blob * torch.tensor([1.0, 0.5, 0.0]).view(3, 1, 1) + (1 - blob) * torch.tensor([0.1, 0.3, 0.8]).view(3, 1, 1)


@pytest.fixture(scope="module")
def pocket():
    return load()


@pytest.fixture(scope="module")
def reader(pocket):
    return Reader(evaluate("fire - 2*water", pocket), pocket, Pursuit(pocket.space))


def bundle_of(reader, modality, media, **pace):
    played = Played(modality, **pace)
    with torch.no_grad():
        embedding = embed(reader.encoder, played, media[None])
    return reader.render(made(modality, media), embedding, played), embedding


@pytest.fixture(scope="module")
def picture(reader):
    return bundle_of(reader, "image", flame())


def test_words_and_cosine_are_those_of_the_embedding(reader, picture, pocket):
    bundle, embedding = picture
    expected = readout(embedding, pocket.space, WORDS)
    assert [word.text for word in bundle.words] == [text for text, _ in expected]
    assert [word.cosine for word in bundle.words] == pytest.approx([cosine for _, cosine in expected], abs=1e-5)
    unit = normalize(pocket.space.centre(embedding.pooled, "image")[0], dim=0)
    near = pocket.space.word_directions @ unit
    assert bundle.words[0].z == pytest.approx(float((near.max() - near.mean()) / near.std()), rel=1e-4)
    assert bundle.cosine == pytest.approx(float(unit @ reader.concept.direction), abs=1e-5)
    assert (bundle.seed, bundle.track, bundle.space, bundle.expression) == (5, "honest", pocket.space.id, "fire - 2*water")
    assert [(look.step, [(w.text, w.cosine, w.z) for w in look.words]) for look in bundle.looks] == [(7, [("fire", 0.5, None)])]


def test_the_probes_say_what_they_say_of_the_embedding(picture, pocket):
    bundle, embedding = picture
    centred = pocket.space.centre(embedding.pooled, "image")[0]
    assert bundle.answers == tuple(shipped(name, pocket).answer(centred, "image", pocket.space) for name in SHIPPED)


def test_features_are_the_codes_in_shares_of_their_vectors(reader, picture, pocket):
    bundle, embedding = picture
    centred = pocket.space.centre(embedding.pooled, "image")[0]
    code = reader.dictionary.encode(centred[None], "image")[0] / centred.norm()
    own = reader.dictionary.encode(reader.concept.vector[None], "text")[0] / reader.concept.vector.norm()
    names = reader.dictionary.names
    told = {feature.name: (feature.target, feature.output) for feature in bundle.features}
    expected = {names[j]: (float(own[j]), float(code[j])) for j in range(len(names)) if own[j] > 0 or code[j] > 0}
    assert told.keys() == expected.keys() and "fire" in told and bundle.dictionary == reader.dictionary.id
    assert all(told[name] == pytest.approx(expected[name], rel=1e-4) for name in told)
    order = [max(told[feature.name]) for feature in bundle.features]
    assert order == sorted(order, reverse=True)


def test_maps_are_of_the_target_of_its_words_by_weight_and_of_no_one(picture):
    bundle, embedding = picture
    assert [(found.kind, found.of) for found in bundle.maps] == [
        ("integrated gradients", "fire - 2*water"), ("relevance", "water"), ("relevance", "fire"), ("rollout", None),
    ]  # fmt: skip
    whole = bundle.maps[0]
    assert whole.value == pytest.approx(bundle.cosine, abs=1e-4)
    assert abs(float(whole.values.sum()) - (whole.value - whole.baseline)) < 0.01 * abs(whole.value - whole.baseline)
    assert bundle.shown.dtype == torch.uint8 and bundle.shown.shape == (1, 3, 128, 128)
    torch.testing.assert_close(bundle.shown[0].float() / 255, flame(), atol=0.01, rtol=0)


def test_one_word_has_no_parts(pocket):
    bundle, _ = bundle_of(Reader(evaluate("fire", pocket), pocket), "image", flame())
    assert [found.kind for found in bundle.maps] == ["integrated gradients", "rollout"]
    assert bundle.dictionary is None and bundle.features == ()


@pytest.mark.parametrize(
    "modality, media, pace, grid",
    [
        ("audio", torch.sin(torch.arange(16000) * 0.2)[None], {"rate": 16000}, (4, 8)),
        ("video", torch.stack([flame().roll(4 * t, -1) for t in range(8)]), {"fps": 8.0}, (8, 8, 8)),
    ],
)
def test_sounds_and_clips_are_read_too(reader, modality, media, pace, grid):
    bundle, embedding = bundle_of(reader, modality, media, **pace)
    assert [tuple(found.values.shape) for found in bundle.maps] == [grid] * 4
    seen = see(reader.encoder, media[None], Played(modality, **pace))
    torch.testing.assert_close(bundle.shown.float() / 255, seen.shown, atol=0.003, rtol=0)
    assert bundle.words[0].text == readout(embedding, reader.encoder.space, 1)[0][0]


def test_a_concept_with_a_code_has_maps_of_its_strongest_features(pocket):
    encoder, dictionary = features.load(features.POCKET, pocket)
    concept = evaluate("fire + water", encoder, dictionary=dictionary)
    reader = Reader(concept, encoder, Pursuit(encoder.space))
    assert reader.dictionary is dictionary
    bundle, _ = bundle_of(reader, "image", flame())
    strongest = concept.code.amounts[0].topk(PARTS).indices.tolist()
    assert [found.of for found in bundle.maps[1:-1]] == [dictionary.names[j] for j in strongest]
    assert all(found.active is not None for found in bundle.maps[1:-1])


def test_a_phrase_is_read_by_its_words_and_shows_its_search(reader, pocket):
    said = compose(reader.concept, pocket)
    with torch.no_grad():
        bundle = reader.phrase(said, pocket.text([said.phrase]), seed=3)
    assert (bundle.modality, bundle.track, bundle.maps, bundle.shown) == ("text", "composed", (), None)
    assert bundle.cosine == pytest.approx(said.score, abs=1e-5)
    assert [[(w.text, w.cosine) for w in look.words] for look in bundle.looks] == [list(kept) for kept in said.rounds]
    assert all(answer.warning is None for answer in bundle.answers if answer.what == "an animal")


def test_an_encoder_that_shows_no_attention_gives_a_bundle_without_maps(encoder):
    reader = Reader(evaluate("fire + ice", encoder), encoder, Pursuit(encoder.space))
    bundle, _ = bundle_of(reader, "image", torch.rand(3, 16, 16))
    assert bundle.maps == () and bundle.shown is None and bundle.words and bundle.features


def test_within_a_hosts_inference_mode_it_is_the_same_and_can_be_kept(picture, pocket, tmp_path):
    with torch.inference_mode():
        reader = Reader(evaluate("fire - 2*water", pocket), pocket)
        bundle, _ = bundle_of(reader, "image", flame())
    bundle.save(tmp_path)
    assert [word.text for word in bundle.words] == [word.text for word in picture[0].words]
    for found, own in zip(bundle.maps, picture[0].maps, strict=True):
        torch.testing.assert_close(found.values, own.values, atol=1e-5, rtol=1e-3)
        assert not found.values.is_inference()
    assert not bundle.shown.is_inference()


def test_every_map_is_announced_before_it_is_made(reader, picture, pocket):
    told = []
    played = Played("image")
    embedding = embed(pocket, played, flame()[None])
    bundle = reader.render(made("image", flame()), embedding, played, lambda *facts: told.append(facts))
    count = len(bundle.maps)
    assert [(done, total) for done, total, _ in told] == [(k, count) for k in range(count)]
    assert [what for *_, what in told[:-1]] == [found.of for found in bundle.maps[:-1]]
    assert all(torch.equal(a.values, b.values) for a, b in zip(bundle.maps, picture[0].maps))


@pytest.mark.parametrize("at, begun", [(3, 1), (6, 1), (7, 2), (8, 3)], ids=["in the first map", "between two", "later", "before the last"])
def test_a_reading_can_be_stopped_between_maps_and_within_one(reader, pocket, at, begun):
    played, told = Played("image"), []
    stop = Stop(at)
    with pytest.raises(Cancelled):
        reader.render(made("image", flame()), embed(pocket, played, flame()[None]), played, lambda *facts: told.append(facts), stop)
    # the first map takes a check before it and one before each of its passes, those of its parts one each
    assert (stop.calls, len(told)) == (at, begun) and NODES["image"] == 4 * PLANES


def test_a_cancel_while_a_showcase_reads_back_leaves_nothing(tmp_path, pocket):
    # nothing is judged: there is no need of distractors and probes
    given = {"text": False, "steps": 1, "measures": Measures(None, ()), "check": Stop(3)}
    with pytest.raises(Cancelled):
        showcase(evaluate("fire - 2*water", pocket), tmp_path / "out", pocket, {"image": partial(ToyPicture, (3, 16, 16))}, **given)
    assert given["check"].calls == 3 and list(tmp_path.iterdir()) == []
