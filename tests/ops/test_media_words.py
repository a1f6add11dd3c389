"""Files that media are written to: what they hold beside the medium, and that sounds stay what they are."""

import json
import wave as wave_file

import av
import pytest
import torch

from concept_algebra.ops.media import read_audio, write_flac, write_mp4, write_wav

WORDS = {"prompt": '{"1": {"class_type": "A", "inputs": {}}}', "workflow": '{"nodes": []}', "concept_algebra": '{"expression": "fire + water"}'}


def ramp(count=8):
    return torch.linspace(0, 1, count)[:, None, None, None].expand(-1, 3, 32, 48)


@pytest.mark.parametrize("channels, rate", [(1, 16000), (2, 44100)])
def test_flac_keeps_24_bits_at_its_own_rate(tmp_path, channels, rate):
    wave = torch.randn(channels, 12345, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    wave[:, :3] = torch.tensor([1.0, -1.0, 0.0])
    write_flac(tmp_path / "a.flac", wave, rate, WORDS)
    read, found = read_audio(tmp_path / "a.flac")
    assert found == rate and read.shape == (1, *wave.shape)
    assert (read[0] - wave).abs().max() <= 2**-23
    first = (tmp_path / "a.flac").read_bytes()
    write_flac(tmp_path / "a.flac", wave[None], rate, WORDS)
    assert (tmp_path / "a.flac").read_bytes() == first


def test_flac_is_never_made_louder_and_clipped_only_above_full_scale(tmp_path):
    write_flac(tmp_path / "a.flac", torch.tensor([[3.0, -3.0, 0.01, -0.002]]), 8000)
    assert read_audio(tmp_path / "a.flac")[0][0, 0].tolist() == pytest.approx([1, -1, 0.01, -0.002], abs=2**-23)


def test_containers_carry_words_that_are_read_back(tmp_path):
    write_flac(tmp_path / "a.flac", torch.rand(1, 900), 8000, WORDS)
    write_mp4(tmp_path / "a.mp4", ramp(), 8, text=WORDS)
    write_wav(tmp_path / "a.wav", torch.rand(1, 901), 8000, WORDS)
    for name in ("a.flac", "a.mp4"):
        with av.open(str(tmp_path / name)) as container:
            assert {key.lower(): value for key, value in container.metadata.items()}.items() >= WORDS.items()
    with av.open(str(tmp_path / "a.wav")) as container:
        assert json.loads(container.metadata["comment"]) == WORDS
    with wave_file.open(str(tmp_path / "a.wav")) as file:
        assert file.getnframes() == 901
    assert int.from_bytes((tmp_path / "a.wav").read_bytes()[4:8], "little") == (tmp_path / "a.wav").stat().st_size - 8
    assert (tmp_path / "a.wav").stat().st_size % 2 == 0


def test_the_words_of_a_clip_come_before_its_pictures(tmp_path):
    write_mp4(tmp_path / "a.mp4", ramp(), 8, text=WORDS)
    data = (tmp_path / "a.mp4").read_bytes()
    assert 0 < data.index(WORDS["concept_algebra"].encode()) < data.index(b"mdat")
