"""The bundle: there and back through files, held to its schema in both directions, and its views."""

import json
import math
from dataclasses import fields, replace

import pytest
import torch
from json_schema import fits, places, spoiled

from concept_algebra.ops.interpret.attribution import Attribution
from concept_algebra.ops.interpret.bundle import JSON_NAME, MAPS_NAME, SCHEMA, Bundle, Feature, Look, Word
from concept_algebra.ops.interpret.bundle_views import figure, markdown
from concept_algebra.ops.interpret.probes import Answer

WORDS = (Word("fire", 0.4, 3.1), Word("a | b", 0.2, 1.5))
MAPS = (
    Attribution(torch.randn(2, 3, 4), "integrated gradients", "video", "fire + water", 0.4, 0.1, 0.002),
    Attribution(torch.rand(2, 3, 4), "relevance", "video", "flame", 0.3, active=True),
    Attribution(torch.rand(2, 3, 4), "rollout", "video"),
)
FULL = Bundle(
    "fire + water", "video", "natural", 3, "pocket-1", 0.4, WORDS, (Look(4, (Word("ice", 0.1),)),), "sae-1", (Feature("flame", 0.5, 0.25),),
    (Answer("an animal", 0.25, "it was trained on text"), Answer("food", 0.5, None)), MAPS,
    torch.randint(0, 256, (2, 3, 24, 32), dtype=torch.uint8),
)  # fmt: skip
BARE = Bundle("fire", "text", "composed", 0, "pocket-1", 0.9, WORDS, (), None, (), ())


def parts(bundle):
    """A bundle as what can be compared."""
    tensors = {name: (x.dtype, x.tolist()) for name, x in bundle.tensors().items()}
    return bundle.to_dict(), tensors


@pytest.fixture(scope="module")
def schema():
    return json.loads(SCHEMA.read_text("utf-8"))


@pytest.mark.parametrize("bundle", [FULL, BARE])
def test_there_and_back_through_files_it_is_the_same(bundle, tmp_path):
    bundle.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == ({JSON_NAME, MAPS_NAME} if bundle.maps else {JSON_NAME})
    read = Bundle.load(tmp_path)
    assert parts(read) == parts(bundle)
    for found, own in zip(read.maps, bundle.maps, strict=True):
        assert all(getattr(found, field.name) == getattr(own, field.name) for field in fields(Attribution) if field.name != "values")


@pytest.mark.parametrize("bundle", [FULL, BARE])
def test_it_fits_its_schema(bundle, schema):
    assert fits(bundle.to_dict(), schema, schema)


@pytest.mark.parametrize("where", [where for where in places(FULL.to_dict()) if where])
def test_anything_else_in_its_place_fits_neither_the_schema_nor_the_bundle(where, schema):
    for wrong in ({"what": 1}, [[]], True):
        document = spoiled(FULL.to_dict(), where, wrong)
        if document == FULL.to_dict() or where[-1] == "active":
            continue
        assert not fits(document, schema, schema)
        with pytest.raises(ValueError, match="damaged|not a bundle"):
            Bundle.from_parts(document, FULL.tensors())


@pytest.mark.parametrize("where", [where for where in places(FULL.to_dict()) if where and isinstance(where[-1], str)])
def test_nothing_may_lack(where, schema):
    document = FULL.to_dict()
    at = document
    for name in where[:-1]:
        at = at[name]
    del at[where[-1]]
    assert not fits(document, schema, schema)
    with pytest.raises(ValueError, match="damaged|not a bundle"):
        Bundle.from_parts(document, FULL.tensors())


def test_maps_and_records_must_belong_together(tmp_path):
    with pytest.raises(ValueError, match="tensors are map.0, map.1, map.2, expected map.0, map.1, map.2, shown"):
        Bundle.from_parts(FULL.to_dict(), replace(FULL, shown=None).tensors())
    with pytest.raises(ValueError, match="expected none"):
        Bundle.from_parts(BARE.to_dict(), FULL.tensors())
    FULL.save(tmp_path)
    (tmp_path / MAPS_NAME).write_bytes(b"not tensors")
    with pytest.raises(ValueError, match=rf"{tmp_path.name}.*safetensors"):
        Bundle.load(tmp_path)
    (tmp_path / JSON_NAME).write_text("[")
    with pytest.raises(ValueError, match=tmp_path.name):
        Bundle.load(tmp_path)
    with pytest.raises(OSError):
        Bundle.load(tmp_path / "nowhere")


def test_what_is_not_finite_is_null_and_comes_back_as_not_a_number(tmp_path):
    replace(FULL, cosine=math.inf).save(tmp_path)
    assert json.loads((tmp_path / JSON_NAME).read_text())["cosine"] is None
    assert math.isnan(Bundle.load(tmp_path).cosine)


def test_the_figure_has_the_charts_and_a_map_for_each():
    whole, fewer, bare = (figure(one) for one in (FULL, replace(FULL, maps=MAPS[:1]), BARE))
    assert all(one.dim() == 3 and len(one) == 3 and 0 <= one.min() and one.max() <= 1 for one in (whole, fewer, bare))
    assert whole.shape[1] > fewer.shape[1] > bare.shape[1] and whole.shape[2] == fewer.shape[2] > bare.shape[2]
    # below the charts the first map is the same, and only there does the other have a second
    assert torch.equal(whole[:, : fewer.shape[1], :400], fewer[..., :400])


def test_the_markdown_tells_the_words_the_features_and_the_warnings_once():
    page = markdown(FULL, "readings/figure.png")
    assert "fire 0.40, a \\| b 0.20" in page and "| flame | 0.50 | 0.25 |" in page and "| an animal | 25% |" in page
    assert page.count("it was trained on text") == 1 and page.endswith("![Where it was seen](readings/figure.png)\n")
    bare = markdown(BARE)
    assert "feature" not in bare and "probe" not in bare and "![" not in bare
