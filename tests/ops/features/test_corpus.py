"""The corpus and its cache: nothing is embedded twice, nothing of another encoder is found, and pairs belong together."""

import copy
import re
from types import SimpleNamespace

import pytest
import torch

from concept_algebra.ops.calibration import measured
from concept_algebra.ops.features.cache import SHARD, embed
from concept_algebra.ops.features.corpus import Corpus, Listing, listing
from concept_algebra.ops.media import read_image, write_png
from concept_algebra.ops.space import MODALITIES, Space

COUNT = 40


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = torch.Generator().manual_seed(0)
    for index in range(COUNT):
        write_png(folder / f"red_fox-{index}.png", torch.rand(3, 16, 16, generator=rng))
    return folder


def listening(encoder, **changes):
    """The encoder itself, and a list of what it is asked to embed: phrases, and shapes of media."""
    twin, heard = copy.copy(encoder), []
    twin.text = lambda texts: heard.extend(texts) or encoder.text(texts)
    twin.image = lambda pixels: heard.append(tuple(pixels.shape)) or encoder.image(pixels)
    for name, value in changes.items():
        setattr(twin, name, value)
    return twin, heard


def names(count, start=0):
    return [f"word {index}" for index in range(start, start + count)]


def test_rows_are_the_encoders_unit_embeddings_to_half_precision(encoder, pictures, tmp_path):
    paths = [str(path) for path in sorted(pictures.iterdir())]
    rows, positions = embed(encoder, "image", paths, tmp_path / "cache")
    expected = torch.cat([encoder.image(read_image(path)).pooled for path in paths])
    assert positions == list(range(COUNT)) and rows.dtype == torch.float32
    assert torch.allclose(rows.norm(dim=1), torch.ones(COUNT), atol=1e-6)
    assert torch.allclose(rows, expected, atol=2e-4) and not torch.equal(rows, expected)


def test_what_the_cache_holds_is_not_embedded_again_and_changes_no_bit(encoder, tmp_path):
    phrases = names(3 * SHARD)
    whole, _ = embed(encoder, "text", phrases, tmp_path / "a")
    twin, heard = listening(encoder)

    class Stopped(Exception):
        pass

    def stop(done, total, problems):
        if done == SHARD:
            raise Stopped

    with pytest.raises(Stopped):
        embed(twin, "text", phrases, tmp_path / "b", stop)
    assert heard == phrases[:SHARD]
    told = []
    again, _ = embed(twin, "text", phrases, tmp_path / "b", lambda *said: told.append(said[:2]))
    assert heard == phrases and torch.equal(whole, again)
    assert told == [(SHARD, 3 * SHARD), (2 * SHARD, 3 * SHARD), (3 * SHARD, 3 * SHARD)]
    assert torch.equal(embed(twin, "text", phrases, tmp_path / "b")[0], whole) and heard == phrases


def test_a_stop_between_two_files_keeps_what_was_embedded(encoder, pictures, tmp_path):
    paths = [str(path) for path in sorted(pictures.iterdir())]
    twin, heard = listening(encoder)

    def stop(done, total, problems):
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed(twin, "image", paths, tmp_path / "cache", stop)
    rows, _ = embed(twin, "image", paths, tmp_path / "cache")
    assert len(heard) == COUNT and torch.equal(rows, embed(encoder, "image", paths, tmp_path / "other")[0])


def test_an_added_or_changed_item_is_embedded_alone_and_order_is_the_items(encoder, pictures, tmp_path):
    paths = [str(path) for path in sorted(pictures.iterdir())]
    twin, heard = listening(encoder)
    first, _ = embed(twin, "image", paths, tmp_path / "cache")
    heard.clear()
    write_png(pictures / "a.png", torch.rand(3, 20, 24))
    write_png(paths[3], torch.rand(3, 28, 24))
    rows, positions = embed(twin, "image", [str(pictures / "a.png"), *paths], tmp_path / "cache")
    assert sorted(heard) == [(1, 3, 20, 24), (1, 3, 28, 24)] and positions == list(range(COUNT + 1))
    same = [index for index in range(COUNT) if index != 3]
    assert torch.equal(rows[1:][same], first[same]) and not torch.equal(rows[4], first[3])
    assert torch.equal(embed(twin, "image", paths[::-1], tmp_path / "cache")[0], rows[1:].flip(0))


