"""Voices made from nothing: animals and people, by source and filter.

A voice is a periodic source whose pitch moves along a contour, made rough or breathy, through formants that move from
one mouth shape to another (Fant's source-filter model). `CREATURES` maps a name to a generator with the signature of
`procedural.GENERATORS`. The numbers are the project's own, set by hand from textbook pitch ranges.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.signal import lfilter

from .procedural import LENGTH, RATE, band, beats, buzz, click, drift, modes, noise, pick, place, rare, seconds, tone, white


@dataclass(frozen=True)
class Call:
    """One species' call. Ranges are (low, high); pitch in Hz, times in seconds, formants in Hz."""

    pitch: tuple[float, float]
    length: tuple[float, float]
    contour: tuple[float, ...]  # pitch at even steps through the call, as multiples of the drawn pitch
    opening: tuple[float, ...]  # formants at the start
    closing: tuple[float, ...]  # formants at the end
    breath: float = 0.1  # noise beside the tone
    rough: float = 0.1  # irregularity of pitch and loudness
    rate: float = 1.0  # calls a second
    burst: tuple[int, int] = (1, 1)  # calls in one go
    attack: float = 0.1  # part of the call spent rising
    bright: float = 0.6  # the source's harmonics fall as 1 / k ** bright
    trill: float = 0.0  # loudness trill, in Hz


def _formants(x: np.ndarray, peaks, scale: float) -> np.ndarray:
    y = np.zeros(len(x))
    for order, f in enumerate(peaks):
        f = min(f * scale, 7200)
        pole = np.exp(-np.pi * (60 + 0.08 * f) / RATE)
        b = 1 - pole
        y += lfilter([b], [1, -2 * pole * np.cos(2 * np.pi * f / RATE), pole**2], x) * 0.75**order * (1 + f / 2000)
    return y


def utter(r, call: Call, pitch: float, scale: float) -> np.ndarray:
    """One call at this pitch, by an animal whose formants are `scale` times the usual."""
    count = int(r.uniform(*call.length) * RATE)
    contour = np.array(call.contour) * np.exp(r.normal(0, 0.06, len(call.contour)))
    f = pitch * np.interp(np.linspace(0, 1, count), np.linspace(0, 1, len(contour)), contour)
    f = np.clip(f * (1 + call.rough * 0.25 * drift(r, 45, -1, 1, count)), 15, 7000)
    source = buzz(f, count, call.bright) * (1 + call.rough * drift(r, 60, -1, 1, count)) + call.breath * 2.5 * white(r, count)
    mix = np.linspace(0, 1, count)
    y = _formants(source, call.opening, scale) * (1 - mix) + _formants(source, call.closing, scale) * mix
    rise = max(call.attack, 0.01)
    envelope = np.minimum(np.linspace(0, 1 / rise, count), 1) * np.minimum(np.linspace(1, 0, count) / 0.35, 1)
    if call.trill:
        envelope = envelope * (0.55 + 0.45 * np.sin(2 * np.pi * call.trill * r.uniform(0.85, 1.15) * np.arange(count) / RATE))
    return y * envelope / (np.abs(y).max() + 1e-9)


def calling(r, pace: float, call: Call) -> np.ndarray:
    pitch, scale = pick(r, *call.pitch), r.uniform(0.82, 1.22)
    y = np.zeros(LENGTH)
    at = r.uniform(0, 0.5)
    while at < LENGTH / RATE:
        for _ in range(r.integers(call.burst[0], call.burst[1] + 1)):
            sound = utter(r, call, pitch * np.exp(r.normal(0, 0.05)), scale)
            y += place([at], lambda i: sound * r.uniform(0.7, 1))
            at += len(sound) / RATE + r.uniform(0.02, 0.12)
        at += r.exponential(0.7 / (call.rate * pace))
    return y + 1e-3 * noise(r, 80, 4000, -2)


