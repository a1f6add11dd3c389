"""Stable Audio Open: its own file against its own definitions, the library's folder and pipeline, gradients, memory, refusals."""

import json
import math
import sys
from dataclasses import replace

import pytest
import tiny_stable_audio
import torch
from contracts.mps import apple_silicon
from gradients import draw, lora_has_its_gradient, near
from official_stable_audio import Official
from safetensors.torch import save_file

pytest.importorskip("diffusers", reason="pip install diffusers transformers runs the tests of its door")

from concept_algebra.ops.concept import Concept
from concept_algebra.ops.generators import oobleck, stable_audio_keys
from concept_algebra.ops.generators.parametrisation import x0_from_v
from concept_algebra.ops.generators.protocol import Generator
from concept_algebra.ops.generators.stable_audio import load
from concept_algebra.ops.priors.settings import FlairSettings, VsdSettings
from concept_algebra.ops.render import render
from concept_algebra.ops.tracks import dialled
from concept_algebra.ops.weights import WeightsError

SIZE = {"width": 96, "channels": 8, "layers": 2}


@pytest.fixture(scope="module")
def tensors():
    return tiny_stable_audio.weights(**SIZE)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("stable-audio") / "model.safetensors"
    tiny_stable_audio.write(path, **SIZE)
    return path


@pytest.fixture(scope="module")
def generator(file):
    return load(file, seconds=1.0)


@pytest.fixture(scope="module")
def folder(tensors, tmp_path_factory):
    """The same weights as the diffusers library saves them; its pipeline makes sounds of 22 latents."""
    import diffusers

    path = tmp_path_factory.mktemp("diffusers")
    parts = stable_audio_keys.converted(tensors, stable_audio_keys.Facts())
    for part, name, kind in zip(parts, ("transformer", "vae", "projection_model"), ("StableAudioDiTModel", "AutoencoderOobleck", "StableAudioProjectionModel")):
        module = getattr(diffusers, kind)(**part.settings | ({"sample_size": 22} if name == "transformer" else {}))
        module.load_state_dict({key: value.float() for key, value in part.weights.items()})
        module.save_pretrained(path / name)
    return path


def test_is_a_generator_of_stereo_at_44100(generator):
    assert isinstance(generator, Generator) and generator.modality == "audio" and generator.rate == 44100
    assert generator.latent_shape == (4, 22) and generator.samples == 22 * 2048
    assert generator.start(2, 5).shape == (2, 4, 22) and torch.equal(generator.start(2, 5), generator.start(2, 5))


def test_the_single_file_is_computed_as_its_makers_define_it(generator, tensors):
    official = Official(tensors)
    z, t = draw(2, 4, 22), torch.tensor([0.2, 0.9])
    start, total = official.seconds("start", 0), official.seconds("total", 1)
    words = draw(1, 5, start.shape[-1], seed=1)
    null, times = generator.condition(None)
    near(times, torch.cat([start, total], -1))
    for tokens in (torch.cat([words, start, total], 1), torch.zeros(1, 7, start.shape[-1])):
        given = tokens.float() if tokens.any() else null
        alpha, sigma = (part[:, None, None] for part in generator.noise(t))
        near(generator.predict_x0(z, t, (given, times)), alpha * z - sigma * official.v(z, t, tokens, torch.cat([start, total], -1)))
    with torch.no_grad():
        sound = generator.decode(z)
        near(sound, official.decode(z))
        near(generator.encode(sound), official.encode(sound))
    assert sound.shape == (2, 2, generator.samples)


def test_the_folder_and_the_single_file_give_the_same_numbers(generator, folder):
    other = load(folder, seconds=1.0)
    assert other.id == generator.id and other.latent_shape == generator.latent_shape
    z, t = draw(1, 4, 22), torch.tensor([0.6])
    near(other.predict_x0(z, t, other.condition(None)), generator.predict_x0(z, t, generator.condition(None)), 1e-6)
    near(other.decode(z), generator.decode(z), 1e-6)


def test_another_training_has_another_name(tmp_path, generator):
    tiny_stable_audio.write(tmp_path / "other.safetensors", seed=1, **SIZE)
    assert load(tmp_path / "other.safetensors", seconds=1.0).id != generator.id


def test_what_comfyui_saves_and_what_torch_saves_is_read(generator, tensors, tmp_path):
    saved = {}
    for name, tensor in tensors.items():
        for letter, number in (("g", 0), ("v", 1)):
            name = name.replace(f"weight_{letter}", f"parametrizations.weight.original{number}")
        if not name.endswith("norm.beta"):
            saved[name] = tensor
    save_file(saved | {"text_encoders.t5base.x": torch.zeros(1)}, tmp_path / "comfy.safetensors")
    torch.save({"state_dict": tensors}, tmp_path / "model.ckpt")
    for name in ("comfy.safetensors", "model.ckpt"):
        assert load(tmp_path / name, seconds=1.0).id == generator.id


