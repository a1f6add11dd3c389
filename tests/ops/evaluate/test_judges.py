"""SigLIP and CLAP as judges: numbers of transformers' own models, extractors and Pillow, offline, in both major versions."""

import builtins
import json
import sys

import numpy as np
import pytest
import torch
from contracts.mps import apple_silicon
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.nn.functional import normalize

from concept_algebra.ops.concept import Concept
from concept_algebra.ops.encoders.protocol import Encoder
from concept_algebra.ops.evaluate import judges
from concept_algebra.ops.evaluate.clap import fitted
from concept_algebra.ops.evaluate.distractors import distractors
from concept_algebra.ops.instruments import Judge
from concept_algebra.ops.weights import WeightsError

transformers = pytest.importorskip("transformers", reason="the judges are read by transformers: pip install transformers")
tiny_judges = pytest.importorskip("tiny_judges")


@pytest.fixture(scope="module")
def siglip_folder(tmp_path_factory):
    return tiny_judges.siglip(tmp_path_factory.mktemp("siglip"))


@pytest.fixture(scope="module")
def clap_folder(tmp_path_factory):
    return tiny_judges.clap(tmp_path_factory.mktemp("clap"))


@pytest.fixture(scope="module")
def siglip(siglip_folder):
    return judges.load(siglip_folder)


@pytest.fixture(scope="module")
def clap(clap_folder):
    return judges.load(clap_folder)