CALLS = {
    "dog": Call((300, 700), (0.12, 0.28), (0.7, 1.15, 1, 0.6), (750, 1500, 2900), (500, 1100, 2600), 0.35, 0.5, 1.2, (1, 4), 0.08, 0.4),
    "wolf": Call((330, 560), (1.2, 2.4), (0.6, 1, 1.15, 1.1, 0.8), (550, 950, 2400), (420, 800, 2300), 0.05, 0.05, 0.5, attack=0.2, bright=1.1),
    "fox": Call((500, 900), (0.25, 0.6), (0.9, 1.3, 0.9), (900, 2100, 3400), (700, 1700, 3200), 0.4, 0.7, 0.8, attack=0.1, bright=0.3),
    "cat": Call((420, 800), (0.45, 1.1), (0.85, 1.2, 1.15, 0.8), (500, 2300, 3300), (950, 1450, 2900), 0.08, 0.08, 0.7, attack=0.2, bright=0.6),
    "cow": Call((90, 180), (1.0, 2.0), (0.75, 1, 1.05, 0.85), (300, 700, 2200), (620, 1050, 2500), 0.08, 0.12, 0.4, attack=0.15, bright=0.5),
    "sheep": Call((180, 340), (0.6, 1.3), (0.95, 1, 1, 0.85), (650, 1600, 2600), (750, 1700, 2700), 0.15, 0.25, 0.6, attack=0.06, bright=0.3, trill=8),
    "goat": Call((230, 450), (0.5, 1.1), (1, 1.1, 1, 0.8), (800, 1900, 2800), (850, 1800, 2900), 0.15, 0.3, 0.7, attack=0.05, bright=0.25, trill=11),
    "pig": Call((90, 260), (0.12, 0.4), (0.8, 1.2, 0.8), (450, 1300, 2300), (380, 1100, 2400), 0.7, 0.9, 1.5, (1, 4), 0.1, 0.3),
    "horse": Call((500, 1100), (0.9, 1.8), (0.7, 1.3, 1.15, 0.8, 0.5), (800, 1800, 3000), (500, 1200, 2600), 0.25, 0.35, 0.4, attack=0.08, bright=0.4, trill=12),
    "donkey": Call((220, 420), (0.4, 0.8), (1.5, 1.4, 0.7, 0.6), (700, 2000, 3000), (500, 900, 2500), 0.45, 0.7, 1.2, (2, 4), 0.1, 0.3),
    "lion": Call((55, 130), (0.8, 2.0), (0.7, 1.1, 0.95, 0.6), (500, 950, 2100), (350, 750, 2000), 0.6, 1.0, 0.5, attack=0.15, bright=0.25),
    "bear": Call((60, 140), (0.5, 1.4), (0.9, 1.1, 0.8), (400, 850, 1900), (330, 700, 1900), 0.8, 1.1, 0.6, attack=0.1, bright=0.3),
    "tiger": Call((60, 120), (0.5, 1.5), (0.8, 1.2, 0.7), (600, 1150, 2400), (400, 850, 2100), 0.8, 1.0, 0.5, attack=0.08, bright=0.25),
    "elephant": Call((320, 620), (0.6, 1.6), (0.7, 1.2, 1.2, 0.9), (700, 1500, 2700), (600, 1300, 2600), 0.25, 0.5, 0.5, attack=0.08, bright=0.2),
    "monkey": Call((450, 1100), (0.08, 0.25), (0.8, 1.3, 0.8), (700, 1400, 2900), (900, 1700, 3000), 0.25, 0.4, 1.2, (3, 8), 0.1, 0.5),
    "seal": Call((140, 320), (0.25, 0.6), (0.8, 1.1, 0.9), (600, 1200, 2400), (500, 1000, 2300), 0.4, 0.6, 1.2, (2, 4), 0.08, 0.3),
    "deer": Call((180, 420), (0.4, 1.0), (0.9, 1.1, 0.8), (500, 1200, 2500), (450, 1000, 2400), 0.4, 0.5, 0.6, attack=0.1, bright=0.4),
    "camel": Call((90, 200), (0.5, 1.4), (0.9, 1.05, 0.9), (450, 1000, 2300), (400, 900, 2200), 0.5, 0.8, 0.6, attack=0.1, bright=0.3),
    "mouse": Call((2600, 5500), (0.04, 0.14), (0.9, 1.15, 0.95), (4200, 6000), (4500, 6300), 0.08, 0.1, 1.5, (2, 6), 0.15, 1.2),
    "frog": Call((110, 420), (0.12, 0.45), (0.95, 1, 1.1), (700, 1500, 2800), (900, 1900, 3000), 0.2, 0.25, 1.5, (1, 4), 0.12, 0.2, trill=32),
    "rooster": Call((500, 850), (0.2, 0.9), (0.8, 1.3, 1.25, 0.75), (1000, 2200, 3400), (900, 1900, 3200), 0.15, 0.2, 0.5, (3, 5), 0.1, 0.25),
    "chicken": Call((350, 650), (0.07, 0.3), (0.9, 1.25, 0.8), (900, 1900, 3200), (1000, 2000, 3200), 0.25, 0.3, 1.5, (2, 6), 0.12, 0.35),
    "chick": Call((2600, 4300), (0.06, 0.14), (1.25, 1, 0.75), (3500, 5500), (3000, 5000), 0.03, 0.04, 1.6, (2, 6), 0.12, 1.6),
    "duck": Call((170, 330), (0.12, 0.32), (1.05, 1, 0.85), (1100, 2100, 3100), (1000, 1900, 2900), 0.3, 0.35, 1.3, (2, 6), 0.06, 0.1),
    "goose": Call((300, 560), (0.2, 0.5), (0.75, 1.2, 0.9), (1000, 1800, 2900), (900, 1700, 2800), 0.25, 0.35, 1.1, (1, 4), 0.08, 0.2),
    "turkey": Call((380, 620), (0.7, 1.2), (1.15, 1, 0.85), (900, 1700, 2800), (800, 1500, 2700), 0.2, 0.3, 0.6, attack=0.05, bright=0.35, trill=15),
    "crow": Call((280, 520), (0.25, 0.5), (0.95, 1.08, 0.85), (1200, 1750, 2900), (1100, 1650, 2800), 0.45, 0.75, 1.0, (2, 4), 0.08, 0.15),
    "seagull": Call((700, 1300), (0.3, 0.8), (0.85, 1.25, 1.05, 0.75), (1400, 2600, 4000), (1200, 2300, 3800), 0.12, 0.25, 1.0, (2, 5), 0.1, 0.4),
    "eagle": Call((1800, 3000), (0.35, 0.9), (0.95, 1.15, 0.8), (2600, 4200), (2300, 4000), 0.2, 0.2, 0.7, (1, 3), 0.08, 0.7),
    "parrot": Call((600, 1500), (0.15, 0.5), (0.8, 1.3, 0.9), (1300, 2500, 3800), (1000, 2000, 3500), 0.35, 0.6, 1.1, (1, 3), 0.08, 0.2),
    "penguin": Call((200, 420), (0.5, 1.2), (0.9, 1.1, 0.9), (900, 1700, 3000), (800, 1600, 2800), 0.3, 0.5, 0.7, (1, 2), 0.08, 0.2, trill=18),
    "owl": Call((290, 520), (0.25, 0.9), (0.93, 1.03, 0.97), (400, 800), (400, 800), 0.05, 0.04, 0.8, (1, 3), 0.2, 2.5, trill=0),
    "pigeon": Call((260, 450), (0.3, 0.7), (0.9, 1.1, 0.95), (380, 750), (400, 800), 0.06, 0.12, 1.0, (2, 3), 0.25, 2.0, trill=24),
    "baby crying": Call((350, 600), (0.6, 1.3), (0.8, 1.15, 1.1, 0.85), (1000, 1500, 3200), (850, 1350, 3100), 0.12, 0.25, 1.0, (1, 3), 0.12, 0.35),
    "screaming": Call((700, 1400), (0.6, 1.6), (0.85, 1.15, 1.1, 0.9), (1100, 1700, 3200), (1000, 1600, 3100), 0.2, 0.35, 0.6, attack=0.06, bright=0.2),
    "laughter": Call((180, 450), (0.09, 0.17), (1.15, 1.05, 0.85), (700, 1300, 2600), (600, 1200, 2500), 0.35, 0.15, 1.1, (4, 9), 0.12, 0.6),
    "cough": Call((110, 260), (0.14, 0.3), (1.1, 0.9, 0.8), (650, 1300, 2600), (550, 1200, 2500), 1.6, 0.8, 1.0, (1, 3), 0.03, 0.5),
    "sneeze": Call((250, 480), (0.3, 0.55), (0.7, 1.3, 0.7), (600, 1700, 2900), (3500, 5500, 6500), 1.3, 0.4, 0.4, attack=0.5, bright=0.5),
    "snoring": Call((35, 85), (0.8, 1.4), (0.9, 1.1, 0.9), (300, 900, 2200), (350, 1000, 2300), 0.9, 0.8, 0.6, attack=0.35, bright=0.1),
    "ghost": Call((220, 480), (1.2, 2.4), (0.75, 1.15, 1.2, 0.8), (350, 750, 2300), (420, 900, 2400), 0.15, 0.05, 0.7, attack=0.35, bright=1.3, trill=5),
    "kiss": Call((1500, 3000), (0.05, 0.12), (0.7, 1.4), (2200, 4200), (3200, 5200), 1.0, 0.3, 0.6, attack=0.6, bright=1.0),
}  # fmt: skip

VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410), (660, 1720, 2410))


def talking(r, pace):
    pitch, scale = pick(r, 85, 260), r.uniform(0.9, 1.2)

    def syllable(i):
        a, b = r.integers(0, len(VOWELS), 2)
        spoken = utter(r, Call((100, 200), (0.1, 0.3), (1, 1.05, 0.92), VOWELS[a], VOWELS[b], 0.06, 0.04, bright=0.7), pitch * np.exp(r.normal(0, 0.12)), scale)
        if r.uniform() < 0.4:
            return np.concatenate([0.25 * click(r, 2500, 7500, 0.02), spoken])
        return spoken

    return place(beats(r, 4.2 * pace, 0.3), lambda i: syllable(i) if r.uniform() < 0.85 else np.zeros(1)) + 1e-3 * noise(r, 80, 4000)


def crowd(r, pace):
    return sum(talking(r, pace) * r.uniform(0.4, 1) for _ in range(3)) + 0.15 * noise(r, 200, 3500, -2)


def cheering(r, pace):
    cheer = Call((250, 700), (0.7, 1.8), (0.9, 1.15, 1.1, 0.9), (750, 1300, 2700), (600, 1100, 2500), 0.2, 0.15, bright=0.4)
    return place(rare(r, 4), lambda i: utter(r, cheer, pick(r, 250, 700), r.uniform(0.9, 1.2))) + 0.5 * noise(r, 500, 4500, -1)


