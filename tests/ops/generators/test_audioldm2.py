"""AudioLDM 2: the library's pipeline and its words, mels against transformers', gradients, refusals."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from contracts.mps import apple_silicon
from gradients import draw, lora_has_its_gradient, near

pytest.importorskip("diffusers", reason="pip install diffusers transformers runs the tests of its door")

from concept_algebra.ops.concept import Concept
from concept_algebra.ops.encoders.pocket import load as load_pocket
from concept_algebra.ops.generators.audioldm2 import FAINTEST, WINDOW, load, log_mels, mel_filters
from concept_algebra.ops.generators.families import AUDIO_LDM2, index
from concept_algebra.ops.generators.protocol import Generator
from concept_algebra.ops.render import render
from concept_algebra.ops.tracks import dialled
from concept_algebra.ops.weights import WeightsError


def scheduler():
    from diffusers import DDIMScheduler

    return DDIMScheduler(beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False)


@pytest.fixture(scope="module")
def pipeline():
    """All of AudioLDM 2 with random weights and small: two stages for the four of its networks."""
    from diffusers import AudioLDM2Pipeline, AudioLDM2ProjectionModel, AudioLDM2UNet2DConditionModel, AutoencoderKL
    from transformers import (
        ClapConfig, ClapModel, GPT2Config, GPT2LMHeadModel, RobertaTokenizer, SpeechT5HifiGan, SpeechT5HifiGanConfig, T5Config, T5EncoderModel,
        T5Tokenizer,
    )  # fmt: skip

    torch.manual_seed(0)
    unet = AudioLDM2UNet2DConditionModel(
        in_channels=4, out_channels=4, block_out_channels=(8, 16), norm_num_groups=8, layers_per_block=1, attention_head_dim=(2, 4),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=((None, 16, 24), (None, 16, 24)), sample_size=8,
    )  # fmt: skip
    vae = AutoencoderKL(
        in_channels=1, out_channels=1, latent_channels=4, block_out_channels=(8, 8), norm_num_groups=8, scaling_factor=0.9,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    vocoder = SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=16, upsample_initial_channel=64, upsample_rates=[5, 4, 2, 2, 2], upsample_kernel_sizes=[16, 16, 8, 4, 4],
            resblock_kernel_sizes=[3, 5], resblock_dilation_sizes=[[1, 3], [1, 3]], normalize_before=False, initializer_range=0.3,
        )  # fmt: skip
    )
    small = {"hidden_size": 16, "num_attention_heads": 2}
    text = {**small, "num_hidden_layers": 1, "intermediate_size": 16, "vocab_size": 50, "max_position_embeddings": 40}
    audio = {"hidden_size": 16, "depths": [1], "num_attention_heads": [2], "patch_embeds_hidden_size": 8, "spec_size": 64, "patch_size": 16, "window_size": 2}
    clap = ClapModel(ClapConfig(text_config={**text, "projection_dim": 12}, audio_config={**audio, "projection_dim": 12}, projection_dim=12))
    t5 = T5EncoderModel(T5Config(vocab_size=20, d_model=24, d_kv=8, d_ff=16, num_layers=1, num_heads=2))
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=10, n_embd=16, n_layer=1, n_head=2, n_positions=64, max_new_tokens=8, bos_token_id=0, eos_token_id=1))
    letters = {letter: n for n, letter in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", *"rain", "Ġ"])}
    roberta = RobertaTokenizer(vocab=letters, merges=[], model_max_length=12)
    pieces = T5Tokenizer(vocab=[(piece, -float(n)) for n, piece in enumerate(["<pad>", "</s>", "<unk>", "▁", *"rain"])], extra_ids=0, model_max_length=12)
    projection = AudioLDM2ProjectionModel(12, 24, 16)
    made = AudioLDM2Pipeline(vae, clap, t5, projection, gpt2, roberta, pieces, None, unet, scheduler(), vocoder)
    for part in made.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval().requires_grad_(False)
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(scope="module")
def folder(pipeline, tmp_path_factory):
    path = tmp_path_factory.mktemp("audioldm2")
    pipeline.save_pretrained(path)
    # as it is published: the pipeline's own class came later
    for file, was, now in (("model_index.json", "GPT2LMHeadModel", "GPT2Model"),):
        (path / file).write_text((path / file).read_text("utf-8").replace(was, now), "utf-8")
    return path


@pytest.fixture(scope="module")
def generator(folder):
    return load(folder, seconds=0.16)


def test_is_a_generator_of_mono_at_16000(generator):
    assert isinstance(generator, Generator) and generator.modality == "audio" and generator.rate == 16000
    assert generator.latent_shape == (4, 8, 8) and generator.samples == 16 * 160
    assert generator.decode(generator.start(2, 0)).shape == (2, 1, 2560)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_the_librarys_pipeline_is_stepped_through(pipeline, generator, guidance):
    begins = draw(1, 4, 8, 8)
    words, mask, generated = pipeline.encode_prompt("rain", "cpu", 1, False)
    empty = dict(zip(("negative_prompt_embeds", "negative_attention_mask", "negative_generated_prompt_embeds"), pipeline.encode_prompt("", "cpu", 1, False)))
    # the library wants both as long as each other; the further rows are masked
    longer = words.shape[1] - empty["negative_prompt_embeds"].shape[1]
    empty["negative_prompt_embeds"] = torch.nn.functional.pad(empty["negative_prompt_embeds"], (0, 0, 0, longer), value=7.0)
    empty["negative_attention_mask"] = torch.nn.functional.pad(empty["negative_attention_mask"], (0, longer))
    given = {"prompt_embeds": words, "attention_mask": mask, "generated_prompt_embeds": generated, "latents": begins, **empty}
    latents = pipeline(**given, audio_length_in_s=0.16, num_inference_steps=4, guidance_scale=guidance, output_type="latent").audios
    sound = pipeline(**given, audio_length_in_s=0.16, num_inference_steps=4, guidance_scale=guidance, output_type="pt").audios

    told, null = generator.condition("rain"), generator.condition(None)
    near(told[0], generated)
    steps, z = scheduler(), begins.transpose(-1, -2)
    steps.set_timesteps(4)
    for step in steps.timesteps:
        t = step[None] / 999
        assert torch.allclose(index(t), step.float())
        clean = generator.predict_x0(z, t, told)
        if guidance > 1:
            free = generator.predict_x0(z, t, null)
            clean = free + guidance * (clean - free)
        alpha, sigma = generator.noise(t)
        z = steps.step((z - alpha * clean) / sigma, step, z).prev_sample
    near(z.transpose(-1, -2), latents)
    near(generator.decode(z)[:, 0], sound)


def test_encoders_of_text_are_let_go_and_asked_once(generator, monkeypatch):
    null = generator.condition(None)
    assert not any("Clap" in type(part).__name__ or "GPT2" in type(part).__name__ for part in generator.modules())
    monkeypatch.setattr(generator, "folder", None)
    assert generator.condition(None) is null and generator.condition("") is null


def test_x0_and_epsilon_agree(generator):
    x, t, cond = draw(2, 4, 8, 8), torch.tensor([0.1, 0.8]), generator.condition(None)
    alpha, sigma = (part[:, None, None, None] for part in generator.noise(t))
    eps = (x - alpha * generator.predict_x0(x, t, cond)) / sigma
    network = generator.unet(
        x.transpose(-1, -2), index(t), encoder_hidden_states=cond[0].expand(2, -1, -1), encoder_hidden_states_1=cond[1].expand(2, -1, -1),
        encoder_attention_mask_1=cond[2].expand(2, -1),
    ).sample  # fmt: skip
    near(eps.transpose(-1, -2), network)
    alphas = scheduler().alphas_cumprod
    assert torch.allclose(AUDIO_LDM2.schedule(torch.tensor([0.0, 1.0]))[0] ** 2, alphas[[0, -1]], rtol=1e-3)


def test_mels_are_those_of_transformers():
    from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

    filters = mel_filter_bank(513, 64, 0, 8000, 16000, norm="slaney", mel_scale="slaney")
    np.testing.assert_allclose(mel_filters(16000, 64), filters, atol=1e-9)
    wave = draw(2, 16000) * 0.1
    wave[1, 4000:] = 0
    found = log_mels(wave, 16000, 160, 64)
    assert found.shape == (2, 100, 64)
    for mine, each in zip(found, wave):
        magnitudes = spectrogram(each.numpy(), window_function(WINDOW, "hann"), WINDOW, 160, power=1.0, mel_filters=filters, mel_floor=FAINTEST)
        np.testing.assert_allclose(mine.numpy(), np.log(magnitudes.T[:-1]), atol=2e-3)


def test_the_gradient_of_decode_is_the_finite_difference(folder):
    exact = load(folder, seconds=0.16)
    exact.autoencoder.double(), exact.vocoder.double()
    z, way, aim = (draw(*shape, seed=n).double() for n, shape in enumerate(((1, 4, 8, 8), (1, 4, 8, 8), (1, 1, 2560))))
    (gradient,) = torch.autograd.grad((exact.decode(z.requires_grad_()) * aim).sum(), z)
    with torch.no_grad():
        numeric = ((exact.decode(z + 1e-6 * way) - exact.decode(z - 1e-6 * way)) * aim).sum() / 2e-6
    torch.testing.assert_close((gradient * way).sum(), numeric, rtol=1e-4, atol=1e-8)


def test_a_loras_gradient_is_that_without_recomputation_and_the_finite_difference(generator):
    # words and a mask, which the library's own recomputation would take for something else
    cond = (*(part for part in generator.condition("rain")[:2]), torch.tensor([[1, 1, 1, 0, 0, 0]]))
    x, t = draw(1, 4, 8, 8), torch.tensor([0.5])
    lora = generator.new_lora(2, torch.Generator().manual_seed(0))

    def plain():
        with lora.on():
            return generator.x0(x, t, cond)

    lora_has_its_gradient(lambda: generator.predict_x0(x, t, cond, lora), plain, lora, rtol=1e-4, atol=1e-6)


def test_a_step_keeps_the_apple_silicon_contract(generator):
    cond = generator.condition(None)
    generator.noise(torch.zeros(1))  # whose table is made once, on the CPU and in double precision
    with apple_silicon():
        z = generator.start(1, 0).requires_grad_()
        generator.decode(generator.predict_x0(z, torch.tensor([0.5]), cond)).square().mean().backward()
    assert torch.isfinite(z.grad).all() and z.grad.abs().sum() > 0


def test_loaded_under_a_hosts_inference_mode_it_still_has_gradients(folder):
    with torch.inference_mode():
        generator = load(folder, seconds=0.16)
        cond = generator.condition(None)
        generator.decode(generator.start(1, 0))
    z = generator.start(1, 0).requires_grad_()
    (generator.decode(z).mean() + generator.predict_x0(z, torch.tensor([0.5]), cond).mean()).backward()
    assert z.grad.abs().sum() > 0


def test_a_sound_is_rendered(generator):
    pocket = load_pocket()
    made = render(Concept.from_text("rain", pocket), pocket, generator, "natural", dialled("audio", 1.0, steps=2), 3)
    assert made.media.shape == (1, 2560) and made.instruments.round_trip is not None and len(made.trajectory) == 2


def test_refusals(generator, folder, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"shape \(1, 2, 2560\), expected \[B, 1, 2560\]"):
        generator.encode(torch.zeros(1, 2, 2560))
    with pytest.raises(ValueError, match="seconds must be"):
        load(folder, seconds=0)
    other = shutil.copytree(folder, tmp_path / "other")
    shutil.rmtree(other / "language_model")
    with pytest.raises(WeightsError, match="cannot say a prompt, nor none"):
        load(other, seconds=0.16).condition(None)
    (other / "vocoder" / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="vocoder"):
        load(other)
    settings = json.loads((other / "vocoder" / "config.json").read_text("utf-8"))
    (other / "vocoder" / "config.json").write_text(json.dumps({**settings, "model_type": "univnet"}), "utf-8")
    with pytest.raises(WeightsError, match="has a univnet, expected a speecht5_hifigan"):
        load(other)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ModuleNotFoundError, match="pip install diffusers transformers"):
        load(folder)
