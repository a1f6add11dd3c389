"""Files in the layouts of dictionary_learning and SAELens, against those libraries' formulas written out here."""

import json

import pytest
import torch
from safetensors.torch import save_file

from concept_algebra.ops.features.imported import read_autoencoder
from concept_algebra.ops.weights import WeightsError

D, WIDTH = 12, 40


def published(seed=0, unit=False):
    rng = torch.Generator().manual_seed(seed)
    state = {
        "W_enc": torch.randn(D, WIDTH, generator=rng),
        "b_enc": 0.3 * torch.randn(WIDTH, generator=rng),
        "W_dec": torch.randn(WIDTH, D, generator=rng),
        "b_dec": torch.randn(D, generator=rng),
        "threshold": torch.rand(WIDTH, generator=rng) + 0.3,
    }
    if unit:
        state["W_dec"] /= state["W_dec"].norm(dim=1, keepdim=True)
    return state


def vectors():
    return 2 * torch.randn(50, D, generator=torch.Generator().manual_seed(9))


def compare(path, code, reconstruction, lengths):
    """Ours from a file against a library's code and reconstruction of the same vectors."""
    assert 0.05 < float((code > 0).float().mean()) < 0.8
    autoencoder, threshold = read_autoencoder(path)
    ours = autoencoder.encode(vectors(), threshold)
    assert torch.equal(ours > 0, code > 0)
    assert torch.allclose(ours, code * lengths, atol=1e-4) and torch.allclose(autoencoder.decode(ours), reconstruction, atol=1e-4)
    assert torch.allclose(autoencoder.decoder.norm(dim=1), torch.ones(WIDTH), atol=1e-6)
    return autoencoder, threshold


@pytest.mark.parametrize("threshold", [0.8, -1.0])
@pytest.mark.parametrize("in_folder", [True, False])
def test_dictionary_learnings_matryoshka(tmp_path, threshold, in_folder):
    state = published(unit=True) | {"k": torch.tensor(5, dtype=torch.int), "threshold": torch.tensor(threshold), "group_sizes": torch.tensor([4, 10, 26])}
    torch.save(state, tmp_path / "ae.pt")
    acts = torch.relu((vectors() - state["b_dec"]) @ state["W_enc"] + state["b_enc"])
    code = acts * (acts > threshold)
    found, _ = compare(tmp_path if in_folder else tmp_path / "ae.pt", code, code @ state["W_dec"] + state["b_dec"], 1.0)
    assert found.groups == (4, 14, 40)


def test_dictionary_learnings_batch_top_k(tmp_path):
    state = published(unit=True)
    written = {"encoder.weight": state["W_enc"].T, "encoder.bias": state["b_enc"], "decoder.weight": state["W_dec"].T, "b_dec": state["b_dec"]}
    torch.save(written | {"k": torch.tensor(5), "threshold": torch.tensor(0.9)}, tmp_path / "ae.pt")
    acts = torch.relu(torch.nn.functional.linear(vectors() - state["b_dec"], state["W_enc"].T, state["b_enc"]))
    code = acts * (acts > 0.9)
    compare(tmp_path / "ae.pt", code, code @ state["W_dec"] + state["b_dec"], 1.0)


def test_dictionary_learnings_jump_relu(tmp_path):
    state = published()
    torch.save(state, tmp_path / "ae.pt")
    pre = vectors() @ state["W_enc"] + state["b_enc"]
    code = torch.relu(pre * (pre > state["threshold"]))
    compare(tmp_path / "ae.pt", code, code @ state["W_dec"] + state["b_dec"], state["W_dec"].norm(dim=1))


def saelens(folder, state, **settings):
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps({"d_in": D, "d_sae": WIDTH, "dtype": "float32", "device": "cpu"} | settings))


