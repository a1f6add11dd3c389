"""Stable Video Diffusion on the diffusers library, with tiny networks: gradients, identities, and the library's own pipeline."""

import math

import pytest
import torch
from contracts.mps import apple_silicon
from gradients import decodes_with_its_gradient, draw, lora_has_its_gradient
from safetensors.torch import load_file, save_file

from concept_algebra.ops.concept import Concept
from concept_algebra.ops.generators.protocol import Generator
from concept_algebra.ops.priors.settings import FlairSettings
from concept_algebra.ops.render import render
from concept_algebra.ops.tracks import settings
from concept_algebra.ops.weights import WeightsError

diffusers = pytest.importorskip("diffusers", reason="needs diffusers and transformers: pip install diffusers transformers")

from concept_algebra.ops.generators.svd import StableVideoDiffusion, load  # noqa: E402

SIZE = {"width": 32, "height": 16, "frames": 3}
SHAPE = (3, 4, 2, 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two levels of the network in place of four, and all four of the autoencoder's, each as narrow as its norms allow."""
    path = tmp_path_factory.mktemp("svd")
    torch.manual_seed(0)
    four = {"block_out_channels": (32, 32, 32, 32), "down_block_types": ("DownEncoderBlock2D",) * 4, "layers_per_block": 1}
    vae = diffusers.AutoencoderKLTemporalDecoder(latent_channels=4, **four)
    unet = diffusers.UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 64), down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"), num_attention_heads=(2, 2), cross_attention_dim=8,
        addition_time_embed_dim=32, projection_class_embeddings_input_dim=96, layers_per_block=1,
    )  # fmt: skip
    for network, name in ((vae, "vae"), (unet, "unet")):
        for parameter in network.parameters():
            # a fresh network's shares of time and space are equal, and its biases zero: then a mistake in either would not show
            parameter.data += 0.02 * torch.randn_like(parameter)
        network.save_pretrained(path / name)
    return path


@pytest.fixture(scope="module")
def generator(folder):
    return load(folder, **SIZE)


def test_it_is_a_generator_of_clips_named_by_its_weights(generator, folder):
    assert isinstance(generator, Generator)
    assert generator.latent_shape == SHAPE and generator.fps == 7 and generator.modality == "video"
    assert generator.id == load(folder, **SIZE).id and generator.id.startswith("svd-")
    torch.manual_seed(1)
    other = StableVideoDiffusion(type(generator.network).from_config(generator.network.config), generator.autoencoder, **SIZE)
    assert other.id != generator.id


def test_decoding_has_the_gradient_of_finite_differences_recomputed_or_not(generator, monkeypatch):
    value, latent, gradient = decodes_with_its_gradient(generator, (3, 3, 16, 32))
    monkeypatch.setattr("concept_algebra.ops.generators.svd.BLOCKS", ())
    assert torch.equal(torch.autograd.grad(value(latent), latent)[0], gradient)
    assert not any("forward" in vars(part) for part in generator.autoencoder.modules())


def test_encoding_and_decoding_are_the_autoencoders_own_on_scaled_latents(generator):
    media = torch.rand(2, 3, 3, 16, 32, generator=torch.Generator().manual_seed(0))
    scale = generator.autoencoder.config.scaling_factor
    with torch.no_grad():
        latent = generator.encode(media)
        for clip, each, shown in zip(media, latent, generator.decode(latent)):
            raw = generator.autoencoder.encode(2 * clip - 1).latent_dist.mode()
            torch.testing.assert_close(each, scale * raw)
            torch.testing.assert_close(shown, (generator.autoencoder.decode(raw, num_frames=3).sample + 1) / 2)


def test_the_estimate_is_that_of_v_and_stays_finite_at_both_ends(generator):
    x, null = draw(2, *SHAPE), generator.condition(None)
    assert null.shape == (1, 1, 8) and not null.any()
    with torch.no_grad():
        assert torch.equal(generator.predict_x0(x, torch.zeros(2), null), x)
        assert generator.predict_x0(x, torch.ones(2), null).isfinite().all()
        apart = generator.predict_x0(x, torch.tensor([0.3, 0.8]), null)
        for i, t in enumerate((0.3, 0.8)):
            torch.testing.assert_close(apart[i : i + 1], generator.predict_x0(x[i : i + 1], torch.tensor([t]), null), rtol=1e-4, atol=1e-4)
    alpha, sigma = generator.noise(torch.tensor([0.5]))
    assert float(alpha) == pytest.approx(math.sqrt(0.5)) and float(sigma / alpha) == pytest.approx(1)


