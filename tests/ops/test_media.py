import random
import struct
import wave
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import wavfile

from concept_algebra.ops import media
from concept_algebra.ops.concept import Concept
from concept_algebra.ops.media import MediaError, read_audio, read_image, read_video, write_flac, write_mp4, write_png, write_wav

READERS = [read_image, read_audio, read_video]


def picture(height=6, width=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def as_tensor(array):
    return torch.from_numpy(array).permute(2, 0, 1)[None].float() / 255


def tone(seconds=0.5, rate=16000, channels=1):
    t = np.arange(int(seconds * rate)) / rate
    return np.stack([0.5 * np.sin(2 * np.pi * 440 * (1 + c) * t) for c in range(channels)], axis=1)


def ramp(count=8, height=32, width=48):
    """Frames whose brightness tells their index."""
    return (torch.arange(count) / (count - 1)).reshape(-1, 1, 1, 1).expand(-1, 3, height, width).contiguous()


def encode_video(path, frames, rate, pts=None):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(rate))
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        stream.options = {"crf": "4", "bf": "0"}
        if pts:
            stream.codec_context.time_base = Fraction(1, 1000)
        for i, array in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            if pts:
                frame.pts, frame.time_base = pts[i], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


# Pictures


def test_png_round_trip_with_text(tmp_path):
    path = tmp_path / "a.png"
    array = picture()
    write_png(path, as_tensor(array), {"expression": "fire + water", "note": "été 火"})
    assert torch.equal(read_image(path), as_tensor(array))
    with Image.open(path) as image:
        assert image.text == {"expression": "fire + water", "note": "été 火"}
    first = path.read_bytes()
    write_png(path, as_tensor(array)[0], {"expression": "fire + water", "note": "été 火"})
    assert path.read_bytes() == first


def test_png_clips(tmp_path):
    write_png(tmp_path / "a.png", torch.tensor([-1.0, 2.0, 0.5]).reshape(3, 1, 1))
    assert read_image(tmp_path / "a.png").flatten().tolist() == pytest.approx([0, 1, 128 / 255])


@pytest.mark.parametrize("orientation, turned", [(1, lambda a: a), (3, lambda a: a[::-1, ::-1]), (6, lambda a: np.rot90(a, -1)), (8, np.rot90)])
def test_exif_orientation(tmp_path, orientation, turned):
    array, exif = picture(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(array).save(tmp_path / "a.png", exif=exif)
    assert torch.equal(read_image(tmp_path / "a.png"), as_tensor(turned(array).copy()))


def test_transparency_lies_over_white(tmp_path):
    rgba = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 128]]], np.uint8)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    assert torch.allclose(
        read_image(tmp_path / "a.png")[0, :, 0].T, torch.tensor([[1, 0, 0], [1, 1, 1], [127 / 255] * 3]), atol=1e-6
    )
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.save(tmp_path / "p.png", transparency=0)
    assert read_image(tmp_path / "p.png")[0, :, 0].T.tolist() == [[1, 1, 1], [0, 0, 1]]


def test_sixteen_bit_grey_keeps_its_range(tmp_path):
    Image.fromarray(np.array([[0, 257, 32768, 65535]], np.uint16)).save(tmp_path / "a.png")
    values = read_image(tmp_path / "a.png")
    assert values.shape == (1, 3, 1, 4)
    assert torch.allclose(values[0, 1, 0], torch.tensor([0, 257, 32768, 65535]) / 65535, atol=1e-6)


def test_cmyk_grey_and_two_tone(tmp_path):
    Image.new("CMYK", (2, 2), (0, 255, 255, 0)).save(tmp_path / "c.tiff")
    assert read_image(tmp_path / "c.tiff")[0, :, 0, 0].tolist() == [1, 0, 0]
    Image.new("L", (2, 2), 51).save(tmp_path / "l.png")
    assert read_image(tmp_path / "l.png")[0, :, 0, 0].tolist() == pytest.approx([0.2] * 3)
    Image.new("1", (2, 2), 1).save(tmp_path / "1.png")
    assert read_image(tmp_path / "1.png").min() == 1


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a.gif")[0, :, 0, 0].tolist() == [1, 0, 0]


def test_a_huge_picture_is_scaled_down(tmp_path):
    Image.new("RGB", (media.PICTURE_SIDE * 2, 10), "red").save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").shape == (1, 3, 5, media.PICTURE_SIDE)


