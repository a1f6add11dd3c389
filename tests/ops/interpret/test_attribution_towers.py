"""Maps of the pocket's trained towers and of LanguageBind's: complete, lying where the medium does, and learned."""

import pytest
import tiny_languagebind
import torch
from toys import ToyDictionary

from concept_algebra.ops.encoders.decoded import Played
from concept_algebra.ops import features, signal
from concept_algebra.ops.concept import Concept
from concept_algebra.ops.encoders.languagebind_file import convert
from concept_algebra.ops.encoders.languagebind_file import load as load_bind
from concept_algebra.ops.encoders.pocket import load
from concept_algebra.ops.encoders.record import recorded
from concept_algebra.ops.features.trained import TrainedSAE
from concept_algebra.ops.interpret.attribution import NODES, integrated_gradients, relevance, rollout
from concept_algebra.ops.interpret.detector import concept_detector, feature_detectors
from concept_algebra.ops.interpret.seen import see


def drawing(size=128):
    """A red disc in the upper left quarter on white [1, 3, size, size]."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    disc = ((y - size / 4) ** 2 + (x - size / 4) ** 2 < (size / 6) ** 2).float()
    return torch.stack([torch.ones(size, size), 1 - disc, 1 - disc])[None]


def sound(seconds=1.0):
    time = torch.arange(int(16000 * seconds)) / 16000
    return (0.5 * torch.sin(2 * torch.pi * 440 * time) * (time % 0.5 < 0.2))[None, None]


def clip(frames=8):
    return torch.stack([drawing()[0].roll(6 * t, -1) for t in range(frames)])[None]


MEDIA = {"image": (drawing, 0), "audio": (sound, 16000), "video": (clip, 8.0)}
GRIDS = {"image": (8, 8), "audio": (4, 8), "video": (8, 8, 8)}


@pytest.fixture(scope="module")
def pocket():
    return features.load(features.POCKET, load())


@pytest.fixture(scope="module")
def bind(tmp_path_factory):
    root = tmp_path_factory.mktemp("published")
    with tiny_languagebind.short_lists():
        convert(tiny_languagebind.folders(root), root / "bind.safetensors", torch.float32)
        yield load_bind(root / "bind.safetensors")


def embedded(encoder, modality):
    make, rate = MEDIA[modality]
    return encoder.image(make()) if modality == "image" else getattr(encoder, modality)(make(), rate)


def seen(encoder, modality):
    make, rate = MEDIA[modality]
    return see(encoder, make(), Played(modality, rate, rate))


def spearman(a, b):
    return float(torch.corrcoef(torch.stack([x.argsort().argsort().float() for x in (a, b)]))[0, 1])


@pytest.mark.parametrize("modality", MEDIA)
def test_what_is_seen_embeds_as_the_encoder_embeds_it(pocket, bind, modality):
    for encoder in (pocket[0], bind):
        medium = seen(encoder, modality)
        with torch.no_grad():
            expected = embedded(encoder, modality)
            torch.testing.assert_close(medium.pooled(medium.patches), expected.pooled, atol=2e-5, rtol=1e-4)
            with recorded(medium.tower, attention=True) as record:
                torch.testing.assert_close(medium.pooled(medium.patches), expected.pooled, atol=2e-5, rtol=1e-4)
        assert all(torch.allclose(p.sum(-1), torch.ones(())) for p in record.attention)
        grid = expected.grid if modality == "video" else (1, *expected.grid)
        assert (len(medium.patches), *medium.patches.shape[-2:]) == tuple(grid)


def test_what_is_shown_is_the_medium(pocket, bind):
    for encoder in (pocket[0], bind):
        side = seen(encoder, "image").shown.shape[-1]
        torch.testing.assert_close(see(encoder, drawing(side), Played("image")).shown, drawing(side), atol=1e-5, rtol=0)
    shown = seen(pocket[0], "video").shown
    torch.testing.assert_close(shown, clip()[0], atol=1e-5, rtol=0)
    heard = signal.log_mel(sound(2.048))[0]
    low, high = heard.min(), heard.max()
    shown = see(pocket[0], sound(2.048), Played("audio", 16000)).shown
    torch.testing.assert_close(shown[0, 0], ((heard - low) / (high - low))[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("modality", MEDIA)
def test_maps_of_concepts_and_features_are_complete(pocket, modality):
    encoder, dictionary = pocket
    medium = seen(encoder, modality)
    centred = encoder.space.centre(embedded(encoder, modality).pooled.detach(), modality)
    strongest = dictionary.encode(centred, modality)[0].topk(1).indices.tolist()
    concept = Concept.from_text("bell" if modality == "audio" else "red circle", encoder)
    asked = [concept_detector(concept), *feature_detectors(dictionary, strongest, modality)]
    # a clip is eight pictures to the tower
    found = integrated_gradients(medium, asked, nodes=8 if modality == "video" else NODES)
    for one in found:
        assert one.values.shape == GRIDS[modality] and one.residual < 0.01 and one.modality == modality
        assert one.baseline != one.value
    pre = dictionary.autoencoder.pre_activation(centred)[0, strongest]
    torch.testing.assert_close(torch.tensor([one.value for one in found[1:]]), pre, atol=1e-4, rtol=1e-3)
    assert [one.of for one in found[1:]] == [dictionary.names[j] for j in strongest] and all(one.active for one in found[1:])
    assert rollout(medium).values.shape == relevance(medium, asked)[0].values.shape == GRIDS[modality]


@pytest.mark.parametrize("modality", MEDIA)
def test_languagebinds_towers_are_read_the_same_way(bind, modality):
    medium = seen(bind, modality)
    target = concept_detector(Concept.from_text("fire", bind))
    found = integrated_gradients(medium, [target], nodes=8)[0]
    assert found.residual < 0.01
    for one in (found, relevance(medium, [target])[0], rollout(medium)):
        assert tuple(one.values.shape) == tuple(embedded(bind, modality).grid)
    direction = bind.space.centre(embedded(bind, modality).pooled.detach(), modality)
    assert found.value == pytest.approx(float(torch.cosine_similarity(direction, target.row[None])), abs=1e-4)


def test_a_dictionary_without_an_encoder_is_read_along_its_atoms(pocket):
    encoder = pocket[0]
    words = ToyDictionary(encoder.space, ["a", "b", "c"])
    (target,) = feature_detectors(words, [2], "image")
    found = relevance(seen(encoder, "image"), [target])[0]
    centred = encoder.space.centre(embedded(encoder, "image").pooled.detach(), "image")[0]
    assert found.value == pytest.approx(float(centred @ words.atoms[2]), abs=1e-5)
    assert found.of == "c" and found.active is None
    with pytest.raises(ValueError, match="feature -1 was asked for"):
        feature_detectors(words, [-1], "image")


def test_thresholds_are_the_dictionarys(pocket):
    dictionary: TrainedSAE = pocket[1]
    for modality in ("image", "audio"):
        (target,) = feature_detectors(dictionary, [3], modality)
        assert target.threshold == pytest.approx(float(dictionary.thresholds.get(modality, dictionary.thresholds["any"])[3]))


def test_a_tower_that_has_learned_nothing_gives_another_map(pocket):
    """The sanity check of Adebayo et al. 2018 (arXiv 1810.03292): a map that survives new weights shows the picture, not the model."""
    encoder = load()
    target = concept_detector(Concept.from_text("red circle", encoder))

    def maps():
        medium = seen(encoder, "image")
        return [relevance(medium, [target])[0].values.flatten(), integrated_gradients(medium, [target], nodes=8)[0].values.flatten()]

    learned, again = maps(), maps()
    torch.manual_seed(0)
    for part in encoder.image_tower.vision_model.encoder.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
    for trained, repeated, random in zip(learned, again, maps()):
        assert spearman(trained, repeated) == pytest.approx(1) and spearman(trained, random) < 0.6


def test_what_cannot_be_seen_is_refused(pocket, encoder):
    with pytest.raises(ValueError, match="no vision transformer for image"):
        see(encoder, drawing(), Played("image"))
    with pytest.raises(ValueError, match="no vision transformer for text"):
        see(pocket[0], drawing(), Played("text"))
    with pytest.raises(ValueError, match="holds 2 media, expected a batch of one"):
        see(pocket[0], drawing().repeat(2, 1, 1, 1), Played("image"))
    with pytest.raises(ValueError, match=r"expected \[B, C, T\]"):
        see(pocket[0], drawing(), Played("audio", 16000))
    # after a refusal the tower is as it was
    assert not pocket[0].image_tower.vision_model.embeddings._forward_pre_hooks
