"""The towers against what the original implementation computes (tests/reference/README.md)."""

import pytest
import torch

from concept_algebra.benchmarks.languagebind import MEDIA, frame_by_frame, published
from concept_algebra.ops.encoders.languagebind_parts import parts
from concept_algebra.ops.encoders.languagebind_tower import tower
from concept_algebra.ops.encoders.record import recorded

def media(case):
    return case.split("_")[0]


def relative(a, b):
    return float(((a - b).abs().max() / b.abs().max()).detach())


@pytest.mark.parametrize("case", MEDIA)
def test_a_media_tower_is_the_references(case, tmp_path):
    known = published(case, tmp_path)
    found = parts(tmp_path)
    assert set(found) == {"text", media(case)}
    made = tower(media(case), found[media(case)], torch.float32)
    pixels = known["in.pixel_values"].requires_grad_()
    layers = len(made.vision_model.encoder.layers)
    with recorded(made, range(layers + 1)) as record:
        pooled, tokens, dense, grid = made(frame_by_frame(pixels))
    gradient = torch.autograd.grad((pooled * known["in.cotangent"]).sum(), pixels)[0]
    assert (pooled - known["out.embedding_unit"]).abs().max() < 2e-6
    assert relative(gradient, known["grad.pixel_values"]) < 2e-5
    for layer in range(layers):
        assert relative(record.states[layer], known[f"out.hidden_states.{layer}"]) < 5e-6
    assert relative(record.states[layers], known["out.last_hidden_state"]) < 5e-6
    count = known["out.last_hidden_state"].shape[1] - 1
    frames = made.frames or 1
    assert tokens.shape == (2, frames * count, known["out.last_hidden_state"].shape[2]) and dense.shape == (2, frames * count, 32)
    assert torch.tensor(grid).prod() == frames * count


def test_the_text_tower_is_the_references(tmp_path):
    known = published("text", tmp_path)
    made = tower("text", parts(tmp_path)["text"], torch.float32)
    ids = known["in.input_ids"]
    leaf = made.text_model.embeddings.token_embedding(ids).clone().requires_grad_()
    hook = made.text_model.embeddings.token_embedding.register_forward_hook(lambda *_: leaf)
    layers = len(made.text_model.encoder.layers)
    with recorded(made, range(layers + 1)) as record:
        pooled, _, projected = made.encode(ids, ids.argmax(-1))
    hook.remove()
    gradient = torch.autograd.grad((pooled * known["in.cotangent"]).sum(), leaf)[0]
    assert (pooled - known["out.embedding_unit"]).abs().max() < 2e-6
    assert relative(gradient, known["grad.token_embeddings"]) < 2e-5
    for layer in range(layers + 1):
        assert relative(record.states[layer], known[f"out.hidden_states.{layer}"]) < 5e-6
    assert relative(made.text_model.final_layer_norm(record.states[layers]), known["out.last_hidden_state"]) < 5e-6
    # a row as the encoder gives it, without padding, is the same row
    row = ids[0, : int(ids[0].argmax()) + 1].tolist()
    torch.testing.assert_close(made.embed([row]).pooled, known["out.embedding_unit"][:1], atol=2e-6, rtol=0)


def test_activations_and_heads_make_a_difference(tmp_path):
    """What a loader that ignores the configuration would get wrong shows far above the tolerance."""
    known = published("image", tmp_path)
    for changed in ({"activation": "quick_gelu"}, {"heads": 2}):
        part = parts(tmp_path)["image"]
        part.settings.update(changed)
        pooled = tower("image", part, torch.float32)(known["in.pixel_values"])[0]
        assert (pooled - known["out.embedding_unit"]).abs().max() > 1e-3


