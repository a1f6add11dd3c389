"""Named features on a real ComfyUI: decompose, edit, combine, train, load, and what a mistake is answered with."""

import json
import shutil
import time
import urllib.parse

import numpy as np
import pytest
from graphs import node
from listen import Listener
from PIL import Image

from concept_algebra.ops.concept import Concept
from concept_algebra.ops.encoders.pocket import load
from concept_algebra.ops.expression import evaluate
from concept_algebra.ops.features.edits import edited, edits
from concept_algebra.ops.features.pursuit import Pursuit
from concept_algebra.ops.features.trained import TrainedSAE

WORDS = "vocabulary (no training)"
THINGS = "dog cat car ball house tree fish bird boat cup key hat star moon".split()
PHRASES = "\n".join(f"{colour} {thing}" for colour in "red green blue purple white".split() for thing in THINGS)
LOADED = {"encoder": node("LoadEncoder", encoder="pocket"), "sae": node("LoadSAE", sae=WORDS, encoder=["encoder", 0])}


def decomposed(text, name="coded", show=12, unnamed=1.0, sae="sae"):
    """A phrase and its SAE Decompose, which is called `name`."""
    return {
        f"{name} text": node("EncodeText", text=text, encoder=[sae, 1]),
        name: node("Decompose", show=show, unnamed=unnamed, concept=[f"{name} text", 0], sae=[sae, 0]),
    }


def read(concept):
    return {"readout": node("Readout", words=8, concept=[concept, 0], encoder=["encoder", 0])}


def training(name, **given):
    usual = {"sources": "", "phrases": PHRASES, "width": 64, "active": 4, "steps": 60, "text_only": False, "measure_stability": False}
    return {"encoder": node("LoadEncoder", encoder="pocket"), "train": node("TrainSAE", name=name, **{**usual, **given}, encoder=["encoder", 0])}


@pytest.fixture(scope="module")
def pocket():
    return load()


@pytest.fixture(scope="module")
def dictionary(pocket):
    return Pursuit(pocket.space)


def test_a_concept_is_taken_apart_as_by_the_core(server, pocket, dictionary):
    graph = LOADED | decomposed("purple dog") | {
        "text": node(".PreviewAny", source=["coded", 1]),
        "image": node(".SaveImage", images=["coded", 2], filename_prefix="chart"),
    }  # fmt: skip
    outputs = server.run(graph)
    ours = Concept.from_text("purple dog", pocket).decomposed(dictionary)
    (shown,) = outputs["coded"]["features"]
    assert shown["title"] == "purple dog" and shown["taken"] == []
    assert [name for name, _ in shown["there"]] == [name for name, _ in ours.code.features()] == ["purple", "dog"]
    assert [amount for _, amount in shown["there"]] == pytest.approx([amount for _, amount in ours.code.features()], abs=1e-3)
    assert outputs["text"]["text"][0].splitlines() == [f"{amount:.2f}  {name}" for name, amount in ours.code.features()]
    assert np.asarray(Image.open(server.output(outputs["image"]["images"][0]))).std() > 5


def test_as_many_are_shown_as_asked_for_and_all_are_kept(server):
    graph = LOADED | decomposed("purple dog", show=1) | {"edit": node("EditFeatures", edits="", concept=["coded", 0])}
    outputs = server.run(graph)
    assert [len(outputs[name]["features"][0]["there"]) for name in ("coded", "edit")] == [1, 2]


def test_what_has_no_name_can_be_left_out(server):
    graph = LOADED | decomposed("purple dog", unnamed=0.0) | {"edit": node("EditFeatures", edits="", concept=["coded", 0])}
    (shown,) = server.run(graph)["edit"]["features"]
    assert shown["title"] == "coded(purple dog, 0)" and shown["summary"].startswith("before: 2 features, which have cosine 1.00")


