"""Names of planted features: recovered where both routes say the same, marked where one does, withheld where none does."""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from concept_algebra.ops.features import naming as module
from concept_algebra.ops.features.detection import detection
from concept_algebra.ops.features.dictionary import Dictionary
from concept_algebra.ops.features.naming import TOP, Evidence, evidence, named
from concept_algebra.ops.space import Space, Vocabulary

D, V, M = 256, 740, 30
WORDS = [*(f"w{i}" for i in range(700)), *(f"old w{i}" for i in range(40))]


def units(count, seed, dimension=D):
    return normalize(torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed)), dim=1)


SPACE = Space("made-0", D, vocabulary=Vocabulary(WORDS, units(V, 0)))


@dataclass
class Rows:
    """A dictionary that fires for what lies along other rows than its atoms, or the same."""

    atoms: Tensor
    fires: Tensor
    space: Space = SPACE
    id: str = "rows-0"
    over: float = 0.5

    @property
    def names(self):
        return tuple(f"feature {j}" for j in range(len(self.atoms)))

    def encode(self, x, modality):
        return (x @ self.fires.T - self.over).relu()


def items(words, each=20, seed=1, noise=0.5):
    """Vectors near the directions of vocabulary entries, `each` of each, and their captions."""
    near = SPACE.word_directions[list(words)].repeat_interleave(each, 0)
    return near + noise * units(len(near), seed), [f"A photo of {WORDS[i]}!" for i in words for _ in range(each)]


def probed(dictionary, words=range(V), captioned=True, **how):
    x, captions = items(words, **how)
    return evidence(dictionary, {"image": x}, {"image": captions if captioned else [""] * len(captions)})


@pytest.mark.parametrize("captioned", [True, False])
def test_planted_words_are_recovered_by_both_routes(captioned):
    planted = torch.randperm(V, generator=torch.Generator().manual_seed(2))[:M].tolist()
    rows = Rows(SPACE.word_directions[planted], SPACE.word_directions[planted])
    assert isinstance(rows, Dictionary)
    found = named(rows, probed(rows, captioned=captioned))
    assert [one.name for one in found] == [one.word for one in found] == [WORDS[i] for i in planted]
    assert all(one.agreed and one.routes == 2 and one.confidence == 1 and one.word not in one.others for one in found)


def test_a_random_direction_stays_unnamed():
    rows = Rows(units(M, 3), units(M, 3), over=0.1)
    found = named(rows, probed(rows, noise=2.0))
    assert [one.name for one in found] == [f"unnamed {j} (nearest: {one.word})" for j, one in enumerate(found)]
    nearest = (rows.atoms @ SPACE.word_directions.T).argmax(1).tolist()
    assert [one.word for one in found] == [WORDS[i] for i in nearest]
    assert all(one.routes == 0 and one.confidence == 0 and not one.agreed for one in found)


def test_what_is_fired_by_other_things_than_its_decoder_says_is_not_agreed():
    rows = Rows(SPACE.word_directions[:M], SPACE.word_directions[M : 2 * M])
    found = named(rows, probed(rows))
    assert [one.name for one in found] == [f"w{j}?" for j in range(M, 2 * M)]
    assert all(one.routes == 1 and one.confidence < 0.5 for one in found)


def test_routes_that_have_nothing_to_do_with_each_other_seldom_agree():
    many = torch.arange(600)
    rows = Rows(SPACE.word_directions[many], SPACE.word_directions[many])
    found = probed(rows, each=5)
    order = torch.randperm(600, generator=torch.Generator().manual_seed(4))
    shuffled = Evidence(found.direction[order], tuple(found.said[i] for i in order))
    assert sum(one.agreed for one in named(rows, found)) > 590
    # one in 180 is 3.3 of them
    assert sum(one.agreed for one in named(rows, shuffled)) <= 9


def test_a_feature_that_never_fires_goes_by_its_decoder_alone():
    rows = Rows(SPACE.word_directions[:3], SPACE.word_directions[:3], over=99.0)
    found = probed(rows)
    assert torch.equal(found.direction, torch.zeros(3, D)) and found.said == ({}, {}, {})
    for j, one in enumerate(named(rows, found)):
        assert one.name == f"w{j}?" and one.routes == 1 and one.confidence == pytest.approx(1 / math.sqrt(V))


def test_two_strong_items_are_no_evidence_and_three_are():
    rows = Rows(SPACE.word_directions[:1], SPACE.word_directions[:1])
    for count, agreed in ((2, False), (3, True)):
        assert named(rows, probed(rows, each=count, noise=1e-3))[0].agreed is agreed


def test_names_are_unique_and_the_surest_feature_has_the_plain_one():
    same = SPACE.word_directions[[5, 5, 5]]
    rows = Rows(normalize(same + torch.tensor([[0.9], [0.0], [0.9]]) * units(3, 6), dim=1), same)
    rows.atoms[0] = normalize(SPACE.word_directions[5] + 1.2 * SPACE.word_directions[9], dim=0)
    found = named(rows, probed(rows))
    assert [one.word for one in found] == ["w5"] * 3 and found[0].confidence < found[1].confidence == 1
    assert [one.name for one in found] == ["w5 3", "w5", "w5 2"]
    lone = Rows(SPACE.word_directions[:2], SPACE.word_directions[[7, 7]])
    assert [one.name for one in named(lone, probed(lone))] == ["w7?", "w7? 2"]


