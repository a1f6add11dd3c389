"""Reading recordings: what a file holds, and the tables that say what it is called."""

from __future__ import annotations

import numpy as np

from .procedural import RATE


def decode_audio(container) -> np.ndarray:
    """The first audio stream of an opened PyAV container as mono float32 at RATE."""
    import av

    resampler = av.AudioResampler("flt", "mono", RATE)
    parts = []
    for packet in container.demux(audio=0):
        try:
            parts += [out.to_ndarray()[0] for frame in packet.decode() for out in resampler.resample(frame)]
        except av.error.ArgumentError:  # odd bytes after the samples of some WAV files
            continue
    parts += [out.to_ndarray()[0] for out in resampler.resample(None)]
    return np.concatenate(parts)


def table(text: str) -> dict[str, str]:
    pairs = (entry.split(": ") for line in text.strip().splitlines() for entry in line.split(" | "))
    return {path.strip(): name.strip() for path, name in pairs}