def test_edits_are_those_of_the_core(server, pocket, dictionary):
    lines = "# mine\n- dog\n+ 1 fire\n1.2 * purple"
    graph = LOADED | decomposed("purple dog") | {"edit": node("EditFeatures", edits=lines, concept=["coded", 0])} | read("edit")
    outputs = server.run(graph)
    ours = edited(Concept.from_text("purple dog", pocket).decomposed(dictionary), edits(lines))
    text = outputs["edit"]["text"][0].splitlines()
    assert text[0] == str(ours) == outputs["readout"]["text"][0].splitlines()[0]
    assert "; still along it " in text[1] and text[1].startswith("dog: ") and text[2] == "fire: 0.00 to 1.00"
    assert outputs["edit"]["features"][0]["report"] == text[1:]
    words = [line.split("  ")[1] for line in outputs["readout"]["text"][0].splitlines()[2:]]
    assert {"purple", "fire"} <= set(words) and "dog" not in words
    assert dict(evaluate(text[0], pocket).code.features()) == pytest.approx(dict(ours.code.features()))


def test_the_names_for_the_search_are_served(server, dictionary):
    graph = LOADED | decomposed("dog") | {"edit": node("EditFeatures", edits="", concept=["coded", 0])}
    where = server.run(graph)["edit"]["features"][0]["names"]
    assert json.loads(server.fetch(f"/view?{urllib.parse.urlencode(where)}")) == list(dictionary.names)


@pytest.mark.parametrize(
    "mode, expression, names", [("union", "purple dog | red dog", {"purple", "dog", "red"}), ("meet", "purple dog & red dog", {"dog"})]
)
def test_union_and_meet(server, mode, expression, names):
    graph = LOADED | decomposed("purple dog", "a") | decomposed("red dog", "b") | {
        "both": node("Union", mode=mode, a=["a", 0], b=["b", 0]),
        "edit": node("EditFeatures", edits="", concept=["both", 0]),
    }  # fmt: skip
    (shown,) = server.run(graph)["edit"]["features"]
    assert shown["title"] == expression and {name for name, _ in shown["there"]} == names


@pytest.mark.parametrize("wired", [True, False])
def test_an_expression_of_features(server, wired):
    sae = {"sae": ["sae", 0]} if wired else {}
    graph = LOADED | {"concept": node("Expression", expression="without(purple dog | fire, dog)", encoder=["sae", 1], **sae)}
    (shown,) = server.run(graph | {"edit": node("EditFeatures", edits="", concept=["concept", 0])})["edit"]["features"]
    assert {name for name, _ in shown["there"]} == {"purple", "fire"}


def test_arithmetic_after_decomposing_happens_on_features(server):
    graph = LOADED | decomposed("purple dog", "a") | decomposed("dog", "b") | {
        "less": node("Sub", weight=1.0, a=["a", 0], b=["b", 0]),
        "edit": node("EditFeatures", edits="", concept=["less", 0]),
    }  # fmt: skip
    (shown,) = server.run(graph)["edit"]["features"]
    assert [name for name, _ in shown["there"]] == ["purple"]
    assert [name for name, _ in shown["taken"]] == ["dog"], "what b has beyond a is kept as taken away"


def test_a_saved_concept_comes_back_with_its_features(server):
    server.run(LOADED | decomposed("purple dog") | {"save": node("Save", filename_prefix="coded/dog", concept=["coded", 0])})
    (path,) = (server.folder / "output/concepts/coded").glob("dog_*.safetensors")
    name = f"coded/{path.name}"
    back = LOADED | {"load": node("Load", concept=name, encoder=["encoder", 0], sae=["sae", 0]), "edit": node("EditFeatures", edits="", concept=["load", 0])}
    assert {name for name, _ in server.run(back)["edit"]["features"][0]["there"]} == {"purple", "dog"}
    back["load"] = node("Load", concept=name, encoder=["encoder", 0])
    assert "no features to edit; decompose it first" in server.fail(back)


