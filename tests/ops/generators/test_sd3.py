"""Stable Diffusion 3 against the diffusers library's own pipeline, and a render with it."""

import dataclasses

import pytest
import torch

diffusers = pytest.importorskip("diffusers", reason="generators by the diffusers library; pip install diffusers transformers")
pytest.importorskip("transformers", reason="generators by the diffusers library; pip install diffusers transformers")

import tiny_diffusers
import tiny_sd3

from concept_algebra.ops.concept import Concept
from concept_algebra.ops.encoders import pocket
from concept_algebra.ops.generators.diffusers_loading import shapes
from concept_algebra.ops.generators.flow import along
from concept_algebra.ops.generators.sd3 import StableDiffusion3, load
from concept_algebra.ops.priors.settings import FlairSettings, VsdSettings
from concept_algebra.ops.render import render
from concept_algebra.ops.tracks import settings


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return tiny_diffusers.sd3(tmp_path_factory.mktemp("sd3"))


@pytest.fixture(scope="module")
def generator(paths):
    return load(paths[1], 64, 48)


def pipeline(generator, **parts):
    kinds = ("text_encoder", "text_encoder_2", "text_encoder_3", "tokenizer", "tokenizer_2", "tokenizer_3")
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    return diffusers.StableDiffusion3Pipeline(
        transformer=generator.network, vae=generator.autoencoder, scheduler=scheduler, **(dict.fromkeys(kinds) | parts)
    )


def test_stepping_its_estimates_draws_what_the_librarys_pipeline_draws(generator):
    made, cond, z = pipeline(generator), generator.condition(None), generator.start(2, 0)
    made.set_progress_bar_config(disable=True)
    given = {"prompt_embeds": cond.text.expand(2, -1, -1), "pooled_prompt_embeds": cond.pooled.expand(2, -1), "latents": z}
    given |= {"guidance_scale": 1.0, "num_inference_steps": 5, "height": 48, "width": 64}
    latents = made(**given, output_type="latent").images
    sigmas = made.scheduler.sigmas
    with torch.no_grad():
        for now, after in zip(sigmas, sigmas[1:]):
            x0 = generator.predict_x0(z, now.expand(2), cond)
            z = (1 - after) * x0 + after * (z - (1 - now) * x0) / now
        assert (z - latents).norm() < 1e-4 * latents.norm()
        pictures = made(**given, output_type="pt").images
        ours = generator.decode(z)
    assert (ours.clamp(0, 1) - pictures).norm() < 1e-4 * pictures.norm()
    assert pictures.std() > 0.1 and (latents - given["latents"]).norm() > 0.1 * latents.norm()


def test_encoding_is_the_librarys_in_model_space(generator):
    picture = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        raw = generator.autoencoder.encode(2 * picture - 1).latent_dist.mean
        torch.testing.assert_close(generator.encode(picture), (raw - 0.0609) * 1.5305)


def test_its_estimate_is_of_the_flow(generator):
    z, cond, t = generator.start(3, 0), generator.condition(None), torch.tensor([0.0, 0.4, 1.0])
    assert cond.text.shape == (1, 154, 4096) and cond.pooled.shape == (1, 2048) and not cond.text.any() and not cond.pooled.any()
    alpha, sigma = generator.noise(t)
    assert torch.equal(alpha, 1 - t) and torch.equal(sigma, t)
    with torch.no_grad():
        x0 = generator.predict_x0(z, t, cond)
        velocity = generator.network(z, cond.text.expand(3, -1, -1), cond.pooled.expand(3, -1), 1000 * t).sample
    assert torch.equal(x0[0], z[0])
    torch.testing.assert_close((z - x0)[1:], along(t, z)[1:] * velocity[1:])
    eps = x0 + velocity
    torch.testing.assert_close(along(alpha, z) * x0 + along(sigma, z) * eps, z)


def test_a_files_shapes_say_how_the_network_is_built(paths):
    found = StableDiffusion3.settings(shapes(paths[0]), paths[0])
    assert found == {name: list(value) if isinstance(value, tuple) else value for name, value in tiny_sd3.TRANSFORMER.items() if name != "sample_size"}
    older = {name: shape for name, shape in shapes(paths[0]).items() if "attn2" not in name and ".ln_" not in name}
    assert StableDiffusion3.settings(older, paths[0]) == found | {"dual_attention_layers": [], "qk_norm": None}


@pytest.mark.parametrize(("width", "height", "message"), [(72, 64, "width 72"), (64, 40, "height 40"), (272, 64, "width 272.* up to 256")])
def test_sizes_without_a_place_for_each_patch_are_refused(paths, width, height, message):
    with pytest.raises(ValueError, match=message):
        load(paths[1], width, height)


@pytest.mark.parametrize("t5", [False, True])
def test_a_prompt_is_embedded_as_by_the_librarys_pipeline(paths, tmp_path, t5):
    for part in paths[1].iterdir():
        (tmp_path / part.name).symlink_to(part, target_is_directory=True)
    tiny_diffusers.write_text_parts(tmp_path, t5=t5)
    made = load(tmp_path, 64, 64)
    cond = made.condition("a fire")
    import transformers

    parts = {name: getattr(transformers, kind).from_pretrained(tmp_path / name) for name, kind in made.texts.items() if (tmp_path / name).is_dir()}
    assert len(parts) == (6 if t5 else 4)
    text, _, pooled, _ = pipeline(made, **parts).encode_prompt("a fire", None, None, do_classifier_free_guidance=False)
    torch.testing.assert_close(tuple(cond), (text, pooled))
    assert cond.text.shape == (1, 77 + 256, 4096) and cond.text[:, 77:].any() == t5
    assert not torch.equal(made.condition("a dog").pooled, cond.pooled)
    with torch.no_grad():
        z, t = made.start(2, 0), torch.full((2,), 0.5)
        assert not torch.equal(made.predict_x0(z, t, cond), made.predict_x0(z, t, made.condition(None)))


@pytest.mark.filterwarnings("ignore:VSD at step")
@pytest.mark.parametrize("prior", [FlairSettings(3), VsdSettings(rank=2)])
def test_a_render_runs_through_it(generator, prior):
    encoder = pocket.load()
    chosen = dataclasses.replace(settings("image", "natural", steps=3, prior=prior), candidates=1)
    before = {name: x.clone() for name, x in generator.state_dict().items()}
    made = render(Concept.from_text("fire", encoder), encoder, generator, "natural", chosen, 0)
    assert made.media.shape == (3, 48, 64) and made.latent.shape == (1, *generator.latent_shape) and len(made.trajectory) == 3
    assert torch.isfinite(made.media).all() and not torch.equal(made.latent, generator.start(1, 0))
    assert all(torch.equal(x, before[name]) for name, x in generator.state_dict().items())
