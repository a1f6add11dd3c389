"""The laws of attribution maps on small towers: exact where there is a closed form, and failing where they should."""

import numpy as np
import pytest
import torch
from contracts.mps import apple_silicon
from torch.nn.attention import SDPBackend
from torch.nn.functional import normalize

from concept_algebra.ops.encoders.tower import VisionTower
from concept_algebra.ops.interpret.attribution import integrated_gradients, relevance, relevant, rolled, rollout
from concept_algebra.ops.interpret.detector import Detector
from concept_algebra.ops.interpret.seen import Seen
from concept_algebra.ops.space import Space, SpaceMismatch

SPACE = Space("toy", 8)


def tower(layers=3, frames=0, seed=0, scale=0.2):
    torch.manual_seed(seed)
    made = VisionTower(torch.nn.Conv2d(3, 24, 4, 4), (3, 4), 24, layers, heads=3, projection=8, frames=frames).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    return made


def seen(made=None, frames=1, seed=1):
    x = torch.randn(frames, 3, 12, 16, generator=torch.Generator().manual_seed(seed))
    return Seen(made or tower(), SPACE, "video" if frames > 1 else "image", x, x.clamp(0, 1))


def detector(seed=2, sign=1.0, **more):
    return Detector(f"w{seed}", SPACE, sign * torch.randn(8, generator=torch.Generator().manual_seed(seed)), **more)


def ranks(values):
    return values.flatten().argsort().argsort().float()


def spearman(a, b):
    return float(torch.corrcoef(torch.stack([ranks(a), ranks(b)]))[0, 1])


class Straight(Seen):
    """A model that is linear in the patch embeddings: closed forms hold exactly."""

    weight = torch.randn(24 * 12, 8, generator=torch.Generator().manual_seed(9))

    def pooled(self, patches):
        return patches.flatten(1) @ self.weight


@pytest.mark.parametrize("cosine", [False, True])
def test_integrated_gradients_are_complete(cosine):
    for found in integrated_gradients(seen(), [detector(seed, bias=0.3, cosine=cosine) for seed in range(4)]):
        assert found.values.shape == (3, 4) and found.residual < 0.01
        assert float(found.values.sum()) == pytest.approx(found.value - found.baseline, abs=0.01 * abs(found.value - found.baseline))


def test_few_nodes_are_incomplete_and_say_so():
    one = integrated_gradients(seen(tower(scale=0.6)), [detector()], nodes=1)[0]
    assert one.residual > 0.01
    assert one.residual == pytest.approx(abs(float(one.values.sum()) - (one.value - one.baseline)) / abs(one.value - one.baseline), rel=1e-3)


def test_of_a_linear_model_integrated_gradients_are_weight_times_difference():
    medium = seen()
    straight = Straight(medium.tower, SPACE, "image", medium.x, medium.shown)
    target = detector()
    found = integrated_gradients(straight, [target], nodes=2)[0]
    weights = (Straight.weight @ target.row).view(24, 3, 4)
    torch.testing.assert_close(found.values, (weights * (straight.patches - straight.baseline)[0]).sum(0), atol=1e-4, rtol=1e-4)


def test_by_patches_they_are_those_by_pixels_where_the_patch_embedding_is_linear():
    medium, target = seen(), detector(cosine=True)
    nodes, total = 32, 0.0
    step = medium.x - medium.blurred
    for place, weight in zip(*np.polynomial.legendre.leggauss(nodes)):
        point = (medium.blurred + (float(place) / 2 + 0.5) * step).requires_grad_()
        target(medium.tower(point)[0], "image").sum().backward()
        total = total + float(weight) / 2 * point.grad * step
    pixels = total[0].sum(0).view(3, 4, 4, 4).sum((1, 3))
    torch.testing.assert_close(integrated_gradients(medium, [target], nodes)[0].values, pixels, atol=1e-5, rtol=1e-3)


def test_one_layer_of_relevance_is_the_gradient_times_attention():
    torch.manual_seed(3)
    attention = torch.rand(2, 3, 5, 5).softmax(-1)
    # a value that is linear in the class token's attention, positive and negative weights alike
    weight = torch.randn(2, 3, 5)
    gradient = torch.zeros_like(attention)
    gradient[:, :, 0] = weight
    found = relevant([attention], [gradient])[:, 0, 1:]
    torch.testing.assert_close(found, (weight * attention[:, :, 0]).clamp_min(0).mean(1)[:, 1:])
    positive = relevant([attention], [gradient.abs()])[:, 0, 1:]
    torch.testing.assert_close(positive, (gradient * attention).abs().mean(1)[:, 0, 1:])


