"""A showcase folder: whole or absent, complete, repeatable, and a page that needs no network."""

import copy
import json
import re
import weakref
from dataclasses import fields, replace
from functools import partial
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import av
import pytest
import torch
from PIL import Image
from toys import SmallEncoder, ToyClip, ToyPicture, ToySound

from concept_algebra.ops import report
from concept_algebra.ops.atomic import EARLIER, PART, WHOLE, built_aside, write_text
from concept_algebra.ops.concept import Concept
from concept_algebra.ops.evaluate.card import Card
from concept_algebra.ops.evaluate.card_markdown import stability_told
from concept_algebra.ops.evaluate.judgement import Court
from concept_algebra.ops.evaluate.measure import stability_of
from concept_algebra.ops.evaluate.verdict import Verdict
from concept_algebra.ops.instruments import Instruments
from concept_algebra.ops.interpret.bundle import Bundle
from concept_algebra.ops.media import read_audio, read_image, read_video
from concept_algebra.ops.report_instruments import NOTHING, ROWS, readings, table
from concept_algebra.ops.run_record import versions
from concept_algebra.ops.showcase import PAGE, READINGS, picture, showcase, slug, write_gallery
from concept_algebra.ops.space import UncalibratedSpace
from concept_algebra.ops.tracks import both

GENERATORS = {"image": partial(ToyPicture, (3, 32, 32)), "audio": ToySound, "video": ToyClip}
ALWAYS = {"run.json", "index.html", "README.md", READINGS}
FILES = {f"{name}-{track}.{suffix}" for name, suffix in (("image", "png"), ("audio", "wav"), ("video", "mp4")) for track in ("honest", "natural")}


@pytest.fixture(scope="module")
def concept(encoder):
    return Concept.from_text("fire", encoder) + Concept.from_text("water", encoder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, concept, encoder):
    return showcase(concept, tmp_path_factory.mktemp("out"), encoder, GENERATORS, steps=5, seed=3)


def test_folder_is_complete_and_alone(folder):
    assert {path.name for path in folder.iterdir()} == FILES | ALWAYS | {"phrase.txt"}
    assert {path.name for path in (folder / READINGS).iterdir()} == {Path(name).stem for name in FILES} | {"text"}
    assert [path.name for path in folder.parent.iterdir()] == [folder.name] == ["fire-plus-water"]


def test_media_can_be_read_back_and_are_what_the_generators_make(folder):
    for track in ("honest", "natural"):
        assert read_image(folder / f"image-{track}.png").shape == (1, 3, 32, 32)
        wave, rate = read_audio(folder / f"audio-{track}.wav")
        assert wave.shape == (1, 1, 4096) and rate == 16000
        frames, fps = read_video(folder / f"video-{track}.mp4")
        assert frames.shape[1] % 4 == 0 and frames.shape[2:] == (3, 16, 16) and fps == pytest.approx(8)


def texts(folder):
    """What the first picture, sound and clip say of themselves, as one text each."""
    with av.open(str(folder / "video-honest.mp4")) as clip:
        own = {name: text for name, text in clip.metadata.items() if name in ("expression", "seed", "track", "workflow")}
    return Image.open(folder / "image-honest.png").text, (folder / "audio-honest.wav").read_bytes().partition(b"ICMT")[2][4:], own


def test_media_say_what_they_were_made_from_and_nothing_where_none_is_wanted(folder, tmp_path, concept, encoder):
    said = {"expression": "fire + water", "seed": "3", "track": "honest"}
    picture, sound, clip = texts(folder)
    assert picture == clip == said and json.loads(sound.rstrip(b"\0")) == said
    told = showcase(concept, tmp_path / "told", encoder, GENERATORS, steps=1, text=False, seed=3, inside={"workflow": "{}"})
    assert texts(told)[0] == texts(told)[2] == {"workflow": "{}"} | said
    silent = showcase(concept, tmp_path / "silent", encoder, GENERATORS, steps=1, text=False, seed=3, inside=None)
    assert texts(silent) == ({}, b"", {})
    # of the same media, then
    assert torch.equal(read_image(silent / "image-natural.png"), read_image(told / "image-natural.png"))


