"""Whether a recording that is trained on is also one of the evaluation's: packages share their sources.

    python -m recipe.overlap [--data DIR]

prints the pairs whose waves agree best, in either direction: the loudest half second of one, looked for in the whole other,
as a normalised cross-correlation in 0..1. The same take, cut and coded differently, gives .94 (OpenClonk's Fire.ogg was
Minetest's fire_small, and is left out for it); strangers stay under .8, and come near it only where both hold a tone of the
same pitch or one is a mere click.
"""

from __future__ import annotations

import argparse
import io
import os
from pathlib import Path

import numpy as np
from scipy.fft import irfft, rfft
from scipy.signal import resample_poly

from . import real_sounds, recordings
from .sound_files import decode_audio

LENGTH, SIZE = 4096, 2**17  # of the piece that is looked for, and of the transforms, in samples at 8 kHz
QUIET = 0.05  # stretches quieter than this share of the loudest say nothing


def piece(wave: np.ndarray) -> np.ndarray:
    """The loudest LENGTH samples without their mean, at unit norm."""
    if len(wave) > LENGTH:
        start = int(np.convolve(wave**2, np.ones(LENGTH), "valid").argmax())
        wave = wave[start : start + LENGTH]
    found = np.zeros(LENGTH, np.float32)
    found[: len(wave)] = wave - wave.mean()
    return found / (np.linalg.norm(found) + 1e-9)


class Prepared:
    """A wave ready to be looked through, and its own loudest piece."""

    def __init__(self, wave: np.ndarray):
        padded = np.zeros(SIZE, np.float32)
        kept = wave[: SIZE - 2 * LENGTH]
        padded[LENGTH : LENGTH + len(kept)] = kept
        energy = np.concatenate([[0.0], np.cumsum(padded.astype(np.float64) ** 2)])
        level = np.sqrt(np.maximum(energy[LENGTH:] - energy[:-LENGTH], 0))
        self.level = np.where(level > QUIET * level.max(), level, np.inf)
        self.spectrum = rfft(padded)
        self.piece = rfft(piece(wave), SIZE)

    def holds(self, piece: np.ndarray) -> float:
        """The best normalised cross-correlation with a piece's spectrum, 0..1."""
        match = irfft(self.spectrum * np.conj(piece), SIZE)[: len(self.level)]
        return float((np.abs(match) / self.level).max())


def agreement(a: Prepared, b: Prepared) -> float:
    return max(a.holds(b.piece), b.holds(a.piece))


def main() -> None:
    import av

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CONCEPT_RECIPE_DATA", "recipe-data")))
    data = parser.parse_args().data
    halved = lambda wave: Prepared(resample_poly(wave, 1, 2).astype(np.float32))  # noqa: E731
    unseen = [(source, halved(decode_audio(av.open(io.BytesIO(content))))) for source, _, content in real_sounds.recordings(data)]
    trained = [(source, halved(wave)) for source, _, wave in recordings.waves(data)]
    pairs = sorted(((agreement(a, b), ours, theirs) for ours, a in trained for theirs, b in unseen), reverse=True)
    for found, ours, theirs in pairs[:20]:
        print(f"{found:.2f}  {ours}  {theirs}")


if __name__ == "__main__":
    main()
