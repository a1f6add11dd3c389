import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from concept_algebra.ops.encoders.pocket import load
from concept_algebra.ops.encoders.protocol import Encoder
from concept_algebra.ops.pocket.store import FOLDER
from concept_algebra.ops.weights import WeightsError


@pytest.fixture(scope="module")
def pocket():
    return load()


def media(modality, batch=2):
    rng = torch.Generator().manual_seed(3)
    shape = {"image": (batch, 3, 128, 128), "audio": (batch, 1, 32768), "video": (batch, 8, 3, 128, 128)}[modality]
    return torch.rand(shape, generator=rng)


def embed(pocket, modality, x):
    if modality == "image":
        return pocket.image(x)
    return pocket.audio(x, 16000) if modality == "audio" else pocket.video(x, 8.0)


GRIDS = {"image": (8, 8), "audio": (4, 8), "video": (8, 8, 8)}


@pytest.mark.parametrize("modality", GRIDS)
def test_every_modality_gives_a_whole_embedding(pocket, modality):
    assert isinstance(pocket, Encoder)
    with torch.no_grad():
        found = embed(pocket, modality, media(modality))
    count = torch.Size(GRIDS[modality]).numel()
    assert found.modality == modality and tuple(found.grid) == GRIDS[modality]
    assert found.pooled.shape == (2, 768) and found.dense.shape == (2, count, 768) and found.tokens.shape[:2] == (2, count)
    torch.testing.assert_close(found.pooled.norm(dim=-1), torch.ones(2))
    torch.testing.assert_close(found.dense.norm(dim=-1), torch.ones(2, count))


@pytest.mark.parametrize("modality", GRIDS)
def test_rows_of_a_batch_do_not_mix(pocket, modality):
    x = media(modality)
    with torch.no_grad():
        both, alone = embed(pocket, modality, x).pooled, embed(pocket, modality, x[1:]).pooled
    torch.testing.assert_close(both[1:], alone, atol=2e-5, rtol=0)


@pytest.mark.parametrize("modality", GRIDS)
def test_gradients_reach_the_media_and_are_right(pocket, modality):
    x = media(modality, 1).requires_grad_()
    target = torch.nn.functional.normalize(torch.randn(768, generator=torch.Generator().manual_seed(4)), dim=0)
    (embed(pocket, modality, x).pooled @ target).sum().backward()
    assert all(p.grad is None for p in pocket.parameters())
    # along the gradient itself, where a finite difference in single precision still has something to measure
    direction = x.grad / x.grad.norm()
    # small enough to stay between the kinks of the stem's clipped activations
    step = 0.01
    with torch.no_grad():
        ends = [(embed(pocket, modality, x + s * step * direction).pooled @ target).sum().item() for s in (1, -1)]
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(x.grad.norm().item(), rel=0.05)


def test_every_size_of_picture_and_length_of_clip_is_taken(pocket):
    with torch.no_grad():
        assert pocket.image(torch.rand(1, 3, 40, 300)).grid == (8, 8)
        assert pocket.video(torch.rand(1, 21, 3, 64, 64), 25.0).grid == (8, 8, 8)
        still = torch.rand(1, 1, 3, 128, 128).expand(-1, 2, -1, -1, -1)
        assert torch.isfinite(pocket.video(still, 8.0).pooled).all()
    for bad in (torch.rand(3, 64, 64), torch.rand(1, 4, 64, 64)):
        with pytest.raises(ValueError, match="pixels have shape"):
            pocket.image(bad)
    with pytest.raises(ValueError, match="T of 2 or more"):
        pocket.video(torch.rand(1, 1, 3, 64, 64), 8.0)


def test_a_clip_is_more_than_its_frames_in_any_order(pocket):
    x = media("video", 1)
    with torch.no_grad():
        forwards, backwards = pocket.video(x, 8.0).pooled, pocket.video(x.flip(1), 8.0).pooled
    assert (forwards - backwards).norm() > 1e-3


def test_the_space_is_calibrated_and_named_by_its_weights(pocket, tmp_path):
    space = pocket.space
    assert space.id.startswith("pocket-") and space.dimension == 768
    assert set(space.means) == set(space.radii) == {"text", "image", "audio", "video"}
    for file in FOLDER.glob("*.safetensors"):
        shutil.copy(file, tmp_path)
    weights = load_file(tmp_path / "image.safetensors")
    weights["visual_projection.weight"] = weights["visual_projection.weight"] * 1.01
    save_file(weights, tmp_path / "image.safetensors")
    assert load(folder=tmp_path).space.id != space.id
    weights["visual_projection.weight"][0, 0] = torch.nan
    save_file(weights, tmp_path / "image.safetensors")
    with pytest.raises(WeightsError, match="visual_projection.weight' contains NaN"):
        load(folder=tmp_path)


def test_shipped_weights_are_half_precision_and_within_sixty_megabytes():
    files = list(FOLDER.glob("*.safetensors"))
    assert sum(f.stat().st_size for f in files) <= 60_000_000
    for file in files:
        assert {t.dtype for t in load_file(file).values() if t.is_floating_point()} == {torch.float16}


def test_words_and_pictures_meet(pocket):
    """A red disc is nearer "red circle" than other colours or shapes, after centring."""
    line = torch.linspace(-1, 1, 128)
    disc = (line[None] ** 2 + line[:, None] ** 2 < 0.6).float()
    red = 1 - disc * torch.tensor([0.1, 0.85, 0.85])[:, None, None]
    words = ["red circle", "blue circle", "green square", "dog", "piano"]
    with torch.no_grad():
        picture = pocket.space.centre(pocket.image(red[None]).pooled, "image")
        text = pocket.space.centre(pocket.text(words).pooled, "text")
    assert torch.cosine_similarity(picture, text).argmax() == 0


def test_media_are_taken_to_the_tower_from_wherever_they_are():
    """A tower on the meta device stands for one on a GPU: media from the CPU would fail against its weights."""
    moved = load()
    media = {"image": (torch.rand(1, 3, 64, 80),), "audio": (torch.rand(1, 1, 8000), 16000), "video": (torch.rand(1, 8, 3, 64, 64), 8.0)}
    for modality, given in media.items():
        moved.towers[modality].to("meta")
        assert getattr(moved, modality)(*given).pooled.device.type == "meta"
