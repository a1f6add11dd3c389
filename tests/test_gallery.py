"""The gallery in the docs: a page over every target of its list, in order, made from showcase folders."""

import json
from functools import partial
from pathlib import Path

import pytest
from PIL import Image
from scripts import script
from toys import ToyClip, ToyPicture, ToySound

from concept_algebra.ops.concept import Concept
from concept_algebra.ops.expression import evaluate
from concept_algebra.ops.showcase import showcase, slug

ROOT = Path(__file__).parents[1]
GENERATORS = {"image": partial(ToyPicture, (3, 32, 32)), "audio": ToySound, "video": ToyClip}
TARGETS = ["fire", "0.7*fire + 0.3*chagrin"]


@pytest.fixture(scope="module")
def gallery():
    return script("gallery")


@pytest.fixture(scope="module")
def made(tmp_path_factory, encoder):
    out = tmp_path_factory.mktemp("made")
    for target in TARGETS:
        showcase(evaluate(target, encoder), out, encoder, GENERATORS, steps=2)
    return out


def docs(folder, *targets):
    (folder / "targets.txt").write_text("# a remark\n" + "\n".join(targets) + "\n", "utf-8")
    return folder


def test_every_target_is_on_the_page_in_its_order_with_a_strip_of_its_media(gallery, made, tmp_path):
    written = gallery.write([made], docs(tmp_path, *reversed(TARGETS)))
    page = (tmp_path / "README.md").read_text("utf-8")
    assert page.index(r"## 0.7\*fire") < page.index("## fire\n")
    assert {path.name for path in written} == {"README.md", *(f"{slug(target)}.webp" for target in TARGETS)}
    for path in written[:-1]:
        assert f"]({path.name})" in page
        assert Image.open(path).size == (6 * (gallery.SIDE + gallery.GAP) - gallery.GAP, gallery.SIDE + gallery.CAPTION)
    assert page.count("sound, honest") == page.count("clip, natural") == 2


def test_the_benchmarks_judge_has_its_say_on_pictures_of_words_that_it_knows(gallery, made, tmp_path):
    gallery.write([made], docs(tmp_path, *TARGETS))
    fire, chagrin = (tmp_path / "README.md").read_text("utf-8").split("\n## ")[1:]
    judged = [line for line in fire.splitlines() if "place " in line]
    assert [line.split(" | ")[0].removeprefix("| ") for line in judged] == ["picture, honest", "picture, natural"]
    assert fire.count("**not judged**") == 4 and chagrin.count("**not judged**") == 6


def test_a_medium_that_two_folders_hold_is_the_last_ones(gallery, made, tmp_path, encoder):
    again = tmp_path / "again"
    for target in TARGETS:
        showcase(evaluate(target, encoder), again, encoder, {"image": GENERATORS["image"]}, steps=3)
    gallery.write([made, again], docs(tmp_path, *TARGETS))
    page = (tmp_path / "README.md").read_text("utf-8")
    cosine = json.loads((again / "fire" / "run.json").read_text("utf-8"))["renders"][0]["cosine"]
    assert f"| {cosine:.2f} |" in next(line for line in page.splitlines() if line.startswith("| picture, honest"))
    assert page.count("sound, honest") == 2
    assert f"--steps 2 --out {made.name}\n" in page and "--modality text,image --steps 3 --out again\n" in page
    assert f"python tools/gallery.py {made.name} again\n" in page


def test_a_target_without_a_showcase_and_one_of_other_settings_are_refused_by_name(gallery, made, tmp_path, encoder):
    with pytest.raises(ValueError, match="no showcase of 'trust'"):
        gallery.write([made], docs(tmp_path, *TARGETS, "trust"))
    assert not (tmp_path / "README.md").exists()
    other = showcase(Concept.from_text("water", encoder), tmp_path / "made", encoder, {}, steps=2, seed=1)
    for folder in made.iterdir():
        (other.parent / folder.name).symlink_to(folder, target_is_directory=True)
    with pytest.raises(ValueError, match="'water' was made with another seed than 'fire'"):
        gallery.write([other.parent], docs(tmp_path, "fire", "water"))


def test_the_page_in_the_docs_is_of_its_list():
    folder = ROOT / "docs" / "gallery"
    listed = [line for line in (folder / "targets.txt").read_text("utf-8").splitlines() if line and not line.startswith("#")]
    page = (folder / "README.md").read_text("utf-8")
    assert len(listed) >= 12 and page.count("\n## ") == len(listed)
    assert {path.name for path in folder.glob("*.webp")} == {f"{slug(target)}.webp" for target in listed}
    assert all(f"]({slug(target)}.webp)" in page for target in listed)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1_000_000
