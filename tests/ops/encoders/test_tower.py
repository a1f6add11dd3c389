import pytest
import torch
import torch.nn.functional as F

from concept_algebra.ops.encoders.efficient_stem import EfficientStem, SameConv
from concept_algebra.ops.encoders.tower import Attention, Layer, VisionTower


def tower(frames=0):
    torch.manual_seed(0)
    made = VisionTower(torch.nn.Conv2d(3, 24, 16, 16), (3, 2), 24, layers=2, heads=3, projection=8, frames=frames).eval()
    for p in made.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return made


@pytest.mark.parametrize("causal", [False, True])
def test_attention_equals_the_written_out_formula(causal):
    torch.manual_seed(1)
    layer, x = Attention(12, 3), torch.randn(2, 5, 12)
    heads = lambda y: y.view(2, 5, 3, 4).permute(0, 2, 1, 3)  # noqa: E731
    scores = heads(layer.q_proj(x)) @ heads(layer.k_proj(x)).transpose(-1, -2) / 4**0.5
    if causal:
        scores = scores.masked_fill(torch.ones(5, 5).triu(1).bool(), -torch.inf)
    mixed = (scores.softmax(-1) @ heads(layer.v_proj(x))).permute(0, 2, 1, 3).reshape(2, 5, 12)
    torch.testing.assert_close(layer(x, causal), layer.out_proj(mixed), atol=1e-6, rtol=1e-5)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="width 10 .* heads 3"):
        Attention(10, 3)


def test_temporal_attention_looks_along_time_at_one_position():
    torch.manual_seed(2)
    layer = Layer(8, 2, 16, frames=4)
    torch.nn.init.normal_(layer.temporal_embedding)
    x = torch.randn(2 * 4, 3, 8)
    y = x.clone().view(2, 4, 3, 8)
    for sample in range(2):
        for position in range(3):
            line = y[sample, :, position] + layer.temporal_embedding[0]
            y[sample, :, position] = line + layer.temporal_attn(layer.temporal_layer_norm1(line)[None])[0]
    y = y.reshape(8, 3, 8)
    y = y + layer.self_attn(layer.layer_norm1(y))
    y = y + layer.mlp(layer.layer_norm2(y))
    torch.testing.assert_close(layer(x), y, atol=1e-5, rtol=1e-5)


def test_shapes_norms_and_middle_layer():
    pooled, tokens, dense, grid = tower()(torch.randn(2, 3, 48, 32))
    assert pooled.shape == (2, 8) and tokens.shape == (2, 6, 24) and dense.shape == (2, 6, 8) and grid == (3, 2)
    torch.testing.assert_close(pooled.norm(dim=-1), torch.ones(2))
    torch.testing.assert_close(dense.norm(dim=-1), torch.ones(2, 6))
    pooled, tokens, dense, grid = tower(frames=4)(torch.randn(8, 3, 48, 32))
    assert pooled.shape == (2, 8) and tokens.shape == (2, 24, 24) and grid == (4, 3, 2)


def test_a_clip_tower_without_temporal_weight_sees_the_mean_of_its_frames():
    still, moving = tower(), tower(frames=4)
    moving.load_state_dict(still.state_dict(), strict=False)
    for layer in moving.vision_model.encoder.layers:
        for p in (layer.temporal_attn.out_proj.weight, layer.temporal_attn.out_proj.bias, layer.temporal_embedding):
            torch.nn.init.zeros_(p)
    x = torch.randn(4, 3, 48, 32)
    model = still.vision_model
    tokens, _ = model.embeddings(x)
    final = model.post_layernorm(model.encoder(model.pre_layrnorm(tokens))[-1])[:, 0].mean(0, keepdim=True)
    expected = F.normalize(still.visual_projection(final), dim=-1)
    torch.testing.assert_close(moving(x)[0], expected, atol=1e-5, rtol=1e-4)


def test_another_picture_size_interpolates_positions():
    made = tower()
    table = made.vision_model.embeddings.position_embedding.weight
    with torch.no_grad():
        table[1:] = 0.5  # constant positions stay constant under any interpolation
    patches, grid = made.vision_model.embeddings(torch.zeros(1, 3, 96, 64))
    assert grid == (6, 4)
    bias = made.vision_model.embeddings.patch_embedding.bias
    torch.testing.assert_close(patches[0, 1:], (bias + 0.5).expand(24, -1))


def test_gradients_reach_the_picture_and_are_right():
    made = tower().double()
    x = torch.randn(1, 3, 48, 32, dtype=torch.float64, requires_grad=True)
    direction = torch.randn(8, dtype=torch.float64)
    # float() inside the tower rounds the pooled vector, so the step and the tolerance are those of single precision
    (made(x)[0] @ direction.float()).sum().backward()
    probe = torch.randn_like(x)
    step = 1e-2
    with torch.no_grad():
        ends = [(made(x + s * step * probe)[0].double() @ direction).sum() for s in (1, -1)]
    expected = (ends[0] - ends[1]) / (2 * step)
    assert (x.grad * probe).sum().item() == pytest.approx(expected.item(), rel=2e-2, abs=1e-3)


@pytest.mark.parametrize("kernel", [3, 5])
def test_same_padding_is_tensorflows(kernel):
    conv = SameConv(2, 2, kernel, stride=2, groups=2)
    x = torch.randn(1, 2, 8, 8)
    # SAME on an even side and stride 2: kernel - 2 in all, the larger half after
    before = (kernel - 2) // 2
    padded = torch.zeros(1, 2, 8 + kernel - 2, 8 + kernel - 2)
    padded[:, :, before : before + 8, before : before + 8] = x
    torch.testing.assert_close(conv(x), F.conv2d(padded, conv.weight, conv.bias, stride=2, groups=2))


def test_the_stem_is_sixteen_times_smaller():
    assert EfficientStem(20)(torch.zeros(1, 3, 64, 96)).shape == (1, 20, 4, 6)


@pytest.mark.parametrize("frames", [0, 4])
def test_what_autograd_keeps_is_told_beforehand(frames):
    made = VisionTower(torch.nn.Conv2d(3, 96, 16, 16), (6, 6), 96, layers=3, heads=3, projection=8, frames=frames, placed=True).eval()
    made.requires_grad_(False)
    weights = {p.untyped_storage().data_ptr() for p in made.parameters()}
    saved = {}

    def keep(tensor):
        if tensor.untyped_storage().data_ptr() not in weights:
            saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    x = torch.randn(max(frames, 1), 3, 96, 96, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = made(x)
    assert 0.75 < made.saved_bytes() / sum(saved.values()) < 1.25, out
