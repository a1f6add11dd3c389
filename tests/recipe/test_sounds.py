"""The sound recipe: generators that keep their promises, phrases whose words are true, names that exist."""

from __future__ import annotations

import numpy as np
import pytest

from recipe.creatures import CREATURES
from recipe.procedural import GENERATORS, LENGTH, PACED, RATE, band, noise
from recipe.real_sounds import GCOMPRIS, MINETEST, TUXPAINT
from recipe.sound_files import table
from recipe.sound_names import CONCEPTS
from recipe.sounds import SAMPLES, crop, passage, phrase, produce

OWN = {**GENERATORS, **CREATURES}
NAMES = {c.name for c in CONCEPTS}


class Keys:
    """What `phrase` asks of a studio."""

    def __init__(self, held_out=False):
        self.held_out = held_out

    def velocity(self, r):
        return 80

    def root(self, r, low, high):
        return int(r.integers(low, high + 1))


@pytest.mark.parametrize("name", sorted(OWN))
def test_generator_gives_finite_sound_and_follows_its_seed(name):
    wave = OWN[name](np.random.default_rng(5), 1.0)
    assert wave.shape == (LENGTH,) and np.isfinite(wave).all() and np.abs(wave).max() > 0
    assert np.array_equal(wave, OWN[name](np.random.default_rng(5), 1.0))
    assert not np.array_equal(wave, OWN[name](np.random.default_rng(6), 1.0))


def test_every_own_sound_has_a_generator_and_every_generator_a_name():
    own = {c.name for c in CONCEPTS for s in c.sources if s.kind == "own"}
    assert own == set(OWN) and len(NAMES) == len(CONCEPTS) and PACED <= NAMES


def test_evaluation_recordings_bear_our_names():
    for text in (TUXPAINT, GCOMPRIS, MINETEST):
        assert set(table(text).values()) <= NAMES


def beats_heard(wave):
    loud = np.abs(wave).reshape(-1, 256).max(1)
    level = loud > 0.25 * loud.max()
    return int((level[1:] & ~level[:-1]).sum())


@pytest.mark.parametrize("name", ["hammer", "horse gallop", "knocking", "clapping", "clock"])
def test_faster_is_faster(name):
    if name == "knocking":  # a few knocks and no more: faster means closer together
        last = lambda pace: np.flatnonzero(np.abs(OWN[name](np.random.default_rng(3), pace)) > 0.05).max()  # noqa: E731
        assert last(2.0) < last(0.5)
        return
    count = lambda pace: sum(beats_heard(OWN[name](np.random.default_rng(k), pace)) for k in range(3))  # noqa: E731
    assert count(2.0) > 1.4 * count(0.6)


def test_words_of_a_phrase_are_true():
    heard = {"high": [], "low": [], "fast": [], "slow": [], "rising": [], "falling": []}
    for seed in range(400):
        r = np.random.default_rng(seed)
        notes, words = phrase(r, Keys(), 36, 96)
        keys = np.array([n[2] for n in notes])
        starts = np.unique(np.round([n[0] for n in notes], 2))
        for word in words:
            heard[word].append((keys.mean(), len(starts) / 3.1, keys))
    assert all(len(found) > 10 for found in heard.values())
    assert min(m for m, _, _ in heard["high"]) >= 72 and max(m for m, _, _ in heard["low"]) <= 52
    assert min(rate for _, rate, _ in heard["fast"]) > 2 * np.mean([rate for _, rate, _ in heard["slow"]])
    assert all((np.diff(keys) > 0).all() for _, _, keys in heard["rising"])
    assert all((np.diff(keys) < 0).all() for _, _, keys in heard["falling"])


def test_loud_is_louder_than_quiet():
    levels = {"loud": [], "quiet": []}
    for seed in range(300):
        r = np.random.default_rng(seed)
        words: list[str] = []
        wave = produce(r, noise(r, 200, 4000), words)
        assert wave.shape == (SAMPLES,) and np.abs(wave).max() <= 1
        for word in words:
            if word in levels:
                levels[word].append(20 * np.log10(np.sqrt(np.mean(wave**2))))
    assert len(levels["loud"]) > 5 and len(levels["quiet"]) > 5
    assert min(levels["loud"]) >= -13.01 and max(levels["quiet"]) <= -36


def test_crop_keeps_the_loudest_part():
    wave = np.zeros(LENGTH)
    wave[40000:40400] = 1
    for seed in range(30):
        kept = crop(np.random.default_rng(seed), wave)
        assert kept.shape == (SAMPLES,)
    assert sum(crop(np.random.default_rng(s), wave).max() == 1 for s in range(30)) >= 18


def test_held_out_passages_were_not_trained_on():
    clip = np.arange(6 * RATE, dtype=np.float32) + 1
    seen = np.concatenate([passage(np.random.default_rng(s), clip, False) for s in range(20)])
    held = np.concatenate([passage(np.random.default_rng(s), clip, True) for s in range(20)])
    assert not set(seen[seen > 0]) & set(held[held > 0])


def test_band_keeps_what_is_inside():
    t = np.arange(LENGTH) / RATE
    inside, outside = (np.sqrt(2) * np.sin(2 * np.pi * f * t) for f in (1000, 100))
    y = band(inside + outside, 700, 1400)
    power = np.abs(np.fft.rfft(y)) ** 2
    f = np.fft.rfftfreq(LENGTH, 1 / RATE)
    assert power[abs(f - 1000) < 5].sum() > 100 * power[abs(f - 100) < 5].sum()
    assert abs(np.sqrt(np.mean(y**2)) - 1) < 1e-3
