"""What holds of every generator of pictures by the diffusers library: gradients, files, devices and refusals."""

import copy
import json
import shutil

import pytest
import torch
from contracts.mps import apple_silicon

pytest.importorskip("diffusers", reason="generators by the diffusers library; pip install diffusers transformers")
pytest.importorskip("transformers", reason="generators by the diffusers library; pip install diffusers transformers")

import tiny_diffusers
from safetensors.torch import load_file, save_file

from concept_algebra.ops.generators import sd3, sdxl
from concept_algebra.ops.generators.diffusers_loading import library
from concept_algebra.ops.generators.protocol import Generator
from concept_algebra.ops.generators.tiny_decoder import tiny_decoder

FAMILIES = {"sd3": (sd3, tiny_diffusers.sd3, "transformer"), "sdxl": (sdxl, tiny_diffusers.sdxl, "unet")}


class Made:
    """A family's loader, its file and its folder, and what is loaded from the folder."""

    def __init__(self, name, root):
        module, write, self.network = FAMILIES[name]
        self.load = module.load
        self.file, self.folder = write(root)
        self.generator = self.load(self.folder, 48, 32)


@pytest.fixture(scope="module", params=FAMILIES)
def made(request, tmp_path_factory):
    return Made(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture
def generator(made):
    return made.generator


def trained(generator, rank=2):
    lora = generator.new_lora(rank, torch.Generator().manual_seed(0))
    source = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in lora.parameters():
            p.copy_(torch.randn(p.shape, generator=source) * 0.1)
    return lora


def slope(function, at, along, step):
    """The derivative of a scalar function along a direction, by central differences."""
    with torch.no_grad():
        return float((function(at + step * along) - function(at - step * along)) / (2 * step))


def test_it_is_a_generator_of_pictures_of_its_size(generator):
    assert isinstance(generator, Generator) and generator.modality == "image"
    z = generator.start(2, 5)
    assert z.shape[1:] == generator.latent_shape == (generator.family.channels, 4, 6)
    with torch.no_grad():
        media = generator.decode(z)
        assert media.shape == (2, 3, 32, 48) and generator.encode(media).shape == z.shape
    # nothing is cut off, or there would be no gradient there
    assert media.min() < 0 < 1 < media.max()


def test_a_file_and_a_folder_give_the_same_numbers(made, generator):
    single = made.load(made.file, 48, 32)
    assert single.id == generator.id and single.id.startswith(generator.family.name)
    z, t = generator.start(1, 0), torch.tensor([0.4])
    with torch.no_grad():
        for of in (lambda g: g.decode(z), lambda g: g.encode(g.decode(z)), lambda g: g.predict_x0(z, t, g.condition(None))):
            assert torch.equal(of(single), of(generator))


def test_the_id_is_the_weights(made, generator, tmp_path):
    altered = load_file(made.file)
    name = next(name for name in altered if name.startswith("first_stage_model.decoder.mid"))
    altered[name] = altered[name] + 0.01
    save_file(altered, tmp_path / "altered.safetensors")
    assert made.load(tmp_path / "altered.safetensors", 64, 64).id != generator.id
    assert made.load(made.folder, 128, 32).id == generator.id


def test_decoding_and_encoding_have_the_gradients_of_finite_differences(generator):
    double = copy.deepcopy(generator).double()
    source = torch.Generator().manual_seed(0)
    for function, shape in ((double.decode, generator.latent_shape), (double.encode, (3, 32, 48))):
        x, direction = (torch.randn(1, *shape, generator=source).double() for _ in range(2))
        weights = torch.randn(function(x).shape, generator=source).double()
        scalar = lambda at: (function(at) * weights).sum()  # noqa: E731, B023
        (gradient,) = torch.autograd.grad(scalar(x.requires_grad_()), x)
        assert float((gradient * direction).sum()) == pytest.approx(slope(scalar, x, direction, 1e-6), rel=1e-5)


def test_a_lora_has_the_gradients_of_finite_differences(generator):
    double = copy.deepcopy(generator).double()
    z, weights = double.start(2, 1).double(), double.start(2, 2).double()
    lora, t, cond = trained(double), torch.tensor([0.3, 0.6]), double.condition(None)
    gradients = torch.autograd.grad((double.predict_x0(z, t, cond, lora) * weights).sum(), lora.parameters())
    # along the gradient itself, where what is measured stands out from the single precision of a LoRA
    length = float(torch.stack([g.square().sum() for g in gradients]).sum().sqrt())
    before = [p.detach().clone() for p in lora.parameters()]

    def moved(by):
        with torch.no_grad():
            for p, b, g in zip(lora.parameters(), before, gradients):
                p.copy_(b + by * g / length)
            return float((double.predict_x0(z, t, cond, lora) * weights).sum())

    assert (moved(1e-3) - moved(-1e-3)) / 2e-3 == pytest.approx(length, rel=1e-3)


def test_recomputing_blocks_changes_no_gradient_and_leaves_no_trace(generator):
    lora, z, t, cond = trained(generator), generator.start(2, 1), torch.tensor([0.3, 0.6]), generator.condition(None)
    with lora.on():
        plain = generator.x0(z, t, cond)
        expected = torch.autograd.grad(plain.square().sum(), lora.parameters())
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        recomputed = generator.predict_x0(z, t, cond, lora)
    inside = sum(kept)
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x), lora.on():
        generator.x0(z, t, cond)
    assert inside < 0.25 * (sum(kept) - inside)
    assert torch.equal(recomputed, plain)
    # the network is its own again before the way back, and may be used by others on the way
    with torch.no_grad():
        alone = generator.predict_x0(z, t, cond)
        assert not torch.equal(alone, plain)
    for given, wanted in zip(torch.autograd.grad(recomputed.square().sum(), lora.parameters()), expected):
        assert torch.equal(given, wanted)
    with torch.no_grad():
        assert torch.equal(generator.predict_x0(z, t, cond), alone)
    assert not any("forward" in vars(part) for part in generator.network.modules())


