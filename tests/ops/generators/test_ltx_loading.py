"""LTX-Video from single files in its makers' layout and from diffusers folders, and what is refused."""

import json

import pytest
import torch
from gradients import draw
from safetensors.torch import load_file, save_file

from concept_algebra.ops.priors.lora import LoRA
from concept_algebra.ops.weights import WeightsError

INSTALL = "needs diffusers and transformers: pip install diffusers transformers"
pytest.importorskip("diffusers", reason=INSTALL)
transformers = pytest.importorskip("transformers", reason=INSTALL)

import tiny_ltx  # noqa: E402

from concept_algebra.ops.generators.ltx_video import load  # noqa: E402

SIZE = {"width": 64, "height": 32, "frames": 9}
SHAPE = (2, 128, 1, 2)


def words():
    """Conditioning of five tokens, two of them padding."""
    return draw(1, 5, 16), torch.tensor([[True, True, True, False, False]])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ltx")
    for version in ("0.9.0", "0.9.5"):
        tiny_ltx.write(folder / f"{version}.safetensors", version=version)
    return {version: folder / f"{version}.safetensors" for version in ("0.9.0", "0.9.5")}


@pytest.fixture(scope="module")
def generators(files):
    return {version: load(path, **SIZE) for version, path in files.items()}


@pytest.fixture
def rewritten(tmp_path):
    """Writes tensors to a file of that name, with the 0.9.0's metadata or other, and says where."""

    def write(name, stored, told=None):
        save_file(stored, tmp_path / name, {"config": json.dumps(tiny_ltx.config("0.9.0") if told is None else told)})
        return tmp_path / name

    return write