def test_run_says_everything(folder):
    run = json.loads((folder / "run.json").read_text())
    assert run["expression"] == "fire + water" and run["seed"] == 3 and run["space"] == "small-0"
    assert run["versions"]["torch"] == torch.__version__ and run["uncentred"] == []
    assert run["text"]["phrase"] == (folder / "phrase.txt").read_text().strip()
    assert [(made["modality"], made["track"]) for made in run["renders"]] == [
        (modality, track) for modality in GENERATORS for track in ("honest", "natural")
    ]
    for made in run["renders"]:
        assert [row["step"] for row in made["metrics"]] == [0, 1, 2, 3, 4]
        assert all({"loss", "cosine", "patches", "rate", "norm"} <= set(row) for row in made["metrics"])
        assert made["readings"][-1]["step"] == 4 and made["readings"][0]["words"]
        assert made["settings"]["schedule"]["steps"] == 5
        natural = made["track"] == "natural"
        assert made["settings"]["prior"]["name"] == ("flair" if natural else "no") and made["settings"]["told"] is False
        read = made["instruments"]
        assert read.keys() == {field.name for field in fields(Instruments)} and made["stopped"] is None
        assert (read["leakage"] is not None) <= natural and (made["score"] is None) == natural
    assert any(made["instruments"]["leakage"] is not None for made in run["renders"])


def test_run_says_what_entered_off_centre(tmp_path, encoder):
    bare = copy.copy(encoder)
    bare.space = replace(encoder.space, id="bare", means={"text": encoder.space.means["text"]})
    with pytest.warns(UncalibratedSpace):
        mixed = Concept.from_text("fire", bare) + Concept.from_image(torch.rand(3, 16, 16), bare)
    run = json.loads((showcase(mixed, tmp_path, bare, {}, steps=1) / "run.json").read_text())
    assert run["uncentred"] == ["image"]


def test_tracks_start_from_one_seed_and_part_ways(folder):
    honest, natural = (read_image(folder / f"image-{track}.png") for track in ("honest", "natural"))
    assert not torch.equal(honest, natural)


def test_same_seed_writes_the_same_files(folder, tmp_path, concept, encoder):
    again = showcase(concept, tmp_path, encoder, GENERATORS, steps=5, seed=3)
    for name in FILES | {"phrase.txt"}:
        assert (again / name).read_bytes() == (folder / name).read_bytes(), name


@pytest.fixture(scope="module")
def seeded(tmp_path_factory, concept, encoder):
    judge = SmallEncoder()
    judge.space = replace(judge.space, id="judge-0")
    court = Court(judge, encoder.space)
    few = {name: make for name, make in GENERATORS.items() if name != "video"}
    return showcase(concept, tmp_path_factory.mktemp("out"), encoder, few, steps=5, seed=3, seeds=3, courts=[court]), court


def test_more_seeds_change_nothing_of_the_first(folder, seeded):
    made, _ = seeded
    for name in FILES | {"phrase.txt"}:
        if not name.startswith("video"):
            assert (made / name).read_bytes() == (folder / name).read_bytes(), name


def test_of_several_seeds_the_card_says_how_stable_they_are(seeded, concept, encoder):
    made, court = seeded
    run, generator = json.loads((made / "run.json").read_text()), GENERATORS["image"]()
    three = [both(concept, encoder, generator, seed, steps=5) for seed in (3, 4, 5)]
    assert run["seeds"] == 3 and [each["modality"] for each in run["renders"]] == ["image", "image", "audio", "audio"]
    for nth, track in enumerate(("honest", "natural")):
        card = Card.from_json((made / READINGS / f"image-{track}" / "card.json").read_text())
        same = [pair[nth] for pair in three]
        assert card.seed == 3 and card.stability == stability_of(same, concept, encoder, generator, court)
        assert len(card.stability.percentiles) == 3 and card.stability.percentiles[0] == card.judgement.score.percentile
        record = run["renders"][nth]
        assert [(each["seed"], each["cosine"]) for each in record["others"]] == [(other.seed, other.cosine) for other in same[1:]]
        assert record["stability"]["percentiles"] == list(card.stability.percentiles)
    assert Card.from_json((made / READINGS / "text" / "card.json").read_text()).stability is None


def test_page_and_readme_tell_of_the_seeds_in_words_and_show_them(seeded, folder):
    made, _ = seeded
    page, readme = (made / "index.html").read_text(), (made / "README.md").read_text()
    for name in ("image", "audio"):
        for track in ("honest", "natural"):
            card = Card.from_json((made / READINGS / f"{name}-{track}" / "card.json").read_text())
            said = stability_told(card.stability)
            assert said.startswith("Of 3 seeds: recognised ") and said in readme and said in page
    assert page.count("<span>seed 4</span>") == page.count("<span>seed 5</span>") == 4 and _Page(page).open == []
    assert "from other seeds" not in (folder / "index.html").read_text() and "Of 1 seeds" not in (folder / "README.md").read_text()