def purring(r, pace):
    cycle = 0.6 + 0.4 * np.sin(2 * np.pi * 0.6 * pace * (seconds() + r.uniform(0, 2)))
    return band(buzz(pick(r, 21, 32) * (1 + 0.06 * drift(r, 6, -1, 1)), bright=0.1) + 0.5 * white(r), 60, pick(r, 400, 1300)) * cycle


def bird(r, pace):
    base = pick(r, 2000, 5200)

    def chirp(i):
        count = int(r.uniform(0.04, 0.22) * RATE)
        path = np.interp(np.linspace(0, 1, count), np.linspace(0, 1, 4), np.exp(r.normal(0, 0.2, 4)))
        return tone(np.clip(base * path, 900, 7400), count) * np.hanning(count) * r.uniform(0.3, 1)

    motif = [chirp(0) for _ in range(r.integers(1, 5))]
    return place(beats(r, 5 * pace * r.uniform(0.5, 1.6), 0.2), lambda i: motif[i % len(motif)] if r.uniform() < 0.8 else chirp(i)) + 1e-3 * noise(r, 200, 6000)


def cuckoo(r, pace):
    f, start = pick(r, 560, 780), beats(r, 0.75 * pace, 0.02)
    note = lambda k: tone(f * k, 4000, (1, 0.08)) * np.hanning(4000)  # noqa: E731
    return place(start, lambda i: note(1.0)) + place(start + 0.33, lambda i: note(0.8)) + 1e-3 * noise(r, 100, 5000)


