"""Pictures, sounds and clips: files to tensors and back. Files are written whole or not at all."""

from __future__ import annotations

import io
import json
import math
import os
import struct
import warnings
import wave as wave_file
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .atomic import write_aside, write_bytes
from .space import Modality, finite

PICTURE_SIDE = 4096
AUDIO_SECONDS = 30.0
VIDEO_SECONDS, VIDEO_SIDE, VIDEO_FPS = 10.0, 384, 16
SILENCE = 1e-4
"""Peak amplitude (-80 dBFS) up to which a sound counts as silent."""
LAYOUTS = {1: "mono", 2: "stereo"}


SUFFIXES: dict[Modality, frozenset[str]] = {
    "image": frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".bmp"}),
    "audio": frozenset({".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".aif", ".aiff"}),
    "video": frozenset({".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi", ".mpg", ".mpeg", ".ogv"}),
}
"""How files that `read_image`, `read_audio` and `read_video` take are usually called. A .gif counts as a picture."""


class MediaError(ValueError):
    """A picture, sound or clip that cannot be used; one line that names the file."""


def read_image(path: str | os.PathLike) -> Tensor:
    """A picture as pixels [1, 3, H, W] in 0..1.

    It is turned as its EXIF orientation says, transparency lies over white, the first frame stands for an animation,
    16-bit grey keeps its range, and a side longer than `PICTURE_SIDE` is scaled down to that.
    Raises MediaError for a missing, empty, unknown or damaged file.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    path = _existing(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as file:
                file.draft("RGB", (PICTURE_SIDE, PICTURE_SIDE))
                image = ImageOps.exif_transpose(file)
        if image.mode == "F":
            raise MediaError(f"{path} has floating-point pixels, expected 8 or 16 bits a channel")
        if image.mode.startswith("I"):
            grey = Image.fromarray(np.clip(np.asarray(image, np.float32) / 65535, 0, 1) * 255)
            return _pixels(_shrunk(grey)).expand(-1, 3, -1, -1).clone()
        if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return _pixels(_shrunk(image.convert("RGB")))
    except UnidentifiedImageError:
        raise MediaError(f"{path} is not a picture in a known format (PNG, JPEG, WebP, GIF, TIFF, BMP)") from None
    except Image.DecompressionBombError:
        raise MediaError(f"{path} is too large a picture, expected up to 178 million pixels") from None
    except MediaError:
        raise
    except Exception as error:  # over a damaged file, Pillow's decoders raise nearly anything
        raise MediaError(f"{path} is a damaged picture: {_line(error)}") from error


def read_audio(path: str | os.PathLike) -> tuple[Tensor, int]:
    """A sound as (wave [1, C, T] in -1..1, rate in Hz); of a clip, its sound track.

    Channels and rate are the file's own. At most the first `AUDIO_SECONDS` are read.
    Raises MediaError for a missing, empty, unknown, damaged or silent file.
    """
    import av

    path = _existing(path)
    blocks, count, rate = [], 0, 0
    with _opened(path, "sound") as container:
        if not container.streams.audio:
            raise MediaError(f"{path} holds no sound")
        to_float = av.AudioResampler(format="fltp")
        for frame in _frames(container, container.streams.audio[0]):
            if rate and (frame.sample_rate, len(frame.layout.channels)) != (rate, blocks[0].shape[0]):
                break  # a radio stream may change its form midway; what came before is the sound
            rate = frame.sample_rate
            for part in to_float.resample(frame):
                blocks.append(part.to_ndarray())
                count += blocks[-1].shape[1]
            if count >= AUDIO_SECONDS * rate:
                break
    if not count:
        raise MediaError(f"{path} holds no sound that can be decoded")
    wave = torch.from_numpy(np.concatenate(blocks, axis=1)[:, : int(AUDIO_SECONDS * rate)])
    if not torch.isfinite(wave).all():
        raise MediaError(f"{path} is a damaged sound: it contains NaN or infinity")
    if wave.abs().max() <= SILENCE:
        raise MediaError(f"{path} is silent")
    return wave.clamp(-1, 1)[None].float(), rate


def read_video(path: str | os.PathLike) -> tuple[Tensor, float]:
    """A clip as (frames [1, T, 3, H, W] in 0..1, frames a second).

    It is turned as its file says. At most the first `VIDEO_SECONDS` are read, at up to `VIDEO_FPS` frames a second
    (a faster clip is thinned) and with the longer side up to `VIDEO_SIDE`, so that no file takes over 300 MB.
    Raises MediaError for a missing, empty, unknown or damaged file and for a clip of one frame.
    """
    path = _existing(path)
    with _opened(path, "clip") as container:
        if not container.streams.video:
            raise MediaError(f"{path} holds no pictures")
        stream = container.streams.video[0]
        native = float(stream.average_rate or stream.guessed_rate or VIDEO_FPS)
        fps = min(native, float(VIDEO_FPS))
        frames, decoded = [], 0
        for slots, frame in _on_screen(_frames(container, stream), native, fps):
            decoded += 1
            frames += [_small(frame)] * slots
            if len(frames) >= VIDEO_SECONDS * fps:
                break
    if not decoded:
        raise MediaError(f"{path} holds no picture that can be decoded")
    if len(frames) < 2:
        raise MediaError(f"{path} has one frame; a clip needs two or more")
    stack = np.stack(frames[: int(VIDEO_SECONDS * fps)])
    return torch.from_numpy(stack).permute(0, 3, 1, 2)[None].float() / 255, fps


def write_png(path: str | os.PathLike, pixels: Tensor, text: Mapping[str, str] | None = None) -> None:
    """Write pixels [3, H, W] or [1, 3, H, W], clipped to 0..1, as an 8-bit PNG with text entries. Same input, same bytes.

    Raises ValueError for other shapes, NaN or infinity; OSError with one line when the file cannot be written.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, value in (text or {}).items():
        info.add_text(key, value)
    buffer = io.BytesIO()
    Image.fromarray(as_bytes(_one(pixels, 3, "pixels [3, H, W]"))).save(buffer, "png", pnginfo=info)
    write_bytes(path, buffer.getvalue())


def write_wav(path: str | os.PathLike, wave: Tensor, rate: int, text: Mapping[str, str] | None = None) -> None:
    """Write a wave [C, T] or [1, C, T] at `rate` Hz as 16-bit PCM, with text entries. It is clipped to -1..1 and never made
    louder or softer. Same input, same bytes. Errors as in `write_png`.

    RIFF has no names of one's own for what it is told of a sound, so all entries are one JSON object in its comment (ICMT).
    """
    wave = _one(wave, 2, "wave [C, T]")
    samples = (wave.clamp(-1, 1) * 32767).round().to(torch.int16).T.contiguous().numpy()
    buffer = io.BytesIO()
    with wave_file.open(buffer, "wb") as file:
        file.setnchannels(wave.shape[0])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    data = buffer.getvalue()
    if text:
        comment = json.dumps(dict(text)).encode() + b"\0"
        entry = b"INFOICMT" + struct.pack("<I", len(comment)) + comment + b"\0" * (len(comment) % 2)
        data += b"LIST" + struct.pack("<I", len(entry)) + entry
        data = data[:4] + struct.pack("<I", len(data) - 8) + data[8:]
    write_bytes(path, data)


def write_flac(path: str | os.PathLike, wave: Tensor, rate: int, text: Mapping[str, str] | None = None) -> None:
    """Write a wave [C, T] or [1, C, T] of one or two channels at `rate` Hz as 24-bit FLAC, with text entries as its Vorbis
    comments. It is clipped to -1..1 and never made louder or softer: what is read back is within 2^-23 of it. Same input,
    same bytes.

    Errors as in `write_png`, and ValueError for more channels or a rate that is not positive.
    """
    import av

    wave = _one(wave, 2, "wave [C, T]")
    if wave.shape[0] not in LAYOUTS or rate < 1:
        raise ValueError(f"wave has {wave.shape[0]} channels at {rate} Hz, expected one or two at a positive rate")
    # the encoder takes 32 bits and keeps the upper 24
    samples = (wave * 2**23).round().clamp(-(2**23), 2**23 - 1).to(torch.int32) * 2**8
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="flac") as container:
        container.metadata.update(text or {})
        layout = LAYOUTS[wave.shape[0]]
        stream = container.add_stream("flac", rate=rate, layout=layout)
        stream.codec_context.format = "s32"
        frame = av.AudioFrame.from_ndarray(samples.T.reshape(1, -1).numpy(), format="s32", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    write_bytes(path, buffer.getvalue())


def write_mp4(
    path: str | os.PathLike, frames: Tensor, fps: float, loops: int = 1, text: Mapping[str, str] | None = None
) -> None:
    """Write frames [T, 3, H, W] or [1, T, 3, H, W], clipped to 0..1, as an MP4 that browsers play: H.264, or MPEG-4
    where that is missing; 4:2:0, an odd side grown by one repeated line; with text entries as the container's metadata.

    loops: how many times the clip is written one after the other, so that a short one does not flash by. Same input, same bytes.
    Errors as in `write_png`.
    """
    import av

    pictures = as_bytes(_one(frames, 4, "frames [T, 3, H, W]"))
    pictures = np.pad(pictures, [(0, 0), (0, pictures.shape[1] % 2), (0, pictures.shape[2] % 2), (0, 0)], "edge")
    if not 0 < fps < float("inf") or loops < 1:
        raise ValueError(f"fps is {fps} and loops {loops}, expected a positive rate and at least 1")
    # names of one's own, and all that is said before the pictures: ComfyUI's page reads the first 2 MB of a file for its workflow
    flags = {"movflags": "use_metadata_tags+faststart"}
    with write_aside(path) as temporary, av.open(os.fspath(temporary), "w", format="mp4", options=flags) as container:
        container.metadata.update(text or {})
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = "yuv420p"
        # x264's macroblock tree reads memory that nothing wrote: the same clip came out in other bytes, with one thread as with many
        stream.options = {"crf": "16", "mbtree": "0"} if codec == "libx264" else {"q:v": "2"}
        for picture in np.concatenate([pictures] * loops):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode())


