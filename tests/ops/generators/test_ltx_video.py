"""LTX-Video on the diffusers library, on tiny checkpoints: gradients, identities, and the numbers of the library's own pipelines."""

import dataclasses

import pytest
import torch
from contracts.mps import apple_silicon
from gradients import decodes_with_its_gradient, draw, lora_has_its_gradient

from concept_algebra.ops.concept import Concept
from concept_algebra.ops.encoders import pocket
from concept_algebra.ops.generators.protocol import Generator
from concept_algebra.ops.priors.settings import FlairSettings
from concept_algebra.ops.render import render
from concept_algebra.ops.tracks import settings

INSTALL = "needs diffusers and transformers: pip install diffusers transformers"
diffusers = pytest.importorskip("diffusers", reason=INSTALL)
pytest.importorskip("transformers", reason=INSTALL)

import tiny_ltx  # noqa: E402

from concept_algebra.ops.generators import ltx_video  # noqa: E402
from concept_algebra.ops.generators.ltx_video import LTXVideo, load  # noqa: E402

SIZE = {"width": 64, "height": 32, "frames": 9}
SHAPE = (2, 128, 1, 2)


def words(seed=0):
    """Conditioning of five tokens, two of them padding."""
    return torch.randn(1, 5, 16, generator=torch.Generator().manual_seed(seed)), torch.tensor([[True, True, True, False, False]])


@pytest.fixture(scope="module")
def generators(tmp_path_factory):
    path, made = tmp_path_factory.mktemp("ltx") / "tiny.safetensors", {}
    for version in tiny_ltx.VERSIONS:
        tiny_ltx.write(path, version=version)
        made[version] = load(path, **SIZE)
    return made


@pytest.fixture(scope="module", params=tiny_ltx.VERSIONS)
def generator(request, generators):
    return generators[request.param]


def test_it_is_a_generator_of_clips(generator):
    assert isinstance(generator, Generator)
    assert generator.latent_shape == SHAPE and generator.fps == 25 and generator.modality == "video"
    assert generator.start(2, 0).shape == (2, *SHAPE) and torch.equal(generator.start(2, 0), generator.start(2, 0))


def test_decoding_has_the_gradient_of_finite_differences_and_twice_the_same_bits(generator):
    decodes_with_its_gradient(generator, (9, 3, 32, 64))


def decoded(generator, latent):
    """The media, and how many numbers other than weights are kept for the way back."""
    weights = {p.data_ptr() for p in generator.autoencoder.parameters()}
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel() * (x.data_ptr() not in weights)) or x, lambda x: x):
        return generator.decode(latent), sum(kept)


def test_recomputing_the_decoder_changes_no_bit_and_leaves_nothing_behind(generator, monkeypatch):
    latent = draw(1, *SHAPE).requires_grad_()
    media, kept = decoded(generator, latent)
    (recomputed,) = torch.autograd.grad(media.square().mean(), latent)
    monkeypatch.setattr(ltx_video, "residual", lambda decoder: [])
    plain_media, whole = decoded(generator, latent)
    (plain,) = torch.autograd.grad(plain_media.square().mean(), latent)
    assert torch.equal(media, plain_media) and torch.equal(recomputed, plain)
    assert kept < whole / 2
    assert not any("forward" in vars(part) for part in generator.autoencoder.modules())


def test_encoding_and_decoding_are_the_autoencoders_own_on_standardised_latents(generator):
    media = torch.rand(2, 9, 3, 32, 64, generator=torch.Generator().manual_seed(0))
    mean, deviation = generator.autoencoder.latents_mean, generator.autoencoder.latents_std
    with torch.no_grad():
        latent = generator.encode(media)
        raw = generator.autoencoder.encode((2 * media - 1).transpose(1, 2)).latent_dist.mode()
        again = generator.autoencoder.decode(raw, torch.full((2,), 0.05)).sample
        torch.testing.assert_close(latent * deviation[:, None, None] + mean[:, None, None], raw.transpose(1, 2))
        torch.testing.assert_close(generator.decode(latent), (again.transpose(1, 2) + 1) / 2)
    assert torch.equal(generator.decode(latent, fast=True), generator.decode(latent))


def test_the_estimate_is_what_the_velocity_leaves_and_a_clean_latent_stays(generator):
    x, cond = draw(2, *SHAPE), words()
    with torch.no_grad():
        assert torch.equal(generator.predict_x0(x, torch.zeros(2), cond), x)
        alpha, sigma = generator.noise(torch.tensor([0.25, 0.5]))
        assert torch.equal(alpha, torch.tensor([0.75, 0.5])) and torch.equal(sigma, torch.tensor([0.25, 0.5]))
        apart = generator.predict_x0(x, torch.tensor([0.3, 0.8]), cond)
        for i, t in enumerate((0.3, 0.8)):
            torch.testing.assert_close(apart[i : i + 1], generator.predict_x0(x[i : i + 1], torch.tensor([t]), cond), rtol=1e-5, atol=1e-5)
        # padding is not read, words are
        padded = (words()[0].index_fill(1, torch.tensor([3, 4]), 9.0), words()[1])
        torch.testing.assert_close(generator.predict_x0(x, torch.tensor([0.3, 0.8]), padded), apart)
        assert not torch.allclose(generator.predict_x0(x, torch.tensor([0.3, 0.8]), words(1)), apart, atol=1e-3)


def test_frames_are_placed_in_time_as_each_version_learned_it(generators):
    assert torch.allclose(25 * generators["0.9.1"].seconds(4), torch.tensor([0.0, 8.0, 16.0, 24.0]))
    assert torch.allclose(25 * generators["0.9.5"].seconds(4), torch.tensor([0.0, 1.0, 9.0, 17.0]))