def woodpecker(r, pace):
    f = r.uniform(500, 2500, 4)
    start = rare(r, 0.8) if r.uniform() < 0.6 else [0.3]
    return sum(place(s + np.arange(0, r.uniform(0.5, 1.0), 1 / (18 * pace)), lambda i: modes(r, f, 0.008, None, 0.05)) for s in [0.1, *start]) + 1e-3 * noise(r, 200, 6000)


def crickets(r, pace):
    y = np.zeros(LENGTH)
    for _ in range(r.integers(1, 4)):
        pulse, chirps = pick(r, 25, 60), pick(r, 1, 4) * pace
        gate = np.clip(np.sin(2 * np.pi * pulse * seconds()), 0, 1) * ((seconds() * chirps + r.uniform()) % 1 < r.uniform(0.3, 0.7))
        y += tone(pick(r, 3600, 5600)) * gate * r.uniform(0.3, 1)
    return y + 0.01 * noise(r, 200, 7000)


def cicada(r, pace):
    return noise(r, 4200, 7000) * (0.55 + 0.45 * np.sin(2 * np.pi * pick(r, 40, 140) * seconds())) * drift(r, 1, 0.3, 1)


def insect(r, pace, low: float, high: float, bright: float) -> np.ndarray:
    f = pick(r, low, high) * np.exp(drift(r, 2.5, -0.12, 0.12))
    return band(buzz(f, bright=bright) * (1 + 0.3 * drift(r, 25, -1, 1)), low * 0.8, 6500) * drift(r, 1.5, 0.15, 1)


def snake(r, pace):
    y = noise(r, 3000, 7800, 1) * drift(r, 2, 0, 1)
    return y * (0.5 + 0.5 * np.sin(2 * np.pi * r.uniform(45, 70) * seconds())) if r.uniform() < 0.3 else y


def dolphin(r, pace):
    def whistle(i):
        count = int(r.uniform(0.2, 0.7) * RATE)
        path = np.interp(np.linspace(0, 1, count), np.linspace(0, 1, 4), np.exp(r.normal(0, 0.25, 4)))
        return tone(np.clip(pick(r, 3000, 5500) * path, 1500, 7400), count, (1, 0.2)) * np.hanning(count)

    clicks = place(r.uniform(0, 2) + np.cumsum(np.linspace(0.04, 0.008, 50)), lambda i: click(r, 2500, 7500, 0.001))
    return place(rare(r, 2), whistle) + clicks * r.uniform(0, 1) + 2e-3 * noise(r, 100, 5000)


def whale(r, pace):
    song = Call((90, 420), (0.9, 2.2), (0.7, 1.2, 0.9, 1.3, 0.8), (350, 900, 1800), (500, 1100, 1900), 0.05, 0.08, bright=0.9, attack=0.3)
    return calling(r, 0.5 * pace, song) + 0.05 * noise(r, 40, 500, -3)


CREATURES = {
    **{name: partial(calling, call=call) for name, call in CALLS.items()},
    "talking": talking, "crowd": crowd, "cheering": cheering, "purring cat": purring, "bird": bird, "cuckoo": cuckoo,
    "woodpecker": woodpecker, "crickets": crickets, "cicada": cicada, "snake": snake, "dolphin": dolphin, "whale": whale,
    "bee": partial(insect, low=170, high=290, bright=0.35), "fly": partial(insect, low=130, high=220, bright=0.6),
    "mosquito": partial(insect, low=420, high=800, bright=0.9),
}  # fmt: skip
