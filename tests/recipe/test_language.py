"""Media learn toward what the text tower says when someone types the word, not toward its teacher."""

import torch

from concept_algebra.ops.encoders.pocket import load
from recipe.language import language
from recipe.names import Names, clean


def test_targets_are_what_the_shipped_encoder_gives():
    phrases = ["fire", "a very long phrase of many words indeed", "purple dog", "fire"]
    assert torch.allclose(language(phrases), load().text(phrases).pooled, atol=1e-5)
    assert torch.equal(language(["purple dog"])[0], language(phrases)[2])
    assert language([]).shape == (0, 768)


def test_labels_the_tower_cannot_read_are_left_out():
    assert [clean(label) for label in ("family: man, man, girl", "−", "O button (blood type)", "?!")] == [
        "family man man girl", "", "o button blood type", "",
    ]  # fmt: skip
    names = Names([{"label": "minus", "tags": ["−", "math"]}])
    assert names.phrases == ["minus", "math"]
    assert names.targets([0]).tolist()[0] == [0.6000000238418579, 0.4000000059604645]