def _existing(path: str | os.PathLike) -> Path:
    path = Path(path)
    if not path.is_file():
        raise MediaError(f"{path}: {'a folder, expected a file' if path.is_dir() else 'no such file'}")
    if path.stat().st_size == 0:
        raise MediaError(f"{path} is empty")
    return path


@contextmanager
def _opened(path: Path, kind: str) -> Iterator:
    """An open PyAV container; what the decoders raise becomes a MediaError."""
    import av

    try:
        with av.open(os.fspath(path), metadata_errors="replace") as container:
            yield container
    except MediaError:
        raise
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise MediaError(f"{path} is not a {kind} that can be decoded: {_line(error)}") from error


def _frames(container, stream) -> Iterator:
    """The stream's frames; a damaged packet is passed over, as players do."""
    import av

    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue


def _on_screen(frames: Iterator, native: float, fps: float) -> Iterator[tuple[int, object]]:
    """Each frame with the number of slots of an even grid at `fps` in whose instants it is on screen; the last frame
    of two or more gets one at least."""
    slot, first, shown, since = 0, None, None, 0.0
    for index, frame in enumerate(frames):
        time = index / native if frame.time is None else frame.time
        first = time if first is None else first
        if shown is not None:
            until = max(time - first, since)
            # Times are rounded to the container's ticks, so a slot may seem to begin a hair before its frame.
            count = max(0, math.ceil(min(until, VIDEO_SECONDS) * fps - 1e-2) - slot)
            yield count, shown
            slot, since = slot + count, until
        shown = frame
    if shown is not None:
        yield 1, shown


