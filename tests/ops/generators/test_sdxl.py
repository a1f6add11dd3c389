"""Stable Diffusion XL against the diffusers library's own pipeline, and its relatives refused."""

import json
import shutil

import pytest
import torch

diffusers = pytest.importorskip("diffusers", reason="generators by the diffusers library; pip install diffusers transformers")
pytest.importorskip("transformers", reason="generators by the diffusers library; pip install diffusers transformers")

import tiny_diffusers
import tiny_sdxl
from safetensors.torch import load_file, save_file

from concept_algebra.ops.generators.diffusers_loading import shapes
from concept_algebra.ops.generators.flow import along
from concept_algebra.ops.generators.sdxl import StableDiffusionXL, load

NETWORK = "model.diffusion_model."


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return tiny_diffusers.sdxl(tmp_path_factory.mktemp("sdxl"))


@pytest.fixture(scope="module")
def generator(paths):
    return load(paths[1], 64, 32)


def pipeline(generator, **parts):
    scheduler = diffusers.DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1
    )
    kinds = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
    made = diffusers.StableDiffusionXLPipeline(
        unet=generator.network, vae=generator.autoencoder, scheduler=scheduler, add_watermarker=False, **(dict.fromkeys(kinds) | parts)
    )
    made.set_progress_bar_config(disable=True)
    return made


def test_stepping_its_estimates_draws_what_the_librarys_pipeline_draws(generator):
    made, cond, z = pipeline(generator), generator.condition(None), generator.start(2, 0)
    given = {"prompt_embeds": cond.text.expand(2, -1, -1), "pooled_prompt_embeds": cond.pooled.expand(2, -1), "latents": z}
    given |= {"guidance_scale": 1.0, "num_inference_steps": 4, "height": 32, "width": 64}
    latents = made(**given, output_type="latent").images
    steps = [*made.scheduler.timesteps.tolist(), 0]
    with torch.no_grad():
        for now, after in zip(steps, steps[1:]):
            x0 = generator.predict_x0(z, torch.full((2,), now / 999), cond)
            alpha, sigma = generator.noise(torch.tensor(now / 999))
            alpha_after, sigma_after = generator.noise(torch.tensor(after / 999))
            z = alpha_after * x0 + sigma_after * (z - alpha * x0) / sigma
        assert (z - latents).norm() < 1e-4 * latents.norm()
        pictures = made(**given, output_type="pt").images
        ours = generator.decode(z)
    assert (ours.clamp(0, 1) - pictures).norm() < 1e-4 * pictures.norm()
    assert pictures.std() > 0.1 and (latents - given["latents"]).norm() > 0.1 * latents.norm()


def test_encoding_is_the_librarys_in_model_space(generator):
    picture = torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(generator.encode(picture), generator.autoencoder.encode(2 * picture - 1).latent_dist.mean * 0.13025)


def test_its_estimate_is_of_the_predicted_noise(generator):
    z, cond, t = generator.start(3, 0), generator.condition(None), torch.tensor([0.0, 0.4004004, 1.0])
    assert cond.text.shape == (1, 77, 2048) and cond.pooled.shape == (1, 1280) and not cond.text.any() and not cond.pooled.any()
    told = {"text_embeds": cond.pooled.expand(3, -1), "time_ids": torch.tensor([[32.0, 64.0, 0.0, 0.0, 32.0, 64.0]]).expand(3, -1)}
    with torch.no_grad():
        x0 = generator.predict_x0(z, t, cond)
        eps = generator.network(z, torch.tensor([0.0, 400.0, 999.0]), cond.text.expand(3, -1, -1), added_cond_kwargs=told).sample
    alpha, sigma = (along(level, z) for level in generator.noise(t))
    torch.testing.assert_close(alpha * x0 + sigma * eps, z, rtol=1e-4, atol=1e-4)


def test_a_files_shapes_say_how_the_network_is_built(paths):
    expected = tiny_sdxl.unet(tiny_diffusers.CHANNELS)
    del expected["sample_size"]
    assert StableDiffusionXL.settings(shapes(paths[0]), paths[0]) == {name: list(v) if isinstance(v, tuple) else v for name, v in expected.items()}


