"""LTX-Video on the diffusers library, on tiny checkpoints: gradients, identities, and the numbers of the library's own pipelines."""

import json

import pytest
import torch
from contracts.mps import apple_silicon
from safetensors.torch import load_file, save_file

from concept_algebra.ops.concept import Concept
from concept_algebra.ops.generators.protocol import Generator
from concept_algebra.ops.priors.lora import LoRA
from concept_algebra.ops.priors.settings import FlairSettings
from concept_algebra.ops.render import render
from concept_algebra.ops.tracks import settings
from concept_algebra.ops.weights import WeightsError

INSTALL = "needs diffusers and transformers: pip install diffusers transformers"
diffusers = pytest.importorskip("diffusers", reason=INSTALL)
transformers = pytest.importorskip("transformers", reason=INSTALL)

import tiny_ltx  # noqa: E402

from concept_algebra.ops.generators import ltx_video  # noqa: E402
from concept_algebra.ops.generators.ltx_video import LTXVideo, load  # noqa: E402

SIZE = {"width": 64, "height": 32, "frames": 9}
SHAPE = (2, 128, 1, 2)


def words(seed=0):
    """Conditioning of five tokens, two of them padding."""
    return torch.randn(1, 5, 16, generator=torch.Generator().manual_seed(seed)), torch.tensor([[True, True, True, False, False]])


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ltx")
    for version in tiny_ltx.VERSIONS:
        tiny_ltx.write(folder / f"{version}.safetensors", version=version)
    return {version: folder / f"{version}.safetensors" for version in tiny_ltx.VERSIONS}


@pytest.fixture(scope="module")
def generators(files):
    return {version: load(path, **SIZE) for version, path in files.items()}


@pytest.fixture(scope="module", params=tiny_ltx.VERSIONS)
def generator(request, generators):
    return generators[request.param]


@pytest.fixture(scope="module")
def folder(generators, tmp_path_factory):
    """A diffusers folder of the 0.9.5, with a tiny text encoder."""
    path = tmp_path_factory.mktemp("diffusers")
    generators["0.9.5"].vae.save_pretrained(path / "vae")
    generators["0.9.5"].transformer.save_pretrained(path / "transformer")
    tiny = transformers.T5Config(vocab_size=8, d_model=16, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    torch.manual_seed(0)
    transformers.T5EncoderModel(tiny).save_pretrained(path / "text_encoder")
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    known = Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2, "cat": 3, "sea": 4}, unk_token="<unk>"))
    known.pre_tokenizer = pre_tokenizers.Whitespace()
    known.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    transformers.PreTrainedTokenizerFast(tokenizer_object=known, pad_token="<pad>", eos_token="</s>", unk_token="<unk>").save_pretrained(path / "tokenizer")
    return path


def test_it_is_a_generator_of_clips_named_by_its_weights(generator, generators, files, tmp_path):
    assert isinstance(generator, Generator)
    assert generator.latent_shape == SHAPE and generator.fps == 25 and generator.modality == "video"
    assert generator.start(2, 0).shape == (2, *SHAPE) and torch.equal(generator.start(2, 0), generator.start(2, 0))
    assert len({each.id for each in generators.values()}) == 3 and generator.id.startswith("ltx-")
    if generator is generators["0.9.0"]:
        assert load(files["0.9.0"], **SIZE).id == generator.id
        tiny_ltx.write(tmp_path / "other.safetensors", seed=1)
        assert load(tmp_path / "other.safetensors", **SIZE).id != generator.id


def test_decoding_has_the_gradient_of_finite_differences_and_twice_the_same_bits(generator):
    z, along, weights = normal(1, *SHAPE), normal(1, *SHAPE, seed=1), normal(1, 9, 3, 32, 64, seed=2).double()
    value = lambda latent: (generator.decode(latent).double() * weights).sum()  # noqa: E731
    latent = z.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(latent), latent)
    with torch.no_grad():
        difference = (value(z + 1e-3 * along) - value(z - 1e-3 * along)) / 2e-3
        assert torch.equal(generator.decode(z), generator.decode(z))
    assert float((gradient * along).sum()) == pytest.approx(float(difference), rel=5e-3)


def decoded(generator, latent):
    """The media, and how many numbers other than weights are kept for the way back."""
    weights = {p.data_ptr() for p in generator.vae.parameters()}
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel() * (x.data_ptr() not in weights)) or x, lambda x: x):
        return generator.decode(latent), sum(kept)


def test_recomputing_the_decoder_changes_no_bit_and_leaves_nothing_behind(generator, monkeypatch):
    latent = normal(1, *SHAPE).requires_grad_()
    media, kept = decoded(generator, latent)
    (recomputed,) = torch.autograd.grad(media.square().mean(), latent)
    monkeypatch.setattr(ltx_video, "residual", lambda decoder: [])
    plain_media, whole = decoded(generator, latent)
    (plain,) = torch.autograd.grad(plain_media.square().mean(), latent)
    assert torch.equal(media, plain_media) and torch.equal(recomputed, plain)
    assert kept < whole / 2
    assert not any("forward" in vars(part) for part in generator.vae.modules())


