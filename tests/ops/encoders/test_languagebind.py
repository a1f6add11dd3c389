"""The LanguageBind encoder from published folders and from a converted file."""

import pytest
import tiny_languagebind
import torch
from contracts.mps import apple_silicon
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from tiny_languagebind import DIMENSION, MERGES, WIDTH, folder, published

from concept_algebra.ops.calibration import Calibration, Cloud, sidecar
from concept_algebra.ops.concept import Concept
from concept_algebra.ops.encoders import load as load_any
from concept_algebra.ops.encoders.clip_tokenizer import ClipTokenizer
from concept_algebra.ops.encoders.languagebind_file import convert, load
from concept_algebra.ops.encoders.pocket_text import UnreadableText
from concept_algebra.ops.encoders.protocol import Encoder
from concept_algebra.ops.space import UncalibratedSpace
from concept_algebra.ops.weights import WeightsError

pytestmark = pytest.mark.usefixtures("few_words")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tiny_languagebind.folders(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def file(folders, tmp_path_factory):
    out = tmp_path_factory.mktemp("converted") / "languagebind.safetensors"
    convert(folders, out, torch.float32)
    return out


@pytest.fixture(scope="module")
def bind(file):
    return load(file)


MEDIA = {
    "image": lambda: (torch.rand(2, 3, 70, 90, generator=torch.Generator().manual_seed(0)),),
    "audio": lambda: (torch.rand(2, 1, 12000, generator=torch.Generator().manual_seed(1)) - 0.5, 16000),
    "video": lambda: (torch.rand(2, 10, 3, 64, 80, generator=torch.Generator().manual_seed(2)), 8.0),
}


def test_it_is_an_encoder_of_all_four(bind):
    assert isinstance(bind, Encoder) and bind.modalities == {"text", "image", "audio", "video"}
    assert bind.space.dimension == DIMENSION and bind.space.id.startswith("languagebind-")
    for modality, media in MEDIA.items():
        found = getattr(bind, modality)(*media())
        count = torch.tensor(found.grid).prod()
        assert found.modality == modality and found.pooled.shape == (2, DIMENSION)
        assert found.tokens.shape == (2, count, WIDTH) and found.dense.shape == (2, count, DIMENSION)
        torch.testing.assert_close(found.pooled.norm(dim=-1), torch.ones(2))
    found = bind.text(["the ocean", "fire"])
    assert found.pooled.shape == (2, DIMENSION) and found.grid == (2,)


@pytest.mark.parametrize("modality", MEDIA)
def test_a_folder_as_published_embeds_as_the_converted_file(bind, folders, modality):
    alone = load(folders[["image", "audio", "video"].index(modality)])
    assert alone.modalities == {"text", modality} and alone.space.encoder_id == bind.space.encoder_id
    # a folder brings no embeddings of its words to centre text by, so its concepts do not mix with the file's
    assert alone.space != bind.space
    a, b = (getattr(encoder, modality)(*MEDIA[modality]()) for encoder in (alone, bind))
    for x, y in ((a.pooled, b.pooled), (a.tokens, b.tokens), (a.dense, b.dense)):
        torch.testing.assert_close(x, y, atol=0, rtol=0)


@pytest.mark.parametrize("modality", MEDIA)
def test_gradients_match_finite_differences(bind, modality):
    """Along random directions, for the pooled and the dense embeddings; towers in float64, their unit vectors in float32."""
    media, *rest = MEDIA[modality]()
    tower = bind.towers[modality]
    media = media.double().requires_grad_()
    rng = torch.Generator().manual_seed(3)
    try:
        tower.double()

        def value(x):
            found = getattr(bind, modality)(x, *rest)
            return (found.pooled.double() @ weights).sum() + (found.dense.double() @ weights).mean()

        weights = torch.randn(DIMENSION, generator=rng, dtype=torch.float64)
        gradient = torch.autograd.grad(value(media), media)[0]
        for _ in range(3):
            way = torch.randn(media.shape, generator=rng, dtype=torch.float64)
            with torch.no_grad():
                step = 2e-4
                measured = (value(media + step * way) - value(media - step * way)) / (2 * step)
            assert abs(float((gradient * way).sum() / measured) - 1) < 0.02
    finally:
        tower.float()


@pytest.mark.parametrize("modality", MEDIA)
def test_a_step_keeps_the_apple_silicon_contract(bind, modality):
    media, *rest = MEDIA[modality]()
    media.requires_grad_()
    with apple_silicon():
        found = getattr(bind, modality)(media, *rest)
        (found.pooled.sum() + found.dense.mean() + found.tokens.mean()).backward()
    assert media.grad.abs().sum() > 0


def test_text_keeps_the_apple_silicon_contract(bind):
    with apple_silicon(), torch.no_grad():
        bind.text(["fire", "the ocean"])


@settings(max_examples=20)
@given(st.lists(st.text("firetocan !,", min_size=1).filter(str.strip), min_size=1, max_size=5))
def test_a_batch_of_text_is_its_members(bind, texts):
    together = bind.text(texts).pooled
    for row, text in zip(together, texts):
        torch.testing.assert_close(row, bind.text([text]).pooled[0], atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("modality", MEDIA)
def test_a_batch_of_media_is_its_members(bind, modality):
    media, *rest = MEDIA[modality]()
    together = getattr(bind, modality)(media, *rest)
    for i in range(2):
        alone = getattr(bind, modality)(media[i : i + 1], *rest)
        torch.testing.assert_close(together.pooled[i : i + 1], alone.pooled, atol=2e-6, rtol=1e-5)
        torch.testing.assert_close(together.dense[i : i + 1], alone.dense, atol=1e-5, rtol=1e-4)


def test_stereo_is_mixed_down_and_both_channels_have_a_gradient(bind):
    wave = MEDIA["audio"]()[0].repeat(1, 2, 1).requires_grad_()
    found = bind.audio(wave, 16000)
    torch.testing.assert_close(found.pooled, bind.audio(wave[:, :1], 16000).pooled, atol=2e-6, rtol=1e-5)
    gradient = torch.autograd.grad(found.pooled[:, 0].sum(), wave)[0]
    assert (gradient.abs().sum(-1) > 0).all()


def test_an_end_written_out_ends_the_text_and_nothing_is_refused(bind):
    torch.testing.assert_close(bind.text(["fire<|endoftext|>ocean"]).pooled, bind.text(["fire"]).pooled)
    with pytest.raises(UnreadableText, match="text '  ' has no word"):
        bind.text(["  "])
    with pytest.raises(ValueError, match="give a list"):
        bind.text("fire")


def test_long_texts_are_cut_at_the_context(bind):
    words = "a b c " * 60
    torch.testing.assert_close(bind.text([words]).pooled, bind.text([words + "ocean"]).pooled)


def test_a_dropped_tower_says_how_to_get_it_back(file):
    bind = load(file)
    fire = Concept.from_text("fire", bind)
    nearest = bind.space.nearest(fire.vector, 1)
    bind.drop("text")
    assert bind.modalities == {"image", "audio", "video"}
    # what was embedded stays: the vocabulary is in the file
    assert bind.space.nearest(fire.vector, 1) == nearest == [("fire", pytest.approx(1, abs=0.02))]
    with pytest.raises(ValueError, match="no text tower .it has: audio, image, video.*LanguageBind_Image"):
        bind.text(["fire"])
    with pytest.raises(ValueError, match="no text tower"):
        bind.drop("text")


def test_the_vocabulary_in_the_file_is_the_text_towers(bind, file):
    assert bind.space.vocabulary.words == ("fire", "ocean", "the ocean", "a b c")
    torch.testing.assert_close(bind.space.vocabulary.embeddings, bind.text(["fire", "ocean", "the ocean", "a b c"]).pooled, atol=5e-3, rtol=0)


def test_half_the_file_in_half_precision_is_the_same_space(folders, tmp_path, bind, file):
    out = tmp_path / "half.safetensors"
    made = convert(folders, out)
    half = load(out)
    assert half.space == bind.space and made.space == bind.space.encoder_id and made.reads
    assert out.stat().st_size < 0.6 * file.stat().st_size
    for modality, media in MEDIA.items():
        a, b = (getattr(encoder, modality)(*media()).pooled for encoder in (half, bind))
        assert (a * b).sum(-1).min() > 0.99
    assert load(out, dtype=torch.bfloat16).towers["image"].visual_projection.weight.dtype == torch.bfloat16
    assert sum(made.parameters.values()) == sum(p.numel() for p in half.parameters())


def test_media_towers_can_change_within_a_space_and_another_language_is_another(folders, tmp_path, bind):
    fewer = tmp_path / "fewer.safetensors"
    convert(folders[:1], fewer)
    assert load(fewer).space == bind.space and load(fewer).modalities == {"text", "image"}
    other = folder(tmp_path / "other", "image", language=2)
    assert load(other).space != bind.space


def test_towers_of_two_languages_do_not_go_into_one_file(folders, tmp_path):
    other = folder(tmp_path / "other", "audio", language=2)
    out = tmp_path / "out.safetensors"
    with pytest.raises(WeightsError, match="different text towers .*--text"):
        convert([folders[0], other], out)
    assert not out.exists() and list(tmp_path.glob(".*")) == []
    convert([folders[0], other], out, text=folders[0])
    assert load(out).space.encoder_id == load(folders[0]).space.encoder_id


def test_what_cannot_go_together_is_refused(folders, tmp_path):
    out = tmp_path / "out.safetensors"
    wide = folder(tmp_path / "wide", "audio", dimension=64)
    for sources, more, said in (
        ([folders[0], folders[0]], {}, "both hold the image tower"),
        ([folders[0], wide], {"text": folders[0]}, "64 dimensions and the text of .* into 32"),
        ([tmp_path / "none"], {}, "no such file or folder"),
    ):
        with pytest.raises(WeightsError, match=said):
            convert(sources, out, **more)
    with pytest.raises(ValueError, match="has to end in .safetensors"):
        convert(folders, tmp_path / "out.bin")
    with pytest.raises(ValueError, match="no CLIP vocabulary"):
        convert(folders, out, tokenizer=tmp_path)
    poisoned = folder(tmp_path / "poisoned", "image")
    tensors = published("image")
    tensors["vision_model.post_layernorm.weight"][3] = torch.nan
    save_file(tensors, poisoned / "model.safetensors")
    with pytest.raises(WeightsError, match="poisoned is damaged: tensor 'vision_model.post_layernorm.weight' contains NaN"):
        convert([poisoned], out)
    tensors = published("image")
    tensors["text_projection.weight"][3] = torch.inf
    save_file(tensors, poisoned / "model.safetensors")
    with pytest.raises(WeightsError, match="poisoned is damaged: tensor 'text_projection.weight'"):
        convert(folders, out, text=poisoned)
    mute = tmp_path / "mute"
    mute.mkdir()
    save_file({k: v for k, v in published("image").items() if not k.startswith("text")}, mute / "model.safetensors")
    with pytest.raises(WeightsError, match="no text tower"):
        convert([mute], out)
    assert not out.exists()


def test_a_file_without_a_tokenizer_takes_the_hosts(folders, tmp_path):
    bare = folder(tmp_path / "bare", "image", tokenizer=False)
    out = tmp_path / "out" / "bare.safetensors"
    out.parent.mkdir()
    assert not convert([bare], out).reads
    with pytest.raises(ValueError, match="comes without CLIP's vocabulary"):
        load(out)
    host = tmp_path / "host"
    host.mkdir()
    (host / "merges.txt").write_text(MERGES)
    read = load(out, tokenizer=host)
    torch.testing.assert_close(read.text(["fire"]).pooled, load(folders[0]).text(["fire"]).pooled, atol=0.02, rtol=0)
    assert read.space.nearest(read.text(["fire"]).pooled[0], 1)[0][0] == "fire"


def test_a_tokenizer_of_another_size_is_refused(folders, tmp_path):
    odd = folder(tmp_path / "odd", "image", tokens=600)
    with pytest.raises(WeightsError, match="knows 600 tokens and the vocabulary has 523: they do not belong together"):
        load(odd)
    with pytest.raises(WeightsError, match="do not belong together"):
        convert([odd], tmp_path / "out.safetensors")


def test_a_damaged_file_is_named(file, tmp_path):
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(WeightsError, match="cut.safetensors cannot be read"):
        load(cut)


def test_the_temperature_never_reaches_an_embedding(tmp_path):
    tensors = published("image")
    tensors["logit_scale"] = torch.tensor(4.6)
    hot = folder(tmp_path / "hot", "image")
    save_file(tensors, hot / "model.safetensors")
    pooled = load(hot).image(*MEDIA["image"]()).pooled
    torch.testing.assert_close(pooled.norm(dim=-1), torch.ones(2))


def test_the_tokenizer_survives_conversion(bind):
    assert bind.tokenizer.merges == ClipTokenizer(MERGES).merges


def test_media_are_taken_to_the_tower_from_wherever_they_are(file):
    """A tower on the meta device stands for one on a GPU: media from the CPU would fail against its weights."""
    bind = load(file)
    for modality, media in MEDIA.items():
        bind.towers[modality].to("meta")
        assert getattr(bind, modality)(*media()).pooled.device.type == "meta"


def calibration(encoder):
    mean = torch.zeros(DIMENSION)
    mean[0] = 0.3
    clouds = {m: Cloud(mean.clone(), 0.9, 0.01, 400, "made", encoder.fingerprints[m]) for m in ("image", "audio")}
    return Calibration(encoder.space.encoder_id, clouds)


def test_a_calibration_beside_the_file_is_taken_up(folders, tmp_path):
    out = tmp_path / "bind.safetensors"
    convert(folders, out)
    bare = load_any(out)
    calibration(bare).save(sidecar(out))
    found = load_any(out)
    assert set(found.space.means) == {"text", "image", "audio"} and set(bare.space.means) == {"text"}
    assert found.space != bare.space and found.space.encoder_id == bare.space.encoder_id


def test_a_calibration_does_not_outlive_its_tower(folders, tmp_path):
    """Another picture tower of the same language: its pictures lie elsewhere."""
    out = tmp_path / "bind.safetensors"
    convert(folders, out)
    calibration(load_any(out)).save(sidecar(out))
    changed = folder(tmp_path / "other", "image")
    tensors = published("image")
    tensors["visual_projection.weight"] *= -1
    save_file(tensors, changed / "model.safetensors")
    convert([changed, *folders[1:]], out)
    with pytest.warns(UncalibratedSpace, match="measured image with other towers .*: calibrate anew"):
        found = load_any(out)
    assert set(found.space.means) == {"text", "audio"}


def test_a_calibration_that_cannot_be_used_does_not_lock_the_encoder(folders, tmp_path):
    out = tmp_path / "bind.safetensors"
    convert(folders, out)
    sidecar(out).write_bytes(b"nothing")
    with pytest.warns(UncalibratedSpace, match="is not a safetensors file.*It was left out"):
        found = load_any(out)
    assert set(found.space.means) == {"text"}