def test_floating_point_pictures_are_refused(tmp_path):
    Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(MediaError, match="a.tiff has floating-point pixels"):
        read_image(tmp_path / "a.tiff")


# Sounds


@pytest.mark.parametrize(
    "dtype, scale, tolerance", [(np.int16, 32767, 1e-4), (np.int32, 2**31 - 1, 1e-6), (np.float32, 1, 1e-6), (np.uint8, 127, 0.02)]
)
def test_wav_of_every_depth(tmp_path, dtype, scale, tolerance):
    sound = tone(channels=2)
    values = sound * scale + (128 if dtype is np.uint8 else 0)
    wavfile.write(tmp_path / "a.wav", 22050, values.astype(dtype))
    read, rate = read_audio(tmp_path / "a.wav")
    assert rate == 22050 and read.shape == (1, 2, len(sound)) and read.dtype == torch.float32
    assert np.abs(read[0].numpy().T - sound).max() < tolerance


@pytest.mark.parametrize("name, codec", [("a.mp3", "libmp3lame"), ("a.flac", "flac"), ("a.m4a", "aac")])
def test_compressed_sounds(tmp_path, name, codec):
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    sound = tone(1.0).astype(np.float32)
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(codec, rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray((sound.T * 32767).astype(np.int16), format="s16", layout="mono")
        frame.sample_rate = 16000
        for packet in stream.encode(frame):
            container.mux(packet)
        container.mux(stream.encode())
    read, rate = read_audio(tmp_path / name)
    spectrum = np.abs(np.fft.rfft(read[0, 0].numpy()))
    assert rate == 16000 and abs(read.shape[2] - 16000) < 3000
    assert np.argmax(spectrum) * rate / read.shape[2] == pytest.approx(440, abs=3)
    assert read.abs().max() == pytest.approx(0.5, abs=0.1)


def test_wav_round_trip_clips_and_keeps_loudness(tmp_path):
    sound = torch.from_numpy(0.25 * tone(channels=2)).T.float()
    write_wav(tmp_path / "a.wav", sound, 16000)
    first = (tmp_path / "a.wav").read_bytes()
    read, rate = read_audio(tmp_path / "a.wav")
    assert rate == 16000 and torch.allclose(read[0], sound, atol=1e-4)
    write_wav(tmp_path / "a.wav", sound[None], 16000)
    assert (tmp_path / "a.wav").read_bytes() == first
    write_wav(tmp_path / "loud.wav", torch.tensor([[3.0, -3.0, 0.5]]), 8000)
    with wave.open(str(tmp_path / "loud.wav")) as file:
        assert struct.unpack("<3h", file.readframes(3)) == (32767, -32767, 16384)


def test_a_long_sound_is_cut(tmp_path):
    write_wav(tmp_path / "a.wav", torch.full((1, int(8000 * (media.AUDIO_SECONDS + 5))), 0.1), 8000)
    assert read_audio(tmp_path / "a.wav")[0].shape == (1, 1, int(8000 * media.AUDIO_SECONDS))


def test_silence_and_nan_are_refused(tmp_path):
    write_wav(tmp_path / "a.wav", torch.zeros(1, 800), 8000)
    with pytest.raises(MediaError, match="a.wav is silent"):
        read_audio(tmp_path / "a.wav")
    wavfile.write(tmp_path / "n.wav", 8000, np.full(800, np.nan, np.float32))
    with pytest.raises(MediaError, match="n.wav is a damaged sound"):
        read_audio(tmp_path / "n.wav")


# Clips


def test_mp4_round_trip(tmp_path):
    frames = ramp()
    write_mp4(tmp_path / "a.mp4", frames, 8)
    read, fps = read_video(tmp_path / "a.mp4")
    assert fps == 8 and read.shape == (1, *frames.shape)
    assert torch.allclose(read[0], frames, atol=0.03)


def test_a_clip_has_the_same_bytes_whatever_was_written_before(tmp_path):
    rng = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(8, 3, 4, 4, generator=rng), size=40, mode="bilinear")
    written = set()
    for _ in range(40):
        write_mp4(tmp_path / "b.mp4", torch.rand(8, 3, 40, 40, generator=rng), 8, loops=3)
        write_mp4(tmp_path / "a.mp4", smooth, 8, loops=3)
        written.add((tmp_path / "a.mp4").read_bytes())
    assert len(written) == 1


