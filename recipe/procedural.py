"""Sounds made from nothing: nature, machines, houses and hands, each a function of a numpy random generator.

Every generator takes `r` (numpy Generator) and `pace` (events a second relative to the usual, 1.0) and gives LENGTH
float samples at RATE with no particular level. `GENERATORS` maps the name a person would give the sound to its
generator; `PACED` names those whose events a person could call slow or fast.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.fft import irfft, rfft
from scipy.signal import lfilter

RATE = 16000
LENGTH = 49152


def seconds() -> np.ndarray:
    return np.arange(LENGTH) / RATE


def pick(r, low: float, high: float) -> float:
    """A value between low and high, even on a logarithmic scale."""
    return float(np.exp(r.uniform(np.log(low), np.log(high))))


def white(r, count: int = LENGTH) -> np.ndarray:
    return r.standard_normal(count, np.float32)


@lru_cache(maxsize=32)
def frequencies(count: int) -> np.ndarray:
    """The frequency of each bin of an rfft of `count` samples, at least 1 Hz."""
    return np.maximum(np.arange(count // 2 + 1) * RATE / count, 1.0).astype(np.float32)


def response(count: int, low: float, high: float, slope: float) -> np.ndarray:
    """Gain at each bin: flat from low to high Hz, 12 dB an octave outside, tilted by slope dB an octave."""
    f = frequencies(count)
    gain = 1 / np.sqrt((1 + (low / f) ** 4) * (1 + (f / high) ** 4))
    return gain * (f / 1000) ** np.float32(slope / 6.02) if slope else gain


def level(x: np.ndarray) -> np.ndarray:
    return x * np.float32(1 / (np.sqrt(np.dot(x, x) / len(x)) + 1e-9))


def band(x: np.ndarray, low: float, high: float, slope: float = 0.0) -> np.ndarray:
    """x filtered by `response`, at unit RMS."""
    x = np.asarray(x, np.float32)
    return level(irfft(rfft(x) * response(len(x), low, high, slope), len(x)))


def noise(r, low: float, high: float, slope: float = 0.0, count: int = LENGTH) -> np.ndarray:
    """Gaussian noise through `response` at unit RMS, drawn as its spectrum."""
    gain = response(count, low, high, slope)
    drawn = r.standard_normal((len(gain), 2), np.float32).view(np.complex64)[:, 0]
    return level(irfft(drawn * gain, count))


def drift(r, rate: float, low: float = 0.0, high: float = 1.0, count: int = LENGTH) -> np.ndarray:
    """A smooth random curve between low and high with about `rate` bends a second."""
    knots = max(4, int(count / RATE * rate) + 4)
    values = r.uniform(low, high, knots)
    place = np.linspace(0, knots - 3, count) + r.uniform(0, 1)
    index, part = place.astype(int), place % 1
    part = (1 - np.cos(np.pi * part)) / 2
    return values[index] * (1 - part) + values[index + 1] * part


def tone(f: np.ndarray | float, count: int = LENGTH, partials: tuple[float, ...] = (1.0,), phase: float = 0.0) -> np.ndarray:
    """Harmonics 1, 2, ... of the (moving) frequency f, with these amplitudes; those above 7.5 kHz left out."""
    f = np.broadcast_to(np.asarray(f, float), (count,))
    cycle = np.cumsum(f) / RATE + phase
    top = 7500 / max(f.max(), 1)
    return sum(a * np.sin(2 * np.pi * k * cycle) for k, a in enumerate(partials, 1) if k <= top) + np.zeros(count)


def buzz(f: np.ndarray | float, count: int = LENGTH, bright: float = 1.0) -> np.ndarray:
    """A pulse-like tone with harmonics falling as 1 / k**bright, from one table, up to 7.5 kHz."""
    f = np.broadcast_to(np.asarray(f, float), (count,))
    top = int(np.clip(7500 / f.max(), 1, 80))
    k = np.arange(1, top + 1)[:, None]
    table = (np.cos(2 * np.pi * k * np.arange(2048) / 2048) / k**bright).sum(0)
    return table[((np.cumsum(f) / RATE) % 1 * 2048).astype(int) % 2048] / np.sqrt((1 / k ** (2.0 * bright)).sum() / 2)


def fade(count: int, attack: float, decay: float) -> np.ndarray:
    """A rise over `attack` seconds, then an exponential fall with time constant `decay` seconds."""
    t = np.arange(count) / RATE
    return np.minimum(t / max(attack, 1e-4), 1) * np.exp(-np.maximum(t - attack, 0) / decay)


def modes(r, frequencies, decays, amplitudes=None, length: float = 1.0) -> np.ndarray:
    """A struck body: decaying sines at these frequencies (Hz) with these time constants (s)."""
    t = np.arange(int(length * RATE)) / RATE
    frequencies, decays = np.atleast_1d(frequencies), np.broadcast_to(decays, np.shape(np.atleast_1d(frequencies)))
    amplitudes = np.ones(len(frequencies)) if amplitudes is None else amplitudes
    y = np.zeros(len(t))
    for f, d, a in zip(frequencies, decays, amplitudes):
        if f < 7800:
            y += a * np.sin(2 * np.pi * f * t + r.uniform(0, 6.28)) * np.exp(-t / d)
    return y * np.minimum(t / 5e-4, 1)


def place(times, grains) -> np.ndarray:
    """Grains (one a time, or a function making one) laid down at times in seconds."""
    y = np.zeros(LENGTH)
    for i, start in enumerate(times):
        at = int(start * RATE)
        if 0 <= at < LENGTH:
            grain = grains(i) if callable(grains) else grains
            part = grain[: LENGTH - at]
            y[at : at + len(part)] += part
    return y


def beats(r, rate: float, jitter: float = 0.05) -> np.ndarray:
    """Times of events at about `rate` a second over the whole length, each off by up to jitter of a period."""
    count = int(LENGTH / RATE * rate) + 1
    return (np.arange(count) + r.uniform(0, 1) + r.uniform(-jitter, jitter, count)) / rate


def rare(r, rate: float) -> np.ndarray:
    """Poisson times at `rate` a second."""
    return np.sort(r.uniform(0, LENGTH / RATE, r.poisson(rate * LENGTH / RATE)))


def specks(r, rate: float, decay: float, spread: float = 0.8) -> np.ndarray:
    """Very many tiny noise bursts with lognormal sizes: crackle, drops, gravel."""
    y = np.zeros(LENGTH)
    count = r.poisson(rate * LENGTH / RATE)
    y[r.integers(0, LENGTH, count)] += r.lognormal(0, spread, count) * r.choice([-1, 1], count)
    pole = np.exp(-1 / (decay * RATE))
    return lfilter([1], [1, -pole], np.abs(y)) * white(r)


def bubble(r, low: float, high: float) -> np.ndarray:
    """One air bubble: a decaying sine whose pitch rises (Minnaert resonance, van den Doel 2005)."""
    f, decay = pick(r, low, high), pick(r, 0.01, 0.06)
    t = np.arange(int(5 * decay * RATE)) / RATE
    return np.sin(2 * np.pi * (f * t + f * r.uniform(0.5, 4) * t**2)) * np.exp(-t / decay) * r.lognormal(0, 0.5)


def click(r, low: float, high: float, decay: float) -> np.ndarray:
    count = int(decay * 8 * RATE) + 64
    return noise(r, low, high, count=count) * fade(count, 0.0005, decay)


def together(*parts: np.ndarray) -> np.ndarray:
    """The sum of grains of different lengths, all starting at once."""
    y = np.zeros(max(map(len, parts)))
    for part in parts:
        y[: len(part)] += part
    return y


# Fire, water, air, earth


def fire(r, pace):
    roar = noise(r, 40, pick(r, 250, 900), -3) * drift(r, 5, 0.3, 1)
    crackle = band(specks(r, pick(r, 8, 60), pick(r, 0.001, 0.006), 1.2), pick(r, 600, 1500), 6500)
    hiss = noise(r, 2000, 7000) * drift(r, 2, 0, 0.15)
    return roar * r.uniform(0.15, 1) + crackle * r.uniform(0.5, 1.3) + hiss * r.uniform(0, 0.6)


def waves(r, pace):
    swell = (0.5 + 0.5 * np.sin(2 * np.pi * (seconds() / r.uniform(2.2, 6) + r.uniform()))) ** r.uniform(1, 3)
    return noise(r, 60, 700, -4) * (0.3 + swell) + noise(r, 700, 7000, -2) * swell**1.6 * r.uniform(0.4, 1.3)


def rain(r, pace):
    drops = band(specks(r, pick(r, 80, 900), pick(r, 0.001, 0.005)), 900, 7500)
    return noise(r, pick(r, 300, 1500), 7500, r.uniform(-3, 1)) * r.uniform(0.3, 1) + drops * r.uniform(0.2, 1)


def hail(r, pace):
    return band(specks(r, pick(r, 25, 90), 0.004, 1.0), 1200, 7000) + 0.1 * noise(r, 500, 7000)


def wind(r, pace):
    y = noise(r, 30, pick(r, 200, 500), -4) * drift(r, 1, 0.3, 1)
    for _ in range(3):
        centre = pick(r, 180, 1100)
        y += noise(r, centre * 0.85, centre * 1.15) * drift(r, 1.2, 0, 1) ** 2 * r.uniform(0.2, 0.9)
    return y


def stream(r, pace):
    y = place(rare(r, pick(r, 30, 90)), lambda i: bubble(r, 350, 2500))
    return y / (y.std() + 1e-9) + noise(r, 400, 4500, -2) * drift(r, 8, 0.3, 1) * r.uniform(0.3, 1.0)


def waterfall(r, pace):
    return noise(r, 80, pick(r, 3500, 7500), r.uniform(-4, -1)) * drift(r, 4, 0.85, 1)


def drip(r, pace):
    return place(beats(r, 1.7 * pace, 0.25), lambda i: bubble(r, 700, 2200)) + 1e-3 * noise(r, 100, 4000)


def splash(r, pace):
    start = r.uniform(0.05, 0.6)
    count = int(1.6 * RATE)
    body = noise(r, 200, 5500, -2, count) * fade(count, 0.02, r.uniform(0.12, 0.4))
    tail = place(start + r.exponential(0.4, 40), lambda i: 0.5 * bubble(r, 400, 1800))
    return place([start], lambda i: body) + tail


def pouring(r, pace):
    rise = np.linspace(pick(r, 300, 600), pick(r, 900, 2200), LENGTH)
    y = place(rare(r, 70), lambda i: bubble(r, 400, 1600))
    return y / (y.std() + 1e-9) + 0.5 * tone(rise) * drift(r, 20, 0, 1) + 0.5 * noise(r, 500, 6000)


def bubbles(r, pace):
    return place(rare(r, pick(r, 6, 25)), lambda i: bubble(r, 250, 1400)) + 2e-3 * noise(r, 60, 3000)


def rumble_after(r, start: float) -> np.ndarray:
    body = noise(r, 25, pick(r, 90, 260), -3)
    envelope = np.zeros(LENGTH)
    for lag in [0, *r.exponential(0.6, 5)]:
        at = int((start + lag) * RATE)
        if at < LENGTH:
            envelope[at:] += fade(LENGTH - at, 0.03, r.uniform(0.2, 1.1)) * r.uniform(0.3, 1)
    return body * envelope


def thunder(r, pace):
    start = r.uniform(0, 0.7)
    y = rumble_after(r, start) * 1.5
    if r.uniform() < 0.7:
        crack = band(specks(r, 180, 0.012, 1.0), 200, 5500) * np.roll(fade(LENGTH, 0.005, r.uniform(0.1, 0.45)), int(start * RATE))
        y += crack * r.uniform(0.3, 1.2)
    return y


def storm(r, pace):
    return 0.7 * wind(r, pace) + 0.6 * rain(r, pace) + thunder(r, pace) * r.uniform(0.5, 1.5)


def earthquake(r, pace):
    return noise(r, 18, pick(r, 60, 130), -3) * drift(r, 9, 0.3, 1) + 0.15 * band(specks(r, 60, 0.02), 80, 900)


def explosion(r, pace):
    start = r.uniform(0.02, 0.5)
    bang = np.roll(fade(LENGTH, 0.003, r.uniform(0.08, 0.35)), int(start * RATE))
    return noise(r, 40, 6000, -4) * bang * 2 + rumble_after(r, start)


def gunshot(r, pace):
    times = r.uniform(0.05, 0.5) + np.cumsum(r.uniform(0.25, 0.9, r.integers(1, 4)))
    return place(times, lambda i: noise(r, 150, 7000, -2, 9600) * fade(9600, 0.0008, r.uniform(0.02, 0.08)))


def fireworks(r, pace):
    y = np.zeros(LENGTH)
    for start in r.uniform(0, 2, r.integers(1, 4)):
        climb = int(r.uniform(0.3, 0.7) * RATE)
        y += place([start], lambda i: 0.15 * tone(np.linspace(900, r.uniform(1800, 3200), climb), climb) * np.linspace(0.2, 1, climb))
        bang = start + climb / RATE
        y += place([bang], lambda i: noise(r, 50, 4000, -4, 16000) * fade(16000, 0.003, 0.12))
        y += place(bang + 0.2 + r.exponential(0.35, 40), lambda i: 0.25 * click(r, 1500, 7000, r.uniform(0.002, 0.01)))
    return y


# Bells, alarms, signals


def church_bell(r, pace):
    f = pick(r, 130, 600)
    ratios = np.array([0.5, 1, 1.19, 1.5, 2, 2.51, 2.66, 3.01, 4.1]) * (1 + r.normal(0, 0.004, 9))
    return place(beats(r, 0.9 * pace, 0.03), lambda i: modes(r, f * ratios, r.uniform(0.7, 1.4) * 1.5 / ratios**0.7, r.uniform(0.3, 1, 9), 2.8))


def bell(r, pace):
    f = pick(r, 700, 2600)
    ratios = np.array([1, 2.0, 2.76, 4.1, 5.4]) * (1 + r.normal(0, 0.01, 5))
    return place(beats(r, 2.2 * pace, 0.15), lambda i: modes(r, f * ratios, r.uniform(0.25, 0.8) / ratios**0.5, r.uniform(0.2, 1, 5), 1.6))


def gong(r, pace):
    f = np.sort(np.exp(r.uniform(np.log(60), np.log(1800), 28)))
    shimmer = modes(r, f, 2.2 / (1 + f / 500), 1 / (1 + f / 300) * r.uniform(0.3, 1, 28), 3.0)
    return place([r.uniform(0, 0.3)], lambda i: shimmer * (1 - np.exp(-np.arange(48000) / RATE / 0.04)))


def doorbell(r, pace):
    f, start = pick(r, 450, 900), r.uniform(0.02, 0.4)
    ding = lambda i: modes(r, f * (1.0 if i == 0 else r.uniform(0.78, 0.82)) * np.array([1, 2, 3, 4.2]), 0.6, [1, 0.4, 0.15, 0.1], 2.2)  # noqa: E731
    return place([start, start + r.uniform(0.4, 0.8)], ding)


def chimes(r, pace):
    base = pick(r, 600, 1300) * 2 ** (np.array([0, 2, 4, 7, 9, 12, 14, 16]) / 12)
    return place(rare(r, 4), lambda i: modes(r, r.choice(base) * np.array([1, 2.76, 5.4]), [0.9, 0.4, 0.2], r.uniform(0.2, 1, 3), 1.8))


def telephone(r, pace):
    gate = (seconds() + r.uniform(0, 1.5)) % r.uniform(1.6, 3.5) < r.uniform(0.8, 1.5)
    if r.uniform() < 0.6:
        f, rate = pick(r, 900, 1900), r.uniform(16, 28)
        strikes = place(np.arange(0, 3.1, 1 / rate), lambda i: modes(r, f * np.array([1, 1.32 if i % 2 else 1.02, 2.7]), 0.08, [1, 0.6, 0.3], 0.3))
        return strikes * gate + 1e-4 * white(r)
    a, b = r.choice([440, 480, 620, 950, 1400]), r.choice([425, 620, 770, 1100])
    return (tone(a) + tone(b)) * gate * (0.6 + 0.4 * np.sign(tone(r.uniform(12, 25)))) + 1e-4 * white(r)


def alarm(r, pace):
    f, rate = pick(r, 700, 3200), 4 * pace * r.uniform(0.6, 1.5)
    gate = (seconds() * rate) % 1 < r.uniform(0.35, 0.6)
    if r.uniform() < 0.5:
        gate = gate * (seconds() % 1.1 < 0.65)
    return buzz(f, bright=r.uniform(0.8, 3)) * gate + 1e-4 * white(r)


def siren(r, pace):
    t, rate = seconds() + r.uniform(0, 3), r.choice([0.25, 0.35, 0.6, 1.2, 3.5]) * pace * r.uniform(0.8, 1.25)
    low, high = pick(r, 350, 700), pick(r, 900, 1700)
    style = r.integers(3)
    shape = (0.5 - 0.5 * np.cos(2 * np.pi * rate * t)) if style == 0 else (np.sin(2 * np.pi * rate * t) > 0) if style == 1 else np.abs((rate * t) % 1 * 2 - 1)
    return buzz(low + (high - low) * lfilter([0.003], [1, -0.997], shape), bright=r.uniform(0.9, 2.2)) + 0.02 * noise(r, 100, 4000)


def car_horn(r, pace):
    f = pick(r, 300, 480)
    gate = (seconds() * r.uniform(0.7, 2) + r.uniform()) % 1 < r.uniform(0.4, 0.95)
    gate = lfilter([0.01], [1, -0.99], gate.astype(float))
    return band(buzz(f, bright=0.7) + buzz(f * r.uniform(1.18, 1.28), bright=0.7), 250, 4500) * gate + 0.01 * noise(r, 60, 4000)


def ship_horn(r, pace):
    gate = lfilter([0.001], [1, -0.999], ((seconds() + r.uniform(0, 0.5)) % 4 < r.uniform(1.5, 3)).astype(float))
    return band(buzz(pick(r, 70, 170) * (1 + 0.01 * drift(r, 3)), bright=0.6), 60, 1800) * gate + 0.02 * noise(r, 40, 2000, -3)


def train_horn(r, pace):
    f = pick(r, 260, 420)
    gate = lfilter([0.004], [1, -0.996], ((seconds() + r.uniform(0, 1)) % 1.7 < r.uniform(0.7, 1.5)).astype(float))
    return sum(buzz(f * k, bright=1.0) for k in (1, 1.19, 1.41, 1.68)) * gate + 0.1 * noise(r, 60, 3000, -3)


def whistle(r, pace):
    f = pick(r, 800, 1700) * 2 ** (drift(r, 3 * pace, 0, 1.0))
    gate = lfilter([0.005], [1, -0.995], (drift(r, 3 * pace, 0, 1) > 0.3).astype(float))
    return (tone(f * (1 + 0.006 * np.sin(2 * np.pi * 5.5 * seconds())), partials=(1, 0.05)) + 0.08 * noise(r, 900, 4500)) * gate


def referee(r, pace):
    gate = (seconds() + r.uniform(0, 1)) % r.uniform(0.5, 1.6) < r.uniform(0.25, 0.8)
    f = pick(r, 2300, 3900)
    return (tone(f * (1 + 0.03 * np.sin(2 * np.pi * r.uniform(20, 45) * seconds()))) + 0.15 * noise(r, 2000, 5000)) * gate + 1e-4 * white(r)


def kettle(r, pace):
    f = pick(r, 1600, 3300)
    return tone(np.linspace(f * r.uniform(0.75, 1), f, LENGTH), partials=(1, 0.3)) * np.linspace(r.uniform(0.1, 1), 1, LENGTH) + 0.3 * noise(r, 300, 6500)


def beep(r, pace):
    gate = (seconds() * 2 * pace * r.uniform(0.7, 1.6) + r.uniform()) % 1 < r.uniform(0.2, 0.7)
    return tone(pick(r, 400, 2600)) * lfilter([0.02], [1, -0.98], gate.astype(float)) + 1e-4 * white(r)


def game(r, pace):
    notes = r.choice([0, 4, 7, 12, 16, 19, 24], 40)
    rate = 9 * pace
    f = pick(r, 220, 700) * 2 ** (notes[(seconds() * rate).astype(int) % 40] / 12)
    return np.sign(np.sin(2 * np.pi * np.cumsum(f) / RATE)) * np.exp(-((seconds() * rate) % 1) * r.uniform(0, 3))


def laser(r, pace):
    def shot(i):
        count = int(r.uniform(0.15, 0.5) * RATE)
        return buzz(pick(r, 2500, 5000) * np.exp(-np.linspace(0, r.uniform(2, 4), count)), count, 1.3) * fade(count, 0.003, 0.15)

    return place(beats(r, 2.2 * pace, 0.2), shot)


def spaceship(r, pace):
    wobble = 1 + r.uniform(0.05, 0.3) * np.sin(2 * np.pi * pick(r, 2, 9) * seconds())
    return tone(pick(r, 200, 900) * wobble, partials=(1, 0.4, 0.2)) + 0.6 * buzz(pick(r, 50, 120), bright=1.2) + 0.3 * noise(r, 80, 1500) * drift(r, 2)


def static(r, pace):
    return noise(r, pick(r, 30, 400), 7600, r.uniform(-1, 1)) * (1 if r.uniform() < 0.6 else drift(r, 25, 0.2, 1))


# Engines and machines


def rotor(r, f, rough: float, low: float, high: float, bright: float = 0.8) -> np.ndarray:
    wander = f * (1 + rough * 0.1 * drift(r, 14, -1, 1))
    return band(buzz(wander, bright=bright) * (1 + rough * drift(r, 30, -1, 1)) + rough * white(r), low, high)


def engine(r, pace):
    revs = pick(r, 22, 75) * np.exp(drift(r, 0.7, -0.25, 0.5))
    return rotor(r, revs, 0.5, 40, pick(r, 500, 1600)) + 0.25 * noise(r, 100, 4000, -3)


def car_passing(r, pace):
    middle, width = r.uniform(0.8, 2.2), r.uniform(0.25, 0.7)
    near = 1 / (1 + ((seconds() - middle) / width) ** 2)
    doppler = 1 - 0.12 * np.tanh((seconds() - middle) / width)
    return (noise(r, 80, 3500, -2) + 0.6 * rotor(r, pick(r, 60, 130) * doppler, 0.4, 60, 1500)) * (0.05 + near)


def motorcycle(r, pace):
    return rotor(r, pick(r, 35, 130) * np.exp(drift(r, 1.2, -0.3, 0.6)), 0.9, 60, pick(r, 1500, 4000), 0.5)


def racing_car(r, pace):
    middle = r.uniform(0.8, 2.2)
    f = pick(r, 180, 480) * (1 - 0.25 * np.tanh((seconds() - middle) / 0.35))
    return rotor(r, f, 0.3, 150, 6000, 0.6) * (0.15 + 1 / (1 + ((seconds() - middle) / 0.5) ** 2))


def train(r, pace):
    gap = r.uniform(0.08, 0.16)
    start = beats(r, 1.6 * pace, 0.03)
    clack = place(np.sort(np.concatenate([start, start + gap])), lambda i: together(modes(r, r.uniform(150, 900, 5), 0.04, None, 0.25), 0.7 * click(r, 300, 4000, 0.012)))
    return clack / (clack.std() + 1e-9) + noise(r, 50, pick(r, 500, 2000), -3) * r.uniform(0.3, 1)


def steam_train(r, pace):
    puff = place(beats(r, 3 * pace, 0.04), lambda i: noise(r, 300, 5000, -2, 5000) * fade(5000, 0.02, 0.07) * (1.4 if i % 4 == 0 else 1))
    return puff + 0.15 * noise(r, 60, 900, -3)


def helicopter(r, pace):
    rate = 13 * r.uniform(0.75, 1.3) * pace
    chop = (0.5 + 0.5 * np.cos(2 * np.pi * (seconds() * rate + r.uniform()))) ** r.uniform(2, 6)
    return noise(r, 40, pick(r, 700, 2500), -3) * (0.1 + chop) + 0.2 * rotor(r, pick(r, 80, 200), 0.2, 60, 2500)


def jet(r, pace):
    rise = np.linspace(1, r.uniform(0.8, 1.3), LENGTH)
    return noise(r, 60, 5000, -1.5) * np.linspace(r.uniform(0.2, 1), r.uniform(0.2, 1), LENGTH) + 0.3 * tone(pick(r, 1400, 3800) * rise)


def propeller(r, pace):
    return rotor(r, pick(r, 60, 140) * np.linspace(1, r.uniform(0.85, 1.1), LENGTH), 0.25, 50, 2500, 0.7)


def rocket(r, pace):
    return noise(r, 30, pick(r, 1200, 4000), -3) * np.linspace(r.uniform(0, 1), 1, LENGTH) * drift(r, 25, 0.6, 1)


def chainsaw(r, pace):
    return rotor(r, pick(r, 90, 190) * np.exp(drift(r, 1.5, -0.2, 0.35)), 0.7, 150, 6500, 0.35)


def drill(r, pace):
    f = pick(r, 180, 600) * np.exp(drift(r, 1, -0.2, 0.2))
    return rotor(r, f, 0.4, 200, 7000, 0.3) + 0.4 * noise(r, 2000, 7500)


def vacuum(r, pace):
    return noise(r, 150, 6500, -2) + rotor(r, pick(r, 180, 600), 0.05, 150, 5000, 0.8) * r.uniform(0.4, 1) + 0.2 * noise(r, 40, 300)


def washing_machine(r, pace):
    turn = 0.5 + 0.5 * np.sin(2 * np.pi * r.uniform(0.7, 2.5) * pace * seconds())
    return noise(r, 40, 900, -3) * (0.3 + turn) + 0.5 * rotor(r, pick(r, 50, 120), 0.2, 40, 1200)


def fan(r, pace):
    return noise(r, 60, 2500, -3) * (0.8 + 0.2 * np.sin(2 * np.pi * pick(r, 5, 20) * seconds())) + 0.3 * rotor(r, pick(r, 90, 130), 0.02, 80, 1000)


def saw(r, pace):
    stroke = (seconds() * 1.8 * pace + r.uniform()) % 1
    return noise(r, pick(r, 500, 1500), 6500) * np.sin(np.pi * stroke) ** 2 * np.where(stroke < 0.5, 1, 0.6) * (0.6 + 0.4 * np.abs(tone(pick(r, 40, 140))))


def hammer(r, pace):
    f = r.uniform(300, 3500, 7)
    return place(beats(r, 2.2 * pace, 0.08), lambda i: together(modes(r, f, r.uniform(0.02, 0.12), r.uniform(0.3, 1, 7), 0.5), 1.5 * click(r, 400, 6000, 0.006)))


# Hands, feet, houses


def heartbeat(r, pace):
    first = beats(r, 1.25 * pace, 0.02)
    thud = lambda f, d: modes(r, f, d, None, 0.3)  # noqa: E731
    y = place(first, lambda i: thud([45, 62, 85], 0.05)) + place(first + 0.26 / max(pace, 0.6), lambda i: 0.7 * thud([55, 80, 110], 0.035))
    return y + 0.01 * noise(r, 30, 400)


def clock(r, pace):
    f = r.uniform(1200, 5500, 4)
    low = r.uniform(0.75, 1)
    return place(beats(r, 2 * pace * r.choice([1, 2]), 0.01), lambda i: together(modes(r, f * (low if i % 2 else 1), 0.008, r.uniform(0.4, 1, 4), 0.1), 0.4 * click(r, 1500, 7000, 0.002))) + 5e-4 * white(r)


def footsteps(r, pace):
    surface = r.integers(3)

    def step(i):
        count = int(0.3 * RATE)
        thud = modes(r, r.uniform(60, 260, 3), 0.03, None, 0.3)[:count]
        if surface == 0:
            return together(thud, 0.6 * click(r, 400, 4500, 0.008))
        grit = band(np.abs(white(r, count)) ** 3 * white(r, count), 700 if surface == 1 else 300, 6500 if surface == 1 else 2500)
        return 0.3 * thud + 0.8 * grit * fade(count, 0.03, 0.06)

    return place(beats(r, 2 * pace, 0.06), step) + 2e-3 * noise(r, 60, 4000)


def crunching_snow(r, pace):
    def step(i):
        count = int(r.uniform(0.2, 0.4) * RATE)
        return band(white(r, count) * np.abs(white(r, count)) ** 2, 1000, 6000) * np.hanning(count) ** 0.7

    return place(beats(r, 1.8 * pace, 0.06), step) + 2e-3 * noise(r, 60, 4000)


def gallop(r, pace):
    start = beats(r, 2.2 * pace, 0.03)
    hoof = lambda i: together(modes(r, r.uniform(250, 1400, 4), 0.015, None, 0.12), 0.6 * click(r, 300, 3000, 0.01))  # noqa: E731
    return sum(place(start + lag / pace, hoof) for lag in (0, 0.12, 0.22)) + 2e-3 * noise(r, 60, 3000)


def knocking(r, pace):
    start, gap, count = r.uniform(0.05, 0.6), 0.2 / pace, r.integers(2, 7)
    f = r.uniform(120, 900, 5)
    return place(start + gap * np.arange(count) + r.normal(0, 0.01, count), lambda i: together(modes(r, f, 0.03, r.uniform(0.3, 1, 5), 0.3), 0.3 * click(r, 300, 3500, 0.004)))


def door_slam(r, pace):
    start = r.uniform(0.1, 0.9)
    y = place([start], lambda i: together(modes(r, r.uniform(50, 500, 10), 0.07, None, 0.6), 2.5 * click(r, 100, 4000, 0.02)))
    return y + place([max(start - 0.12, 0), start + 0.1], lambda i: 0.5 * click(r, 800, 5000, 0.004)) + 1e-3 * noise(r, 60, 3000)


def creak(r, pace):
    f = pick(r, 25, 120) * np.exp(drift(r, 3, -0.9, 0.9))
    y = buzz(f, bright=0.05) * drift(r, 4, 0, 1)
    for centre in np.exp(r.uniform(np.log(400), np.log(3500), 3)):
        pole = np.exp(-np.pi * 90 / RATE)
        y = y + 0.05 * lfilter([1], [1, -2 * pole * np.cos(2 * np.pi * centre / RATE), pole**2], y)
    return band(y, 250, 5500)


def typing(r, pace):
    return place(rare(r, 7 * pace), lambda i: click(r, 900, 6500, r.uniform(0.002, 0.006)) * r.uniform(0.4, 1)) + 1e-3 * noise(r, 100, 4000)


def camera(r, pace):
    start = r.uniform(0.05, 0.8)
    return place([start, start + r.uniform(0.06, 0.15), start + r.uniform(0.2, 0.3)], lambda i: click(r, 1000, 7000, r.uniform(0.003, 0.02))) + 1e-3 * noise(r, 100, 4000)


def scissors(r, pace):
    def snip(i):
        count = int(r.uniform(0.1, 0.2) * RATE)
        return noise(r, 2500, 7500, 1, count) * np.linspace(0.1, 1, count) ** 2

    return place(beats(r, 2.2 * pace, 0.1), snip) + 1e-3 * noise(r, 100, 4000)


def coins(r, pace):
    return place(np.sort(r.uniform(0, 1.5, r.integers(2, 9))), lambda i: modes(r, r.uniform(3200, 7600, 4), r.uniform(0.03, 0.15), None, 0.5))


def glass_breaking(r, pace):
    start = r.uniform(0.05, 0.5)
    shards = place(start + r.exponential(0.22, 45), lambda i: modes(r, r.uniform(2200, 7700, 2), r.uniform(0.01, 0.07), None, 0.3) * r.lognormal(-0.5, 0.6))
    return shards + place([start], lambda i: 2.5 * click(r, 1200, 7500, 0.02))


def glass(r, pace):
    f = pick(r, 1100, 3200)
    return place(beats(r, 1.5 * pace, 0.3), lambda i: modes(r, f * np.array([1, 2.3, 4.1]), r.uniform(0.1, 0.5), [1, 0.5, 0.3], 1.2))


def sword(r, pace):
    return place(rare(r, 1.8 * pace), lambda i: together(modes(r, r.uniform(1500, 7500, 9), r.uniform(0.08, 0.4), None, 1.0), 2 * click(r, 1500, 7500, 0.01)))


def paper(r, pace):
    return band(specks(r, 120, 0.006, 1.0), 1500, 7500) * drift(r, 6, 0, 1) ** 2


def leaves(r, pace):
    return noise(r, 1800, 7500) * drift(r, 4, 0, 1) ** 2 + 0.5 * band(specks(r, 150, 0.003), 2000, 7500)


def brush(r, pace):
    stroke = (seconds() * 2 * pace + r.uniform()) % 1
    return noise(r, 1200, 7000) * np.sin(np.pi * stroke) ** 3


def applause(r, pace):
    y = place(rare(r, pick(r, 40, 130)), lambda i: click(r, 700, 3500, r.uniform(0.004, 0.012)) * r.lognormal(0, 0.4))
    return y / (y.std() + 1e-9) + 0.15 * noise(r, 500, 5000)


def clapping(r, pace):
    return place(beats(r, 3 * pace, 0.1), lambda i: click(r, 700, 4000, r.uniform(0.006, 0.014))) + 1e-3 * noise(r, 100, 4000)


def breathing(r, pace):
    cycle = (seconds() * 0.55 * pace + r.uniform()) % 1
    inhale, exhale = np.clip(np.sin(2 * np.pi * cycle), 0, 1), np.clip(-np.sin(2 * np.pi * cycle), 0, 1)
    return noise(r, 700, 5500) * inhale + noise(r, 250, 3000) * exhale * 1.2


def whip(r, pace):
    def crack(i):
        count = int(0.35 * RATE)
        swish = noise(r, 500, 4000, 0, count) * np.linspace(0, 0.5, count) ** 2
        return np.concatenate([swish, 2.5 * click(r, 1200, 7500, 0.01)])

    return place(rare(r, 1.5) if r.uniform() < 0.5 else [0.3], crack)


def bouncing_ball(r, pace):
    gaps = r.uniform(0.45, 0.7) * 0.8 ** np.arange(14)
    f = r.uniform(90, 500, 4)
    return place(0.1 + np.concatenate([[0], np.cumsum(gaps)]), lambda i: 0.85**i * modes(r, f, 0.025, None, 0.2))


GENERATORS = {
    "fire": fire, "ocean waves": waves, "rain": rain, "hail": hail, "wind": wind, "stream": stream, "waterfall": waterfall,
    "dripping water": drip, "splash": splash, "pouring water": pouring, "bubbles": bubbles, "thunder": thunder, "storm": storm,
    "earthquake": earthquake, "explosion": explosion, "gunshot": gunshot, "fireworks": fireworks, "church bell": church_bell,
    "bell": bell, "gong": gong, "doorbell": doorbell, "wind chimes": chimes, "telephone": telephone, "alarm": alarm, "siren": siren,
    "car horn": car_horn, "ship horn": ship_horn, "train horn": train_horn, "whistling": whistle, "referee whistle": referee,
    "kettle": kettle, "beep": beep, "video game": game, "laser gun": laser, "spaceship": spaceship, "static": static,
    "car engine": engine, "car passing": car_passing, "motorcycle": motorcycle, "racing car": racing_car, "train": train,
    "steam train": steam_train, "helicopter": helicopter, "jet plane": jet, "propeller plane": propeller, "rocket": rocket,
    "chainsaw": chainsaw, "drill": drill, "vacuum cleaner": vacuum, "washing machine": washing_machine, "fan": fan, "saw": saw,
    "hammer": hammer, "heartbeat": heartbeat, "clock": clock, "footsteps": footsteps, "footsteps in snow": crunching_snow,
    "horse gallop": gallop, "knocking": knocking, "door slam": door_slam, "creaking door": creak, "typing": typing,
    "camera": camera, "scissors": scissors, "coins": coins, "breaking glass": glass_breaking, "glass": glass, "sword": sword,
    "paper": paper, "leaves": leaves, "brush": brush, "applause": applause, "clapping": clapping, "breathing": breathing,
    "whip": whip, "bouncing ball": bouncing_ball,
}  # fmt: skip

PACED = frozenset(
    "dripping water;church bell;bell;alarm;siren;beep;video game;laser gun;train;steam train;saw;hammer;heartbeat;clock;footsteps;"
    "footsteps in snow;horse gallop;knocking;typing;scissors;clapping;breathing;brush".split(";")
)