@pytest.mark.parametrize("case", MEDIA)
def test_a_batch_is_its_members(case, tmp_path):
    known = published(case, tmp_path)
    made = tower(media(case), parts(tmp_path)[media(case)], torch.float32)
    x = known["in.pixel_values"]
    together = made(frame_by_frame(x))
    for i in range(len(x)):
        for whole, alone in zip(together[:3], made(frame_by_frame(x[i : i + 1]))[:3]):
            torch.testing.assert_close(whole[i : i + 1], alone, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("case", MEDIA)
def test_half_precision_stays_close(case, tmp_path):
    known = published(case, tmp_path)
    made = tower(media(case), parts(tmp_path)[media(case)], torch.bfloat16)
    pooled, tokens, dense, _ = made(frame_by_frame(known["in.pixel_values"]).bfloat16())
    assert pooled.dtype == dense.dtype == torch.float32
    assert (pooled * known["out.embedding_unit"]).sum(-1).min() > 0.995


@pytest.mark.parametrize("case", MEDIA)
def test_attention_on_request_is_what_the_fused_kernel_uses(case, tmp_path):
    known = published(case, tmp_path)
    made = tower(media(case), parts(tmp_path)[media(case)], torch.float32)
    x = frame_by_frame(known["in.pixel_values"]).requires_grad_()
    plain = made(x)
    with recorded(made, attention=True) as record:
        seen = made(x)
    for a, b in zip(seen[:3], plain[:3]):
        torch.testing.assert_close(a, b, atol=2e-6, rtol=1e-5)
    layers, heads = made.vision_model.encoder.layers, made.vision_model.encoder.layers[0].self_attn.heads
    tokens = known["out.last_hidden_state"].shape[1]
    assert [p.shape for p in record.attention] == [(len(x), heads, tokens, tokens)] * len(layers)
    for probabilities in record.attention:
        torch.testing.assert_close(probabilities.sum(-1), torch.ones(len(x), heads, tokens))
    # gradients reach the probabilities, which is what relevance maps weigh them by
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(seen[0][:, 0].sum(), record.attention))
    assert all(layer.self_attn.kept is None for layer in layers)


def test_attention_of_text_looks_back_only(tmp_path):
    known = published("text", tmp_path)
    made = tower("text", parts(tmp_path)["text"], torch.float32)
    ids = known["in.input_ids"]
    with recorded(made, attention=True) as record:
        pooled = made.encode(ids, ids.argmax(-1))[0]
    assert (pooled - known["out.embedding_unit"]).abs().max() < 2e-6
    assert all((p.triu(1) == 0).all() for p in record.attention)


def test_a_record_holds_one_pass_and_layers_that_are_there(tmp_path):
    known = published("image", tmp_path)
    made = tower("image", parts(tmp_path)["image"], torch.float32)
    with pytest.raises(ValueError, match="layer 4 was asked for, the towers have layers 0 to 3"):
        with recorded(made, [4]):
            pass
    with pytest.raises(RuntimeError, match="one pass"):
        with recorded(made, [1]):
            made(known["in.pixel_values"])
            made(known["in.pixel_values"])


def test_dense_tokens_come_from_correlative_attention(tmp_path):
    """Equal to the written-out formula of correlative attention, on the state before the last layer."""
    known = published("image", tmp_path)
    made = tower("image", parts(tmp_path)["image"], torch.float32)
    x = known["in.pixel_values"][:1]
    with recorded(made, range(4)) as record:
        dense = made(x)[2]
    layer = made.vision_model.encoder.layers[-1]
    state = record.states[2]
    y = layer.layer_norm1(state)
    q, k, v = (p(y).unflatten(-1, (4, 12)).transpose(1, 2) for p in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj))
    mixed = ((q @ q.mT / 12**0.5).softmax(-1) + (k @ k.mT / 12**0.5).softmax(-1)) @ v
    state = state + layer.self_attn.out_proj(mixed.transpose(1, 2).flatten(2))
    state = state + layer.mlp(layer.layer_norm2(state))
    expected = made.visual_projection(made.vision_model.post_layernorm(state))[:, 1:]
    torch.testing.assert_close(dense, torch.nn.functional.normalize(expected, dim=-1), atol=1e-5, rtol=1e-4)
