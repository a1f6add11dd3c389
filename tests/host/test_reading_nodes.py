"""Judges, cards, attribution maps and probes on a real ComfyUI: what each gives, says and refuses."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tiny_judges
from graphs import node, render
from PIL import Image
from server import Refused, interpreter

from concept_algebra.ops.evaluate.card import Card
from concept_algebra.ops.evaluate.judges import KINDS

JUDGE = "tiny-siglip"
ROUND = ["ball", "balloon", "wheel", "coin", "moon", "sun", "ring", "button"]
PLACES = ["", " in snow", " in rain", " at night"]
YES = "\n".join(word + place for word in ROUND for place in PLACES)
NO = "\n".join(word + place for word in ["box", "house", "tree", "car", "chair", "table", "ladder", "book"] for place in PLACES)


def read(expression="octopus", generator="pocket image", steps=3, **nodes):
    """A render, with what reads it."""
    return render(expression, generator=generator, steps=steps, seed=5) | nodes


def card(**sockets):
    made = {"card": node("EvalCard", render=["render", 0], **sockets)}
    for place, name in enumerate(("json", "verdict", "markdown")):
        made[name] = node(".PreviewAny", source=["card", place])
    return made


def overlay(method="relevance", feature="", **sockets):
    map_ = node("AttributionOverlay", method=method, feature=feature, render=["render", 0], encoder=["encoder", 0], **sockets)
    return {
        "map": map_, "image": node(".SaveImage", images=["map", 0], filename_prefix="map"), "white": node(".MaskToImage", mask=["map", 1]),
        "mask": node(".SaveImage", images=["white", 0], filename_prefix="mask"), "report": node(".PreviewAny", source=["map", 2]),
    }  # fmt: skip


def asked(probe, **sockets):
    made = {"probe": node("Probe", probe=probe, encoder=["encoder", 0], **sockets)}
    for place, name in enumerate(("probability", "verdict", "warning")):
        made[name] = node(".PreviewAny", source=["probe", place])
    return made


def trained(name, source="words", yes=YES, no=NO):
    encoder = node("LoadEncoder", encoder="pocket")
    return {"encoder": encoder, "train": node("TrainProbe", name=name, source=source, yes=yes, no=no, encoder=["encoder", 0])}


def said(outputs, name):
    return outputs[name]["text"][0]


def pixels(server, outputs, name, frame=0):
    return np.asarray(Image.open(server.output(outputs[name]["images"][frame])).convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def judge(server):
    """A SigLIP of random weights where the server looks for judges; its name there."""
    pytest.importorskip("transformers", reason="the judge is made by transformers: pip install transformers")
    if subprocess.run([interpreter(server.host), "-c", "import transformers"], capture_output=True).returncode:
        pytest.skip("the host's Python has no transformers: pip install transformers there")
    made = Path(server.folder) / "models" / "concept_judges" / JUDGE
    made.mkdir(parents=True)
    tiny_judges.siglip(made)
    yield JUDGE
    shutil.rmtree(made.parent)


@pytest.fixture
def probes(server):
    """The folder of trained probes, empty."""
    folder = Path(server.folder) / "models" / "concept_probes"
    shutil.rmtree(folder, ignore_errors=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_without_a_judge_the_card_says_so_and_how_to_get_one(server):
    outputs = server.run(read(**card()))
    found = Card.from_json(said(outputs, "json"))
    assert said(outputs, "verdict") == found.verdict.word == "not judged"
    assert found.judgement.score is None and "google/siglip2" in found.verdict.rule
    assert found.expression == "octopus" and found.seed == 5 and found.instruments
    markdown = said(outputs, "markdown")
    assert markdown.startswith("## octopus: image, honest\n\n**not judged**.") and outputs["card"]["card"] == [markdown]


def test_a_judge_that_is_not_there_is_answered_with_how_to_get_one(server):
    nodes = card(judge=["judge", 0]) | {"judge": node("LoadJudge", judge="siglip2 or clap (not installed)")}
    answer = server.fail(read(**nodes))
    assert "google/siglip2-base-patch16-224" in answer and "laion/clap-htsat-unfused" in answer and "concept_judges" in answer
    nodes["judge"]["inputs"]["judge"] = "other"
    assert "There is no judge other" in server.fail(read(**nodes))


def test_a_judge_says_its_own_numbers(server, judge):
    assert server.get("/object_info/ConceptAlgebra_LoadJudge")["ConceptAlgebra_LoadJudge"]["output"] == ["CONCEPT_JUDGE"]
    loaded = {"judge": node("LoadJudge", judge=judge)}
    found = Card.from_json(said(server.run(read(**card(judge=["judge", 0]), **loaded)), "json"))
    assert found.judgement.judge.startswith("siglip-") and found.judgement.score.count >= 500
    assert found.made_with != found.judgement.judge and 0 < found.judgement.score.percentile < 1
    assert found.edit is None


def test_what_became_of_the_parts_of_a_sum_is_measured_against_a_base(server, judge):
    loaded = {"judge": node("LoadJudge", judge=judge)}
    plain = {f"plain {name}": part for name, part in render("dog", seed=5).items() if name in ("concept", "render")}
    plain["plain render"]["inputs"]["concept"] = ["plain concept", 0]
    graph = read("dog - 0.3*fur", **card(judge=["judge", 0]), **loaded)
    alone = Card.from_json(said(server.run(graph), "json")).edit
    graph["card"]["inputs"]["base"] = ["plain render", 0]
    found = Card.from_json(said(server.run(graph | plain), "json")).edit
    assert [change.role for change in found.changes] == ["kept", "removed"]
    assert (alone.base_is, found.base_is) == ("its own embedding", "a render of it") and alone.changes != found.changes


def test_a_judge_of_pictures_does_not_judge_a_sound(server, judge):
    loaded = {"judge": node("LoadJudge", judge=judge)}
    found = Card.from_json(said(server.run(read("bell", "pocket audio", **card(judge=["judge", 0]), **loaded)), "json"))
    assert found.verdict.word == "not judged" and "laion/clap" in found.verdict.rule


def test_a_judge_makes_nothing(server, judge):
    graph = read(judge=node("LoadJudge", judge=judge), shown=node(".PreviewImage", images=["render", 1]))
    graph["render"]["inputs"]["encoder"] = ["judge", 0]
    with pytest.raises(Refused, match="return_type_mismatch"):
        server.queue(graph)


def test_a_folder_that_is_no_judge_says_what_is(server, judge):
    folder = Path(server.folder) / "models" / "concept_judges" / "bert"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    try:
        nodes = card(judge=["judge", 0]) | {"judge": node("LoadJudge", judge="bert")}
        answer = server.fail(read(**nodes))
        assert "model_type is bert" in answer and all(kind in answer for kind in KINDS)
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("method", ["relevance", "integrated gradients", "rollout"])
def test_a_map_lies_over_a_picture(server, method):
    outputs = server.run(read(**overlay(method)))
    mask, image = pixels(server, outputs, "mask"), pixels(server, outputs, "image")
    assert mask.max() == 255 and mask.shape[0] == mask.shape[1] and mask.std() > 1
    # the map is in colour, the render under it in grey
    assert image.shape[1] > 512 and abs(image[..., 0] - image[..., 2]).max() > 100
    assert ("octopus: 0." in said(outputs, "report")) == (method != "rollout")
    if method == "integrated gradients":
        assert float(said(outputs, "report").rsplit(" ", 1)[1].rstrip("%")) < 1


def test_a_map_answers_to_what_is_asked(server):
    def map_of(**given):
        outputs = server.run(read("octopus", **overlay(**given), other=node("Expression", expression="house", encoder=["encoder", 0]), sae=node("LoadSAE", sae="vocabulary (no training)", encoder=["encoder", 0])))
        return pixels(server, outputs, "mask"), said(outputs, "report")

    (own, told), (other, of_other), (feature, of_feature) = map_of(), map_of(concept=["other", 0]), map_of(feature="house", sae=["sae", 0])
    assert told.startswith("octopus:") and of_other.startswith("house:") and of_feature.startswith("house:")
    assert not np.array_equal(own, other) and not np.array_equal(own, feature)


@pytest.mark.parametrize("generator", ["pocket audio", "pocket video"])
def test_a_map_of_a_sound_and_of_a_clip(server, generator):
    outputs = server.run(read("bell", generator, **overlay()))
    assert len(outputs["mask"]["images"]) == (8 if generator == "pocket video" else 1)
    assert max(pixels(server, outputs, "mask", frame).max() for frame in range(len(outputs["mask"]["images"]))) == 255


@pytest.mark.parametrize(
    "given, told",
    [
        ({"feature": "fur"}, "no SAE is connected"),
        ({"feature": "fur", "method": "rollout"}, "the same for every feature"),
        ({"feature": "octopuss", "sae": ["sae", 0]}, "did you mean octopus"),
    ],
    ids=str,
)
def test_a_feature_that_cannot_be_meant_is_refused(server, given, told):
    sae = {"sae": node("LoadSAE", sae="vocabulary (no training)", encoder=["encoder", 0])} if "sae" in given else {}
    assert told in server.fail(read(**overlay(**given), **sae))


def test_a_probe_knows_a_word_and_warns_of_a_picture(server):
    def of(expression):
        graph = render(expression) | asked("animal", concept=["concept", 0])
        del graph["render"], graph["generator"]
        outputs = server.run(graph)
        return [said(outputs, name) for name in ("probability", "verdict", "warning")]

    dog, hammer = of("dog"), of("hammer")
    assert float(dog[0]) > 0.8 and dog[1] == "an animal" and not dog[2].strip()
    assert float(hammer[0]) < 0.2 and hammer[1] == "not an animal"
    outputs = server.run(read("dog", **asked("animal", render=["render", 0])))
    assert "trained on text and reads image" in said(outputs, "warning")


def test_a_probe_asks_one_thing(server):
    for sockets in ({}, {"concept": ["concept", 0], "render": ["render", 0]}):
        assert "connect a concept or a render" in server.fail(read(**asked("animal", **sockets)))


def test_a_probe_learned_from_two_lists_is_offered_and_asked(server, probes):
    outputs = server.run(trained("round"))
    report = outputs["train"]["text"][0]
    assert (probes / "round.safetensors").is_file() and "trained on 32 and 32 of text" in report
    assert "round.safetensors is there already" in server.fail(trained("round", yes=YES + "\nglobe"))
    info = server.get("/object_info/ConceptAlgebra_Probe")["ConceptAlgebra_Probe"]["input"]["required"]["probe"]
    offered = info[0] if isinstance(info[0], list) else info[1]["options"]
    assert offered[-1] == "round.safetensors" and offered[0] == "animal"
    graph = render("balloon") | asked("round.safetensors", concept=["concept", 0])
    del graph["render"], graph["generator"]
    outputs = server.run(graph)
    assert said(outputs, "verdict") == "round" and float(said(outputs, "probability")) > 0.8


def test_a_probe_learned_from_two_folders_is_of_their_medium(server, probes):
    folder = Path(server.folder) / "input"
    chance = np.random.default_rng(0)
    for side, colour in (("reds", (220, 30, 30)), ("blues", (30, 30, 220))):
        (folder / side).mkdir(parents=True)
        for index in range(32):
            noise = chance.integers(-25, 25, (32, 32, 3))
            Image.fromarray((np.array(colour) + noise).astype(np.uint8)).save(folder / side / f"{index}.png")
    report = server.run(trained("red", "folders", "reds", "blues"))["train"]["text"][0]
    assert "trained on 32 and 32 of image" in report and "right in 100%" in report
    assert "there is no folder 'greens'" in server.fail(trained("green", "folders", "greens", "blues"))


@pytest.mark.parametrize("given, told", [({"no": "box\nhouse"}, "at least 32 are needed"), ({"yes": NO}, "is on both sides"), ({"name": "a/b"}, "cannot be a file's name")])
def test_what_cannot_be_learned_from_is_refused(server, probes, given, told):
    assert told in server.fail(trained(**({"name": "round"} | given)))
    assert not list(probes.glob("*"))


def test_a_probe_that_is_not_there_says_where_it_belongs(server):
    graph = read(**asked("gone.safetensors", concept=["concept", 0]))
    assert "concept_probes" in server.fail(graph)