def _small(frame) -> np.ndarray:
    """A decoded frame as [H, W, 3] bytes, upright, its longer side up to `VIDEO_SIDE`."""
    factor = min(1.0, VIDEO_SIDE / max(frame.width, frame.height))
    size = {"width": max(1, round(frame.width * factor)), "height": max(1, round(frame.height * factor))}
    picture = frame.reformat(**size, format="rgb24", interpolation="AREA").to_ndarray()
    return np.rot90(picture, round(frame.rotation / 90))


def _shrunk(image):
    if max(image.size) > PICTURE_SIDE:
        image.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    return image


def _pixels(image) -> Tensor:
    array = np.asarray(image, np.float32) / 255
    return torch.from_numpy(array.reshape(*array.shape[:2], -1)).permute(2, 0, 1)[None].contiguous()


def _one(tensor: Tensor, dimensions: int, expected: str) -> Tensor:
    """A single medium without its batch dimension, on the CPU."""
    shape = tuple(tensor.shape)
    if tensor.ndim == dimensions + 1 and shape[0] == 1:
        tensor = tensor[0]
    if tensor.ndim != dimensions or tensor.numel() == 0 or (dimensions > 2 and tensor.shape[-3] != 3):
        raise ValueError(f"shape {shape} cannot be written, expected {expected}")
    return finite(tensor.detach().float().cpu(), expected.split()[0])


def as_bytes(pixels: Tensor) -> np.ndarray:
    """Pixels [..., 3, H, W], clipped to 0..1, as bytes [..., H, W, 3]."""
    return (pixels.clamp(0, 1) * 255).round().to(torch.uint8).movedim(-3, -1).contiguous().cpu().numpy()


def _line(error: Exception) -> str:
    # FFmpeg's errors begin with a number of its own and end with the file's name, which stands before them already
    return getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