def scheduler():
    """As published: shifted by the length of the clip, and stretched to end at .1."""
    return diffusers.FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, base_image_seq_len=1024, max_image_seq_len=4096, base_shift=0.95, max_shift=2.05, shift_terminal=0.1
    )


def stepped(generator, start, sigmas, cond):
    x = start
    for now, after in zip(sigmas, sigmas[1:]):
        x0 = generator.predict_x0(x, now.expand(1), cond)
        x = x + (after - now) * (x - x0) / now
    return x


@pytest.mark.parametrize("version", tiny_ltx.VERSIONS)
@torch.no_grad()
def test_it_has_the_numbers_of_the_librarys_own_pipeline(generators, version):
    generator, cond = generators[version], words()
    start = draw(1, *SHAPE)
    parts = {"scheduler": scheduler(), "vae": generator.autoencoder, "text_encoder": None, "tokenizer": None, "transformer": generator.network}
    told = {"prompt_embeds": cond[0], "prompt_attention_mask": cond[1], "num_inference_steps": 3, "guidance_scale": 1.0, "frame_rate": 25}
    told |= {"width": 64, "height": 32, "num_frames": 9, "decode_timestep": 0.05, "decode_noise_scale": 0.0}
    if version == "0.9.5":
        # it gives its scheduler no length to shift by
        pipeline = diffusers.LTXConditionPipeline(**parts | {"scheduler": diffusers.FlowMatchEulerDiscreteScheduler()})
        # it draws its start itself, channels first, and nothing else
        start = draw(1, 128, 2, 1, 2).transpose(1, 2)
        told |= {"generator": torch.Generator().manual_seed(0)}
    else:
        pipeline = diffusers.LTXPipeline(**parts)
        told |= {"latents": start.movedim(2, -1).flatten(1, 3)}
    pipeline.set_progress_bar_config(disable=True)
    seen = []
    clip = pipeline(**told, output_type="pt", callback_on_step_end=lambda pipe, i, t, state: seen.append(state["latents"]) or {}).frames
    latent = stepped(generator, start, pipeline.scheduler.sigmas, cond)
    theirs = seen[-1].unflatten(1, (2, 1, 2)).movedim(-1, 2)
    assert float((latent - start).abs().max()) > 0.1
    torch.testing.assert_close(latent, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))
    torch.testing.assert_close(generator.decode(latent).clamp(0, 1), clip, rtol=1e-4, atol=1e-4)


def test_a_lora_has_the_gradient_of_finite_differences_with_and_without_recomputation(generator, monkeypatch):
    lora = generator.new_lora(2, torch.Generator().manual_seed(0))
    assert len(lora.parameters()) == 2 * 2 * 8  # two of them for eight layers in each of two blocks
    x, t = draw(1, *SHAPE), torch.tensor([0.7])
    estimate = lambda: generator.predict_x0(x, t, words(), lora)  # noqa: E731

    def plain():
        monkeypatch.setattr(generator, "blocks", list)
        return estimate()

    lora_has_its_gradient(estimate, plain, lora)
    assert not any("forward" in vars(part) for part in generator.network.modules())


def test_without_a_text_encoder_the_null_can_be_given(generators):
    generator = generators["0.9.0"]
    for prompt, said in ((None, "the empty prompt"), ("a cat", "the prompt 'a cat'")):
        with pytest.raises(ValueError, match=f"no text encoder to read {said}.*text_encoder and tokenizer, or give `null`"):
            generator.condition(prompt)
    given = LTXVideo(generator.network, generator.autoencoder, **SIZE, null=words())
    assert torch.equal(given.condition(None)[0], words()[0]) and given.id == generator.id
    with pytest.raises(ValueError, match=r"null has shapes \(1, 5, 7\) and \(1, 5\), expected an embedding \[1, tokens, 16\]"):
        LTXVideo(generator.network, generator.autoencoder, **SIZE, null=(torch.zeros(1, 5, 7), words()[1]))


def test_apple_silicon_has_all_that_a_step_needs(generator):
    lora = generator.new_lora(1, torch.Generator().manual_seed(0))
    with apple_silicon():
        latent = generator.start(1, 0).requires_grad_()
        x0 = generator.predict_x0(latent, torch.tensor([0.5]), words(), lora)
        generator.decode(x0).square().mean().backward()
    assert latent.grad.abs().sum() > 0 and all(p.grad is not None for p in lora.parameters())


def rendered(generator, encoder, track, steps=2, **more):
    # one look is the whole clip, which draws nothing
    chosen = dataclasses.replace(settings("video", track, steps=steps, **more), crops=1)
    made = render(Concept.from_text("fire", encoder), encoder, generator, track, chosen, seed=0)
    assert made.media.shape == (9, 3, 32, 64) and 0 <= float(made.media.min()) and float(made.media.max()) <= 1
    assert len(made.trajectory) == steps and not torch.equal(made.latent, generator.start(1, 0))
    return made


def test_an_honest_render_needs_no_conditioning_and_comes_nearer(generators, encoder):
    losses = [step["loss"] for step in rendered(generators["0.9.5"], encoder, "honest", steps=6).trajectory]
    assert losses[-1] < losses[0]


def test_a_natural_render_goes_by_the_pocket_encoder_and_the_null_given(generators):
    given = LTXVideo(generators["0.9.1"].network, generators["0.9.1"].autoencoder, **SIZE, null=words())
    made = rendered(given, pocket.load(), "natural", prior=FlairSettings(2))
    assert made.looks[-1][2]
