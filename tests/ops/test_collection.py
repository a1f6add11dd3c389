"""What is measured: which files, in which order, which are passed over, and what is said when there is too little."""

import copy
import shutil
from dataclasses import replace

import pytest
import torch

from concept_algebra.ops.calibration import measured
from concept_algebra.ops.collection import MINIMUM, Sample, calibrate, collect
from concept_algebra.ops.encoders.pocket import load
from concept_algebra.ops.media import read_audio, read_image, read_video, write_mp4, write_png, write_wav
from concept_algebra.ops.space import Space


@pytest.fixture(scope="module")
def pocket():
    return load()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of pictures in several depths; in it also sounds, clips, captions and rubbish."""
    folder = tmp_path_factory.mktemp("photos")
    rng = torch.Generator().manual_seed(0)
    for name in ("a", "b/c", "b/.hidden"):
        (folder / name).mkdir(parents=True)
    for index in range(MINIMUM):
        place = folder / ("a", "b/c", ".")[index % 3]
        write_png(place / f"{index}.png", torch.rand(3, 24 + index, 32, generator=rng))
        write_wav(place / f"{index}.wav", torch.rand(1, 4000, generator=rng) - 0.5, 8000)
        (place / f"{index}.txt").write_text("a caption")
    shutil.copy(folder / "a/0.png", folder / "b/.hidden/x.png")
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "._0.png").write_bytes(b"x")
    (folder / "notes.pdf").write_bytes(b"x")
    return folder


def test_a_folder_is_sorted_by_path_to_its_depths_without_what_is_hidden(photos, encoder):
    audio, image = sorted(collect([photos], encoder), key=lambda sample: sample.modality)
    assert [image.modality, audio.modality] == ["image", "audio"] and len(image.items) == len(audio.items) == MINIMUM
    assert image.items == collect([photos], encoder, "image")[0].items
    parts = [tuple(item.removeprefix(f"{photos}/").split("/")) for item in image.items]
    assert parts == sorted(parts) and {part[0] for part in parts} >= {"a", "b"}
    assert image.source == photos.name


def test_sources_come_as_given_and_a_file_counts_once(photos, encoder, tmp_path):
    first = next(photos.glob("b/c/*.png"))
    (tmp_path / "link.png").symlink_to(first)
    (sample,) = collect([first, tmp_path / "link.png", photos, photos / "a"], encoder, "image")
    assert sample.items[0] == str(first) and len(sample.items) == MINIMUM
    assert sample.source == f"c, {photos.name}"


def test_endings_tell_and_a_modality_overrules(encoder, tmp_path):
    for index in range(MINIMUM):
        (tmp_path / f"{index}.GIF").write_bytes(b"x")
        (tmp_path / f"{index}.mov").write_bytes(b"x")
        (tmp_path / f"{index}.oddity").write_bytes(b"x")
    assert [(s.modality, len(s.items)) for s in collect([tmp_path], encoder)] == [("image", MINIMUM), ("video", MINIMUM)]
    (clips,) = collect([tmp_path], encoder, "video")
    assert len(clips.items) == 2 * MINIMUM
    (sounds,) = collect([tmp_path], encoder, "audio")
    assert {item[-4:] for item in sounds.items} == {".mov"}
    (odd,) = collect(sorted(tmp_path.glob("*.oddity")), encoder, "audio")
    assert odd.modality == "audio" and len(odd.items) == MINIMUM


def test_phrases_come_one_a_line_with_comments_left_out(encoder, tmp_path):
    file = tmp_path / "words.txt"
    file.write_text("\ufeff# mine\n\n" + "".join(f"  word {i} \r\n" for i in range(MINIMUM)) + "word 0", "utf-8")
    (sample,) = collect([file], encoder)
    assert sample.modality == "text" and sample.items == (*(f"word {i}" for i in range(MINIMUM)), "word 0")
    file.rename(tmp_path / "words.csv")
    assert collect([tmp_path / "words.csv"], encoder, "text")[0].items == sample.items


def test_the_vocabulary_is_the_encoders_own(pocket, encoder):
    (sample,) = collect(["vocabulary"], pocket)
    assert (sample.modality, sample.source) == ("text", "vocabulary") and sample.items == pocket.space.vocabulary.words
    with pytest.raises(ValueError, match=f"{len(encoder.space.vocabulary)} phrases in vocabulary: at least {MINIMUM}"):
        collect(["vocabulary"], encoder)


def without(encoder, **changes):
    other = copy.copy(encoder)
    for name, value in changes.items():
        setattr(other, name, value)
    return other


@pytest.mark.parametrize(
    "sources, modality, message",
    [
        (["none"], None, "none: no such file or folder"),
        (["vocabulary"], "image", "vocabulary holds text, and pictures were asked for"),
        (["words.txt"], "audio", "words.txt holds text, and sounds were asked for"),
        (["."], "text", "is a folder; for text name a file with one phrase a line, or 'vocabulary'"),
        (["x.oddity"], None, "could be anything"),
        (["empty"], None, "empty holds no pictures, sounds or clips"),
        (["empty"], "video", "empty holds no clips"),
        (["few"], None, "3 pictures in few: at least 32 are needed, and 300 or more make a good estimate$"),
        (["few", "words.txt"], None, "3 pictures in few: .*; give 29 more, or name one modality to measure it alone"),
        (["latin.txt"], None, "latin.txt is not a text file in UTF-8"),
    ],
)
def test_sources_that_cannot_be_used_are_named(encoder, tmp_path, monkeypatch, sources, modality, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir(), (tmp_path / "few").mkdir()
    for index in range(3):
        write_png(tmp_path / "few" / f"{index}.png", torch.rand(3, 16, 16))
    (tmp_path / "words.txt").write_text("\n".join(f"word {i}" for i in range(99)))
    (tmp_path / "x.oddity").write_bytes(b"x")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n" * 40)
    with pytest.raises(ValueError, match=message):
        collect(sources, encoder, modality)


def test_a_modality_that_the_encoder_lacks_is_named(encoder, photos):
    sighted = without(encoder, modalities=frozenset({"text", "image"}))
    with pytest.raises(ValueError, match="this encoder reads text, image, not audio; name one modality to measure it alone"):
        collect([photos], sighted)
    with pytest.raises(ValueError, match="this encoder reads text, image, not audio$"):
        collect([photos], sighted, "audio")
    with pytest.raises(ValueError, match="'bare' brings no vocabulary"):
        collect(["vocabulary"], without(encoder, space=Space("bare", 4)))


@pytest.mark.parametrize("modality", ["image", "audio", "video"])
def test_media_are_measured_one_by_one_with_the_encoder(pocket, photos, tmp_path, modality):
    if modality == "video":
        rng = torch.Generator().manual_seed(1)
        for index in range(MINIMUM):
            write_mp4(tmp_path / f"{index}.mp4", torch.rand(2, 3, 16, 16, generator=rng), 8.0)
    (sample,) = collect([tmp_path if modality == "video" else photos], pocket, modality)
    told = []
    found = calibrate(pocket, sample, watch=lambda done, total, problems: told.append((done, total, problems)))
    read = {
        "image": lambda path: pocket.image(read_image(path)),
        "audio": lambda path: pocket.audio(*read_audio(path)),
        "video": lambda path: pocket.video(*read_video(path)),
    }[modality]
    with torch.no_grad():
        by_hand = measured([read(path).pooled for path in sample.items], "by hand")
    assert torch.equal(found.mean, by_hand.mean) and found.radius == by_hand.radius and found.count == MINIMUM
    assert told == [(index + 1, MINIMUM, []) for index in range(MINIMUM)]
    again = calibrate(pocket, sample)
    assert torch.equal(found.mean, again.mean) and found.radius == again.radius


def test_phrases_are_measured_together_and_the_unreadable_one_is_told(pocket):
    phrases = [f"word {index}" for index in range(300)]
    whole = calibrate(pocket, Sample("text", tuple(phrases), "words"))
    told = []
    spoilt = Sample("text", (*phrases[:100], "火", *phrases[100:]), "words")
    found = calibrate(pocket, spoilt, watch=lambda done, total, problems: told.append((done, problems)))
    assert found.count == 300 and torch.allclose(found.mean, whole.mean, atol=1e-6)
    assert [problems for _, problems in told if problems] == [[told[100][1][0]]] and "'火' has no word" in told[100][1][0]
    assert [done for done, _ in told] == [*range(1, 257), 301]


def test_unreadable_files_are_told_and_passed_over_until_too_few_are_left(pocket, photos, tmp_path):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    (folder / "cut.png").write_bytes((next(photos.glob("**/*.png"))).read_bytes()[:60])
    (folder / "empty.png").touch()
    (sample,) = collect([folder], pocket, "image")
    problems = []
    found = calibrate(pocket, sample, watch=lambda done, total, said: problems.extend(said))
    assert found.count == MINIMUM and len(problems) == 2
    assert "cut.png is a damaged picture" in problems[0] and "empty.png is empty" in problems[1]
    next(folder.glob("b/c/*.png")).write_bytes(b"not a picture")
    with pytest.raises(ValueError, match=r"31 pictures in photos \(3 could not be read\): at least 32 are needed"):
        calibrate(pocket, sample)


def test_silence_and_clips_of_one_frame_are_passed_over(pocket, tmp_path):
    write_wav(tmp_path / "a.wav", torch.zeros(1, 8000), 16000)
    write_mp4(tmp_path / "a.mp4", torch.rand(1, 3, 16, 16), 8.0)
    for modality, file, said in (("audio", "a.wav", "is silent"), ("video", "a.mp4", "one frame")):
        problems = []
        with pytest.raises(ValueError, match="0 (sounds|clips) in x .32 could not be read"):
            calibrate(pocket, Sample(modality, (str(tmp_path / file),) * MINIMUM, "x"), watch=lambda *a: problems.extend(a[2]))
        assert len(problems) == MINIMUM and all(said in problem for problem in problems)


def test_a_watch_may_stop_it(pocket, photos):
    def stop(done, total, problems):
        if done == 2:
            raise KeyboardInterrupt

    (sample,) = collect([photos], pocket, "image")
    with pytest.raises(KeyboardInterrupt):
        calibrate(pocket, sample, watch=stop)


def test_broken_numbers_are_not_taken_for_an_unreadable_file(pocket, photos):
    def image(pixels):
        embedding = pocket.image(pixels)
        return replace(embedding, pooled=embedding.pooled * torch.nan)

    (sample,) = collect([photos], pocket, "image")
    with pytest.raises(ValueError, match="an embedding of .* contains NaN"):
        calibrate(without(pocket, image=image), sample)
