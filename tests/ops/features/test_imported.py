"""Files in the layouts of dictionary_learning and SAELens, against those libraries' formulas written out here."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from concept_algebra.ops.features.imported import imported, read_autoencoder
from concept_algebra.ops.features.sae import ANY
from concept_algebra.ops.features.trained import TrainedSAE
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


def test_an_autoencoder_read_under_inference_mode_serves_a_backward_pass(tmp_path):
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
        ({"W_enc": torch.ones(WIDTH, D)}, r"W_enc \(40, 12\), b_enc \(40,\), W_dec \(40, 12\), b_dec \(12,\), which do not fit"),
        ({"W_enc": torch.ones(D, WIDTH, 1)}, r"W_enc \(12, 40, 1\).*which do not fit"),
        ({"W_enc": torch.tensor(1.0)}, r"W_enc \(\).*which do not fit"),
        ({"W_dec": torch.ones(D, WIDTH)}, "which do not fit"),
        ({"b_enc": torch.tensor(1.0)}, r"b_enc \(\).*which do not fit"),
        ({"b_enc": torch.ones(0), "W_enc": torch.ones(D, 0), "W_dec": torch.ones(0, D)}, "which do not fit"),
        ({"W_enc": torch.ones(D, WIDTH, dtype=torch.int64)}, "W_enc of torch.int64.* expected a dense tensor of floats"),
        ({"W_enc": torch.ones(D, WIDTH).to_sparse()}, "torch.sparse_coo.* expected a dense tensor of floats"),
        ({"threshold": torch.ones(3)}, r"threshold of shape \(3,\), expected one number or 40"),
        ({"W_dec": torch.zeros(WIDTH, D)}, "decoder row of length 0"),
        ({"W_dec": torch.full((WIDTH, D), torch.nan)}, "decoder row of length nan"),
        ({"b_dec": torch.zeros(D + 1)}, r"b_dec \(13,\), which do not fit"),
        ({"b_dec": torch.zeros(D, 1)}, r"b_dec \(12, 1\), which do not fit"),
        ({"threshold": torch.full((WIDTH,), torch.nan)}, "threshold contains NaN"),
        ({"group_sizes": torch.tensor([3, 4])}, "are not rising prefix ends"),
        ({"group_sizes": torch.tensor(WIDTH)}, r"group_sizes of torch.int64 and shape \(\), expected a list of whole numbers"),
        ({"group_sizes": torch.tensor([float(WIDTH)])}, "group_sizes of torch.float32"),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path, change, message):
    torch.save(published() | {"group_sizes": torch.tensor([WIDTH])} | change, tmp_path / "ae.pt")
    with pytest.raises(WeightsError, match=message):
        read_autoencoder(tmp_path)


@pytest.mark.parametrize("change", [{"b_dec": torch.zeros(D + 1)}, {"W_enc": torch.tensor(1.0)}, {"b_enc": torch.tensor(1.0)}])
@pytest.mark.parametrize("kind", ["jumprelu", "standard"])
def test_shapes_are_looked_at_before_anything_is_multiplied(tmp_path, kind, change):
    torch.save(published() | change, tmp_path / "ae.pt")  # without group_sizes, JumpReLU
    (tmp_path / "folder").mkdir()
    saelens(tmp_path / "folder", published() | change, architecture=kind, apply_b_dec_to_input=False)
    for path in (tmp_path / "ae.pt", tmp_path / "folder"):
        with pytest.raises(WeightsError, match="which do not fit"):
            read_autoencoder(path)


class Harmful:
    def __reduce__(self):
        return (exit, (3,))


def test_files_of_another_kind_are_named_and_run_nothing(tmp_path):
    path = tmp_path / "ae.pt"
    with pytest.raises(FileNotFoundError, match="ae.pt: there is no such file or folder"):
        read_autoencoder(path)
    with pytest.raises(WeightsError, match="is a folder without ae.pt .* or cfg.json and sae_weights.safetensors"):
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
    saelens(tmp_path, published())
    (tmp_path / "cfg.json").write_text("[1]")
    with pytest.raises(WeightsError, match="cfg.json holds list, expected an object of settings"):
        read_autoencoder(tmp_path)


def of_words(encoder, folder, threshold, dimension=None, count=16):
    """A dictionary_learning file whose first latents are words of the encoder's vocabulary, one each, and the rest nothing."""
    words = encoder.space.word_directions[:count, :dimension]
    rest = torch.nn.functional.normalize(torch.randn(24 - count, words.shape[1], generator=torch.Generator().manual_seed(0)), dim=1)
    rows = torch.cat([words, rest])
    state = {"W_enc": rows.T.contiguous(), "b_enc": torch.zeros(24), "W_dec": rows, "b_dec": torch.zeros(rows.shape[1])}
    torch.save(state | {"threshold": torch.tensor(threshold), "group_sizes": torch.tensor([8, 16])}, folder / "ae.pt")
    return folder / "ae.pt"