@pytest.mark.parametrize("changes", [{"space": Space("other-1", 48)}, {"fingerprints": {"text": "0123"}}])
def test_another_encoder_or_tower_finds_nothing(encoder, tmp_path, changes):
    embed(encoder, "text", names(5), tmp_path)
    twin, heard = listening(encoder, **changes)
    embed(twin, "text", names(5), tmp_path)
    assert heard == names(5)
    heard.clear()
    embed(twin, "text", names(5), tmp_path), embed(encoder, "text", names(5), tmp_path)
    assert not heard


def test_a_calibration_of_the_same_encoder_finds_everything(encoder, tmp_path):
    embed(encoder, "text", names(5), tmp_path)
    twin, heard = listening(encoder, space=Space(f"{encoder.space.id}+12345678", 48))
    assert len(embed(twin, "text", names(5), tmp_path)[0]) == 5 and not heard


def test_what_cannot_be_read_is_told_left_out_and_tried_again(encoder, pictures, tmp_path):
    paths = [str(path) for path in sorted(pictures.iterdir())]
    (pictures / paths[2]).write_bytes(b"not a picture")
    asked = [*paths, str(pictures / "gone.png")]
    for _ in range(2):
        problems = []
        rows, positions = embed(encoder, "image", asked, tmp_path / "cache", lambda done, total, said: problems.extend(said))
        assert positions == [0, 1, *range(3, COUNT)] and len(rows) == len(positions)
        assert len(problems) == 2 and "is not a picture" in problems[0] and "gone.png" in problems[1]


def test_broken_numbers_damaged_files_and_full_disks_are_errors(encoder, tmp_path):
    twin, _ = listening(encoder, text=lambda texts: SimpleNamespace(pooled=encoder.text(texts).pooled * torch.nan))
    with pytest.raises(ValueError, match="text embedding of 'word 0' contains NaN"):
        embed(twin, "text", names(3), tmp_path / "nan")
    embed(encoder, "text", names(3), tmp_path)
    (file,) = tmp_path.glob("small-0/text/*.safetensors")
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(ValueError, match=f"{file.name} is not a file of cached embeddings .*: delete it"):
        embed(encoder, "text", names(3), tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="could not make the cache"):
        embed(encoder, "text", names(3), tmp_path / "file")


def test_under_inference_mode_rows_can_still_serve_a_backward_pass(encoder, tmp_path):
    with torch.inference_mode():
        rows, _ = embed(encoder, "text", names(5), tmp_path)
    assert not rows.is_inference()
    weight = torch.ones(48, requires_grad=True)
    (rows @ weight).sum().backward()
    assert torch.allclose(weight.grad, rows.sum(0))


def assembled(encoder, sources, cache):
    listed = listing(sources, encoder)
    return Corpus.of(listed, {m: embed(encoder, m, items, cache) for m, items in listed.items.items()}, encoder)


def test_captions_beside_pictures_are_phrases_and_make_pairs(encoder, pictures, tmp_path):
    paths = sorted(pictures.iterdir())
    for index, path in enumerate(paths[:35]):
        path.with_suffix(".txt").write_text(f"  a fox\n number {max(index, 1)} ", "utf-8")
    paths[35].with_suffix(".txt").write_text("\n")
    words = tmp_path / "words.txt"
    words.write_text("\n".join(["a fox number 3", *names(32), "word 0"]))
    corpus = assembled(encoder, [pictures, words], tmp_path / "cache")
    captions = corpus.captions["text"]
    assert captions == ("a fox number 3", *names(32), "a fox number 1", "a fox number 2", *(f"a fox number {i}" for i in range(4, 35)))
    pairs = corpus.pairs["image"]
    assert pairs.shape == (35, 2) and pairs[:, 0].tolist() == list(range(35))
    assert [captions[row] for row in pairs[:, 1]] == list(corpus.captions["image"][:35])
    assert corpus.captions["image"][35:] == tuple(path.stem.replace("_", " ").replace("-", " ") for path in paths[35:])
    assert corpus.sources == {"text": "words.txt, captions in pictures", "image": "pictures"}
    assert list(corpus.embeddings) == ["text", "image"] and corpus.space == "small-0"
    assert torch.allclose(corpus.embeddings["text"][0], encoder.text(["a fox number 3"]).pooled[0], atol=2e-4)


