"""Interpret, and the Eval Card of several renders, on a real ComfyUI: what they give, keep and refuse."""

import json
import time
from copy import deepcopy

import pytest
import torch
from graphs import node, render, strained
from listen import Listener
from PIL import Image
from test_reading_nodes import card, judge, probes, said  # noqa: F401

from concept_algebra.ops.encoders import load
from concept_algebra.ops.evaluate.card import Card
from concept_algebra.ops.evaluate.intervals import Interval
from concept_algebra.ops.interpret.bundle import Bundle
from concept_algebra.ops.interpret.probes import SHIPPED, Probe
from concept_algebra.ops.provenance import KEY

TEXT = 3  # the kind of ComfyUI's binary messages that carries a node's running text


def read(expression="dog + ball", generator="pocket image", prefix="", seed=5, **sockets):
    """A render with its Interpret and what that gives."""
    graph = render(expression, generator=generator, steps=3, seed=seed)
    graph["reading"] = node("Interpret", filename_prefix=prefix, render=["render", 0], encoder=["encoder", 0], **sockets)
    for place, name in ((1, "words"), (2, "report"), (3, "bundle")):
        graph[name] = node(".PreviewAny", source=["reading", place])
    return graph


def overlaid():
    return render("bell", steps=2) | {"reading": node("AttributionOverlay", method="integrated gradients", feature="", render=["render", 0])}


def with_seeds(graph, *seeds, **changed):
    """The graph with its render again from other seeds, in sockets of its card from render_2 on."""
    for number, seed in enumerate(seeds, 2):
        graph[f"again {number}"] = deepcopy(graph["render"])
        graph[f"again {number}"]["inputs"] |= {"seed": seed} | changed
        graph["card"]["inputs"][f"render_{number}"] = [f"again {number}", 0]
    return graph


def carded(expression="dog", **sockets):
    return render(expression, steps=3, seed=5) | card(encoder=["encoder", 0], **sockets)


def written(server):
    """What lies in the output folder."""
    folder = server.folder / "output"
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def on_node(heard):
    """The lines that the reading's node has shown, oldest first."""
    name = b"reading"
    start = len(name).to_bytes(4, "big") + name
    return [payload.removeprefix(start).decode() for kind, payload in heard.binary if kind == TEXT and payload.startswith(start)]


def test_a_reading_says_what_its_bundle_holds_and_writes_nothing(server):
    before = written(server)
    outputs = server.run(read() | {"figure": node(".PreviewImage", images=["reading", 0])})
    bundle = json.loads(said(outputs, "bundle"))
    assert (bundle["expression"], bundle["modality"], bundle["seed"]) == ("dog + ball", "image", 5)
    assert said(outputs, "words") == ", ".join(word["text"] for word in bundle["words"])
    assert {"dog", "ball"} <= {feature["name"] for feature in bundle["features"] if feature["target"] > 0}
    assert [answer["what"] for answer in bundle["answers"]] == list(SHIPPED.values())
    assert [found["of"] for found in bundle["maps"]] == ["dog + ball", "dog", "ball", None]
    report = said(outputs, "report")
    assert report.startswith("### What it reads as") and "| an animal |" in report
    # what stands on the node: the report, and of each map a small picture and one to open
    assert outputs["reading"]["card"] == [report]
    (maps,) = outputs["reading"]["maps"]
    assert [found["said"].partition(":")[0] for found in maps] == ["dog + ball", "dog", "ball", "where the encoder looked, whatever is asked"]
    for found in maps:
        assert Image.open(server.output(found["small"])).size == (192, 192)
        assert Image.open(server.output(found["large"])).size[0] > 512
    assert Image.open(server.output(outputs["figure"]["images"][0])).size[0] > 1000
    assert written(server) == before