def test_mp4_loops_and_odd_sides(tmp_path):
    frames = ramp(4, 33, 17)
    write_mp4(tmp_path / "a.mp4", frames[None], 7.5, loops=3)
    read, fps = read_video(tmp_path / "a.mp4")
    assert fps == 7.5 and read.shape == (1, 12, 3, 34, 18)
    assert torch.allclose(read[0, 4:8, :, :33, :17], frames, atol=0.03)


def test_without_h264_there_is_mpeg4(tmp_path, monkeypatch):
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264"})
    write_mp4(tmp_path / "a.mp4", ramp(), 8)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    assert torch.allclose(read_video(tmp_path / "a.mp4")[0][0], ramp(), atol=0.05)


def test_a_fast_clip_is_thinned_in_time(tmp_path):
    frames = (ramp(64)[:, :, :16, :16].movedim(1, 3) * 255).to(torch.uint8).numpy()
    encode_video(tmp_path / "a.mp4", frames, 32)
    read, fps = read_video(tmp_path / "a.mp4")
    assert fps == 16 and read.shape[1] in (32, 33)
    assert torch.allclose(read[0, :32, 0].mean((1, 2)), ramp(64)[::2, 0, 0, 0], atol=0.02)


def test_an_uneven_clip_is_laid_on_an_even_grid(tmp_path):
    frames = np.stack([np.full((16, 16, 3), v, np.uint8) for v in (0, 85, 170, 255)])
    encode_video(tmp_path / "a.mp4", frames, 8, pts=[0, 125, 625, 750])
    read, fps = read_video(tmp_path / "a.mp4")
    values = (read[0, :, 0].mean((1, 2)) * 3).round().int().tolist()
    changes = [values.index(v) / fps for v in (0, 1, 2, 3)]
    assert changes == pytest.approx([0, 0.125, 0.625, 0.75], abs=1 / fps)


def test_a_long_and_large_clip_is_cut_and_scaled(tmp_path):
    frames = np.zeros((int(4 * (media.VIDEO_SECONDS + 3)), 200, 2 * media.VIDEO_SIDE, 3), np.uint8)
    encode_video(tmp_path / "a.mp4", frames, 4)
    read, fps = read_video(tmp_path / "a.mp4")
    assert fps == 4 and read.shape == (1, int(4 * media.VIDEO_SECONDS), 3, 100, media.VIDEO_SIDE)


def test_a_phone_clip_is_turned_upright(tmp_path):
    frames = np.zeros((4, 32, 48, 3), np.uint8)
    frames[:, :, 24:] = 255  # the right half white
    encode_video(tmp_path / "a.mp4", frames, 8)
    data = (tmp_path / "a.mp4").read_bytes()
    identity = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    # "Shown a quarter turn clockwise": the right side comes to lie at the bottom.
    clockwise = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 32 << 16, 0, 1 << 30)
    at = data.index(identity, data.index(b"tkhd"))
    (tmp_path / "a.mp4").write_bytes(data[:at] + clockwise + data[at + 36 :])
    read, _ = read_video(tmp_path / "a.mp4")
    assert read.shape == (1, 4, 3, 48, 32)
    assert read[0, 0, :, :20].max() < 0.1 and read[0, 0, :, 28:].min() > 0.9


def test_one_frame_is_no_clip(tmp_path):
    write_mp4(tmp_path / "a.mp4", ramp(2)[:1], 8)
    with pytest.raises(MediaError, match="a.mp4 has one frame; a clip needs two or more"):
        read_video(tmp_path / "a.mp4")


def test_two_quick_frames_are_a_clip(tmp_path):
    encode_video(tmp_path / "a.mp4", np.stack([np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)]), 60)
    read, _ = read_video(tmp_path / "a.mp4")
    assert read.shape[1] == 2 and read[0, 0].max() < 0.1 and read[0, 1].min() > 0.9


def test_a_gif_is_a_clip(tmp_path):
    pictures = [Image.new("RGB", (16, 16), colour) for colour in ("black", "red", "white")]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=125)
    read, _ = read_video(tmp_path / "a.gif")
    assert read[0, 0].max() == 0 and read[0, -1].min() > 0.9


# What is wrong with a file is said in one line that names it


@pytest.mark.parametrize("reader", READERS)
def test_missing_empty_unknown_and_folder(tmp_path, reader):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("only words here\n" * 50)
    for name, message in [
        ("none.png", "no such file"),
        ("empty.png", "is empty"),
        ("text.png", "not a|holds no"),
        (".", "folder"),
        ("a\0b", "no such file"),
    ]:
        with pytest.raises(MediaError, match=message) as caught:
            reader(tmp_path / name)
        said = str(caught.value)
        assert "\n" not in said and name.strip(".") in said and "Errno" not in said and said.count("text.png") < 2