def test_encoding_and_decoding_are_the_autoencoders_own_on_standardised_latents(generator):
    media = torch.rand(2, 9, 3, 32, 64, generator=torch.Generator().manual_seed(0))
    mean, deviation = generator.vae.latents_mean, generator.vae.latents_std
    with torch.no_grad():
        latent = generator.encode(media)
        raw = generator.vae.encode((2 * media - 1).transpose(1, 2)).latent_dist.mode()
        again = generator.vae.decode(raw, torch.full((2,), 0.05)).sample
        torch.testing.assert_close(latent * deviation[:, None, None] + mean[:, None, None], raw.transpose(1, 2))
        torch.testing.assert_close(generator.decode(latent), (again.transpose(1, 2) + 1) / 2)
    assert torch.equal(generator.decode(latent, fast=True), generator.decode(latent))


def test_the_estimate_is_what_the_velocity_leaves_and_a_clean_latent_stays(generator):
    x, cond = normal(2, *SHAPE), words()
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
    start = normal(1, *SHAPE)
    parts = {"scheduler": scheduler(), "vae": generator.vae, "text_encoder": None, "tokenizer": None, "transformer": generator.transformer}
    told = {"prompt_embeds": cond[0], "prompt_attention_mask": cond[1], "num_inference_steps": 3, "guidance_scale": 1.0, "frame_rate": 25}
    told |= {"width": 64, "height": 32, "num_frames": 9, "decode_timestep": 0.05, "decode_noise_scale": 0.0}
    if version == "0.9.5":
        # it gives its scheduler no length to shift by
        pipeline = diffusers.LTXConditionPipeline(**parts | {"scheduler": diffusers.FlowMatchEulerDiscreteScheduler()})
        # it draws its start itself, channels first, and nothing else
        start = normal(1, 128, 2, 1, 2).transpose(1, 2)
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


def test_folder_and_single_file_give_the_same_numbers(generators, folder):
    one, other = generators["0.9.5"], load(folder, **SIZE)
    assert other.id == one.id and other.causal == one.causal is True
    z, t = normal(1, *SHAPE), torch.tensor([0.6])
    with torch.no_grad():
        torch.testing.assert_close(one.decode(z), other.decode(z), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(one.predict_x0(z, t, words()), other.predict_x0(z, t, words()), rtol=1e-5, atol=1e-5)


def test_a_lora_has_the_gradient_of_finite_differences_with_and_without_recomputation(generator, monkeypatch):
    lora = generator.new_lora(2, torch.Generator().manual_seed(0))
    assert len(lora.parameters()) == 2 * 2 * 8  # two of them for eight layers in each of two blocks
    with torch.no_grad():
        for i, p in enumerate(lora.parameters()):
            p.add_(0.1 * normal(*p.shape, seed=i))
    x, t, weights = normal(1, *SHAPE), torch.tensor([0.7]), normal(1, *SHAPE, seed=1).double()
    value = lambda: (generator.predict_x0(x, t, words(), lora).double() * weights).sum()  # noqa: E731
    recomputed = torch.autograd.grad(value(), lora.parameters())
    monkeypatch.setattr(generator, "blocks", list)
    plain = torch.autograd.grad(value(), lora.parameters())
    assert all(torch.equal(a, b) for a, b in zip(recomputed, plain))
    along = [normal(*p.shape, seed=50 + i) for i, p in enumerate(lora.parameters())]
    values = []
    with torch.no_grad():
        for step in (1e-3, -2e-3):
            for p, d in zip(lora.parameters(), along):
                p.add_(step * d)
            values.append(float(value()))
    expected = sum(float((g * d).sum()) for g, d in zip(recomputed, along))
    assert (values[0] - values[1]) / 2e-3 == pytest.approx(expected, rel=5e-3)
    assert not any("forward" in vars(part) for part in generator.transformer.modules())


def test_half_precision_is_the_networks_affair(files):
    generator = load(files["0.9.0"], **SIZE, dtype=torch.bfloat16)
    assert generator.transformer.dtype == torch.bfloat16 and generator.vae.dtype == torch.float32
    x0 = generator.predict_x0(normal(1, *SHAPE), torch.tensor([0.5]), words())
    assert x0.dtype == torch.float32
    exact = load(files["0.9.0"], **SIZE).predict_x0(normal(1, *SHAPE), torch.tensor([0.5]), words())
    assert 0 < float((x0 - exact).abs().max()) < 0.1


def test_conditioning_is_made_once_from_the_folders_text_encoder(folder, monkeypatch):
    generator = load(folder, **SIZE)
    null, cat = generator.condition(None), generator.condition("cat")
    assert null[0].shape == (1, 128, 16) and null[1].sum() == 1 and cat[1].sum() == 2
    assert generator.condition(None) is null and generator.condition("") is null
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "tokenizer")
    encoder = transformers.T5EncoderModel.from_pretrained(folder / "text_encoder")
    pipeline = diffusers.LTXPipeline(scheduler(), generator.vae, encoder, tokenizer, generator.transformer)
    theirs = pipeline.encode_prompt("cat", do_classifier_free_guidance=False)[:2]
    assert torch.allclose(cat[0], theirs[0]) and torch.equal(cat[1], theirs[1])