def test_x0_and_v_agree(generator):
    clean, eps, t = draw(3, 4, 22), draw(3, 4, 22, seed=1), torch.tensor([0.0, 0.4, 1.0])
    alpha, sigma = (part[:, None, None] for part in generator.noise(t))
    noisy = alpha * clean + sigma * eps
    torch.testing.assert_close(x0_from_v(noisy, alpha * eps - sigma * clean, alpha, sigma), clean, atol=1e-6, rtol=0)
    estimate = generator.predict_x0(noisy, t, generator.condition(None))
    assert torch.equal(estimate[0], clean[0])
    assert torch.isfinite(estimate).all()


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_the_librarys_pipeline_is_stepped_through(folder, guidance):
    from diffusers import AutoencoderOobleck, EDMDPMSolverMultistepScheduler, StableAudioDiTModel, StableAudioPipeline, StableAudioProjectionModel

    class Scheduler(EDMDPMSolverMultistepScheduler):
        """As the model's own tells the network the time: that one needs another package, for noise that it adds."""

        def precondition_noise(self, sigma):
            return sigma.atan() / math.pi * 2

    scheduler = lambda: Scheduler(sigma_min=0.3, sigma_max=500, sigma_data=1.0, prediction_type="v_prediction", sigma_schedule="exponential")  # noqa: E731
    kinds = {"vae": AutoencoderOobleck, "transformer": StableAudioDiTModel, "projection_model": StableAudioProjectionModel}
    pipeline = StableAudioPipeline(**{name: kind.from_pretrained(folder, subfolder=name) for name, kind in kinds.items()}, text_encoder=None, tokenizer=None, scheduler=scheduler())
    pipeline.set_progress_bar_config(disable=True)
    words, begins = draw(1, 5, 48, seed=2), draw(1, 4, 22, seed=3)
    latents = pipeline(prompt_embeds=words, audio_end_in_s=1.0, num_inference_steps=4, guidance_scale=guidance, latents=begins, output_type="latent").audios

    generator = load(folder, seconds=1.0)
    null, times = generator.condition(None)
    told = torch.cat([words, *times.chunk(2, -1)], 1), times
    steps = scheduler()
    steps.set_timesteps(4)
    x = begins * steps.init_noise_sigma
    for step, sigma in zip(steps.timesteps, steps.sigmas):
        # the library has x = x0 + sigma n; here the same is scaled to unit variance, at t = 2 / pi atan sigma
        t = torch.atan(sigma)[None] * 2 / math.pi
        assert torch.allclose(t, step)
        alpha, share = generator.noise(t)
        with torch.no_grad():
            clean = generator.predict_x0(alpha * x, t, told)
            if guidance > 1:
                free = generator.predict_x0(alpha * x, t, (null, times))
                clean = free + guidance * (clean - free)
        x = steps.step((alpha * alpha * x - clean) / share, step, x).prev_sample
    near(x, latents)
    with torch.no_grad():
        near(generator.decode(x), pipeline.vae.decode(latents).sample)


def test_a_prompt_is_said_as_the_librarys_pipeline_says_it(folder, tmp_path):
    import shutil

    from diffusers import StableAudioPipeline, StableAudioProjectionModel
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoTokenizer, PreTrainedTokenizerFast, T5Config, T5EncoderModel

    whole = shutil.copytree(folder, tmp_path / "whole")
    words = Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1, "a": 2, "storm": 3, "<unk>": 4}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", unk_token="<unk>", model_max_length=6).save_pretrained(whole / "tokenizer")
    torch.manual_seed(0)
    T5EncoderModel(T5Config(vocab_size=5, d_model=48, d_kv=8, d_ff=32, num_layers=1, num_heads=2)).save_pretrained(whole / "text_encoder")
    encoder, tokenizer = T5EncoderModel.from_pretrained(whole / "text_encoder"), AutoTokenizer.from_pretrained(whole / "tokenizer")
    projection = StableAudioProjectionModel.from_pretrained(whole, subfolder="projection_model")
    generator = load(whole, seconds=1.0)
    pipeline = StableAudioPipeline(generator.autoencoder, encoder, projection, tokenizer, generator.transformer, None)
    with torch.no_grad():
        expected = pipeline.encode_prompt("a storm", "cpu", False)
    tokens, times = generator.condition("a storm")
    near(tokens[:, :6], expected)
    assert (tokens[:, 2:6] == 0).all() and (tokens[:, :2] != 0).all()
    assert torch.equal(torch.cat([tokens[:, 6:7], tokens[:, 7:]], -1), times)
    assert not any(isinstance(part, T5EncoderModel) for part in generator.modules())


