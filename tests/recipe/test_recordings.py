"""Recordings that are trained on: the containers they come in are read as they were written, and none is the evaluation's."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from recipe.overlap import Prepared, agreement
from recipe.procedural import RATE
from recipe.recordings import EVERY, FREEDOOM, OPENCLONK, SONIC_PI, group, is_held_out, lumps
from recipe.sound_files import table
from recipe.sound_names import CONCEPTS


def packed(files: dict[str, bytes | dict]) -> bytes:
    """A Clonk group as the game writes it; a dict is a group inside."""
    entries, contents = b"", b""
    for name, content in files.items():
        child = isinstance(content, dict)
        content = packed(content) if child else content
        entry = name.encode().ljust(260, b"\0") + struct.pack("<5i", 0, child, len(content), 0, len(contents))
        entries += entry.ljust(316, b"\0")
        contents += content
    header = bytearray(b"RedWolf Design GrpFolder".ljust(28, b"\0") + struct.pack("<3i", 1, 2, len(files))).ljust(204, b"\0")
    for i in range(0, 202, 3):
        header[i], header[i + 2] = header[i + 2], header[i]
    return bytes(byte ^ 237 for byte in header) + entries + contents


def test_a_clonk_group_gives_back_its_files_and_those_of_groups_inside():
    plain = packed({"a.wav": b"one", "Fire.ocg": {"b.ogg": b"", "Deep.ocg": {"c.ogg": b"three"}}, "d": b"four"})
    squeezed = zlib.compressobj(wbits=31)
    raw = squeezed.compress(plain) + squeezed.flush()
    expected = [("a.wav", b"one"), ("Fire.ocg/b.ogg", b""), ("Fire.ocg/Deep.ocg/c.ogg", b"three"), ("d", b"four")]
    assert list(group(b"\x1e\x8c" + raw[2:])) == list(group(plain)) == expected
    with pytest.raises(ValueError, match="RedWolf"):
        list(group(bytes(300)))


def test_a_doom_wad_gives_its_digital_sounds_at_our_rate():
    tone = (128 + 100 * np.sin(2 * np.pi * 440 * np.arange(11025) / 11025)).astype(np.uint8).tobytes()
    sound = struct.pack("<HHI", 3, 11025, len(tone)) + tone
    entries = struct.pack("<2i8s", 12, len(sound), b"DSTONE") + struct.pack("<2i8s", 0, 0, b"DSNONE") + struct.pack("<2i8s", 12, len(sound), b"D_MUSIC")
    wad = b"IWAD" + struct.pack("<2i", 3, 12 + len(sound)) + sound + entries
    ((name, wave),) = lumps(wad)
    assert name == "DSTONE" and abs(len(wave) - RATE) < RATE / 100
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    assert abs(spectrum.argmax() * RATE / len(wave) - 440) < 2 and wave.std() == pytest.approx(100 / 128 / np.sqrt(2), rel=0.02)


def test_recordings_bear_our_names_and_some_are_held_out():
    for text in (OPENCLONK, SONIC_PI, FREEDOOM):
        assert set(table(text).values()) <= {c.name for c in CONCEPTS}
    assert "Fire.ocg/Fire.ogg" not in table(OPENCLONK)  # the evaluation's fire_small
    assert [is_held_out(i, EVERY) for i in range(EVERY)] == [False] * (EVERY - 1) + [True]
    assert not any(is_held_out(i, EVERY - 1) for i in range(EVERY - 1))


def test_the_same_take_is_found_however_it_is_cut_and_coded():
    r = np.random.default_rng(0)
    take = r.standard_normal(20_000).astype(np.float32) * np.hanning(20_000).astype(np.float32)
    stranger = Prepared(r.standard_normal(20_000).astype(np.float32))
    elsewhere = np.concatenate([np.zeros(700, np.float32), -0.3 * take[4_000:17_000]])
    assert agreement(Prepared(take), Prepared(elsewhere)) > 0.99
    noisy = Prepared(elsewhere + 0.1 * elsewhere.std() * r.standard_normal(len(elsewhere)).astype(np.float32))
    assert agreement(noisy, Prepared(take)) > 0.9 > 0.3 > agreement(stranger, noisy)
