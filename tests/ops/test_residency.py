"""What a showcase tells a host before each part of its work, and that nothing of what it makes depends on the host."""

import json
from contextlib import contextmanager

import pytest
import torch
from toys import ToyClip, ToyPicture, ToySound

from concept_algebra.ops import residency
from concept_algebra.ops.concept import Concept
from concept_algebra.ops.priors.settings import FlairSettings
from concept_algebra.ops.residency import alone_on
from concept_algebra.ops.showcase import showcase
from concept_algebra.ops.tracks import Hold, held, settings

MADE = ("image-honest.png", "image-natural.png", "audio-natural.wav", "phrase.txt", "readings/image-natural/bundle.json", "readings/image-natural/card.json")


def picture():
    return ToyPicture((3, 16, 16))


@pytest.fixture(scope="module")
def fire(encoder):
    return Concept.from_text("fire", encoder)


def test_a_host_is_asked_for_one_thing_at_a_time_in_order(tmp_path, fire, encoder):
    asked, alive = [], []

    @contextmanager
    def at_work(part, modality):
        asked.append((part, modality))
        alive.append(part)
        assert alive == [part], "one context ends before the next begins"
        yield
        alive.pop()

    drawn = {"image": picture, "audio": lambda: alive == ["drawing"] and ToySound()}
    hosted = showcase(fire, tmp_path / "hosted", encoder, drawn, steps=2, at_work=at_work)
    media = [(part, modality) for modality in drawn for part in ("drawing", "reading")]
    assert asked == [("reading", "text"), *media, ("judging", None)]
    plain = showcase(fire, tmp_path / "plain", encoder, {"image": picture, "audio": ToySound}, steps=2)
    for name in MADE:
        assert (hosted / name).read_bytes() == (plain / name).read_bytes(), name


def test_without_a_host_only_the_tower_at_work_is_on_the_device_and_what_drew_is_let_go(monkeypatch):
    let_go = []
    monkeypatch.setattr(residency, "let_go", lambda device: let_go.append(device.type))

    class Told(torch.nn.Module):
        def to(self, device):
            self.at = torch.device(device).type
            return self

    class Bare:
        towers = {name: Told() for name in ("text", "image", "audio")}

    at_work = alone_on(torch.device("meta"), Bare)
    parts = (("reading", "text", "text", 0), ("drawing", "image", "image", 1), ("judging", None, "image", 1), ("reading", "audio", "audio", 1))
    for part, modality, there, times in parts:
        with at_work(part, modality):
            assert {name: tower.at for name, tower in Bare.towers.items()} == {name: "meta" if name == there else "cpu" for name in Bare.towers}
        assert let_go == ["meta"] * times


@pytest.mark.parametrize("part", ["drawing", "reading", "judging"])
def test_what_a_host_interrupts_leaves_nothing(tmp_path, fire, encoder, part):
    @contextmanager
    def at_work(now, modality):
        if now == part and modality != "text":
            raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        showcase(fire, tmp_path / "out", encoder, {"image": picture}, steps=2, at_work=at_work)
    assert list(tmp_path.iterdir()) == []


def test_the_prior_alone_is_watched_and_can_be_stopped(tmp_path, fire, encoder):
    seen = []
    showcase(fire, tmp_path / "out", encoder, {"video": ToyClip}, steps=3, watch_alone=lambda *at: seen.append(at))
    assert seen[-1] == ("video", 3, 3)

    def stop(modality, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        showcase(fire, tmp_path / "stopped", encoder, {"video": ToyClip}, steps=3, seed=9, watch_alone=stop)
    assert not (tmp_path / "stopped").exists()


def test_what_holds_the_natural_track_is_chosen_and_recorded(tmp_path, fire, encoder):
    def of(name, hold):
        folder = showcase(fire, tmp_path / name, encoder, {"image": picture}, steps=3, hold=hold)
        return folder, json.loads((folder / "run.json").read_text())

    usual, by_itself = of("usual", None)
    same, named = of("same", Hold(FlairSettings(1000), told=True))
    _, other = of("other", Hold(FlairSettings(1, 2.0), 0.5))
    assert (usual / "image-natural.png").read_bytes() == (same / "image-natural.png").read_bytes()
    assert by_itself["hold"] is None and named["hold"]["prior"] == {"name": "flair", "levels": 1000, "guidance": 4.0}
    assert named["renders"][1]["settings"]["prior"]["levels"] == 3
    assert other["hold"] == {"prior": {"name": "flair", "levels": 1, "guidance": 2.0}, "strength": 0.5, "told": False}
    honest, natural = (made["settings"] for made in other["renders"])
    assert honest["prior"]["name"] == "no" and natural["prior"]["guidance"] == 2.0 and natural["schedule"]["strength"] == 0.5


@pytest.mark.parametrize("quick", [False, True])
def test_held_as_usual_is_the_usual(quick):
    for modality in ("image", "audio", "video"):
        usual = settings(modality, "natural", quick)
        assert held(modality, Hold(FlairSettings(10**4), told=True), quick) == usual


def test_what_finished_is_what_the_page_shows(tmp_path, fire, encoder):
    given = []
    folder = showcase(fire, tmp_path, encoder, {"image": picture}, steps=2, finished=lambda target: given.append((target, folder_of(tmp_path))))
    ((target, there),) = given
    assert there == [folder.name] and target.expression == "fire"
    assert [(shown.render.modality, shown.render.track) for shown in target.renders] == [("image", "honest"), ("image", "natural")]


def folder_of(path):
    return [each.name for each in path.iterdir()]