def test_the_gradient_of_decode_is_the_finite_difference(generator):
    from copy import deepcopy

    exact = deepcopy(generator)
    exact.autoencoder.double()
    z, way, aim = draw(1, 4, 6).double().requires_grad_(), draw(1, 4, 6, seed=1).double(), draw(1, 2, 6 * 2048, seed=2).double()
    (gradient,) = torch.autograd.grad((exact.decode(z) * aim).sum(), z)
    with torch.no_grad():
        numeric = ((exact.decode(z + 1e-5 * way) - exact.decode(z - 1e-5 * way)) * aim).sum() / 2e-5
    torch.testing.assert_close((gradient * way).sum(), numeric, rtol=1e-5, atol=1e-8)
    rough = z.detach().float().requires_grad_()
    near(torch.autograd.grad((generator.decode(rough) * aim.float()).sum(), rough)[0], gradient)


def test_decoding_in_stretches_is_decoding_at_once_and_so_is_its_gradient(generator):
    coder, aim = generator.autoencoder, draw(1, 2, 37 * 2048, seed=1)
    z = draw(1, 4, 37).requires_grad_()
    whole = coder.decoder(z)
    (expected,) = torch.autograd.grad((whole * aim).sum(), z)
    torch.testing.assert_close(oobleck.decode(coder, z.detach(), 12), whole.detach(), atol=2e-5, rtol=0)
    near(torch.autograd.grad((oobleck.decode(coder, z, 12) * aim).sum(), z)[0], expected, 1e-5)
    # what is beyond the margin tells on nothing, and what is within it does
    margin = oobleck.reach([8, 8, 4, 4, 2])
    for distance, told in ((margin + 1, False), (margin - 2, True)):
        moved = z.detach().clone()
        moved[..., 20 - distance] += 1
        changed = (coder.decoder(moved) - whole).detach()[..., 20 * 2048 : 21 * 2048].abs().max()
        assert (changed > 1e-4) == told


def test_a_long_sound_keeps_no_more_for_the_way_back_than_a_stretch(generator):
    kept = []
    z = draw(1, 4, 80).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        oobleck.decode(generator.autoencoder, z, 16)
    assert sum(kept) < 10 * z.numel()


def test_a_loras_gradient_is_that_without_recomputation_and_the_finite_difference(generator):
    x, t, cond = draw(1, 4, 22), torch.tensor([0.5]), (draw(1, 3, 48, seed=4), generator.condition(None)[1])
    lora = generator.new_lora(2, torch.Generator().manual_seed(0))
    assert len(lora.parameters()) == 2 * 2 * 2 * 4

    def plain():
        with lora.on():
            return generator.x0(x, t, cond)

    lora_has_its_gradient(lambda: generator.predict_x0(x, t, cond, lora), plain, lora, rtol=1e-5, atol=1e-7)


def test_a_step_keeps_the_apple_silicon_contract(generator):
    with apple_silicon():
        z = generator.start(1, 0).requires_grad_()
        clean = generator.predict_x0(z, torch.tensor([0.5]), generator.condition(None))
        (generator.decode(clean).square().mean() + oobleck.decode(generator.autoencoder, torch.cat([z, z], -1), 21).mean()).backward()
        generator.encode(generator.decode(z.detach()))
    assert torch.isfinite(z.grad).all() and z.grad.abs().sum() > 0


def test_loaded_under_a_hosts_inference_mode_it_still_has_gradients(file):
    with torch.inference_mode():
        generator = load(file, seconds=1.0)
        cond = generator.condition(None)
        generator.decode(generator.start(1, 0))
    z = generator.start(1, 0).requires_grad_()
    lora = generator.new_lora(2, torch.Generator().manual_seed(0))
    cond = tuple(part.clone() for part in cond)
    (generator.decode(z).mean() + generator.predict_x0(z, torch.tensor([0.5]), cond, lora).mean()).backward()
    assert z.grad.abs().sum() > 0 and all(p.grad is not None for p in lora.parameters())


def test_half_precision_is_within(file, generator):
    half = load(file, seconds=1.0, dtype=torch.bfloat16)
    assert half.transformer.dtype == torch.bfloat16 and half.autoencoder.dtype == torch.float32
    z, t = draw(1, 4, 22), torch.tensor([0.5])
    estimate = half.predict_x0(z, t, half.condition(None))
    assert estimate.dtype == half.decode(z).dtype == torch.float32
    near(estimate, generator.predict_x0(z, t, generator.condition(None)), 0.05)