def test_relevance_of_a_one_layer_tower_agrees_with_finite_differences():
    """The gradient is found without autograd: each probability is moved by a little, what follows is written out."""
    made = tower(layers=1)
    medium, target = seen(made), detector()
    layer, model = made.vision_model.encoder.layers[0], made.vision_model
    with torch.no_grad():
        start = model.pre_layrnorm(model.embeddings(medium.x)[0])
        q, k, v = layer.self_attn._heads(layer.layer_norm1(start))
        probabilities = (q @ k.transpose(-1, -2) * 8**-0.5).softmax(-1)

        def value(attention):
            state = start + layer.self_attn._joined(attention @ v)
            state = state + layer.mlp(layer.layer_norm2(state))
            return target(normalize(made.visual_projection(model.post_layernorm(state)[:, 0]), dim=-1), "image")

        gradient = torch.zeros_like(probabilities)
        for head in range(3):
            for token in range(13):
                ends = []
                for sign in (1, -1):
                    moved = probabilities.clone()
                    moved[0, head, 0, token] += sign * 1e-2
                    ends.append(value(moved))
                gradient[0, head, 0, token] = (ends[0] - ends[1]) / 2e-2
        expected = (gradient * probabilities).relu().mean(1)[0, 0, 1:].view(3, 4)
    found = relevance(medium, [target])[0]
    torch.testing.assert_close(found.values, expected, atol=1e-5, rtol=2e-2)
    assert found.values.max() > 1e-3 and found.values.min() >= 0


def test_rows_of_the_rollout_sum_to_one():
    torch.manual_seed(4)
    attention = [torch.randn(2, 3, 6, 6).softmax(-1) for _ in range(4)]
    joint = rolled(attention)
    torch.testing.assert_close(joint.sum(-1), torch.ones(2, 6))
    by_hand = torch.eye(6)
    for probabilities in attention:
        by_hand = (probabilities[0].mean(0) / 2 + torch.eye(6) / 2) @ by_hand
    torch.testing.assert_close(joint[0], by_hand)


def test_without_positions_maps_move_with_the_patches():
    made = tower()
    made.vision_model.embeddings.position_embedding.weight.data.zero_()
    medium, order = seen(made), torch.randperm(12, generator=torch.Generator().manual_seed(5))
    moved = seen(made)
    cells = medium.x.unflatten(-1, (4, 4)).unflatten(-3, (3, 4)).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    object.__setattr__(moved, "x", cells[:, order].view(1, 3, 4, 3, 4, 4).permute(0, 3, 1, 4, 2, 5).reshape(1, 3, 12, 16))
    # the blur mixes neighbours, so that a shuffled medium has another baseline: both begin from nothing
    for one in (medium, moved):
        one.__dict__["baseline"] = torch.zeros_like(one.patches)
    for maps in (lambda s: rollout(s), lambda s: relevance(s, [detector()])[0], lambda s: integrated_gradients(s, [detector()])[0]):
        before, after = maps(medium).values.flatten(), maps(moved).values.flatten()
        torch.testing.assert_close(after, before[order], atol=1e-5, rtol=1e-3)
        assert (after - before).abs().max() > 1e-4


def test_a_constant_has_an_empty_map():
    constant = Detector("constant", SPACE, torch.zeros(8), bias=3.0)
    for found in (*relevance(seen(), [constant]), *integrated_gradients(seen(), [constant])):
        assert torch.equal(found.values, torch.zeros(3, 4)) and found.value == 3 and not found.residual
    blind = tower()
    blind.vision_model.embeddings.patch_embedding.weight.data.zero_()
    assert torch.equal(integrated_gradients(seen(blind), [detector()])[0].values, torch.zeros(3, 4))
    deaf = tower()
    for layer in deaf.vision_model.encoder.layers:
        layer.self_attn.out_proj.weight.data.zero_()
    assert torch.equal(relevance(seen(deaf), [detector()])[0].values, torch.zeros(3, 4))


