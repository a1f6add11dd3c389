"""Calibrate Encoder on a real ComfyUI, and what nodes say of concepts that are mixed off centre."""

import time

import pytest
import torch
from graphs import node
from listen import Listener

from concept_algebra.ops.calibration import Calibration, calibrated
from concept_algebra.ops.collection import MINIMUM, calibrate, collect
from concept_algebra.ops.concept import Concept
from concept_algebra.ops.encoders.pocket import load
from concept_algebra.ops.interpret.readout import readout
from concept_algebra.ops.media import write_png
from concept_algebra.ops.space import Space

TEXT = 3  # the kind of ComfyUI's binary messages that carries a node's running text
ENCODER = {"pocket": node("LoadEncoder", encoder="pocket")}


@pytest.fixture(scope="module")
def photos(server):
    """A folder of pictures in the server's input folder, one of them broken."""
    folder = server.folder / "input" / "photos" / "deeper"
    folder.mkdir(parents=True)
    rng = torch.Generator().manual_seed(0)
    for index in range(MINIMUM):
        write_png(folder / f"{index}.png", torch.rand(3, 32, 32, generator=rng))
    (folder / "broken.png").write_bytes(b"not a picture")
    return folder.parent


@pytest.fixture
def beside(server, request):
    """Where the bare encoder of a test says that it is from."""
    return server.folder / "models" / "concept_encoders" / f"{request.node.name.partition('[')[0]}.safetensors"


def bare(path, known="text"):
    path.parent.mkdir(parents=True, exist_ok=True)
    return {"class_type": "ConceptAlgebraTest_Bare", "inputs": {"path": str(path), "known": known, "encoder": ["pocket", 0]}}


def calibration(source="photos", modality="image", of="pocket"):
    return node("Calibrate", modality=modality, source=source, encoder=[of, 0])


def mixed(of):
    """fire + a picture of the folder, read with an encoder."""
    return {
        "concept": node("Expression", expression='fire + image("photos/deeper/0.png")', encoder=[of, 0]),
        "readout": node("Readout", words=8, concept=["concept", 0], encoder=[of, 0]),
    }


def said_on(heard, name):
    """What was last shown as text on a node."""
    texts = [payload for kind, payload in heard.binary if kind == TEXT and payload[4:].startswith(name.encode())]
    return texts[-1][4 + len(name) :].decode() if texts else None


def test_the_pocket_is_measured_for_the_graph_alone(server, photos):
    before = sorted(path for path in server.folder.rglob("*.safetensors"))
    with Listener(server.port) as heard:
        outputs = server.run(ENCODER | {"calibrated": calibration()} | mixed("calibrated"))
    text = outputs["calibrated"]["text"][0]
    first, skipped, where = text.splitlines()
    assert first.startswith("image: 32 measured, |mean| 0.") and "standard error" in first and "rough" in first
    assert skipped.startswith("1 skipped, the first: ") and "broken.png" in skipped
    assert "nothing was written" in where and said_on(heard, "calibrated") == text
    assert sorted(path for path in server.folder.rglob("*.safetensors")) == before
    assert [p["value"] for p in heard.of("progress") if p["node"] == "calibrated"][-1] == MINIMUM + 1
    # the numbers are those of the core
    pocket = load()
    (sample,) = collect([photos], pocket, "image")
    ours = calibrated(pocket, Calibration(pocket.space.id, {"image": calibrate(pocket, sample)}))
    concept = Concept.from_text("fire", ours) + Concept.from_image(photos / "deeper" / "0.png", ours)
    shown = outputs["readout"]["text"][0].splitlines()[2:]
    assert shown[:4] == [f"{cosine:.2f}  {word}" for word, cosine in readout(concept, ours.space, 4)]


def test_an_encoder_from_a_file_gets_its_calibration_beside_it(server, photos, beside):
    graph = ENCODER | {"bare": bare(beside), "calibrated": calibration(of="bare")} | mixed("calibrated")
    text = server.run(graph)["calibrated"]["text"][0]
    path = beside.with_name(beside.stem + ".calibration.safetensors")
    assert text.splitlines()[-1] == f"written to {path}" and [p.name for p in beside.parent.glob(f"{beside.stem}*")] == [path.name]
    found = Calibration.load(path, Space("bare-0", 768))
    assert found.clouds.keys() == {"image"} and found.clouds["image"].source == "photos"
    # a second modality comes in addition, and words need no folder
    words = "# mine\n" + "\n".join(f"word {index}" for index in range(MINIMUM))
    text = server.run(ENCODER | {"bare": bare(beside), "calibrated": calibration(words, "text", "bare")})["calibrated"]["text"][0]
    assert text.startswith("text: 32 measured")
    assert Calibration.load(path, Space("bare-0", 768)).clouds.keys() == {"image", "text"}


