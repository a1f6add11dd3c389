"""`concept-algebra calibrate`, from files on disk to the file beside the encoder."""

import os
import re
from dataclasses import replace

import pytest
import torch

from concept_algebra.cli import main
from concept_algebra.ops import encoders
from concept_algebra.ops.calibration import Calibration
from concept_algebra.ops.collection import MINIMUM
from concept_algebra.ops.encoders import pocket
from concept_algebra.ops.media import write_png, write_wav


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    rng = torch.Generator().manual_seed(0)
    for index in range(MINIMUM):
        write_png(folder / f"{index}.png", torch.rand(3, 32, 32, generator=rng))
        write_wav(folder / f"{index}.wav", 0.5 * torch.rand(1, 4000, generator=rng), 8000)
    (folder / "broken.png").write_bytes(b"not a picture")
    return folder


@pytest.fixture
def big(tmp_path, monkeypatch):
    """The path of an encoder's file: the pocket's towers in a space without means, as a converted checkpoint has it."""
    path = tmp_path / "big.safetensors"
    opened = encoders.load

    def load(name, device="cpu", dtype=None):
        if name != str(path):
            return opened(name, device)
        encoder = pocket.load(device)
        encoder.space = replace(encoder.space, id="big-0", means={}, radii={})
        return encoder

    monkeypatch.setattr(encoders, "load", load)
    return path


def refused(capsys, *arguments):
    """The one line of stderr with which a command is refused."""
    try:
        code = main(["calibrate", "--device", "cpu", *map(str, arguments)])
    except SystemExit as stop:  # argparse's way out
        code = stop.code
    captured = capsys.readouterr()
    lines = [line for line in re.split(r"[\r\n]", captured.err) if line.strip()]
    assert code == 2 and captured.out == "" and len(lines) == 1, captured
    return lines[0]


def test_pictures_and_sounds_of_a_folder_are_measured_and_written_beside_the_encoder(capsys, big, media):
    assert main(["calibrate", str(big), str(media), "--device", "cpu"]) == 0
    captured = capsys.readouterr()
    image, audio, path = captured.out.splitlines()
    figures = r"32 measured, \|mean\| 0\.\d{3}, radius 0\.\d{3}, standard error 0\.\d{3} \(rough: .*\)"
    assert re.fullmatch(f"image: {figures}, 1 skipped", image) and re.fullmatch(f"audio: {figures}", audio)
    assert path == str(big.with_name("big.calibration.safetensors"))
    assert "concept-algebra: skipped: " in captured.err and "broken.png is not a picture" in captured.err
    space = encoders.load(str(big)).space
    found = Calibration.load(path, space)
    assert found.clouds.keys() == {"image", "audio"} and found.clouds["image"].source == media.name
    assert [p.name for p in big.parent.iterdir()] == ["big.calibration.safetensors"]

    # text comes in addition; measured once more, nothing changes
    words = big.with_name("words.txt")
    words.write_text("\n".join(f"word {index}" for index in range(MINIMUM)))
    assert main(["calibrate", str(big), str(words), "--device", "cpu"]) == 0
    assert Calibration.load(path, space).clouds.keys() == {"image", "audio", "text"}
    before = space.calibrated(Calibration.load(path, space))
    assert main(["calibrate", str(big), str(media), "--modality", "image", "--device", "cpu"]) == 0
    assert space.calibrated(Calibration.load(path, space)) == before


def test_the_pocket_ships_calibrated_and_is_measured_into_a_named_file_only(capsys, media, tmp_path):
    assert "ships calibrated" in refused(capsys, "pocket", media)
    out = tmp_path / "mine.safetensors"
    assert main(["calibrate", "pocket", str(media), "--modality", "audio", "--out", str(out), "--device", "cpu"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out)
    space = pocket.load().space
    calibrated = space.calibrated(Calibration.load(out, space))
    assert torch.equal(calibrated.means["image"], space.means["image"])
    assert not torch.allclose(calibrated.means["audio"], space.means["audio"], atol=1e-2)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["nothing.safetensors", "MEDIA"], "nothing.safetensors"),
        (["BIG", "none"], "none: no such file or folder"),
        (["BIG", "MEDIA", "--modality", "smell"], "smell"),
        (["BIG", "MEDIA", "--modality", "text"], "is a folder; for text"),
        (["BIG", "MEDIA", "--modality", "video"], "holds no clips"),
        (["BIG", "MEDIA/0.png"], "1 pictures in .*: at least 32 are needed"),
        (["BIG", "MEDIA", "--device", "abacus"], "abacus"),
        (["BIG", "MEDIA", "--out", "MEDIA"], "a folder, expected a file"),
        (["BIG", "MEDIA", "--out", "MEDIA/none/x"], "there is no folder"),
        (["BIG", "MEDIA", "--out", "MEDIA/0.png"], "0.png is not a safetensors file"),
        (["BIG"], "SOURCE"),
    ],
)
def test_bad_input_gets_a_line_and_writes_nothing(capsys, big, media, monkeypatch, arguments, words):
    monkeypatch.chdir(big.parent)
    given = [argument.replace("BIG", str(big)).replace("MEDIA", str(media)) for argument in arguments]
    assert re.search(words, refused(capsys, *given))
    assert not list(big.parent.iterdir()) and not list(media.glob("*.safetensors"))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to_is_told_before_the_measuring(capsys, big, media):
    big.parent.chmod(0o500)
    try:
        assert "cannot be written to" in refused(capsys, big, media)
    finally:
        big.parent.chmod(0o700)


def test_a_calibration_of_another_encoder_is_not_overwritten(capsys, big, media, tmp_path):
    other = Calibration("other-1", Calibration.load(_measured(media, tmp_path), pocket.load().space).clouds)
    path = big.with_name("big.calibration.safetensors")
    other.save(path)
    whole = path.read_bytes()
    capsys.readouterr()
    assert "was measured with the encoder 'other-1', and this one is 'big-0'" in refused(capsys, big, media)
    assert path.read_bytes() == whole


def test_mixing_off_centre_is_said_in_one_line(capsys, tmp_path, media, monkeypatch):
    opened = pocket.load

    def load(device="cpu"):
        encoder = opened(device)
        means = {modality: mean for modality, mean in encoder.space.means.items() if modality != "image"}
        encoder.space = replace(encoder.space, id=f"without-{tmp_path.name}", means=means)
        return encoder

    monkeypatch.setattr(pocket, "load", load)
    target = f'fire + image("{media / "0.png"}") - image("{media / "1.png"}")'
    assert main(["showcase", target, "--out", str(tmp_path), "--steps", "1", "--modality", "text", "--device", "cpu"]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "come together" in line]
    assert line.startswith("concept-algebra: image and text come together") and "calibrate ENCODER FOLDER-OF-MEDIA" in line


def _measured(media, folder):
    out = folder / "shipped.safetensors"
    assert main(["calibrate", "pocket", str(media), "--modality", "audio", "--out", str(out), "--device", "cpu"]) == 0
    return out