def test_a_reading_is_kept_whole_in_a_numbered_folder(server):
    for seed in (5, 6):
        outputs = server.run(read(prefix=" deep/storm ", seed=seed))
        folder = server.folder / "output" / "deep" / f"storm_{seed - 4:05}_"
        assert sorted(path.name for path in folder.iterdir()) == ["bundle.json", "figure.png", "maps.safetensors"]
        bundle = Bundle.load(folder)
        assert bundle.seed == seed and bundle.to_json() == said(outputs, "bundle")
        assert len(bundle.maps) == 4 and all(found.values.isfinite().all() for found in bundle.maps)
        text = Image.open(folder / "figure.png").text
        assert json.loads(text["prompt"])["reading"]["inputs"]["filename_prefix"] == " deep/storm " and KEY in text
    # nothing half-made is left beside them
    assert sorted(path.name for path in folder.parent.iterdir()) == ["storm_00001_", "storm_00002_"]


def test_a_folder_outside_the_output_is_refused(server):
    assert "outside the output folder" in server.fail(read(prefix="../../away/storm"))


@pytest.mark.parametrize("generator, shape", [("pocket audio", 2), ("pocket video", 3)])
def test_a_sound_and_a_clip_are_read_too(server, generator, shape):
    outputs = server.run(read("bell", generator, prefix=f"readings/{generator.split()[1]}"))
    (folder,) = (server.folder / "output" / "readings").glob(f"{generator.split()[1]}_*")
    bundle = Bundle.load(folder)
    assert [found.of for found in bundle.maps] == ["bell", None] and all(found.values.dim() == shape for found in bundle.maps)
    assert len(outputs["reading"]["maps"][0]) == 2


def test_probes_of_ones_own_are_asked_where_they_are_of_this_encoder(server, probes):  # noqa: F811
    space = load("pocket").space
    own = Probe("round", space.id, "image", (32, 32), Interval(0.9, 0.8, 1.0), 0.0, 1.0, 0.0, torch.zeros(space.dimension))
    other = Probe("loud", "another-0", "image", (32, 32), own.accuracy, 0.0, 1.0, 0.0, torch.zeros(8))
    before = json.loads(said(server.run(read()), "bundle"))["answers"]
    probes.mkdir(parents=True)
    own.save(probes / "round.safetensors")
    other.save(probes / "loud.safetensors")
    (probes / "torn.safetensors").write_bytes(b"torn")
    with Listener(server.port) as heard:
        after = json.loads(said(server.run(read()), "bundle"))["answers"]
        while not any("torn.safetensors is not a safetensors file" in line for line in on_node(heard)):
            time.sleep(0.02)
    assert after == [*before, {"what": "round", "probability": 0.5, "warning": None}]


def test_features_are_those_of_the_sae(server):
    sae = node("LoadSAE", sae="pocket", encoder=["encoder", 0])
    words = json.loads(said(server.run(read()), "bundle"))
    named = json.loads(said(server.run(read(sae=["sae", 0]) | {"sae": sae}), "bundle"))
    assert words["dictionary"].startswith("words-") and named["dictionary"] != words["dictionary"] and named["features"]


def test_an_sae_that_the_concept_is_not_made_of_is_refused(server):
    graph = read(sae=["sae", 0]) | {
        "sae": node("LoadSAE", sae="pocket", encoder=["encoder", 0]), "words": node("LoadSAE", sae="vocabulary (no training)", encoder=["encoder", 0]),
        "coded": node("Decompose", show=4, unnamed=1.0, concept=["concept", 0], sae=["words", 0]),
    }  # fmt: skip
    graph["render"]["inputs"]["concept"] = ["coded", 0]
    assert "is made of features of 'words-" in server.fail(graph)
    del graph["reading"]["inputs"]["sae"], graph["sae"]
    server.run(graph)


def test_another_encoder_is_refused(server, languagebind):
    graph = read(encoder_of="other")
    graph["other"] = node("LoadEncoder", encoder=languagebind)
    del graph["reading"]["inputs"]["encoder_of"]
    graph["reading"]["inputs"]["encoder"] = ["other", 0]
    assert "different spaces do not mix" in server.fail(graph)


@pytest.mark.parametrize("graph", [lambda: read(prefix="cancelled/within"), overlaid], ids=["Interpret", "Attribution Overlay"])
def test_cancel_is_heeded_within_a_map(server, graph):
    done = server.wait(server.queue(strained(graph(), "reading", "cancel")))
    assert done["status"]["messages"][-1][0] == "execution_interrupted"
    assert not [path for path in written(server) if path.startswith("cancelled/")]


