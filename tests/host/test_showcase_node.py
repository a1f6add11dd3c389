"""Showcase on a real ComfyUI: the folder whole, a list of targets, cancelling, judges, and what is refused."""

import json
import time

import pytest
from graphs import node, strained
from listen import Listener
from PIL import Image
from test_reading_nodes import judge  # noqa: F401

from concept_algebra.ops.rounding import rounded

FILES = {f"{name}-{track}.{suffix}" for name, suffix in (("image", "png"), ("audio", "wav"), ("video", "mp4")) for track in ("honest", "natural")}
ALWAYS = {"run.json", "index.html", "README.md", "readings", "phrase.txt"}
OUTPUTS = ("sheet", "audio", "video", "phrase", "summary", "folder")


def show(prefix, expression="fire + water", media=("image",), steps=4, **given):
    """A Showcase named "show" of pocket generators, with what it asks for."""
    graph = {
        "encoder": node("LoadEncoder", encoder="pocket"),
        "concept": node("Expression", expression=expression, encoder=["encoder", 0]),
        "show": node(
            "Showcase", seed=3, quick=True, steps=steps, filename_prefix=prefix, concept=["concept", 0], encoder=["encoder", 0],
            **{medium: [medium, 0] for medium in media}, **given,
        ),
    }  # fmt: skip
    return graph | {medium: node("LoadGenerator", generator=f"pocket {medium}", encoder=["encoder", 0]) for medium in media}


def said(name):
    return node(".PreviewAny", source=["show", OUTPUTS.index(name)])


def texts(outputs, name):
    return outputs[name]["text"]


def test_the_whole_folder_and_what_the_node_gives(server):
    graph = show("whole", media=("image", "audio", "video")) | {name: said(name) for name in ("phrase", "summary", "folder")}
    graph["sound"] = node(".PreviewAudio", audio=["show", 1])
    graph["clip"] = node(".SaveVideo", video=["show", 2], filename_prefix="clip", format="mp4", codec="h264")
    with Listener(server.port) as heard:
        outputs = server.run(graph)
    folder = server.folder / "output" / "whole" / "fire-plus-water"
    assert {path.name for path in folder.iterdir()} == FILES | ALWAYS
    assert {path.name for path in (folder / "readings").iterdir()} == {name.partition(".")[0] for name in FILES} | {"text"}
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, "index.html"}
    (phrase,), (summary,), (where,) = (texts(outputs, name) for name in ("phrase", "summary", "folder"))
    assert phrase == (folder / "phrase.txt").read_text().strip() and where == str(folder)
    lines = summary.split("\n")
    assert [line.partition(":")[0] for line in lines] == ["in words", *(f"{m}, {t}" for m in ("image", "audio", "video") for t in ("honest", "natural"))]
    assert all("not judged" in line for line in lines)
    run = json.loads((folder / "run.json").read_text())
    assert [rounded(made["cosine"]) for made in run["renders"]] == [line.split("; ")[1] for line in lines[1:]]
    assert run["hold"] is None and [made["settings"]["prior"]["name"] for made in run["renders"]] == ["no", "flair"] * 3
    (shown,) = outputs["show"]["images"]
    width, height = Image.open(server.output(shown)).size
    assert width > 512 and height > 3 * 100
    assert outputs["show"]["page"] == [{"filename": "index.html", "subfolder": "whole/fire-plus-water", "type": "output", "title": "fire + water"}]
    assert outputs["sound"]["audio"] and list((server.folder / "output").glob("clip_*.mp4"))
    # a person's ComfyUI opens a picture as the workflow that made it
    assert json.loads(Image.open(folder / "image-natural.png").text["prompt"])["show"]["class_type"] == "ConceptAlgebra_Showcase"
    bars = [p["value"] for p in heard.of("progress") if p["node"] == "show"]
    assert bars == sorted(bars) and bars[-1] == 3 * 3 * 4
    seen = list(dict.fromkeys(step["track"] for step in heard.of("concept_algebra.step")))
    assert seen == [f"{m}, {t}" for m in ("image", "audio", "video") for t in ("honest", "natural")]