def test_without_a_text_encoder_the_null_can_be_given(generators, folder):
    generator = generators["0.9.0"]
    for prompt, said in ((None, "no prompt"), ("a cat", "'a cat'")):
        with pytest.raises(ValueError, match=f"no text encoder here for .*{said}.*text_encoder and tokenizer, or give `null`"):
            generator.condition(prompt)
    given = LTXVideo(generator.vae, generator.transformer, **SIZE, null=words())
    assert torch.equal(given.condition(None)[0], words()[0]) and given.id == generator.id
    with pytest.raises(ValueError, match=r"null has shapes \(1, 5, 7\) and \(1, 5\), expected an embedding \[1, tokens, 16\]"):
        LTXVideo(generator.vae, generator.transformer, **SIZE, null=(torch.zeros(1, 5, 7), words()[1]))


def test_it_works_where_a_host_runs_it_in_inference_mode(files, folder):
    with torch.inference_mode():
        generator = load(folder, **SIZE)
        null = generator.condition(None)
    assert not null[0].is_inference() and not any(p.is_inference() for p in generator.state_dict().values())
    latent = generator.start(1, 0).requires_grad_()
    generator.decode(latent).mean().backward()
    assert latent.grad.abs().sum() > 0


def test_what_does_not_fit_is_refused_by_name(files, folder, tmp_path, generators):
    with pytest.raises(ValueError, match="width 60: LTX-Video takes multiples of 32"):
        load(files["0.9.0"], 60, 32, 9)
    with pytest.raises(ValueError, match="1 frame or 8 n \\+ 1 of them, not 8"):
        load(files["0.9.0"], 64, 32, 8)
    with pytest.raises(ValueError, match=r"media has shape \(1, 8, 3, 32, 64\), expected \[B, 9, 3, 32, 64\]"):
        generators["0.9.0"].encode(torch.zeros(1, 8, 3, 32, 64))
    with pytest.raises(ValueError, match="adapts another Linear"):
        other = LoRA(torch.nn.Sequential(torch.nn.Linear(2, 2)), ["0"], 1, torch.Generator())
        other.module = torch.nn.Linear(2, 2)
        generators["0.9.0"].predict_x0(normal(1, *SHAPE), torch.zeros(1), words(), other)
    with pytest.raises(WeightsError, match="is not a safetensors file"):
        load(tmp_path / "nothing.safetensors")
    with pytest.raises(WeightsError, match="config.json cannot be read"):
        load(tmp_path)
    stored = load_file(files["0.9.0"])

    def rewritten(name, changed, metadata=None):
        save_file(changed, tmp_path / name, metadata or {"config": json.dumps(tiny_ltx.config("0.9.0"))})
        return tmp_path / name

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
        load(rewritten("odd.safetensors", stored, {"config": "[]"}))
    tiny_ltx.write(tmp_path / "comfy.safetensors", version="0.9.1", comfy=True)
    with pytest.raises(WeightsError, match="none of LTX-Video 0.9.x"):
        load(tmp_path / "comfy.safetensors")


def test_apple_silicon_has_all_that_a_step_needs(generator):
    lora = generator.new_lora(1, torch.Generator().manual_seed(0))
    with apple_silicon():
        latent = generator.start(1, 0).requires_grad_()
        x0 = generator.predict_x0(latent, torch.tensor([0.5]), words(), lora)
        generator.decode(x0).square().mean().backward()
    assert latent.grad.abs().sum() > 0 and all(p.grad is not None for p in lora.parameters())


@pytest.mark.parametrize("track", ["honest", "natural"])
def test_a_concept_is_rendered_with_it(generators, encoder, track):
    generator = generators["0.9.1"]
    if track == "natural":
        generator = LTXVideo(generator.vae, generator.transformer, **SIZE, null=words())
    chosen = settings("video", track, steps=2, prior=FlairSettings(2) if track == "natural" else None)
    made = render(Concept.from_text("fire", encoder), encoder, generator, track, chosen, seed=0)
    assert made.media.shape == (9, 3, 32, 64) and 0 <= float(made.media.min()) and float(made.media.max()) <= 1
    assert len(made.trajectory) == 2 and not torch.equal(made.latent, generator.start(1, 0))
