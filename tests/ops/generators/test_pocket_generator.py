import pytest
import torch

from concept_algebra.ops.encoders import pocket as encoders
from concept_algebra.ops.generators.pocket import load
from concept_algebra.ops.generators.protocol import Generator
from concept_algebra.ops.priors.lora import LoRA

SHAPES = {"image": (3, 128, 128), "video": (8, 3, 128, 128)}


@pytest.fixture(scope="module")
def encoder():
    return encoders.load()


@pytest.fixture(scope="module", params=SHAPES)
def generator(request, encoder):
    return load(request.param, encoder)


def test_it_is_a_generator_with_seeded_starts(generator):
    assert isinstance(generator, Generator)
    first, again, other = generator.start(2, 5), generator.start(2, 5), generator.start(2, 6)
    assert first.shape == (2, *generator.latent_shape)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_noise_is_standard_normal_and_frames_share_most_of_it(generator):
    noise = generator.sample_noise(64, torch.Generator().manual_seed(0))
    assert float(noise.mean()) == pytest.approx(0, abs=0.01) and float(noise.std()) == pytest.approx(1, abs=0.01)
    assert torch.equal(noise[:2], generator.sample_noise(64, torch.Generator().manual_seed(0))[:2])
    if generator.frames:
        frames = noise.transpose(0, 1).flatten(1)
        between = torch.corrcoef(frames)[0, 1:]
        assert torch.allclose(between, torch.full((generator.frames - 1,), 0.9), atol=0.02)


def test_decoding_is_differentiable_and_encoding_comes_back(generator):
    z = generator.start(1, 0).requires_grad_()
    media = generator.decode(z)
    assert media.shape == (1, *SHAPES[generator.modality])
    media.square().mean().backward()
    assert torch.isfinite(z.grad).all() and z.grad.abs().sum() > 0
    with torch.no_grad():
        flat = torch.full((1, *SHAPES[generator.modality]), 0.7)
        back = generator.decode(generator.encode(flat))
    assert (back - flat).abs().mean() < 0.05


def test_a_clean_latent_is_its_own_prediction(generator):
    z = generator.start(2, 1)
    null = generator.condition(None)
    with torch.no_grad():
        torch.testing.assert_close(generator.predict_x0(z, torch.zeros(2), null), z)
    alpha, sigma = generator.noise(torch.tensor([0.0, 0.25, 1.0]))
    assert torch.equal(alpha, torch.tensor([1.0, 0.75, 0.0])) and torch.equal(sigma, torch.tensor([0.0, 0.25, 1.0]))


def test_the_prior_denoises_what_it_knows_and_tells_words_apart(generator):
    """From a lightly noised own sample the prediction is nearer the sample than the noise is; words differ from none."""
    cat, null = generator.condition("cat"), generator.condition(None)
    drawn = generator.sample(cat, 1, seed=2, steps=8)
    assert drawn.square().mean().sqrt().item() == pytest.approx(1, abs=0.5)
    t = torch.full((1,), 0.3)
    noisy = 0.7 * drawn + 0.3 * generator.start(1, 3)
    with torch.no_grad():
        clean, free = generator.predict_x0(noisy, t, cat), generator.predict_x0(noisy, t, null)
    assert (clean - drawn).norm() < (noisy / 0.7 - drawn).norm()
    assert (clean - free).norm() > 1e-3


def test_a_lora_adapts_the_body_of_the_prior_alone_and_leaves_no_trace(generator):
    x, t, null = generator.start(1, 3), torch.full((1,), 0.5), generator.condition(None)
    lora = generator.new_lora(2, torch.Generator().manual_seed(0))
    paths = {name.split(".lora_")[0].removeprefix("base_model.model.") for name in lora.state_dict()}
    blocks = len(generator.prior.body)
    attention = [f"{i}.{kind}.{layer}_proj" for i in range(blocks) for layer in ("q", "k", "v", "out") for kind in ("self_attn", "temporal_attn")]
    mlp = [f"{i}.mlp.fc{layer}" for i in range(blocks) for layer in (1, 2)]
    if generator.modality == "image":
        attention = [path for path in attention if "temporal" not in path]
    here = dict(generator.prior.named_modules())
    assert paths == {f"body.{path}" for path in attention + mlp if f"body.{path}" in here}
    with torch.no_grad():
        before = generator.predict_x0(x, t, null)
        assert torch.equal(generator.predict_x0(x, t, null, lora), before)
        for p in lora.parameters():
            p.add_(0.1)
        assert not torch.allclose(generator.predict_x0(x, t, null, lora), before)
        assert torch.equal(generator.predict_x0(x, t, null), before)


def test_what_it_cannot_do_is_said(generator, encoder):
    foreign = LoRA(generator.prior.body, ["0.mlp.fc1"], 2, torch.Generator())
    with pytest.raises(ValueError, match="adapts another ModuleList than this generator's"):
        generator.predict_x0(generator.start(1, 0), torch.zeros(1), generator.condition(None), foreign)
    with pytest.raises(ValueError, match="no pocket generator makes 'text'"):
        load("text", encoder)