def test_no_seeds_are_refused(tmp_path, concept, encoder):
    with pytest.raises(ValueError, match="seeds must be at least 1, not 0"):
        showcase(concept, tmp_path, encoder, GENERATORS, seeds=0)
    assert list(tmp_path.iterdir()) == []


def test_only_what_was_asked_for_is_made(tmp_path, concept, encoder):
    only = showcase(concept, tmp_path, encoder, {"audio": GENERATORS["audio"]}, text=False, steps=2)
    assert {path.name for path in only.iterdir()} == {"audio-honest.wav", "audio-natural.wav"} | ALWAYS
    page = (only / "index.html").read_text()
    assert "<audio" in page and "<video" not in page and 'class="phrase"' not in page


def test_one_generator_is_there_at_a_time(tmp_path, concept, encoder):
    alive, seen = weakref.WeakSet(), []

    def maker(kind):
        def make():
            made = kind()
            alive.add(made)
            seen.append([type(one).__name__ for one in alive])
            return made

        return make

    showcase(concept, tmp_path, encoder, {name: maker(kind) for name, kind in GENERATORS.items() if name != "image"}, steps=2)
    assert seen == [["ToySound"], ["ToyClip"]] and not alive


def test_of_several_candidates_one_may_be_asked_for(tmp_path, concept, encoder):
    run = json.loads((showcase(concept, tmp_path, encoder, {"image": GENERATORS["image"]}, steps=2, candidates={"image": 1}) / "run.json").read_text())
    assert [made["settings"]["candidates"] for made in run["renders"]] == [1, 1]


def test_an_earlier_folder_is_replaced_whole(tmp_path, concept, encoder):
    first = showcase(concept, tmp_path, encoder, {"image": GENERATORS["image"]}, steps=2)
    (first / "left-over.txt").write_text("old")
    second = showcase(concept, tmp_path, encoder, {"audio": GENERATORS["audio"]}, steps=2)
    assert first == second and not (second / "left-over.txt").exists() and not (second / "image-honest.png").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["fire-plus-water"]


@pytest.mark.parametrize("taken", ["a folder", "a folder with a run.json of something else", "a file"])
def test_what_is_no_showcase_is_never_replaced(tmp_path, concept, encoder, taken):
    place = tmp_path / "fire-plus-water"
    if taken == "a file":
        place.write_text("theirs")
    else:
        place.mkdir()
        (place / "holiday.png").write_text("theirs")
        if "run.json" in taken:
            (place / "run.json").write_text("{}")
    before = {path: path.is_file() and path.read_text() for path in tmp_path.rglob("*")}
    with pytest.raises(FileExistsError, match="fire-plus-water is there already and is no showcase"):
        showcase(concept, tmp_path, encoder, {"image": lambda: pytest.fail("it was drawn before it was refused")}, steps=2)
    assert {path: path.is_file() and path.read_text() for path in tmp_path.rglob("*")} == before


def test_an_empty_folder_is_nobodys(tmp_path, concept, encoder):
    (tmp_path / "fire-plus-water").mkdir()
    assert (showcase(concept, tmp_path, encoder, {}, steps=2) / "index.html").is_file()


class Broken(ToyPicture):
    """Decodes well for a while, then to NaN."""

    def __init__(self):
        super().__init__((3, 16, 16))
        self.decoded = 0

    def decode(self, z, fast=False):
        self.decoded += torch.is_grad_enabled()  # the steps, not the looks
        return super().decode(z) * (float("nan") if self.decoded > 3 else 1)


@pytest.mark.parametrize("before", [False, True], ids=["nothing there", "an earlier folder there"])
def test_broken_numbers_leave_nothing_half_written(tmp_path, concept, encoder, before):
    out = tmp_path / "deep" / "out"
    if before:
        showcase(concept, out, encoder, {}, steps=2)
    with pytest.raises(ArithmeticError, match="not a number at step 3"):
        showcase(concept, out, encoder, {"image": Broken}, steps=8)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()].count("phrase.txt") == before
    assert not list(tmp_path.rglob(".*"))
    assert out.exists() == before


def test_interruption_while_writing_leaves_the_earlier_folder(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "kept").write_text("kept")
    with pytest.raises(KeyboardInterrupt):
        with built_aside(tmp_path / "a") as aside:
            (aside / "half").write_text("half")
            raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a" / "kept").read_text() == "kept"