def test_it_adapts_all_attentions(generator):
    paths = generator.adapted()
    blocks = [name for name, part in generator.network.named_modules() if hasattr(part, "to_q")]
    assert len(blocks) >= 3
    for block in blocks:
        assert {f"{block}.{layer}" for layer in ("to_q", "to_k", "to_v", "to_out.0")} <= set(paths)
    assert all(path.startswith(tuple(blocks)) for path in paths)


def test_its_network_computes_in_half_precision_and_all_answers_in_single(made, generator):
    half = made.load(made.folder, 48, 32, dtype=torch.bfloat16)
    z, t, picture = generator.start(1, 0), torch.tensor([0.4]), torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        rough, fine = (g.predict_x0(z, t, g.condition(None)) for g in (half, generator))
        assert rough.dtype == torch.float32 and not torch.equal(rough, fine)
        assert (rough - fine).norm() < 0.2 * fine.norm()
        assert torch.equal(half.decode(z), generator.decode(z)) and torch.equal(half.encode(picture), generator.encode(picture))


def test_recomputing_changes_no_gradient_in_the_latent_either(generator):
    t, cond = torch.tensor([0.3]), generator.condition(None)
    settings = generator.autoencoder.config
    plain = {
        "network": lambda z: generator.x0(z, t, cond),
        "decoder": lambda z: generator.autoencoder.decode(z / settings.scaling_factor + (settings.shift_factor or 0.0)).sample / 2 + 0.5,
    }
    recomputed = {"network": lambda z: generator.predict_x0(z, t, cond), "decoder": generator.decode}
    for name, share in (("network", 0.25), ("decoder", 0.6)):
        kept, gradients = [], []
        for compute in (plain[name], recomputed[name]):
            z, numbers = generator.start(1, 2).requires_grad_(), []
            with torch.autograd.graph.saved_tensors_hooks(lambda x: numbers.append(x.numel()) or x, lambda x: x):
                out = compute(z)
            kept.append(sum(numbers))
            gradients.append(torch.autograd.grad(out.square().sum(), z)[0])
        assert torch.equal(*gradients) and kept[1] < share * kept[0], name


def test_it_trains_a_lora_in_a_hosts_inference_mode(made):
    with torch.inference_mode():
        generator = made.load(made.folder, 48, 32)
        cond = generator.condition(None)
        with torch.inference_mode(False), torch.enable_grad():
            z = generator.start(1, 0).requires_grad_()
            generator.decode(z).square().sum().backward()
            lora = trained(generator)
            generator.predict_x0(z.detach(), torch.tensor([0.5]), cond, lora).square().sum().backward()
    assert z.grad.abs().sum() > 0 and all(p.grad is not None for p in lora.parameters())


def test_numbers_on_the_hot_path_suit_apple_silicon(generator):
    lora, cond = trained(generator), generator.condition(None)
    generator.noise(torch.zeros(1))  # whose table is made once, on the CPU and in double precision
    with apple_silicon():
        z = generator.start(1, 0).requires_grad_()
        generator.decode(z).square().sum().backward()
        generator.predict_x0(z.detach(), torch.tensor([0.5]), cond, lora).square().sum().backward()
        generator.encode(torch.rand(1, 3, 32, 48))


