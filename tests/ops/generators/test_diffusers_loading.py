"""Without the libraries one line says what to install."""

import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from concept_algebra.ops.generators import catalogue, diffusers_loading
from concept_algebra.ops.generators.diffusers_loading import library, text_part
from concept_algebra.ops.weights import WeightsError


@pytest.mark.parametrize("absent", ["diffusers", "transformers"])
def test_what_to_install_is_said_in_one_line(monkeypatch, absent):
    if absent == "transformers":
        pytest.importorskip("diffusers", reason="the one library without the other; pip install diffusers")
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(ModuleNotFoundError, match="pip install diffusers transformers") as told:
        library()
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("installed", [False, True])
def test_a_tokenizer_in_sentencepieces_own_form_asks_for_its_library(monkeypatch, tmp_path, installed):
    for name in ("diffusers", "transformers"):
        pytest.importorskip(name, reason="a tokenizer by transformers; pip install diffusers transformers")
    monkeypatch.setattr(diffusers_loading, "find_spec", lambda name: object() if installed else None)
    tokenizer = tmp_path / "LTX-Video" / "tokenizer"
    tokenizer.mkdir(parents=True)
    (tokenizer / "spiece.model").write_bytes(b"damaged")
    asked = "sentencepiece: pip install sentencepiece"
    assert (asked in catalogue.missing(["ltx"], tmp_path)) != installed
    assert asked not in catalogue.missing(["sd35"], tmp_path)
    if not installed:
        with pytest.raises(ModuleNotFoundError, match="tokenizer is read by .*: pip install sentencepiece$"):
            text_part(tokenizer, "T5TokenizerFast", torch.float32, torch.device("cpu"))
        (tokenizer / "tokenizer.json").write_text("{}")
        assert asked not in catalogue.missing(["ltx"], tmp_path), "what transformers reads by itself needs no other"


def test_a_text_encoder_that_is_not_whole_is_refused_and_not_filled_with_random_numbers(tmp_path):
    transformers = pytest.importorskip("transformers", reason="a text encoder by transformers; pip install diffusers transformers")
    pytest.importorskip("diffusers", reason="pip install diffusers transformers")
    settings = transformers.T5Config(vocab_size=3, d_model=16, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    transformers.T5EncoderModel(settings).save_pretrained(tmp_path)
    here = "T5EncoderModel", torch.float32, torch.device("cpu")
    assert not any(p.requires_grad for p in text_part(tmp_path, *here).parameters())
    kept = load_file(tmp_path / "model.safetensors")
    save_file({name: tensor for name, tensor in kept.items() if not name.endswith("SelfAttention.q.weight")}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match="does not fit T5EncoderModel: missing .*SelfAttention.q.weight"):
        text_part(tmp_path, *here)