def test_cancel_while_it_reads_leaves_nothing(server):
    with Listener(server.port) as heard:
        queued = server.queue(read("bell + fire", "pocket video", prefix="cancelled/reading"))
        while not "map 1 of 4: bell + fire" in on_node(heard):
            time.sleep(0.02)
        server.post("/interrupt", {})
        done = server.wait(queued)
        maps = [line for line in on_node(heard) if line.startswith("map ")]
    assert done["status"]["messages"][-1][0] == "execution_interrupted" and len(maps) == 1
    assert not [path for path in written(server) if path.startswith("cancelled/")]


@pytest.mark.parametrize("graph, advice", [(read, "no input lowers it: close"), (overlaid, "Of the methods rollout needs least")])
def test_without_memory_the_advice_is_about_what_the_node_has(server, graph, advice):
    message = server.fail(strained(graph(), "reading", "memory"))
    assert message.startswith("The device ran out of memory.") and advice in message
    assert "Nothing had been made" not in message and "candidates" not in message


def test_a_card_says_how_steady_a_render_is_and_whether_media_belong_together(server):
    graph = with_seeds(carded(), 6, 7)
    graph["sounds"] = node("LoadGenerator", generator="pocket audio", encoder=["encoder", 0])
    graph["sound"] = deepcopy(graph["render"])
    graph["sound"]["inputs"]["generator"] = ["sounds", 0]
    graph["card"]["inputs"]["render_6"] = ["sound", 0]
    outputs = server.run(graph)
    found = Card.from_json(said(outputs, "json"))
    assert found.stability.seeds == 3 and found.stability.percentiles == () and -1 <= found.stability.cosine <= 1
    assert [each.modalities for each in found.agreement] == [("image", "audio")] and not found.agreement[0].independent
    assert "Of 3 seeds" in said(outputs, "markdown") and "| image and audio |" in said(outputs, "markdown")
    assert found.verdict.word == "not judged"


def test_a_judge_has_an_interval_over_three_seeds(server, judge):  # noqa: F811
    graph = with_seeds(carded(judge=["judge", 0]), 6) | {"judge": node("LoadJudge", judge=judge)}
    two = Card.from_json(said(server.run(graph), "json")).stability
    three = Card.from_json(said(server.run(with_seeds(graph, 6, 7)), "json")).stability
    assert (len(two.percentiles), two.percentile) == (2, None)
    assert three.percentiles[:2] == two.percentiles and three.percentile.low < three.percentile.estimate < three.percentile.high


@pytest.mark.parametrize(
    "graph, told",
    [
        (with_seeds(carded(), 5), "render_2 has the seed 5, as the render itself has"),
        (with_seeds(carded(), 6, 6), "render_3 has the seed 6, as render_2 has"),
        (with_seeds(carded(), 6, steps=4), "render_2 differs from the render in its schedule"),
        (with_seeds(carded(), 6, concept=["cat", 0]) | {"cat": node("Expression", expression="cat", encoder=["encoder", 0])}, "render_2 is of 'cat', and the render of 'dog'"),
        (with_seeds(carded(), 6, prior=["prior", 0]) | {"prior": node("FlairPrior", strength=1.0)}, "render_2 is natural, and the render honest"),
        (with_seeds(render("dog", steps=3, seed=5) | card(), 6), "render_2 is connected and encoder is not"),
    ],
    ids=["own seed", "seed twice", "other steps", "other concept", "other track", "no encoder"],
)  # fmt: skip
def test_renders_that_do_not_go_together_are_refused_by_name(server, graph, told):
    assert told in server.fail(graph)


def test_a_card_of_renders_takes_their_own_encoder(server, languagebind):
    graph = with_seeds(carded(), 6) | {"other": node("LoadEncoder", encoder=languagebind)}
    graph["card"]["inputs"]["encoder"] = ["other", 0]
    assert "different spaces do not mix" in server.fail(graph)