def test_an_import_is_a_named_dictionary_that_a_file_keeps(encoder, tmp_path):
    words = encoder.space.vocabulary.words
    path = of_words(encoder, tmp_path, 0.5)
    sae = imported(path, encoder)
    found, threshold = read_autoencoder(path)
    x = encoder.space.centre(encoder.space.vocabulary.embeddings, "text")
    code = found.encode(x, threshold)
    assert sae.thresholds.keys() == {ANY} and torch.equal(sae.thresholds[ANY], threshold)
    assert torch.allclose(sae.encode(x, "text"), code, atol=2e-3) and sae.autoencoder.groups == (8, 24)
    assert torch.equal(sae.statistics["text"].rate, (code > 0).float().mean(0)) and sae.statistics["text"].count == len(words)
    for j in range(16):
        assert sae.statistics["text"].examples[j][0] == words[j] and words[j] in sae.names[j]
        assert sae.confidence[j] > 0
    assert all(("unnamed" in name) == (confidence == 0) for name, confidence in zip(sae.names, sae.confidence))
    sae.save(tmp_path / "x.safetensors")
    opened, back = TrainedSAE.load(tmp_path / "x.safetensors", encoder)
    assert opened is encoder and back.id == sae.id and back.names == sae.names and torch.equal(back.encode(x, "image"), sae.encode(x, "image"))


def test_k_calibrates_a_file_whose_threshold_gives_dense_codes(encoder, tmp_path):
    path = of_words(encoder, tmp_path, -1.0)
    x = encoder.space.centre(encoder.space.vocabulary.embeddings, "text")
    active = float((read_autoencoder(path)[0].pre_activation(x) > 0).sum(1).float().mean())
    assert active > 6
    with pytest.raises(ValueError, match=rf"dense codes: {active:.1f} of 24 latents .* expected 6 at most; give k"):
        imported(path, encoder)
    sae = imported(path, encoder, k=2)
    assert float((sae.encode(x, "text") > 0).sum(1).float().mean()) == pytest.approx(2)
    with pytest.raises(ValueError, match="k 24, expected .* k in 1..23"):
        imported(path, encoder, k=24)


def test_without_a_vocabulary_features_are_unnamed_and_their_own(encoder, tmp_path):
    bare = SimpleNamespace(space=replace(encoder.space, vocabulary=None), fingerprints={"text": "abc"})
    path = of_words(encoder, tmp_path, -1.0)
    sae = imported(path, bare)
    assert sae.names == tuple(f"unnamed {j}" for j in range(24)) and not sae.confidence.any() and not sae.statistics
    with pytest.raises(ValueError, match="k is 2, and 'small-0' has no vocabulary"):
        imported(path, bare, k=2)


def test_a_text_tower_that_can_change_is_recorded(encoder, tmp_path):
    towers = SimpleNamespace(space=encoder.space, fingerprints={"text": "abc", "image": "def"})
    assert imported(of_words(encoder, tmp_path, 0.5), towers).towers == {"text": "abc"}


def test_an_import_that_does_not_fit_the_space_is_named(encoder, tmp_path):
    with pytest.raises(ValueError, match="takes vectors of dimension 47, and those of 'small-0' have 48"):
        imported(of_words(encoder, tmp_path, 0.5, dimension=47), encoder)
    path = of_words(encoder, tmp_path, 0.5)
    uncentred = SimpleNamespace(space=replace(encoder.space, means={}, radii={}), fingerprints={})
    with pytest.raises(ValueError, match="'small-0' has no mean for text"):
        imported(path, uncentred)
    state = torch.load(path, weights_only=True)
    torch.save(state | {"W_enc": state["W_enc"] * 1e6}, path)
    with pytest.raises(WeightsError, match="does not fit in half precision: encoder contains NaN or infinity"):
        imported(path, encoder)


def test_an_import_under_inference_mode_serves_a_backward_pass_and_is_the_same(encoder, tmp_path):
    path = of_words(encoder, tmp_path, 0.5)
    with torch.inference_mode():
        sae = imported(path, encoder)
    x = encoder.space.centre(encoder.space.vocabulary.embeddings, "text").requires_grad_()
    sae.encode(x, "text").sum().backward()
    assert x.grad.abs().sum() > 0 and not sae.confidence.is_inference() and sae.names == imported(path, encoder).names