def drawn(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def features(output):
    return normalize(output if isinstance(output, torch.Tensor) else output.pooler_output, dim=-1)


def test_both_are_encoders_with_the_distractors_for_vocabulary(siglip, clap):
    for judge, modalities in ((siglip, {"text", "image", "video"}), (clap, {"text", "audio"})):
        assert isinstance(judge, Encoder) and judge.modalities == modalities
        assert judge.space.vocabulary.words == distractors()
        assert judge.space.vocabulary.embeddings.norm(dim=1).allclose(torch.ones(600), atol=1e-5)
        # centred by them: their mean is the space's own
        assert judge.space.vocabulary.embeddings.mean(0).allclose(judge.space.means["text"], atol=1e-5)
    assert siglip.space.id.startswith("siglip-") and clap.space.id.startswith("clap-")


def test_the_version_of_transformers_gives_what_it_is_known_to_give(siglip):
    found = siglip.net.get_image_features(pixel_values=torch.zeros(1, 3, 32, 32))
    if int(transformers.__version__.partition(".")[0]) < 5:
        assert isinstance(found, torch.Tensor)
    else:
        assert not isinstance(found, torch.Tensor) and found.pooler_output.shape == (1, 16)


def test_texts_are_those_of_the_model_padded_to_its_length_and_lower_cased(siglip):
    ids = siglip.tokenizer(["a dog", "ice"], padding="max_length", max_length=20)["input_ids"]
    assert [len(row) for row in ids] == [20, 20]
    reference = features(siglip.net.get_text_features(input_ids=torch.tensor(ids)))
    assert siglip.text(["A Dog", "ICE"]).pooled.allclose(reference, atol=1e-6)
    assert siglip.text(["a dog " * 20]).pooled.isfinite().all()


def test_padding_is_on_the_right_whatever_the_tokenizers_file_says(siglip, monkeypatch):
    ours = siglip.text(["ice"]).pooled
    monkeypatch.setattr(siglip.tokenizer, "padding_side", "left")
    assert siglip.tokenizer(["ice"], padding="max_length", max_length=20)["input_ids"][0][0] == siglip.tokenizer.pad_token_id
    assert siglip.text(["ice"]).pooled.allclose(ours, atol=1e-6)


def test_what_stands_beside_a_phrase_does_not_change_it(siglip, clap):
    for judge in (siglip, clap):
        assert judge.text(["ice", "a much longer one"]).pooled[:1].allclose(judge.text(["ice"]).pooled, atol=1e-5)


@pytest.mark.parametrize("texts", ["dog", []])
def test_a_bare_string_and_no_text_are_refused(siglip, clap, texts):
    for judge in (siglip, clap):
        with pytest.raises(ValueError, match="give a list"):
            judge.text(texts)


@pytest.mark.parametrize("resample, name", [(2, Image.Resampling.BILINEAR), (3, Image.Resampling.BICUBIC)])
def test_pictures_are_those_of_pillow_and_the_model(tmp_path, resample, name):
    judge = judges.load(tiny_judges.siglip(tmp_path, resample))
    picture = np.random.default_rng(0).integers(0, 256, (50, 72, 3), dtype=np.uint8)
    squeezed = np.asarray(Image.fromarray(picture).resize((32, 32), name), np.float32) / 255
    reference = features(judge.net.get_image_features(pixel_values=(torch.tensor(squeezed).permute(2, 0, 1)[None] - 0.5) / 0.5))
    ours = judge.image(torch.tensor(picture).permute(2, 0, 1)[None] / 255).pooled
    # Pillow rounds to eight bits between its two passes and after them
    assert ours.allclose(reference, atol=0.01)
    other = judge.image(torch.tensor(picture).flip(0).permute(2, 0, 1)[None] / 255).pooled
    assert not other.allclose(reference, atol=0.03)


def test_a_clip_is_the_mean_of_its_frames(siglip):
    frames = drawn(2, 5, 3, 32, 32)
    each = torch.stack([siglip.image(clip).pooled for clip in frames])
    assert siglip.video(frames, 8.0).pooled.allclose(normalize(each.mean(1), dim=-1), atol=1e-6)
    # of a long one, eight evenly spread, the first and the last among them
    long = drawn(1, 15, 3, 32, 32)
    assert siglip.video(long, 8.0).pooled.allclose(siglip.video(long[:, ::2], 8.0).pooled, atol=1e-6)


@pytest.mark.parametrize("seconds", [1.0, 0.3, 0.7, 0.011])
def test_sounds_are_those_of_the_extractor_and_the_model(clap, clap_folder, seconds):
    wave = (drawn(int(8000 * seconds)) - 0.5).numpy()
    extractor = transformers.ClapFeatureExtractor.from_pretrained(clap_folder, local_files_only=True)
    extracted = torch.tensor(np.asarray(extractor(wave, sampling_rate=8000)["input_features"])).float()
    tensor = torch.tensor(wave)[None]
    ours = clap.log_mel(fitted(tensor, clap.samples))[:, None]
    assert ours.shape == extracted.shape
    # silence is at the floor in both; elsewhere to a hundredth of a decibel
    assert ours.allclose(extracted, atol=0.02)
    reference = features(clap.net.get_audio_features(input_features=extracted))
    assert clap.audio(tensor[None], 8000).pooled.allclose(reference, atol=1e-3)


def test_of_a_long_sound_the_middle_is_heard_every_time(clap):
    wave = drawn(1, 2, 20000) - 0.5
    first = clap.audio(wave, 8000).pooled
    assert first.equal(clap.audio(wave, 8000).pooled)
    assert first.allclose(clap.audio(wave[..., 6000:14000].mean(1, keepdim=True), 8000).pooled, atol=1e-6)


@given(st.integers(1, 40), st.integers(1, 40))
def test_a_sound_is_fitted_to_any_length(length, samples):
    wave = torch.arange(1.0, length + 1)[None]
    heard = fitted(wave, samples)
    assert heard.shape == (1, samples)
    said = heard[heard > 0]
    if length >= samples:
        assert said.equal(wave[0, (length - samples) // 2 :][:samples])
    else:
        assert len(said) == length * (samples // length) and said.equal(wave[0].repeat(samples // length))


def test_both_are_judges_for_a_render_and_read_arithmetic(siglip, clap):
    for judge in (siglip, clap):
        king, man = (Concept.from_text(word, judge) for word in ("king", "man"))
        assert Judge(judge, king - man).concept.direction.norm() == pytest.approx(1, abs=1e-5)


def test_gradients_reach_the_media_on_apple_silicon(siglip, clap):
    pixels, wave = drawn(1, 3, 40, 40).requires_grad_(), (drawn(1, 1, 4000) - 0.5).requires_grad_()
    siglip.image(pixels), clap.audio(wave, 8000)  # what is made once is made outside
    with apple_silicon():
        siglip.image(pixels).pooled[:, 0].sum().backward()
        clap.audio(wave, 8000).pooled[:, 0].sum().backward()
    assert pixels.grad.abs().sum() > 0 and wave.grad.abs().sum() > 0


def test_loaded_under_a_hosts_inference_mode_they_can_be_gone_back_through(siglip_folder, clap_folder):
    with torch.inference_mode():
        loaded = [judges.load(siglip_folder), judges.load(clap_folder)]
    for judge in loaded:
        media = drawn(1, 3, 32, 32) if "image" in judge.modalities else drawn(1, 1, 8000)
        media.requires_grad_()
        (judge.image(media) if "image" in judge.modalities else judge.audio(media, 8000)).pooled[:, 0].sum().backward()
        assert media.grad is not None
        assert not judge.space.means["text"].is_inference() and not judge.space.word_directions.is_inference()


def test_shapes_that_are_no_media_are_refused(siglip, clap):
    with pytest.raises(ValueError, match="pixels have shape"):
        siglip.image(drawn(3, 8, 8))
    with pytest.raises(ValueError, match="frames have shape"):
        siglip.video(drawn(1, 3, 8, 8), 8.0)
    with pytest.raises(ValueError, match="wave has shape"):
        clap.audio(drawn(1, 1, 0), 8000)


def test_a_medium_that_it_does_not_know_is_refused(siglip, clap):
    with pytest.raises(ValueError, match="embeds no sounds"):
        siglip.audio(drawn(1, 1, 800), 8000)
    with pytest.raises(ValueError, match="embeds no pictures"):
        clap.image(drawn(1, 3, 8, 8))
    with pytest.raises(ValueError, match="embeds no clips"):
        clap.video(drawn(1, 2, 3, 8, 8), 8.0)


def test_a_fused_clap_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="clap-htsat-unfused"):
        judges.load(tiny_judges.clap(tmp_path, fused=True))


@pytest.mark.parametrize(
    "content, told",
    [
        (None, "no config.json"),
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"model_type": "bert"}', "bert; expected siglip"),
        ('{"model_type": "siglip2"}', "NaFlex"),
    ],
)
def test_a_folder_that_is_no_judge_is_refused(tmp_path, content, told):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(WeightsError, match=told):
        judges.load(tmp_path)


@pytest.mark.parametrize("lacking, told", [("model.safetensors", "download it again"), ("preprocessor_config.json", "preprocessor_config.json")])
def test_a_folder_that_lacks_a_file_is_refused(tmp_path, lacking, told):
    (tiny_judges.siglip(tmp_path) / lacking).unlink()
    with pytest.raises(WeightsError, match=told):
        judges.load(tmp_path)


def test_weights_that_lack_a_part_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    file = tiny_judges.siglip(tmp_path) / "model.safetensors"
    weights = {name: tensor for name, tensor in load_file(file).items() if not name.startswith("vision_model.head")}
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(WeightsError, match="lacks the weights vision_model.head"):
        judges.load(tmp_path)


def test_another_filter_is_refused(tmp_path):
    file = tiny_judges.siglip(tmp_path) / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "resample": 5}))
    with pytest.raises(WeightsError, match="filter 5"):
        judges.load(tmp_path)


def test_without_transformers_one_line_says_what_to_install(siglip_folder, monkeypatch):
    real = builtins.__import__

    def absent(name, *rest, **more):
        if name == "transformers":
            raise ModuleNotFoundError("No module named 'transformers'", name="transformers")
        return real(name, *rest, **more)

    monkeypatch.delitem(sys.modules, "transformers")
    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ModuleNotFoundError, match="^judges need transformers: pip install transformers$"):
        judges.load(siglip_folder)