@pytest.mark.parametrize("prior", [FlairSettings(2), VsdSettings(rank=2)], ids=["flair", "vsd"])
@pytest.mark.filterwarnings("ignore::concept_algebra.ops.priors.vsd.PriorAlarm")
def test_a_sound_is_rendered(file, pocket, prior):
    generator = load(file, seconds=0.2)
    chosen = replace(dialled("audio", 1.0, steps=2), crops=2, prior=prior)
    made = render(Concept.from_text("rain", pocket), pocket, generator, "natural", chosen, 3)
    assert made.media.shape == (2, generator.samples) and made.media.abs().max() <= 1
    assert len(made.trajectory) == 2 and all(math.isfinite(row["loss"]) for row in made.trajectory)
    assert not torch.equal(made.latent, generator.start(1, 3)) and made.instruments.round_trip is not None


@pytest.fixture(scope="module")
def pocket():
    from concept_algebra.ops.encoders.pocket import load as load_pocket

    return load_pocket()


CONFIG = {
    "sample_rate": 44100, "sample_size": 2048 * 30, "model": {
        "pretransform": {"config": {"decoder": {"type": "oobleck", "config": {"final_tanh": False}}}},
        "conditioning": {"configs": [{"id": "seconds_total", "config": {"min_val": 0, "max_val": 256}}]},
        "diffusion": {"type": "dit", "config": {"num_heads": 12}},
    },
}  # fmt: skip


def test_the_config_beside_a_file_is_followed(file, tensors, tmp_path):
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "model_config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    generator = load(tmp_path / "model.safetensors", seconds=1.3)
    assert generator.transformer.config.num_attention_heads == 12
    near(generator.condition(None)[1][..., 48:], Official(tensors).seconds("total", 1, longest=256))
    with pytest.raises(ValueError, match=r"seconds is 2: .* at most 1\.4 s"):
        load(tmp_path / "model.safetensors", seconds=2)
    CHANGES = {
        "objective is 'rectified_flow'": ("diffusion", {**CONFIG["model"]["diffusion"], "diffusion_objective": "rectified_flow"}),
        "final_tanh is True": ("pretransform", {"config": {"decoder": {"type": "oobleck", "config": {}}}}),
        "KeyError": ("diffusion", {}),
    }
    for message, (name, value) in CHANGES.items():
        (tmp_path / "model_config.json").write_text(json.dumps({**CONFIG, "model": {**CONFIG["model"], name: value}}), encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            load(tmp_path / "model.safetensors")


def without(tensors, name):
    return {key: value for key, value in tensors.items() if key != name}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda t: without(t, "model.model.to_cond_embed.0.weight"), "to_cond_embed.0.weight.* missing"),
        (lambda t: without(t, "model.model.transformer.rotary_pos_emb.inv_freq"), "inv_freq.* missing"),
        (lambda t: {name: value for name, value in t.items() if "seconds_" not in name}, "start.* missing"),
        (lambda t: {name: value for name, value in t.items() if "encoder.layers" not in name}, "missing"),
        (lambda t: {name: value for name, value in t.items() if ".layers." not in name or "pretransform" in name}, "layers.0.* missing"),
        (lambda t: without(t, "model.model.preprocess_conv.weight"), "do not fit: missing .*preprocess_conv"),
        (lambda t: without(t, "pretransform.model.decoder.layers.3.layers.0.alpha"), "do not fit: missing .*decoder.block.2.snake1.alpha"),
        (lambda t: t | {"model.model.transformer.layers.0.self_attn.q_norm.weight": torch.ones(4)}, "left over .*q_norm"),
        (lambda t: {f"diffusion.{name}": value for name, value in t.items()}, "no name of Stable Audio's"),
    ],
)
def test_what_is_no_whole_checkpoint_is_refused(tensors, tmp_path, changed, message):
    save_file({name: value.clone() for name, value in changed(tensors).items()}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=message):
        load(tmp_path / "model.safetensors")


def test_refusals(generator, file, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="seconds is 60: .* at most 47.6 s"):
        load(file, seconds=60)
    with pytest.raises(ValueError, match=r"shape \(1, 3, 45056\), expected \[B, 2, 45056\]"):
        generator.encode(torch.zeros(1, 3, 45056))
    with pytest.raises(ValueError, match="prompt 'rain': no text encoder"):
        generator.condition("rain")
    with pytest.raises(ValueError, match="strides"):
        oobleck.decode(type("Odd", (), {"upsampling_ratios": [3, 2]}), draw(1, 4, 22))
    with pytest.raises(WeightsError, match="no such file"):
        load(tmp_path / "none.safetensors")
    (tmp_path / "folder").mkdir()
    with pytest.raises(WeightsError, match="transformer is no folder of the diffusers library"):
        load(tmp_path / "folder")
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ModuleNotFoundError, match="pip install diffusers transformers"):
        load(file)