def test_a_near_synonym_stands_in_where_the_name_is_taken():
    directions = SPACE.word_directions.clone()
    directions[8] = normalize(directions[7] + 0.2 * directions[8], dim=0)
    close = Space("made-1", D, vocabulary=Vocabulary(WORDS, directions))
    rows = Rows(directions[[7, 7]], directions[[7, 7]], close)
    found = named(rows, probed(rows, captioned=False))
    assert [one.name for one in found] == ["w7", "w8"] and all(one.agreed for one in found)


def test_captions_decide_where_directions_cannot():
    directions = SPACE.word_directions.clone()
    directions[8] = directions[7]
    twins = Space("made-2", D, vocabulary=Vocabulary(WORDS, directions))
    rows = Rows(directions[[7]], directions[[7]], twins)
    x, _ = items([7])
    for said, name in (("a w7", "w7"), ("some W8, seen from afar", "w8")):
        others, captions = items(range(20, 40))
        found = evidence(rows, {"image": torch.cat([x, others])}, {"image": [said] * 20 + captions})
        assert named(rows, found)[0].name == name


def test_evidence_is_the_weighted_mean_direction_and_the_count_of_what_was_said():
    rows = Rows(SPACE.word_directions[:4], SPACE.word_directions[:4], over=0.05)
    x, captions = items(range(100), noise=2.0)
    texts, said = items(range(50), seed=7)
    # w5 is nearly everywhere, so of most features it tells nothing
    captions, said = ([f"{c} w5!" if i % 10 else c for i, c in enumerate(part)] for part in (captions, said))
    found = evidence(rows, {"image": x, "text": texts}, {"image": captions, "text": said})
    everything, spoken = torch.cat([x, texts]), [*captions, *said]
    for j in range(4):
        code = rows.encode(everything, "image")[:, j]
        top = code.argsort(descending=True)[:TOP].tolist()
        weights = {i: float(code[i] / code[top].sum()) for i in top}
        mean = sum(weight * everything[i] / everything[i].norm() for i, weight in weights.items())
        assert torch.allclose(found.direction[j], mean, atol=1e-5)
        expected = {}
        for entry, word in enumerate(WORDS[:100]):
            holds = [f" {word}!" in caption for caption in spoken]
            here = sum(weight for i, weight in weights.items() if holds[i])
            if here > sum(holds) / len(holds):
                expected[entry] = here * math.log(here / (sum(holds) / len(holds)))
        assert found.said[j] == pytest.approx(expected, rel=1e-4) and j in expected
    assert 0 < sum(5 in said for said in found.said) < 4


def test_phrases_count_beside_their_words():
    rows = Rows(SPACE.word_directions[[700]], SPACE.word_directions[[700]])
    found = probed(rows, [700, 0, *range(40, 60)])
    assert WORDS[700] == "old w0" and found.said[0].keys() == {0, 700} and found.said[0][700] > found.said[0][0]


def test_how_vectors_are_batched_and_split_among_modalities_changes_nothing(monkeypatch):
    rows = Rows(SPACE.word_directions[:5], SPACE.word_directions[:5], over=0.1)
    x, captions = items(range(60), noise=1.0)
    whole = evidence(rows, {"image": x}, {"image": captions})
    monkeypatch.setattr(module, "ROWS", 7)
    parts = evidence(rows, {"image": x[:500].half(), "audio": x[500:].half()}, {"image": captions[:500], "audio": captions[500:]})
    assert torch.allclose(whole.direction, parts.direction, atol=2e-3)
    assert all(a.keys() == b.keys() for a, b in zip(whole.said, parts.said))
    monkeypatch.setattr(module, "FEATURES", 2)
    assert named(rows, parts) == named(rows, evidence(rows, {"image": x.half()}, {"image": captions}))


def test_gathered_under_inference_mode_it_is_kept_for_good():
    rows = Rows(SPACE.word_directions[:2], SPACE.word_directions[:2])
    x, captions = items(range(20))
    with torch.inference_mode():
        found = evidence(rows, {"image": x}, {"image": captions})
        assert [one.name for one in named(rows, found)] == ["w0", "w1"]
    assert not found.direction.is_inference()


def test_names_of_words_that_an_encoder_knows_pass_detection(encoder):
    words = encoder.space.vocabulary.words
    rows = Rows(encoder.space.word_directions, encoder.space.word_directions, encoder.space, over=0.3)
    texts = [f"{template} {word}" for word in words for template in ("one", "this", "any", "seen", "my", "your", "far", "near")]
    found = named(rows, evidence(rows, {"text": encoder.space.centre(encoder.text(texts).pooled, "text")}, {"text": texts}))
    assert [one.name for one in found] == list(words)
    measured = detection([one.word for one in found], range(len(found)), lambda x: x @ rows.atoms.T, encoder)
    assert measured.auc.mean() > 0.8 and 0.3 < measured.shuffled.mean() < 0.7


@pytest.mark.parametrize(
    "data, captions, message",
    [
        ({}, {}, r"probe items and captions number {}, expected one item or more"),
        ({"image": torch.zeros(0, D)}, {"image": []}, r"{'image': \(0, 0\)}"),
        ({"image": torch.zeros(3, D)}, {"image": ["a"]}, r"{'image': \(3, 1\)}, expected one item or more and a caption each"),
    ],
)
def test_what_is_no_evidence_is_named(data, captions, message):
    with pytest.raises(ValueError, match=message):
        evidence(Rows(SPACE.word_directions[:2], SPACE.word_directions[:2]), data, captions)


def test_evidence_of_other_features_is_refused():
    rows = Rows(SPACE.word_directions[:2], SPACE.word_directions[:2])
    with pytest.raises(ValueError, match=r"evidence of shape \(3, 256\) for atoms of shape \(2, 256\)"):
        named(rows, Evidence(torch.zeros(3, D), ({}, {}, {})))
