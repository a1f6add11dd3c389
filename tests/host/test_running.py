"""A run on a real ComfyUI: what it tells while it goes, how it stops, what it keeps, what it does not do twice."""

import io
import time

import pytest
import torch
from graphs import node, readout, render
from listen import Listener
from PIL import Image
from safetensors.torch import load_file

from concept_algebra.ops.media import write_png

JPEG, TEXT, JPEG_WITH_NODE = 1, 3, 4  # kinds of ComfyUI's binary messages


def shown(graph):
    return graph | {"image": node(".PreviewImage", images=["render", 1])}


def test_progress_preview_and_words_arrive_while_it_runs(server):
    with Listener(server.port) as heard:
        server.run(shown(render("octopus", steps=9, seed=41)))
    steps = heard.of("concept_algebra.step")
    assert [step["step"] for step in steps] == [0, 2, 4, 6, 8] and {step["node"] for step in steps} == {"render"}
    assert all(step["total"] == 9 and step["track"] == "honest" for step in steps)
    assert all(len(step["words"]) == 6 and isinstance(step["words"][0][0], str) for step in steps)
    bars = [p["value"] for p in heard.of("progress") if p["node"] == "render"]
    assert bars == sorted(bars) and bars[-1] == 9
    assert any(kind == TEXT and b"honest, step 1 of 9" in payload for kind, payload in heard.binary)
    previews = [payload for kind, payload in heard.binary if kind in (JPEG, JPEG_WITH_NODE)]
    assert len(previews) >= 5
    start = previews[-1].index(b"\xff\xd8")
    assert Image.open(io.BytesIO(previews[-1][start:])).size[0] >= 128


def test_cancel_stops_within_a_step_and_leaves_nothing(server):
    graph = render("fire", steps=5000, seed=42) | {"image": node(".SaveImage", images=["render", 1], filename_prefix="cancelled")}
    with Listener(server.port) as heard:
        queued = server.queue(graph)
        while not any(p["node"] == "render" and p["value"] >= 2 for p in heard.of("progress")):
            time.sleep(0.05)
        server.post("/interrupt", {})
        asked = max(p["value"] for p in heard.of("progress") if p["node"] == "render")
        done = server.wait(queued)
        last = max(p["value"] for p in heard.of("progress") if p["node"] == "render")
    assert done["status"]["messages"][-1][0] == "execution_interrupted"
    # the bar's own messages may lie behind by one when cancel is pressed
    assert last <= asked + 2
    assert not list((server.folder / "output").glob("cancelled*"))
    assert not list((server.folder / "input").glob("concept-algebra-rescued*"))
    # and the server goes on as if nothing had been
    server.run(shown(render("fire", steps=1, seed=42)))


@pytest.mark.parametrize("how, said", [("nan", "not a number at step 3 of 8"), ("mps", "ran out of memory"), ("cuda", "ran out of memory")])
def test_a_failure_keeps_the_best_latent_and_says_where(server, how, said):
    graph = shown(render("fire", steps=8))
    graph["failing"] = {"class_type": "ConceptAlgebraTest_Failing", "inputs": {"how": how, "generator": ["generator", 0]}}
    graph["render"]["inputs"]["generator"] = ["failing", 0]
    before = set((server.folder / "input").glob("*.latent"))
    message = server.fail(graph)
    assert said in message and message.count("\n") <= 1
    (kept,) = set((server.folder / "input").glob("*.latent")) - before
    assert kept.name in message
    latent = load_file(kept)["latent_tensor"]
    assert latent.shape == (1, 8, 16, 16) and torch.isfinite(latent).all()
    again = shown(render("fire", steps=1)) | {"latent": node(".LoadLatent", latent=kept.name)}
    again["render"]["inputs"]["latent"] = ["latent", 0]
    server.run(again)


