"""A showcase's page in a real browser, away from its folder: pictures are there, sounds and clips play, the verdict stands first."""

import os
import shutil
from functools import partial

import pytest
from toys import ToyClip, ToyPicture, ToySound

from concept_algebra.ops.concept import Concept
from concept_algebra.ops.showcase import showcase

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: python -m pip install -e .[browser]")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: install it, or set CHROMIUM to its path")
PLAYED = """async player => {
  player.muted = true; player.currentTime = 0; await player.play();
  await new Promise(done => player.addEventListener('timeupdate', () => player.currentTime > 0 && done()));
  return [player.duration, player.error, player.currentSrc.slice(0, 5)];
}"""


@pytest.fixture(scope="module")
def page(tmp_path_factory, encoder):
    """index.html alone, in an empty folder, and all that went wrong or was asked for from elsewhere."""
    fire = Concept.from_text("fire", encoder)
    generators = {"image": partial(ToyPicture, (3, 32, 32)), "audio": ToySound, "video": ToyClip}
    whole = showcase(fire, tmp_path_factory.mktemp("out"), encoder, generators, steps=2)
    alone = tmp_path_factory.mktemp("alone") / "index.html"
    shutil.copy(whole / "index.html", alone)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.troubles = []
        page.on("pageerror", lambda error: page.troubles.append(str(error)))
        page.on("request", lambda request: request.url.startswith("data:") or request.url == alone.as_uri() or page.troubles.append(request.url))
        page.goto(alone.as_uri())
        yield page
        assert page.troubles == []
        browser.close()


@pytest.mark.parametrize("kind, seconds", [("audio", 4096 / 16000), ("video", 3 * 4 / 8)])
def test_what_plays_plays_from_the_page_alone(page, kind, seconds):
    players = page.query_selector_all(kind)
    assert len(players) == 2
    for player in players:
        duration, error, source = player.evaluate(PLAYED)
        assert duration == pytest.approx(seconds, abs=0.05) and error is None and source == "data:"


def test_every_picture_is_there(page):
    assert page.evaluate("[...document.images].filter(image => !image.naturalWidth).length") == 0
    assert page.evaluate("document.images.length") > 4


@pytest.mark.parametrize("width", [1200, 400])
def test_the_verdict_stands_above_its_medium_and_nothing_is_cut_off(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for kind in ("image", "audio", "video"):
        verdict, medium = (page.query_selector(f"section.{kind} {what}").bounding_box() for what in (".verdict b", ".pair"))
        assert verdict["y"] + verdict["height"] <= medium["y"]