def test_a_tiny_decoder_is_the_librarys(made, generator, tmp_path):
    channels = generator.family.channels
    torch.manual_seed(0)
    whole = library().AutoencoderTiny(latent_channels=channels, decoder_block_out_channels=(8, 8, 8, 8), encoder_block_out_channels=(8, 8, 8, 8))
    whole.save_pretrained(tmp_path / "tiny")
    # in a file of its own the bound on the latents counts as the first module
    stored = {f"{int(name.split('.')[1]) + 1}.{name.split('.', 2)[2]}": x for name, x in whole.decoder.state_dict().items()}
    save_file(stored, tmp_path / "taesd_decoder.safetensors")
    z = 2 * generator.start(1, 0)
    assert generator.fast is None
    with torch.no_grad():
        assert torch.equal(generator.decode(z, fast=True), generator.decode(z))
        wanted = whole.decode(z).sample / 2 + 0.5
        for path in (tmp_path / "tiny", tmp_path / "taesd_decoder.safetensors"):
            fast = made.load(made.folder, 64, 48, fast=path)
            torch.testing.assert_close(fast.decode(z, fast=True), wanted)
            assert torch.equal(fast.decode(z), generator.decode(z))
    with pytest.raises(ValueError, match=f"latents of {channels} channels, expected 5"):
        tiny_decoder(tmp_path / "tiny", 5, torch.float32)
    with pytest.raises(ValueError, match="no tiny decoder: no tensor 1.weight"):
        tiny_decoder(made.file, channels, torch.float32)
    save_file({"1.weight": stored["1.weight"]}, tmp_path / "part.safetensors")
    with pytest.raises(ValueError, match="part.safetensors' do not fit: missing"):
        tiny_decoder(tmp_path / "part.safetensors", channels, torch.float32)


def test_a_prompt_without_text_encoders_is_refused(made, generator):
    with pytest.raises(ValueError, match="'a fire'.* has no text_encoder, text_encoder_2"):
        generator.condition("a fire")
    with pytest.raises(ValueError, match="loaded from a single file"):
        made.load(made.file, 64, 64).condition("a fire")


def test_sizes_that_do_not_fit_are_refused(made):
    with pytest.raises(ValueError, match="width 100"):
        made.load(made.folder, 100, 64)
    with pytest.raises(ValueError, match="height 0"):
        made.load(made.folder, 64, 0)


def test_what_is_no_whole_checkpoint_is_refused_by_name(made, tmp_path):
    with pytest.raises(ValueError, match="nothing.safetensors is not a safetensors file"):
        made.load(tmp_path / "nothing.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(ValueError, match="text.safetensors is not a safetensors file"):
        made.load(tmp_path / "text.safetensors")
    tensors = load_file(made.file)
    for prefix, message in (("model.diffusion_model.", "is no checkpoint of"), ("first_stage_model.", "has no autoencoder")):
        save_file({name: x for name, x in tensors.items() if not name.startswith(prefix)}, tmp_path / "half.safetensors")
        with pytest.raises(ValueError, match=f"half.safetensors {message}"):
            made.load(tmp_path / "half.safetensors")
    for lost in ("first_stage_model.encoder.mid.attn_1.q.weight", "first_stage_model.decoder.up.1.block.1.conv1.bias"):
        save_file({name: x for name, x in tensors.items() if name != lost}, tmp_path / "lost.safetensors")
        with pytest.raises(ValueError, match="lost.safetensors does not fit AutoencoderKL"):
            made.load(tmp_path / "lost.safetensors")
    save_file(tensors | {"first_stage_model.decoder.more.weight": torch.zeros(3)}, tmp_path / "more.safetensors")
    with pytest.raises(ValueError, match="more.safetensors does not fit AutoencoderKL"):
        made.load(tmp_path / "more.safetensors")


def test_what_is_no_whole_folder_is_refused_by_name(made, tmp_path):
    with pytest.raises(ValueError, match="config.json cannot be read"):
        made.load(tmp_path)
    copied = shutil.copytree(made.folder, tmp_path / "copied")
    weights = copied / made.network / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    lost = next(name for name in tensors if name.endswith("to_q.weight"))
    save_file({name: x for name, x in tensors.items() if name != lost}, weights)
    with pytest.raises(ValueError, match="missing .*to_q.weight"):
        made.load(copied)
    weights.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=f"copied/{made.network}"):
        made.load(copied)
    weights.unlink()
    with pytest.raises(ValueError, match=f"copied/{made.network}"):
        made.load(copied)
    settings = json.loads((made.folder / "vae/config.json").read_text())
    (copied / made.network / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=f"{made.network} has a model of class AutoencoderKL, expected"):
        made.load(copied)