def test_a_failure_nobody_can_help_passes_through_as_it_is(server):
    graph = shown(render("fire", steps=8))
    graph["failing"] = {"class_type": "ConceptAlgebraTest_Failing", "inputs": {"how": "bug", "generator": ["generator", 0]}}
    graph["render"]["inputs"]["generator"] = ["failing", 0]
    assert server.fail(graph).strip() == "a shape is wrong"


def test_an_unchanged_graph_computes_nothing_and_a_changed_end_only_itself(server):
    graph = render("moon", steps=2, seed=43)
    graph["readout"] = node("Readout", words=8, concept=["concept", 0], encoder=["encoder", 0])
    graph["image"] = node(".SaveImage", images=["render", 1], filename_prefix="cached")
    server.run(graph)
    assert server.ran(graph) == set()
    graph["readout"]["inputs"]["words"] = 9
    assert server.ran(graph) == {"readout"}
    graph["render"]["inputs"]["seed"] = 44
    assert server.ran(graph) == {"render", "image"}


def test_a_changed_file_on_disk_is_noticed(server):
    picture = server.folder / "input" / "changing.png"
    picture.parent.mkdir(exist_ok=True)
    write_png(picture, torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0)))
    graph = readout('image("changing.png")')
    first = server.run(graph)["readout"]["text"][0]
    assert server.ran(graph) == set()
    write_png(picture, torch.zeros(3, 32, 32))
    assert server.ran(graph) == {"concept", "readout"}
    assert server.run(graph)["readout"]["text"][0] != first


def test_a_changed_concept_file_is_noticed(server):
    def saved(expression):
        concept = node("Expression", expression=expression, encoder=["encoder", 0])
        save = node("Save", filename_prefix="changing", concept=["concept", 0])
        server.run({"encoder": node("LoadEncoder", encoder="pocket"), "concept": concept, "save": save})
        return max((server.folder / "output/concepts").glob("changing_*"))

    one, other = saved("fire"), saved("water")
    graph = readout("fire")
    graph["concept"] = node("Load", concept=one.name, encoder=["encoder", 0])
    assert server.run(graph)["readout"]["text"][0].startswith("fire")
    one.write_bytes(other.read_bytes())
    assert server.run(graph)["readout"]["text"][0].startswith("water")


@pytest.mark.parametrize("generator", ["pocket image", "pocket audio", "pocket video"])
def test_gradients_equal_finite_differences_before_and_after_ordinary_nodes(server, generator):
    decode = ".VAEDecodeAudio" if "audio" in generator else ".VAEDecode"
    common = render("fire", generator=generator, steps=1)

    def probe(moment, **inputs):
        graph = {name: common[name] for name in ("encoder", "generator", "concept")}
        graph["probe"] = {
            "class_type": "ConceptAlgebraTest_Gradient",
            "inputs": {"moment": moment, "spoil": False, "concept": ["concept", 0], "encoder": ["encoder", 0], "generator": ["generator", 0]} | inputs,
        }
        return server.run(graph)["probe"]

    # a sound's phase is held fixed in the gradient (signal.invert), which finite differences cannot do
    tolerance = 0.35 if "audio" in generator else 0.05
    before = probe(0)
    assert before["ratio"][0] == pytest.approx(1, abs=tolerance) and before["restored"] == [True]
    used = common | {"decoded": node(decode, samples=["render", 4], vae=["generator", 1])}
    end = node(".PreviewAudio", audio=["decoded", 0]) if "audio" in generator else node(".PreviewImage", images=["decoded", 0])
    assert server.run(used | {"end": end})
    after = probe(1)
    assert after["ratio"][0] == pytest.approx(before["ratio"][0], abs=1e-3)
    spoilt = probe(2, spoil=True)
    assert spoilt["spoilt"][0] > 50, "moving a module under inference mode no longer spoils it: the probe proves nothing"
    assert spoilt["ratio"][0] == pytest.approx(before["ratio"][0], abs=1e-2)
    # and the ordinary nodes still get the same pictures from the thawed weights
    used["render"]["inputs"]["seed"] = 77
    assert server.run(used | {"end": end})
