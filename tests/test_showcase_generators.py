"""showcase on the large families by name, from the command line: everything at once that is missing, and whole folders of media.

The checkpoints are tiny and of random weights, in the layouts that the catalogue asks for.
"""

import json
from dataclasses import replace
from pathlib import Path

import av
import pytest
import tiny_languagebind
import torch
from PIL import Image

from concept_algebra.cli import main
from concept_algebra.ops.encoders import languagebind_file
from concept_algebra.ops.generators import catalogue
from concept_algebra.ops.media import read_audio

SIZES = {"sd35": {"width": 64, "height": 48}, "stable-audio": {"seconds": 0.5}, "ltx": {"width": 64, "height": 32, "frames": 9}}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The folder of --models: a single file and two folders of the diffusers library."""
    reason = "pip install diffusers transformers runs these"
    diffusers, transformers = (pytest.importorskip(name, reason=reason) for name in ("diffusers", "transformers"))
    import tiny_ltx
    import tiny_sd3
    import tiny_stable_audio

    from concept_algebra.ops.generators import ltx_video, stable_audio_keys

    root = tmp_path_factory.mktemp("models")
    tiny_sd3.write(root / "sd3.5_medium.safetensors", width=32)
    parts = stable_audio_keys.converted(tiny_stable_audio.weights(width=96, channels=8), stable_audio_keys.Facts())
    for part, name, kind in zip(parts, ("transformer", "vae", "projection_model"), ("StableAudioDiTModel", "AutoencoderOobleck", "StableAudioProjectionModel")):
        module = getattr(diffusers, kind)(**part.settings)
        module.load_state_dict({key: value.float() for key, value in part.weights.items()})
        module.save_pretrained(root / "stable-audio-open-1.0" / name)
    tiny_ltx.write(root / "ltx.safetensors")
    clips = ltx_video.load(root / "ltx.safetensors", **SIZES["ltx"])
    clips.autoencoder.save_pretrained(root / "LTX-Video" / "vae")
    clips.network.save_pretrained(root / "LTX-Video" / "transformer")
    small = transformers.T5Config(vocab_size=3, d_model=16, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    transformers.T5EncoderModel(small).save_pretrained(root / "LTX-Video" / "text_encoder")
    pieces = [(piece, -1.0) for piece in ("<pad>", "</s>", "<unk>")]
    transformers.T5TokenizerFast(vocab=pieces, extra_ids=0).save_pretrained(root / "LTX-Video" / "tokenizer")
    return root


@pytest.fixture(scope="module")
def folder(models, tmp_path_factory):
    """What the command writes."""
    out = tmp_path_factory.mktemp("out")
    with tiny_languagebind.short_lists(), pytest.MonkeyPatch.context() as patch:
        made = languagebind_file.convert(tiny_languagebind.folders(out), out / "bind.safetensors")
        assert made.reads
        for name, size in SIZES.items():
            patch.setitem(catalogue.KNOWN, name, replace(catalogue.KNOWN[name], size=size))
        asked = ["--generator", "sd35,stable-audio,ltx", "--models", str(models), "--encoder", str(out / "bind.safetensors")]
        assert main(["showcase", "fire", *asked, "--out", str(out / "made"), "--steps", "3", "--device", "cpu"]) == 0
    return out / "made" / "fire"


def test_every_medium_is_written_as_its_generator_makes_it(folder):
    for track in ("honest", "natural"):
        picture = Image.open(folder / f"image-{track}.png")
        assert picture.size == (64, 48) and picture.info["expression"] == "fire" and picture.info["track"] == track
        wave, rate = read_audio(folder / f"audio-{track}.wav")
        # half a second is 10.8 latents of 2048 samples, and their number is even
        assert rate == 44100 and wave.shape == (1, 2, 10 * 2048)
        with av.open(str(folder / f"audio-{track}.wav")) as container:
            assert json.loads(container.metadata["comment"]) == {"expression": "fire", "seed": "0", "track": track}
        with av.open(str(folder / f"video-{track}.mp4")) as container:
            assert container.metadata["expression"] == "fire" and container.metadata["track"] == track
            stream = container.streams.video[0]
            assert stream.average_rate == 25 and (stream.width, stream.height) == (64, 32)
            assert sum(1 for _ in container.decode(stream)) == 3 * 9  # three times over
    assert (folder / "index.html").is_file() and (folder / "phrase.txt").read_text().strip()


def test_the_record_names_the_generators_and_one_candidate_each(folder):
    run = json.loads((folder / "run.json").read_text())
    assert [name.rpartition("-")[0] for name in run["weights"].values()] == ["sd35", "stable-audio", "ltx"]
    assert [made["settings"]["candidates"] for made in run["renders"]] == [1] * 6
    assert all(len(made["metrics"]) == 3 for made in run["renders"])


def test_a_tiny_decoder_beside_the_checkpoint_is_used_for_what_is_fast(models, tmp_path, monkeypatch):
    import tiny_taesd

    monkeypatch.setitem(catalogue.KNOWN, "sd35", replace(catalogue.KNOWN["sd35"], size=SIZES["sd35"]))
    (tmp_path / "sd3.5_medium.safetensors").symlink_to(models / "sd3.5_medium.safetensors")
    assert catalogue.load("sd35", tmp_path, torch.device("cpu")).fast is None
    tiny_taesd.write(tmp_path)
    made = catalogue.load("sd35", tmp_path, torch.device("cpu"))
    z = made.start(1, 0)
    assert made.decode(z, fast=True).shape == made.decode(z).shape and not torch.equal(made.decode(z, fast=True), made.decode(z))


def test_towers_that_nothing_drawn_is_seen_by_are_let_go(models, tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr("concept_algebra.ops.showcase.showcase", lambda concept, out, encoder, *_, **__: kept.append(encoder.modalities) or tmp_path)
    monkeypatch.setattr("concept_algebra.ops.showcase.write_gallery", lambda out: out)
    with tiny_languagebind.short_lists():
        languagebind_file.convert(tiny_languagebind.folders(tmp_path), tmp_path / "bind.safetensors")
        asked = ["--generator", "sd35", "--models", str(models), "--encoder", str(tmp_path / "bind.safetensors")]
        assert main(["showcase", "fire", *asked, "--out", str(tmp_path / "out"), "--device", "cpu"]) == 0
    assert kept == [{"text", "image"}]


def said(capsys, *arguments):
    assert main(["showcase", "fire", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_all_that_is_missing_is_told_at_once_with_where_it_goes(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "find_spec", lambda name: None)
    models = tmp_path / "models"
    names = ["--generator", "sd35,stable-audio,ltx", "--encoder", "languagebind.safetensors"]
    lines = said(capsys, *names, "--models", str(models), "--out", str(tmp_path / "out"))
    assert len(lines) == 5 and not (tmp_path / "out").exists()
    libraries, picture, sound, clip, encoder = lines
    assert libraries.endswith("pip install diffusers transformers")
    assert f"sd3.5_medium.safetensors from https://huggingface.co/stabilityai/stable-diffusion-3.5-medium into {models}" in picture
    assert f"vae, projection_model of https://huggingface.co/stabilityai/stable-audio-open-1.0 into {models / 'stable-audio-open-1.0'}" in sound
    assert clip.endswith(f"the folders transformer, vae, text_encoder, tokenizer of https://huggingface.co/Lightricks/LTX-Video into {models / 'LTX-Video'}")
    assert "LanguageBind_Audio_FT" in encoder and "convert languagebind" in encoder


def test_only_what_is_asked_for_is_missed(capsys, tmp_path):
    both = ["--generator", "sd35,ltx", "--models", str(tmp_path), "--out", str(tmp_path / "out")]
    (line,) = (line for line in said(capsys, *both, "--modality", "video") if "pip install" not in line)
    assert "LTX-Video" in line


def test_a_folder_that_is_not_whole_is_told_what_it_lacks(tmp_path):
    for part in ("transformer", "vae", "tokenizer"):
        (tmp_path / "LTX-Video" / part).mkdir(parents=True)
    (line,) = (line for line in catalogue.missing(["ltx"], tmp_path) if "pip install" not in line)
    assert f"what {tmp_path / 'LTX-Video'} lacks, text_encoder, from https://huggingface.co/Lightricks/LTX-Video" in line
    (tmp_path / "LTX-Video" / "text_encoder").mkdir()
    assert not [line for line in catalogue.missing(["ltx"], tmp_path) if "pip install" not in line]


@pytest.mark.parametrize(
    "names, found",
    [
        ("pocket", {"image": "pocket", "audio": "pocket", "video": "pocket"}),
        ("sd35", {"image": "sd35"}),
        ("pocket,ltx", {"image": "pocket", "audio": "pocket", "video": "ltx"}),
    ],
)
def test_the_pocket_makes_what_no_other_does(names, found):
    assert catalogue.chosen(names.split(",")) == found


@pytest.mark.parametrize(
    "options, told",
    [
        (["--generator", "sd35,dall-e"], "no generator 'dall-e', expected some of audioldm2, ltx, pocket, sd35, sdxl, stable-audio, svd"),
        (["--generator", "sd35,sdxl"], "sd35 and sdxl both make image"),
        (["--generator", "sd35", "--modality", "audio"], "--modality audio: --generator sd35 makes none"),
    ],
)
def test_what_cannot_be_chosen_gets_a_line(capsys, tmp_path, options, told):
    (line,) = said(capsys, *options, "--out", str(tmp_path / "out"))
    assert told in line


def test_every_known_generator_has_its_module_and_a_size_that_its_family_makes():
    assert set(catalogue.KNOWN) == {known.family.name for known in catalogue.KNOWN.values()}
    for known in catalogue.KNOWN.values():
        made = {"image": known.family.picture, "audio": known.family.sound, "video": known.family.clip}[known.family.modality]
        assert len(made(**known.size)) in (2, 3, 4)
        assert (Path(catalogue.__file__).parent / f"{known.module}.py").is_file()