def test_parents_made_for_a_failed_folder_go_too(tmp_path):
    with pytest.raises(ValueError):
        with built_aside(tmp_path / "b" / "c" / "d"):
            raise ValueError
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_named_where_it_would_have_been(tmp_path):
    with pytest.raises(OSError) as caught, built_aside(tmp_path / "new") as aside:
        write_text(aside / "missing" / "run.json", "{}")
    assert str(caught.value) == f"could not write {tmp_path / 'new' / 'missing' / 'run.json'}: No such file or directory"
    assert not list(tmp_path.iterdir())


def test_what_somebody_else_has_put_there_hides_no_error(tmp_path):
    with pytest.raises(ValueError, match="what went wrong"):
        with built_aside(tmp_path / "b" / "c"):
            (tmp_path / "b" / "theirs").write_text("theirs")
            raise ValueError("what went wrong")
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["theirs"]


def test_zero_concept_is_refused_before_anything_is_made(tmp_path, encoder):
    fire = Concept.from_text("fire", encoder)
    with pytest.raises(ValueError, match="zero"):
        showcase(fire - fire, tmp_path, encoder, GENERATORS, steps=2)
    assert list(tmp_path.iterdir()) == []


class _Page(HTMLParser):
    VOID = {"meta", "img", "input", "line", "polyline", "br", "link", "source"}

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.seen = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        self.links += [value for name, value in attributes if name in ("src", "href", "poster")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_page_is_well_formed_and_needs_only_its_folder(folder):
    text = (folder / "index.html").read_text()
    page = _Page(text)
    assert page.open == []
    for link in page.links:
        assert link.startswith("data:") or (folder / link).is_file(), link
    assert FILES <= set(page.links)
    assert not re.search(r"""(src|href|url)\s*[=(]\s*['"]?(https?:)?//""", text)


def test_the_page_has_its_media_in_it_and_plays_the_file_where_that_is_refused(folder):
    page = _Page((folder / "index.html").read_text())
    for name in FILES:
        inside = report.file_uri(folder / name)
        assert inside in page.links, name
        if not name.endswith(".png"):
            assert page.links[page.links.index(inside) + 1] == name
    media = [tag for tag, attributes in page.seen if tag in ("audio", "video") and "src" in attributes]
    assert media == []


def test_each_artefact_has_its_verdict_with_the_rule_on_page_and_in_the_readme(folder):
    page, readme, run = (folder / "index.html").read_text(), (folder / "README.md").read_text(), json.loads((folder / "run.json").read_text())
    for made in run["renders"]:
        verdict = made["verdict"]
        assert verdict["word"] == "not judged" and verdict["rule"][1:] in page and verdict["rule"][1:] in readme
        assert Card.from_json((folder / READINGS / f"{made['modality']}-{made['track']}" / "card.json").read_text()).verdict == Verdict(**verdict)
    for modality in GENERATORS:
        section = page.partition(f'<section class="{modality}">')[2].partition("</section>")[0]
        assert section.index('class="verdict not-judged"') < section.index('class="pair"')
    said = Card.from_json((folder / READINGS / "text" / "card.json").read_text())
    assert said.verdict == Verdict(**run["text"]["verdict"]) and len(said.agreement) == len(GENERATORS) and said.seed == 3
    section = page.partition('<section class="text">')[2].partition("</section>")[0]
    assert section.startswith('<h2>In words</h2><p class="verdict not-judged">') and "## fire + water: text, composed" in readme
    assert readme.count("**not judged**") == 2 * len(run["renders"]) + 2


def test_bundles_lie_beside_the_media_and_say_what_the_run_read(folder, encoder):
    run = json.loads((folder / "run.json").read_text())
    for made in run["renders"]:
        bundle = Bundle.load(folder / READINGS / f"{made['modality']}-{made['track']}")
        assert (bundle.expression, bundle.modality, bundle.track, bundle.seed) == ("fire + water", made["modality"], made["track"], 3)
        assert bundle.cosine == pytest.approx(made["cosine"], abs=1e-4)
        assert [[word.text, word.cosine] for word in bundle.words[:3]] == [[text, pytest.approx(c, abs=1e-4)] for text, c in made["readings"][-1]["words"][:3]]
    said = Bundle.load(folder / READINGS / "text")
    assert said.cosine == pytest.approx(run["text"]["score"], abs=1e-4)
    assert read_image(folder / READINGS / "text" / "figure.png").shape[1] == 3


def test_the_search_for_the_phrase_is_shown_round_by_round(folder):
    run, page = json.loads((folder / "run.json").read_text()), (folder / "index.html").read_text()
    search = page.partition('<ol class="search">')[2].partition("</ol>")[0]
    rounds = [re.findall(r"([a-z ]+) <data>(-?[0-9.]+)</data>", line) for line in search.split("</li>")[:-1]]
    told = [[(phrase.strip(), score) for phrase, score in found] for found in rounds]
    assert told == [[(phrase, f"{score:.2f}") for phrase, score in kept] for kept in run["text"]["rounds"]]


def test_the_readme_links_only_what_is_there(folder):
    links = re.findall(r"\]\(([^)]+)\)", (folder / "README.md").read_text())
    assert set(FILES) <= set(links) and all((folder / link).is_file() for link in links)


def test_page_compares_with_a_slider_a_keyboard_can_move(folder):
    seen = _Page((folder / "index.html").read_text()).seen
    sliders = [attributes for tag, attributes in seen if tag == "input"]
    assert len(sliders) == 2 and all(slider["type"] == "range" and slider["aria-label"] for slider in sliders)
    assert sum(tag == "audio" for tag, _ in seen) == 2
    assert sum(tag == "polyline" for tag, _ in seen) == 6


def test_page_shows_what_the_instruments_read_and_their_alarms(folder):
    run = json.loads((folder / "run.json").read_text())
    page = (folder / "index.html").read_text()
    assert page.count('<table class="instruments">') == len(GENERATORS)
    said = [alarm for made in run["renders"] for alarm in made["instruments"]["alarms"]]
    assert said and all(page.count(escape(alarm)) >= said.count(alarm) for alarm in said)


class Unsteady(ToyPicture):
    """Encodes what it has decoded to numbers beyond all bounds."""

    def encode(self, media):
        return media / 0


def test_what_is_not_a_number_leaves_the_page_and_its_json_readable(tmp_path, concept, encoder):
    folder = showcase(concept, tmp_path, encoder, {"image": partial(Unsteady, (3, 16, 16))}, steps=2)

    def refused(name):
        raise AssertionError(f"{name} is no JSON")

    run = json.loads((folder / "run.json").read_text(), parse_constant=refused)
    assert [made["instruments"]["round_trip"] for made in run["renders"]] == [None, None]
    assert "off when encoded again" not in (folder / "index.html").read_text().partition("<table")[2].partition("</table>")[0]


READ = Instruments(robust=0.421, robust_drop=0.314, held_out_gap=None, clipped=0.0031, norm=0.97, round_trip=None, leakage=None, slope=-2.04, alarms=("Off.",))


def test_an_instrument_reads_as_its_number_or_as_nothing():
    assert [value for _, value in readings(READ)] == ["0.42", "31%", NOTHING, NOTHING, "0.3%", "0.97", NOTHING, "-2.0"]
    assert {key for key, *_ in ROWS} == {field.name for field in fields(Instruments)} - {"alarms"}


def test_the_table_sets_tracks_beside_each_other_and_leaves_out_what_neither_has():
    honest = SimpleNamespace(track="honest", instruments=READ, stopped="the loss gained less than <2 %")
    natural = SimpleNamespace(track="natural", instruments=replace(READ, leakage=0.5, alarms=()), stopped=None)
    made = table([honest, natural])
    rows = re.findall(r'<th scope="row">([^<]+)</th><td>([^<]+)</td><td>([^<]+)</td>', made)
    assert ("the prior alone, of the match", NOTHING, "50%") in rows and len(rows) == 6
    assert re.findall(r"</b> ([^<]+)</li>", made) == ["Off.", "The loss gained less than &lt;2 %."]
    assert _Page(made).open == []


def test_expression_is_text_on_the_page_whatever_it_holds(tmp_path, encoder):
    sly = Concept.from_text("<script>alert(1)</script>", encoder)
    folder = showcase(sly, tmp_path, encoder, {}, steps=1)
    assert "<script>alert" not in (folder / "index.html").read_text()
    write_gallery(tmp_path)
    assert "<script>alert" not in (tmp_path / "index.html").read_text()


def test_gallery_links_every_folder(tmp_path, concept, encoder):
    first = showcase(concept, tmp_path, encoder, {"image": GENERATORS["image"]}, steps=2)
    second = showcase(Concept.from_text("ghost", encoder), tmp_path, encoder, {}, steps=2)
    page = _Page(write_gallery(tmp_path).read_text())
    assert {f"{first.name}/index.html", f"{second.name}/index.html"} <= set(page.links)
    assert sum(link.startswith("data:image/png") for link in page.links) == 1


def test_a_folder_that_a_kill_has_taken_from_its_place_is_back_in_the_gallery(tmp_path, concept, encoder):
    folder = showcase(concept, tmp_path, encoder, {}, steps=1)
    # as `built_aside` leaves it between its two renames
    aside = tmp_path / f".killed{PART}"
    for name in (WHOLE, EARLIER):
        (aside / name).mkdir(parents=True)
    folder.rename(aside / EARLIER / folder.name)
    assert "fire-plus-water/index.html" in _Page(write_gallery(tmp_path).read_text()).links
    assert {path.name for path in tmp_path.iterdir()} == {folder.name, "index.html"}


def test_a_gallery_takes_the_place_of_an_earlier_one_and_of_no_other_page(tmp_path, concept, encoder):
    (tmp_path / PAGE).write_text("<h1>My concept algebra gallery</h1>")
    showcase(concept, tmp_path, encoder, {}, steps=2)
    with pytest.raises(FileExistsError, match="index.html is there already and is no gallery"):
        write_gallery(tmp_path)
    assert (tmp_path / PAGE).read_text() == "<h1>My concept algebra gallery</h1>"
    (tmp_path / PAGE).unlink()
    assert write_gallery(tmp_path).read_text() == write_gallery(tmp_path).read_text()


@pytest.mark.parametrize("other", ["{}", "[1]", "not JSON", '{"expression": "x", "text": 3}'])
def test_a_run_json_of_something_else_is_left_out_of_the_gallery(tmp_path, concept, encoder, other):
    (tmp_path / "trial").mkdir()
    (tmp_path / "trial" / "run.json").write_text(other)
    showcase(concept, tmp_path, encoder, {}, steps=2)
    assert [link for link in _Page(write_gallery(tmp_path).read_text()).links if link.endswith("index.html")] == ["fire-plus-water/index.html"]


@pytest.mark.parametrize("expression, name", [("fire + water", "fire-plus-water"), ("king - man + woman", "king-minus-man-plus-woman"), ("sunset", "sunset")])
def test_slug_reads_like_the_expression(expression, name):
    assert slug(expression) == name


def test_slugs_differ_and_are_safe_names():
    expressions = ["a + b", "a - b", "(a + b)", "a+b", "0.3 * a", "0.3a", 'image("../../x.png")', 'image("x.png")', "é", "ü", "A", "a", "..", "a " * 100, "b " * 100, "a - -b", "a plus b"]
    slugs = [slug(expression) for expression in expressions]
    assert slug("con").startswith("concept-con-") and slug("aux.5").startswith("concept-aux.5-") and slug("contrast") == "contrast"
    assert len(set(slugs)) == len(slugs)
    assert all(re.fullmatch(r"[\w-][\w.-]{0,80}", name) for name in slugs)


def test_spectrogram_shows_low_notes_below_and_later_to_the_right():
    time = torch.arange(32768) / 16000
    low_then_high = torch.where(time < 1.024, torch.sin(2 * torch.pi * 200 * time), torch.sin(2 * torch.pi * 4000 * time))
    shown = picture(low_then_high[None], "audio").sum(0)
    early, late = shown[:, : shown.shape[1] // 3].mean(1), shown[:, -(shown.shape[1] // 3) :].mean(1)
    assert shown.min() >= 0 and shown.max() <= 3
    assert int(early.argmax()) > int(late.argmax())


def test_a_long_sound_is_no_wider_than_a_sheet_has_room_for():
    wave = 0.5 * torch.randn(2, 8000 * 256, generator=torch.Generator().manual_seed(0))
    wave[:, : wave.shape[1] // 2] = 0
    shown = picture(wave, "audio")
    assert shown.shape == (3, 64, 1024) and 0 <= shown.min() and shown.max() <= 1
    silence = picture(torch.zeros(1, 4096), "audio")[:, :1, :1]
    assert torch.allclose(shown[:, :, :510], silence.expand(3, 64, 510)) and not torch.isclose(shown[:, :, 514:], silence).all(0).any()


def test_middle_frame_stands_for_a_clip():
    frames = torch.rand(8, 3, 4, 4)
    assert torch.equal(picture(frames, "video"), frames[4])
    assert versions()["python"].count(".") == 2