@pytest.mark.parametrize(
    "last, said",
    [
        (node("EditFeatures", edits="- dog\n- purpel", concept=["coded", 0]), "line 2, '- purpel'"),
        (node("EditFeatures", edits="- purpel", concept=["coded", 0]), "did you mean purple"),
        (node("EditFeatures", edits="- dog", concept=["coded text", 0]), "decompose it first (SAE Decompose)"),
        (node("Union", mode="union", a=["coded text", 0], b=["coded text", 0]), "decompose it first"),
        (training("x", sources="nowhere")["train"], "there is no folder 'nowhere' in ComfyUI's input folder"),
        (training("x", phrases="")["train"], "nothing to learn from"),
        (training("x", phrases="fire\nwater")["train"], "at least 32 are needed"),
        (training("x", phrases="\n".join(PHRASES.splitlines()[:40]))["train"], "expected 64 or more to learn from: give 24 more"),
        (training("x", phrases="", sources="unsaid", text_only=True)["train"], "there are no phrases to learn from"),
        (training("x", phrases="fire\nwater", sources="unsaid")["train"], "give 30 more, or leave them out"),
    ],
)  # fmt: skip
def test_bad_input_is_answered_on_the_node(server, last, said):
    pictures = server.folder / "input" / "unsaid"
    pictures.mkdir(exist_ok=True)
    for index in range(70):
        Image.new("RGB", (8, 8), (index, 0, 0)).save(pictures / f"{index}.png")
    graph = LOADED | decomposed("purple dog") | {"last": last}
    graph["seen"] = node(".PreviewAny", source=["last", 0])
    assert said in server.fail(graph)


@pytest.mark.parametrize(
    "last, said",
    [
        (node("EditFeatures", edits="- dog\ndog", concept=["coded", 0]), "line 2, 'dog': expected '- fur'"),
        (node("LoadSAE", sae="none.safetensors", encoder=["encoder", 0]), "there is no SAE 'none.safetensors': put the file into"),
        (training("a/b")["train"], "'a/b' cannot be a file's name"),
        (training("Con.safetensors")["train"], "'Con' cannot be a file's name"),
        (training("dot.")["train"], "'dot.' cannot be a file's name"),
        (training("\x00")["train"], "cannot be a file's name"),
        (training("ü" * 101)["train"], "it has 202 bytes, expected 200 at most"),
        (training("x", width=15)["train"], "width is 15, expected 0, which chooses one, or 16 to 65536"),
        (training("x", width=70000)["train"], "width is 70000"),
    ],
)
def test_some_is_answered_before_anything_runs(server, last, said):
    graph = LOADED | decomposed("purple dog") | {"last": last, "seen": node(".PreviewAny", source=["last", 0])}
    # what does not hang on the faulty node runs all the same
    answer = server.post("/prompt", {"prompt": graph, "client_id": "tests"})
    assert said in json.dumps(answer["node_errors"]["last"]["errors"], ensure_ascii=False)
    server.wait(answer["prompt_id"])


@pytest.fixture(scope="module")
def trained(server):
    """What training has put into the server's models folder, and what the node has shown."""
    with Listener(server.port) as heard:
        outputs = server.run(training("mine", measure_stability=True) | decomposed("red dog", sae="train"))
    path = server.folder / "models" / "concept_saes" / "mine.safetensors"
    yield path, outputs, heard
    shutil.rmtree(path.parent)


def test_training_writes_the_file_and_its_card_and_gives_the_features(server, trained, pocket):
    path, outputs, heard = trained
    encoder, sae = TrainedSAE.load(path, pocket)
    assert len(sae.names) == 64 and path.with_suffix(".md").read_text("utf-8") == outputs["train"]["text"][0]
    assert "# mine" in outputs["train"]["text"][0] and "FVU" in outputs["train"]["text"][0]
    ours = Concept.from_text("red dog", encoder).decomposed(sae)
    assert [name for name, _ in outputs["coded"]["features"][0]["there"]] == [name for name, _ in ours.code.features(12)] != []
    # first the phrases are embedded, then come the steps
    bars = [event["value"] / event["max"] for event in heard.of("progress") if event["node"] == "train"]
    assert bars[-1] == 1 and len(bars) > 3 and "found again by another seed" in outputs["train"]["text"][0]