@torch.no_grad()
def test_it_has_the_numbers_of_the_librarys_own_pipeline(generator, monkeypatch):
    pipeline_class = diffusers.StableVideoDiffusionPipeline
    # told no picture, as in training: everything else of the pipeline is as it is
    monkeypatch.setattr(pipeline_class, "_encode_image", lambda self, *told: generator.condition(None))
    monkeypatch.setattr(pipeline_class, "_encode_vae_image", lambda self, *told, **more: torch.zeros(1, *SHAPE[1:]))
    scheduler = diffusers.EulerDiscreteScheduler(
        prediction_type="v_prediction", timestep_type="continuous", use_karras_sigmas=True, sigma_min=0.002, sigma_max=700.0,
        beta_schedule="scaled_linear", timestep_spacing="leading", steps_offset=1,
    )  # fmt: skip
    pipeline = pipeline_class(generator.autoencoder, None, generator.network, scheduler, None)
    pipeline.set_progress_bar_config(disable=True)
    start = draw(1, *SHAPE)
    told = {"width": 32, "height": 16, "num_frames": 3, "num_inference_steps": 4, "max_guidance_scale": 1.0, "latents": start.clone()}
    seen = []
    keep = lambda pipe, i, t, state: seen.append(state["latents"]) or {}  # noqa: E731
    clip = pipeline(torch.zeros(1, 3, 16, 32), **told, output_type="pt", callback_on_step_end=keep).frames
    levels = scheduler.sigmas
    x = start * scheduler.init_noise_sigma
    for now, after in zip(levels, levels[1:]):
        t = torch.atan(now) * 2 / math.pi
        alpha, _ = generator.noise(t)
        x0 = generator.predict_x0(x * alpha, t.expand(1), generator.condition(None))
        x = x0 + (x - x0) * (after / now)
    torch.testing.assert_close(x, seen[-1], rtol=1e-4, atol=1e-4 * float(seen[-1].abs().max()))
    torch.testing.assert_close(generator.decode(x).clamp(0, 1), clip, rtol=1e-4, atol=1e-4)


def test_a_lora_has_the_gradient_of_finite_differences_with_and_without_recomputation(generator, monkeypatch):
    lora = generator.new_lora(2, torch.Generator().manual_seed(0))
    x, t, null = draw(1, *SHAPE), torch.tensor([0.7]), generator.condition(None)
    estimate = lambda: generator.predict_x0(x, t, null, lora)  # noqa: E731

    def plain():
        monkeypatch.setattr(generator, "blocks", list)
        return estimate()

    lora_has_its_gradient(estimate, plain, lora)


def test_what_does_not_fit_is_refused_by_name(generator, folder, tmp_path):
    with pytest.raises(ValueError, match="'a cat': Stable Video Diffusion reads no words"):
        generator.condition("a cat")
    with pytest.raises(ValueError, match="40 x 16 pixels: the network of Stable Video Diffusion takes multiples of 16"):
        StableVideoDiffusion(generator.network, generator.autoencoder, 40, 16, 3)
    with pytest.raises(ValueError, match="width 30: Stable Video Diffusion takes multiples of 8"):
        load(folder, 30, 16, 3)
    with pytest.raises(ValueError, match=r"media has shape \(1, 4, 3, 16, 32\), expected \[B, 3, 3, 16, 32\]"):
        generator.encode(torch.zeros(1, 4, 3, 16, 32))
    with pytest.raises(WeightsError, match="config.json cannot be read"):
        load(tmp_path)
    generator.autoencoder.save_pretrained(tmp_path / "vae")
    weights = tmp_path / "vae" / "diffusion_pytorch_model.safetensors"
    stored = load_file(weights)
    stored.pop("decoder.conv_in.bias")
    save_file(stored, weights, {"format": "pt"})
    with pytest.raises(WeightsError, match="does not fit AutoencoderKLTemporalDecoder: missing .*decoder.conv_in.bias"):
        load(tmp_path)


def test_apple_silicon_has_all_that_a_step_needs(generator):
    lora = generator.new_lora(1, torch.Generator().manual_seed(0))
    with apple_silicon():
        latent = generator.start(1, 0).requires_grad_()
        x0 = generator.predict_x0(latent, torch.tensor([0.5]), generator.condition(None), lora)
        generator.decode(x0).square().mean().backward()
    assert latent.grad.abs().sum() > 0 and all(p.grad is not None for p in lora.parameters())


def test_a_concept_is_rendered_with_it(generator, encoder):
    chosen = settings("video", "natural", steps=2, prior=FlairSettings(2))
    made = render(Concept.from_text("fire", encoder), encoder, generator, "natural", chosen, seed=0)
    assert made.media.shape == (3, 3, 16, 32) and made.latent.isfinite().all() and len(made.trajectory) == 2