def test_a_list_of_targets_gives_a_folder_each_and_one_index(server):
    graph = show("list", media=()) | {"folder": said("folder")}
    graph["concept"] = node("List", targets="octopus\nking - man", encoder=["encoder", 0])
    outputs = server.run(graph)
    out = server.folder / "output" / "list"
    assert {path.name for path in out.iterdir()} == {"octopus", "king-minus-man", "index.html"}
    assert texts(outputs, "folder") == [str(out / "octopus"), str(out / "king-minus-man")]
    assert [page["title"] for page in outputs["show"]["page"]] == ["octopus", "king - man"]
    index = (out / "index.html").read_text()
    assert "octopus/index.html" in index and "king-minus-man/index.html" in index
    # one after the other, as with Target From List: the index keeps what was there
    graph["concept"] = node("TargetFromList", targets="octopus\nmoon", index=1, encoder=["encoder", 0])
    server.run(graph)
    index = (out / "index.html").read_text()
    assert all(f"{name}/index.html" in index for name in ("octopus", "king-minus-man", "moon"))


@pytest.mark.parametrize("words, steps", [("image, honest, step", 400), ("the prior alone", 48)], ids=["drawing", "alone"])
def test_cancel_leaves_nothing(server, words, steps):
    before = set((server.folder / "output").rglob("*"))
    with Listener(server.port) as heard:
        queued = server.queue(show("cancelled", "moon", steps=steps))
        while not any(words.encode() in payload for _, payload in heard.binary):
            assert not server.get("/history/" + queued), "it ended before it could be cancelled"
            time.sleep(0.05)
        server.post("/interrupt", {})
        done = server.wait(queued)
    assert done["status"]["messages"][-1][0] == "execution_interrupted"
    assert set((server.folder / "output").rglob("*")) == before
    assert not list((server.folder / "input").glob("concept-algebra-rescued*"))


def test_cancel_is_heeded_within_a_map(server):
    before = set((server.folder / "output").rglob("*"))
    done = server.wait(server.queue(strained(show("cancelled", "moon"), "show", "cancel")))
    assert done["status"]["messages"][-1][0] == "execution_interrupted"
    assert set((server.folder / "output").rglob("*")) == before


def failing(graph):
    graph["failing"] = {"class_type": "ConceptAlgebraTest_Failing", "inputs": {"how": "cuda", "generator": ["image", 0]}}
    graph["show"]["inputs"]["image"] = ["failing", 0]
    return graph


@pytest.mark.parametrize(
    "graph, advice",
    [(lambda: failing(show("full")), "With quick on"), (lambda: strained(show("full"), "show", "memory"), "what came out takes as much to read")],
    ids=["drawing", "reading"],
)
def test_without_memory_the_advice_is_about_what_the_node_has(server, graph, advice):
    before = set((server.folder / "input").glob("*.latent"))
    message = server.fail(graph())
    assert message.startswith("The device ran out of memory.") and advice in message and "looks" not in message
    (kept,) = set((server.folder / "input").glob("*.latent")) - before
    assert kept.name in message and not (server.folder / "output" / "full").exists()
    kept.unlink()


def test_a_judge_gives_its_verdict(server, judge):  # noqa: F811
    graph = show("judged", "octopus", judge=["judge", 0]) | {"judge": node("LoadJudge", judge=judge), "summary": said("summary")}
    outputs = server.run(graph)
    folder = server.folder / "output" / "judged" / "octopus"
    run = json.loads((folder / "run.json").read_text())
    words = [made["verdict"]["word"] for made in run["renders"]]
    assert len(run["judges"]) == 1 and run["judges"][0].startswith("siglip-") and "not judged" not in words
    lines = texts(outputs, "summary")[0].split("\n")[1:]
    assert [line.split(": ")[1].split(";")[0] for line in lines] == words
    card = json.loads((folder / "readings" / "image-natural" / "card.json").read_text())
    assert card["judgement"]["judge"] == run["judges"][0] and card["judgement"]["score"]["count"] >= 500


def test_a_prior_holds_the_natural_track(server):
    graph = show("held", "octopus", prior=["prior", 0]) | {"prior": node("FlairPrior", strength=0.5, told=False)}
    server.run(graph)
    run = json.loads((server.folder / "output" / "held" / "octopus" / "run.json").read_text())
    honest, natural = (made["settings"] for made in run["renders"])
    assert run["hold"]["strength"] == 0.5 and run["hold"]["prior"]["name"] == "flair" and run["hold"]["told"] is False
    assert honest["prior"]["name"] == "no" and natural["schedule"]["strength"] == 0.5 and natural["told"] is False
    assert natural["prior"]["levels"] == 4


def test_what_cannot_be_shown_is_refused_before_anything_is_made(server):
    wrong = show("refused")
    wrong["image"]["inputs"]["generator"] = "pocket audio"
    assert "image has a generator of kind audio connected" in server.fail(wrong)
    for prefix in ("../elsewhere", "."):
        assert "not a folder within ComfyUI's output folder" in server.fail(show(prefix))
    assert not (server.folder / "output" / "refused").exists() and not (server.folder / "elsewhere").exists()