def test_what_was_trained_can_be_loaded(server, trained):
    path, outputs, _ = trained
    graph = LOADED | {"sae": node("LoadSAE", sae=path.name, encoder=["encoder", 0])} | decomposed("red dog")
    assert server.run(graph)["coded"]["features"][0]["there"] == outputs["coded"]["features"][0]["there"]
    offered = server.get("/object_info/ConceptAlgebra_LoadSAE")["ConceptAlgebra_LoadSAE"]["input"]["required"]["sae"]
    offered = offered[0] if isinstance(offered[0], list) else offered[1]["options"]
    assert offered == [WORDS, "pocket", path.name], "and no file of the cache"


def test_what_was_trained_is_never_written_over(server, trained):
    before = trained[0].read_bytes()
    assert "is there already" in server.fail(training("mine", steps=61))
    assert trained[0].read_bytes() == before


def test_features_of_two_dictionaries_do_not_mix(server, trained):
    graph = LOADED | decomposed("dog", "a") | {"other": node("LoadSAE", sae=trained[0].name, encoder=["encoder", 0])} | decomposed("cat", "b", sae="other")
    graph["last"] = node("Union", mode="union", a=["a", 0], b=["b", 0])
    graph["seen"] = node(".PreviewAny", source=["last", 0])
    assert "codes of different dictionaries do not mix" in server.fail(graph)


def test_a_concept_of_another_sae_is_answered_with_what_to_connect(server, trained, dictionary):
    server.run(LOADED | decomposed("dog") | {"save": node("Save", filename_prefix="other/dog", concept=["coded", 0])})
    (path,) = (server.folder / "output/concepts/other").glob("dog_*.safetensors")
    graph = {"encoder": LOADED["encoder"], "sae": node("LoadSAE", sae=trained[0].name, encoder=["encoder", 0])}
    graph["last"] = node("Load", concept=f"other/{path.name}", encoder=["encoder", 0], sae=["sae", 0])
    graph["seen"] = node(".PreviewAny", source=["last", 1])
    said = server.fail(graph)
    assert said.startswith(f"'other/{path.name}' was taken apart with the SAE '{dictionary.id}', and 'sae-")
    assert said.strip().endswith("connect that one, or none, which loads the concept without its features")
    del graph["last"]["inputs"]["sae"]
    assert server.run(graph)["seen"]["text"] == ["dog"]


def test_features_of_another_encoder_are_refused(server, trained):
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(trained[0], "pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}
    about = json.loads(metadata["about"]) | {"space": "languagebind-0123456789ab", "towers": {}}
    save_file(tensors, str(trained[0].with_name("foreign.safetensors")), metadata | {"about": json.dumps(about)})
    graph = LOADED | {"sae": node("LoadSAE", sae="foreign.safetensors", encoder=["encoder", 0])} | decomposed("dog")
    said = server.fail(graph)
    trained[0].with_name("foreign.safetensors").unlink()
    assert said.startswith("the SAE 'foreign.safetensors' was learned for another encoder") and "languagebind-0123456789ab" in said


def test_cancel_keeps_no_file_and_the_next_run_goes_on(server):
    out = server.folder / "models" / "concept_saes" / "long.safetensors"
    with Listener(server.port) as heard:
        queued = server.queue(training("long", steps=20_000))
        while not any(p["node"] == "train" and p["max"] > 20_000 for p in heard.of("progress")):
            assert not heard.of("execution_error")
            time.sleep(0.05)
        server.post("/interrupt", {})
        done = server.wait(queued)
    assert done["status"]["messages"][-1][0] == "execution_interrupted"
    assert not out.exists() and list(out.with_suffix(".cache").rglob("*.safetensors")), "the embeddings are kept"