def test_a_few_captions_alone_name_pictures_but_are_no_phrases(encoder, pictures, tmp_path):
    first = sorted(pictures.iterdir())[0]
    first.with_suffix(".txt").write_text("a fox")
    corpus = assembled(encoder, [pictures], tmp_path / "cache")
    assert list(corpus.embeddings) == ["image"] and corpus.captions["image"][0] == "a fox" and len(corpus.pairs["image"]) == 0


def test_a_phrase_that_cannot_be_read_takes_its_pair_with_it(encoder, pictures, tmp_path):
    paths = sorted(pictures.iterdir())
    for index, path in enumerate(paths):
        path.with_suffix(".txt").write_text(f"fox {index}")

    def text(texts):
        if "fox 4" in texts:
            raise ValueError("no")
        return encoder.text(texts)

    twin, _ = listening(encoder, text=text)
    paths[7].write_bytes(b"not a picture")
    corpus = assembled(twin, [pictures], tmp_path / "cache")
    pairs = corpus.pairs["image"].tolist()
    assert len(pairs) == COUNT - 2 and len(corpus.embeddings["text"]) == len(corpus.embeddings["image"]) == COUNT - 1
    assert all(corpus.captions["image"][a] == corpus.captions["text"][b] for a, b in pairs)
    assert torch.allclose(corpus.embeddings["image"][7], encoder.image(read_image(paths[8])).pooled[0], atol=2e-4)


def test_a_modality_without_a_mean_is_centred_by_the_corpus_alone(encoder, pictures, tmp_path):
    corpus = assembled(encoder, [pictures], tmp_path / "cache")
    assert corpus.centre(encoder) is encoder
    means = {m: mean for m, mean in encoder.space.means.items() if m != "image"}
    bare, _ = listening(encoder, space=Space("small-0", 48, means, {m: 0.9 for m in means}))
    centred = corpus.centre(bare)
    cloud = measured([corpus.embeddings["image"]], "by hand")
    assert torch.equal(centred.space.means["image"], cloud.mean) and centred.space.radii["image"] == cloud.radius
    assert torch.equal(centred.space.means["text"], encoder.space.means["text"]) and centred.space.encoder_id == "small-0"
    assert float(centred.space.centre(corpus.embeddings["image"], "image").mean(0).norm()) < 1e-5


def test_too_few_that_can_be_read_and_captions_in_another_encoding_are_errors(encoder, pictures, tmp_path):
    paths = sorted(pictures.iterdir())
    for path in paths[:10]:
        path.write_bytes(b"not a picture")
    with pytest.raises(ValueError, match=r"30 pictures in pictures \(10 could not be read\): at least 32"):
        assembled(encoder, [pictures], tmp_path / "cache")
    paths[0].with_suffix(".txt").write_bytes(b"caf\xe9")
    with pytest.raises(ValueError, match="red_fox-0.txt is not a text file in UTF-8"):
        listing([pictures], encoder)


def listed(**counts):
    items = {modality: tuple(names(count)) for modality, count in counts.items()}
    return Listing(items, items, {}, {modality: "here" for modality in counts})


@pytest.mark.parametrize(
    "counts, learned, said",
    [
        ({"image": 200}, {"text"}, "there are no phrases to learn from, expected 64 or more, or captions beside the files (a cat.txt beside cat.jpg)"),
        ({"text": 200}, {"image", "video"}, "there are no pictures, clips to learn from, expected 64 or more"),
        ({"text": 200, "image": 63}, MODALITIES, "63 pictures in here, expected 64 or more to learn from: give 1 more, or leave them out"),
        ({"text": 40, "image": 200}, {"text"}, "40 phrases in here, expected 64 or more to learn from: give 24 more, or leave them out"),
    ],
)
def test_what_cannot_be_trained_on_is_told_by_the_list(counts, learned, said):
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        listed(**counts).require(learned)


def test_what_can_be_trained_on_is_let_through():
    assert listed(text=64, image=64).require() == 128
    assert listed(text=64, image=32).require({"text"}) == 64  # pictures are then only looked at


def test_advice_is_the_callers(encoder, pictures, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("fire\nwater")
    with pytest.raises(ValueError, match="2 phrases in words.txt: at least 32 .*; give 30 more, or leave them out$"):
        listing([pictures, words], encoder, advice="leave them out")