def test_another_question_has_another_map_and_rollout_none():
    medium = seen()
    for method in (relevance, integrated_gradients):
        for_it, against = method(medium, [detector(), detector(sign=-1.0)])
        assert spearman(for_it.values, against.values) < 0.5
    forth, back = integrated_gradients(medium, [detector(), detector(sign=-1.0)])
    torch.testing.assert_close(forth.values, -back.values)
    assert torch.equal(rollout(medium).values, rollout(medium).values) and rollout(medium).of is None


def test_asking_for_several_at_once_is_asking_for_each():
    medium, asked = seen(), [detector(1), detector(2, cosine=True)]
    for method in (relevance, integrated_gradients):
        for together, detect in zip(method(medium, asked), asked):
            torch.testing.assert_close(together.values, method(medium, [detect])[0].values, atol=1e-6, rtol=1e-4)


def test_clips_have_a_map_for_each_frame():
    medium = seen(tower(frames=4), frames=4)
    assert rollout(medium).values.shape == relevance(medium, [detector()])[0].values.shape == (4, 3, 4)
    found = integrated_gradients(medium, [detector()])[0]
    assert found.values.shape == (4, 3, 4) and found.residual < 0.01
    frozen = seen(tower(frames=4), frames=4)
    frozen.__dict__["baseline"] = frozen.patches.clone()
    frozen.baseline[2] += torch.randn(24, 3, 4, generator=torch.Generator().manual_seed(6))
    still = integrated_gradients(frozen, [detector()])[0].values
    assert torch.equal(still[[0, 1, 3]], torch.zeros(3, 3, 4)) and still[2].abs().max() > 1e-4


def test_the_threshold_is_told_and_not_attributed():
    value = relevance(seen(), [detector()])[0].value
    for threshold, active in ((value - 0.1, True), (value + 0.1, False), (None, None)):
        found = integrated_gradients(seen(), [detector(threshold=threshold)])[0]
        assert found.active is active and found.residual < 0.01


def test_under_a_hosts_inference_mode_the_maps_are_the_same_and_can_be_used_afterwards():
    expected = integrated_gradients(seen(), [detector()])[0].values, relevance(seen(), [detector()])[0].values
    with torch.inference_mode():
        medium = seen(tower())
        object.__setattr__(medium, "x", medium.x.clone())
        found = integrated_gradients(medium, [detector()])[0].values, relevance(medium, [detector()])[0].values
    for mine, theirs in zip(found, expected):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-4)
        assert not mine.is_inference()


def test_nothing_is_left_behind():
    medium = seen()
    kept = medium.tower.vision_model.embeddings.patch_embedding
    relevance(medium, [detector()]), integrated_gradients(medium, [detector()]), rollout(medium)
    assert medium.tower.vision_model.embeddings.patch_embedding is kept
    assert all(layer.self_attn.kept is None for layer in medium.tower.vision_model.encoder.layers)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in medium.tower.parameters())


def test_it_runs_on_apple_silicon(monkeypatch):
    medium = seen()
    # the list names the kernels of CUDA and CPU; MPS takes the plain form whatever it says
    monkeypatch.setattr("concept_algebra.ops.grad.ATTENTION", [SDPBackend.MATH])
    with apple_silicon():
        rollout(medium), relevance(medium, [detector()]), integrated_gradients(medium, [detector()], nodes=2)


@pytest.mark.parametrize("frames, passes", [(1, 4), (4, 16)])
def test_it_can_be_stopped_before_each_pass(frames, passes):
    medium, done = seen(tower(frames=frames if frames > 1 else 0), frames), []
    handle = medium.tower.vision_model.embeddings.register_forward_pre_hook(lambda *_: done.append(None))
    told = []
    integrated_gradients(medium, [detector()], check=lambda: told.append(len(done)))
    # the last pass is of the ends alone
    assert told == list(range(passes)) and len(done) == passes + 1

    def stop():
        if len(done) == passes + 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        integrated_gradients(medium, [detector()], check=stop)
    assert len(done) == passes + 3
    handle.remove()


def test_bad_questions_are_refused():
    stranger = Detector("stranger", Space("other", 8), torch.ones(8))
    for method in (relevance, integrated_gradients):
        with pytest.raises(SpaceMismatch):
            method(seen(), [stranger])
    with pytest.raises(ValueError, match="nodes is 0"):
        integrated_gradients(seen(), [detector()], nodes=0)
    with pytest.raises(ValueError, match=r"row of 'short' has shape \(7,\), expected \(8,\)"):
        Detector("short", SPACE, torch.ones(7))