@pytest.fixture(scope="module")
def folder(generators, tmp_path_factory):
    """A diffusers folder of the 0.9.5, with a tiny text encoder."""
    path = tmp_path_factory.mktemp("diffusers")
    generators["0.9.5"].autoencoder.save_pretrained(path / "vae")
    generators["0.9.5"].network.save_pretrained(path / "transformer")
    pieces = ["<pad>", "</s>", "<unk>", "\u2581", "\u2581cat", "\u2581sea"]
    transformers.T5TokenizerFast(vocab=[(piece, -1.0) for piece in pieces], extra_ids=0).save_pretrained(path / "tokenizer")
    torch.manual_seed(0)
    tiny = transformers.T5Config(vocab_size=len(pieces), d_model=16, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    transformers.T5EncoderModel(tiny).save_pretrained(path / "text_encoder")
    return path


def test_it_is_named_by_its_weights(files, generators, tmp_path):
    assert load(files["0.9.0"], **SIZE).id == generators["0.9.0"].id != generators["0.9.5"].id
    assert generators["0.9.0"].id.startswith("ltx-")
    tiny_ltx.write(tmp_path / "other.safetensors", seed=1)
    assert load(tmp_path / "other.safetensors", **SIZE).id != generators["0.9.0"].id


def test_time_is_counted_as_the_metadata_says_or_else_as_the_autoencoder_is_old(files, rewritten):
    stored, told = load_file(files["0.9.5"]), dict(tiny_ltx.TRANSFORMER)
    assert load(rewritten("silent.safetensors", stored, {"transformer": told}), **SIZE).causal
    assert not load(rewritten("early.safetensors", stored, {"transformer": told | {"causal_temporal_positioning": False}}), **SIZE).causal
    assert not load(rewritten("old.safetensors", load_file(files["0.9.0"]), {"transformer": told}), **SIZE).causal


def test_folder_and_single_file_give_the_same_numbers(generators, folder):
    one, other = generators["0.9.5"], load(folder, **SIZE)
    assert other.id == one.id and other.causal == one.causal is True
    z, t = draw(1, *SHAPE), torch.tensor([0.6])
    with torch.no_grad():
        torch.testing.assert_close(one.decode(z), other.decode(z), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(one.predict_x0(z, t, words()), other.predict_x0(z, t, words()), rtol=1e-5, atol=1e-5)


def test_half_precision_is_the_networks_affair(files):
    generator = load(files["0.9.0"], **SIZE, dtype=torch.bfloat16)
    assert generator.network.dtype == torch.bfloat16 and generator.autoencoder.dtype == torch.float32
    x0 = generator.predict_x0(draw(1, *SHAPE), torch.tensor([0.5]), words())
    assert x0.dtype == torch.float32
    exact = load(files["0.9.0"], **SIZE).predict_x0(draw(1, *SHAPE), torch.tensor([0.5]), words())
    assert 0 < float((x0 - exact).abs().max()) < 0.1


def test_conditioning_is_made_once_from_the_folders_text_encoder(folder):
    generator = load(folder, **SIZE)
    null, cat = generator.condition(None), generator.condition("cat")
    assert null[0].shape == (1, 128, 16) and null[1].sum() == 1 and cat[1].sum() == 2
    assert generator.condition(None) is null and generator.condition("") is null
    tokenizer = transformers.T5TokenizerFast.from_pretrained(folder / "tokenizer")
    encoder = transformers.T5EncoderModel.from_pretrained(folder / "text_encoder")
    tokens = tokenizer("cat", padding="max_length", max_length=128, return_tensors="pt")
    with torch.no_grad():
        assert torch.allclose(cat[0], encoder(tokens.input_ids)[0]) and torch.equal(cat[1], tokens.attention_mask.bool())


def test_it_works_where_a_host_runs_it_in_inference_mode(folder):
    with torch.inference_mode():
        generator = load(folder, **SIZE)
        null = generator.condition(None)
    assert not null[0].is_inference() and not any(p.is_inference() for p in generator.state_dict().values())
    latent = generator.start(1, 0).requires_grad_()
    generator.decode(latent).mean().backward()
    assert latent.grad.abs().sum() > 0


def test_what_does_not_fit_is_refused_by_name(files, tmp_path, generators, rewritten):
    with pytest.raises(ValueError, match="width 60: LTX-Video takes multiples of 32"):
        load(files["0.9.0"], 60, 32, 9)
    with pytest.raises(ValueError, match="1 frame or 8 n \\+ 1 of them, not 8"):
        load(files["0.9.0"], 64, 32, 8)
    with pytest.raises(ValueError, match=r"media has shape \(1, 8, 3, 32, 64\), expected \[B, 9, 3, 32, 64\]"):
        generators["0.9.0"].encode(torch.zeros(1, 8, 3, 32, 64))
    with pytest.raises(ValueError, match="this LoRA adapts another Sequential than this generator's"):
        other = LoRA(torch.nn.Sequential(torch.nn.Linear(2, 2)), ["0"], 1, torch.Generator())
        generators["0.9.0"].predict_x0(draw(1, *SHAPE), torch.zeros(1), words(), other)
    with pytest.raises(WeightsError, match="is not a safetensors file"):
        load(tmp_path / "nothing.safetensors")
    with pytest.raises(WeightsError, match="config.json cannot be read"):
        load(tmp_path)
    stored = load_file(files["0.9.0"])
    alone = {k: v for k, v in stored.items() if not k.startswith("vae.")}
    with pytest.raises(WeightsError, match="it has no autoencoder \\('vae.decoder.conv_in.conv.weight'\\)"):
        load(rewritten("alone.safetensors", alone))
    with pytest.raises(WeightsError, match="it has no transformer"):
        load(rewritten("vae.safetensors", {k: v for k, v in stored.items() if k.startswith("vae.")}))
    short = {k: v for k, v in stored.items() if not k.endswith("blocks.1.ff.net.2.weight")}
    with pytest.raises(WeightsError, match="does not fit LTXVideoTransformer3DModel"):
        load(rewritten("short.safetensors", short))
    sound = stored | {"model.diffusion_model.audio_adaln_single.linear.weight": torch.zeros(1)}
    with pytest.raises(WeightsError, match="is an LTX-2"):
        load(rewritten("sound.safetensors", sound))
    with pytest.raises(WeightsError, match="the metadata's config is not readable"):
        load(rewritten("odd.safetensors", stored, []))
    tiny_ltx.write(tmp_path / "comfy.safetensors", version="0.9.1", comfy=True)
    with pytest.raises(WeightsError, match="none of LTX-Video 0.9.x"):
        load(tmp_path / "comfy.safetensors")