def test_a_prompt_is_embedded_as_by_the_librarys_pipeline(paths, tmp_path):
    for part in paths[1].iterdir():
        (tmp_path / part.name).symlink_to(part, target_is_directory=True)
    tiny_diffusers.write_text_parts(tmp_path, first="CLIPTextModel")
    made = load(tmp_path, 64, 64)
    cond = made.condition("a fire")
    import transformers

    parts = {name: getattr(transformers, kind).from_pretrained(tmp_path / name) for name, kind in made.texts.items()}
    text, _, pooled, _ = pipeline(made, **parts).encode_prompt("a fire", do_classifier_free_guidance=False)
    torch.testing.assert_close(tuple(cond), (text, pooled))
    assert cond.text.shape == (1, 77, 2048) and cond.pooled.shape == (1, 1280) and cond.pooled.any()
    with torch.no_grad():
        z, t = made.start(2, 0), torch.full((2,), 0.5)
        assert not torch.equal(made.predict_x0(z, t, cond), made.predict_x0(z, t, made.condition(None)))


def test_relatives_in_single_files_are_refused(paths, tmp_path):
    tensors, relative = load_file(paths[0]), tmp_path / "relative.safetensors"
    inpainting = f"{NETWORK}input_blocks.0.0.weight"
    refiner = f"{NETWORK}label_emb.0.0.weight"
    for changed, message in (
        ({"v_pred": torch.zeros(0)}, "predicts velocity"),
        ({"edm_mean": torch.zeros(4)}, "predicts the clean latent"),
        ({inpainting: torch.zeros(64, 9, 3, 3)}, "latents of 9 channels"),
        ({refiner: torch.zeros(256, 2560)}, "2560 numbers"),
    ):
        save_file(tensors | changed, relative)
        with pytest.raises(ValueError, match=f"relative.safetensors .*{message}"):
            load(relative)
    fewer = {name: x for name, x in tensors.items() if "middle_block.1.transformer_blocks.1" not in name}
    save_file(fewer, relative)
    with pytest.raises(ValueError, match="relative.safetensors does not fit UNet2DConditionModel"):
        load(relative)


def test_relatives_in_folders_are_refused(paths, tmp_path):
    copied = shutil.copytree(paths[1], tmp_path / "copied")
    (copied / "scheduler").mkdir()
    scheduler = copied / "scheduler/scheduler_config.json"
    scheduler.write_text(json.dumps({"prediction_type": "v_prediction"}))
    with pytest.raises(ValueError, match="predicts 'v_prediction', expected epsilon"):
        load(copied)
    scheduler.write_text(json.dumps({"prediction_type": "epsilon"}))
    load(copied)
    inpainting = diffusers.UNet2DConditionModel(**(tiny_sdxl.unet(tiny_diffusers.CHANNELS) | {"in_channels": 9}))
    inpainting.save_pretrained(copied / "unet")
    with pytest.raises(ValueError, match="latents of 9 channels"):
        load(copied)


def test_the_base_models_own_shapes_give_its_published_configuration():
    at = {"input_blocks.0.0.weight": (320, 4, 3, 3), "label_emb.0.0.weight": (1280, 2816), "out.2.weight": (4, 320, 3, 3)}
    at |= {f"input_blocks.{n}.0.op.weight": (size, size, 3, 3) for n, size in ((3, 320), (6, 640))}
    for n, (size, depth) in {1: (320, 0), 2: (320, 0), 4: (640, 2), 5: (640, 2), 7: (1280, 10), 8: (1280, 10)}.items():
        at[f"input_blocks.{n}.0.out_layers.3.weight"] = (size, size, 3, 3)
        at |= {f"input_blocks.{n}.1.transformer_blocks.{d}.attn2.to_k.weight": (size, 2048) for d in range(depth)}
    at["middle_block.1.transformer_blocks.0.attn2.to_k.weight"] = (1280, 2048)
    found = StableDiffusionXL.settings({f"{NETWORK}{name}": shape for name, shape in at.items()}, "sdxl")
    published = {"block_out_channels": [320, 640, 1280], "transformer_layers_per_block": [1, 2, 10], "attention_head_dim": [5, 10, 20], "layers_per_block": 2}
    assert found | published == found
    assert found["up_block_types"] == ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"]