@pytest.mark.parametrize("kind", ["jumprelu", "standard"])
@pytest.mark.parametrize("moved", [True, False])
def test_saelens(tmp_path, kind, moved):
    state = published()
    if kind == "standard":
        del state["threshold"]
    saelens(tmp_path, state, architecture=kind, apply_b_dec_to_input=moved, normalize_activations="none", reshape_activations="none")
    pre = (vectors() - state["b_dec"] * moved) @ state["W_enc"] + state["b_enc"]
    code = torch.relu(pre) * (pre > state["threshold"] if kind == "jumprelu" else 1)
    found, threshold = compare(tmp_path, code, code @ state["W_dec"] + state["b_dec"], state["W_dec"].norm(dim=1))
    assert found.groups == (WIDTH,) and threshold.shape == (WIDTH,)


def test_an_import_under_inference_mode_serves_a_backward_pass(tmp_path):
    saelens(tmp_path, published(), architecture="jumprelu")
    with torch.inference_mode():
        autoencoder, threshold = read_autoencoder(tmp_path)
    x = vectors().requires_grad_()
    autoencoder.encode(x, threshold).sum().backward()
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"architecture": "gated"}, "architecture 'gated', expected jumprelu"),
        ({"architecture": "topk"}, "architecture 'topk'"),
        ({"architecture": "jumprelu", "normalize_activations": "layer_norm"}, "normalize_activations 'layer_norm', expected 'none'"),
        ({"architecture": "jumprelu", "reshape_activations": "hook_z"}, "reshape_activations 'hook_z'"),
        ({"architecture": "standard", "activation_fn": "tanh-relu"}, "activation_fn 'tanh-relu'"),
    ],
)
def test_saelens_settings_that_change_the_function_are_refused(tmp_path, settings, message):
    saelens(tmp_path, published(), **settings)
    with pytest.raises(WeightsError, match=message):
        read_autoencoder(tmp_path)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"W_enc": torch.ones(WIDTH, D)}, "which do not fit"),
        ({"threshold": torch.ones(3)}, "which do not fit"),
        ({"W_dec": torch.zeros(WIDTH, D)}, "decoder row of length 0"),
        ({"W_dec": torch.full((WIDTH, D), torch.nan)}, "decoder row of length nan"),
        ({"b_dec": torch.zeros(D + 1)}, r"decoder_bias has shape \(13,\)"),
        ({"threshold": torch.full((WIDTH,), torch.nan)}, "threshold contains NaN"),
        ({"group_sizes": torch.tensor([3, 4])}, "are not rising prefix ends"),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path, change, message):
    torch.save(published() | {"group_sizes": torch.tensor([WIDTH])} | change, tmp_path / "ae.pt")
    with pytest.raises(WeightsError, match=message):
        read_autoencoder(tmp_path)


class Harmful:
    def __reduce__(self):
        return (exit, (3,))


def test_files_of_another_kind_are_named_and_run_nothing(tmp_path):
    path = tmp_path / "ae.pt"
    with pytest.raises(FileNotFoundError, match="there is no such file, nor a cfg.json"):
        read_autoencoder(tmp_path)
    torch.save({"W_enc": torch.ones(D, WIDTH), "x": Harmful()}, path)
    with pytest.raises(WeightsError, match="is not a state dict of weights alone"):
        read_autoencoder(path)
    torch.save([torch.ones(2)], path)
    with pytest.raises(WeightsError, match="holds list, expected a state dict"):
        read_autoencoder(path)
    torch.save({"layer.weight": torch.ones(2)}, path)
    with pytest.raises(WeightsError, match="lacks encoder.weight, encoder.bias, decoder.weight, b_dec; it has layer.weight"):
        read_autoencoder(path)
    path.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="is not a state dict of weights alone"):
        read_autoencoder(path)
    saelens(tmp_path, published(), architecture="jumprelu")
    (tmp_path / "sae_weights.safetensors").write_bytes(b"\0" * 40)
    with pytest.raises(WeightsError, match="is not a SAELens folder"):
        read_autoencoder(tmp_path)