def test_mixing_off_centre_is_said_on_the_node_until_it_is_mended(server, photos, beside):
    off, on = (ENCODER | {"bare": bare(beside), "calibrated": calibration(of="bare")} | mixed(of) for of in ("bare", "calibrated"))
    with Listener(server.port) as heard:
        outputs = server.run({name: part for name, part in off.items() if name != "calibrated"})
        said = said_on(heard, "concept")
        assert said.startswith("image and text come together, but the space 'bare-0'") and "Calibrate Encoder" in said
        assert outputs["readout"]["text"][0].splitlines()[-1].startswith("off centre: image")
        outputs = server.run(on)
        assert said_on(heard, "concept") == " "
        assert "off centre" not in outputs["readout"]["text"][0]


@pytest.mark.parametrize(
    "concept",
    [
        node("Add", weight_a=1.0, weight_b=1.0, a=["fire", 0], b=["picture", 0]),
        node("Sub", weight=0.3, a=["fire", 0], b=["picture", 0]),
        node("Slerp", t=0.5, a=["fire", 0], b=["picture", 0]),
        node("TargetFromList", targets='fire + image("photos/deeper/1.png")', index=0, encoder=["bare", 0]),
        node("List", targets='fire + image("photos/deeper/1.png")\nfire', encoder=["bare", 0]),
    ],
    ids=["add", "sub", "slerp", "target", "list"],
)
def test_every_node_that_mixes_says_so(server, photos, beside, concept):
    graph = ENCODER | {
        "bare": bare(beside),
        "fire": node("EncodeText", text="fire", encoder=["bare", 0]),
        "load": node("Expression", expression='image("photos/deeper/1.png")', encoder=["bare", 0]),
        "picture": node("Scale", weight=0.9, concept=["load", 0]),
        "mixed": concept,
        "readout": node("Readout", words=8, concept=["mixed", 0], encoder=["bare", 0]),
    }
    with Listener(server.port) as heard:
        server.run(graph)
    assert said_on(heard, "mixed").startswith("image and text come together")
    assert said_on(heard, "load") is None and said_on(heard, "fire") is None


def test_a_calibrated_encoder_has_nothing_to_say(server, photos):
    with Listener(server.port) as heard:
        server.run(ENCODER | mixed("pocket"))
    assert said_on(heard, "concept") is None


@pytest.mark.parametrize(
    "node_, said",
    [
        (calibration("nowhere"), "there is no folder 'nowhere' in ComfyUI's input folder"),
        (calibration(""), "'' is not a folder in ComfyUI's input folder"),
        (calibration("../models"), "is not a folder in ComfyUI's input folder"),
        (calibration("/etc"), "is not a folder in ComfyUI's input folder"),
        (calibration("photos", "audio"), "photos holds no sounds"),
        (calibration("fire\nwater", "text"), "2 phrases in phrases: at least 32 are needed"),
    ],
)
def test_bad_input_is_answered_on_the_node(server, photos, node_, said):
    assert said in server.fail(ENCODER | {"calibrated": node_})


def test_nothing_is_measured_twice_until_a_file_changes(server, photos):
    graph = ENCODER | {"calibrated": calibration("photos")} | mixed("calibrated")
    server.run(graph)
    assert server.ran(graph) == set()
    (photos / "new.png").write_bytes((photos / "deeper" / "1.png").read_bytes())
    try:
        assert "calibrated" in server.ran(graph)
    finally:
        (photos / "new.png").unlink()


def test_cancel_stops_it_and_writes_nothing(server, photos, beside):
    many = "\n".join(f"phrase number {index} of very many" for index in range(60_000))
    graph = ENCODER | {"bare": bare(beside, ""), "calibrated": calibration(many, "text", "bare")}
    with Listener(server.port) as heard:
        queued = server.queue(graph)
        while not any(p["node"] == "calibrated" for p in heard.of("progress")):
            time.sleep(0.05)
        server.post("/interrupt", {})
        done = server.wait(queued)
    assert done["status"]["messages"][-1][0] == "execution_interrupted"
    assert not list(beside.parent.glob(f"{beside.stem}*"))