def test_the_wrong_kind_of_file(tmp_path):
    write_png(tmp_path / "a.png", torch.rand(3, 8, 8))
    write_wav(tmp_path / "a.wav", torch.rand(1, 800), 8000)
    write_mp4(tmp_path / "a.mp4", ramp(), 8)
    for call, name in [
        (read_audio, "a.png"),
        (read_audio, "a.mp4"),
        (read_video, "a.wav"),
        (read_video, "a.png"),
        (read_image, "a.wav"),
        (read_image, "a.mp4"),
    ]:
        with pytest.raises(MediaError, match=name):
            call(tmp_path / name)


@pytest.mark.parametrize("seed", range(12))
def test_damaged_files_raise_nothing_but_media_errors(tmp_path, seed):
    write_png(tmp_path / "a.png", torch.rand(3, 40, 40))
    Image.fromarray(picture(40, 40)).save(tmp_path / "a.jpg")
    Image.fromarray(picture(40, 40)).save(tmp_path / "a.tiff")
    Image.fromarray(picture(40, 40)).save(tmp_path / "a.gif")
    write_wav(tmp_path / "a.wav", torch.rand(1, 8000), 8000)
    write_mp4(tmp_path / "a.mp4", ramp(), 8)
    rng = random.Random(seed)
    for name, reader in [
        *((f"a.{suffix}", read_image) for suffix in ("png", "jpg", "tiff", "gif")),
        ("a.wav", read_audio),
        ("a.mp4", read_video),
    ]:
        data = bytearray((tmp_path / name).read_bytes())
        for _ in range(rng.choice([1, 4, 32])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.3:
            del data[rng.randrange(len(data)) :]
        damaged = tmp_path / f"damaged-{name}"
        damaged.write_bytes(data)
        try:
            reader(damaged)
        except MediaError as error:
            assert damaged.name in str(error) and "\n" not in str(error)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda p: write_png(p, torch.rand(4, 8, 8)), r"shape \(4, 8, 8\) cannot be written, expected pixels \[3, H, W\]"),
        (lambda p: write_png(p, torch.full((3, 2, 2), torch.nan)), "pixels contains NaN"),
        (lambda p: write_wav(p, torch.zeros(1, 0), 8000), r"shape \(1, 0\) cannot be written"),
        (lambda p: write_wav(p, torch.zeros(2, 1, 9), 8000), "cannot be written"),
        (lambda p: write_flac(p, torch.zeros(3, 9), 8000), "wave has 3 channels at 8000 Hz, expected one or two"),
        (lambda p: write_flac(p, torch.zeros(1, 9), 0), "1 channels at 0 Hz, expected"),
        (lambda p: write_flac(p, torch.full((1, 9), torch.nan), 8000), "wave contains NaN"),
        (lambda p: write_mp4(p, torch.rand(2, 3, 2, 2) / 0, 8), "frames contains NaN"),
        (lambda p: write_mp4(p, ramp(), 0), "fps is 0"),
        (lambda p: write_mp4(p, ramp(), 8, loops=0), "loops 0"),
    ],
)
def test_what_cannot_be_written_leaves_no_file(tmp_path, call, message):
    with pytest.raises(ValueError, match=message):
        call(tmp_path / "a.out")
    assert list(tmp_path.iterdir()) == []


def test_concepts_from_files_are_those_of_their_tensors(tmp_path, encoder):
    write_png(tmp_path / "a.png", torch.rand(3, 8, 8))
    write_wav(tmp_path / "a.wav", torch.rand(1, 800), 8000)
    write_mp4(tmp_path / "a.mp4", ramp(), 8)
    pixels, (sound, rate), (frames, fps) = (
        read_image(tmp_path / "a.png"),
        read_audio(tmp_path / "a.wav"),
        read_video(tmp_path / "a.mp4"),
    )
    for file, tensor in [
        (Concept.from_image(tmp_path / "a.png", encoder), Concept.from_image(pixels, encoder)),
        (Concept.from_audio(str(tmp_path / "a.wav"), encoder), Concept.from_audio(sound, encoder, rate)),
        (Concept.from_video(tmp_path / "a.mp4", encoder), Concept.from_video(frames, encoder, fps)),
    ]:
        assert torch.equal(file.vector, tensor.vector)
        assert str(tmp_path / "a.") in str(file)
