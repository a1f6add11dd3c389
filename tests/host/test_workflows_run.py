"""The example workflows on a real ComfyUI: listed, served, queued, and what comes out."""

import json
from pathlib import Path

import pytest
import tiny_ltx
import tiny_sd3
import tiny_stable_audio
import tiny_taesd
from server import PACK, Server

FOLDER = PACK / "workflows"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
MODELS = {
    "sd3.5_medium.safetensors": tiny_sd3.write,
    "stable-audio-open-1.0.safetensors": tiny_stable_audio.write,
    "ltx-video-2b-v0.9.5.safetensors": lambda path: tiny_ltx.write(path, version="0.9.5", comfy=True),
}
"""Random weights in the layouts of the published files that workflows name."""
SIZES = {
    "sd3.5_medium.safetensors": {"width": 32, "height": 32}, "stable-audio-open-1.0.safetensors": {"seconds": 0.2},
    "ltx-video-2b-v0.9.5.safetensors": {"width": 64, "height": 64, "frames": 9},
}  # fmt: skip
SAVED = {"stable-diffusion-3.5": ".png", "stable-audio": ".flac", "ltx-video": ".mp4"}
"""What the Save Render nodes of a workflow write."""
SHORT = {"steps": 4, "looks": 1}
"""Far from a good render; enough that every node of every workflow does its work."""
READS = {
    "fire-and-water": ({"fire", "water"},),
    "sunset-and-ocean-by-weight": ({"ocean"}, {"sunset"}),
    "hairless-dog": ({"dog"},),
    "slerp-between-two-concepts": ({"cat", "dragon"},),
    "sound-and-word-shape-a-picture": ({"purple"},),
    "image-minus-a-word-plus-a-word": ({"green"},),
    "honest-beside-natural": ({"clown", "balloon"},),
    "prior-comparison": ({"octopus"},),
    "batch-over-a-list": ({"fire", "water"}, {"dog"}, {"cat", "dragon"}),
    "fire-and-water-as-a-union": ({"fire", "water"},),
    "remove-one-named-feature": ({"balloon"},),
    "morph-a-mixture": ({"balloon", "flower"},),
    "showcase": ({"sunset", "ocean"},),
    "summer-minus-heat": ({"summer", "autumn"}, {"summer", "afternoon"}),
    # what a drawing of a few steps reads as is nobody's to say; the whole step to woman is seen in it
    "king-minus-man-plus-woman": ({"woman", "queen"}, {"king", "queen"}, set(), {"woman"}),
    "trust": ({"trust"},),
    # the second is read by a LanguageBind of random weights, which knows no sums
    "two-encoders-one-target": ({"fire", "water"}, set()),
    **dict.fromkeys(("stable-diffusion-3.5", "stable-audio", "ltx-video", "showcase-with-large-models"), (set(),)),
}
"""For each Concept Readout, in order, words that must be among those it names."""


def short(name: str) -> dict:
    graph = json.loads((FOLDER / "api" / f"{name}.json").read_text(encoding="utf-8"))
    for node in list(graph.values()):
        if "steps" in node["inputs"]:
            node["inputs"].update(SHORT)
        if node["class_type"] == "ConceptAlgebra_GeneratorFromCheckpoint":
            node["inputs"].update(SIZES[graph[node["inputs"]["model"][0]]["inputs"]["ckpt_name"]])
            if "clip" in node["inputs"]:
                # a T5-XXL has no small form that ComfyUI would load: what it reads of the empty text comes from a test node
                del graph[node["inputs"].pop("clip")[0]]
                node["inputs"]["conditioning"] = ["told", 0]
                graph["told"] = {"class_type": "ConceptAlgebraTest_Told", "inputs": {"family": "ltx"}}
    return graph


@pytest.fixture(scope="module")
def models(server: Server):
    """The model files that workflows name, small, where the server looks for them; gone with the last test, for their size."""
    folders = [Path(server.folder) / "models" / name for name in ("checkpoints", "vae_approx")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    for name, write in MODELS.items():
        write(folders[0] / name)
    tiny_taesd.write(folders[1])
    yield
    for folder in folders:
        for path in folder.iterdir():
            path.unlink()


def of_kind(graph: dict, kind: str) -> list[str]:
    return [key for key in sorted(filter(str.isdigit, graph), key=int) if graph[key]["class_type"] == kind]


def test_the_templates_browser_lists_them_and_nothing_else(server: Server):
    listed = server.get("/workflow_templates")["concept-algebra"]
    assert sorted(listed) == NAMES == sorted(READS)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_served(server: Server, name: str):
    page = json.loads(server.fetch(f"/api/workflow_templates/concept-algebra/{name}.json"))
    assert page == json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    thumbnail = FOLDER / f"{name}.jpg"
    if thumbnail.exists():  # tools/workflows.py --thumbnails makes them
        assert server.fetch(f"/api/workflow_templates/concept-algebra/{name}.jpg") == thumbnail.read_bytes()


def test_their_nodes_are_those_of_the_server(server: Server):
    known = server.get("/object_info")
    for path in FOLDER.glob("*.json"):
        for node in json.loads(path.read_text(encoding="utf-8"))["nodes"]:
            if node["type"] == "MarkdownNote":
                continue
            info = known[node["type"]]
            schema = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
            is_widget = {name: slot[0] in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO") or isinstance(slot[0], list) for name, slot in schema.items()}
            saved = [slot["name"] for slot in node["inputs"]]
            assert saved == sorted(schema, key=is_widget.get), "sockets, then widgets, each in the schema's order"
            assert [slot["name"] for slot in node["inputs"] if "widget" in slot] == [n for n in schema if is_widget[n]]
            outputs = [(slot["name"], slot["type"]) for slot in node["outputs"]]
            if node["type"].startswith("ConceptAlgebra_"):
                assert outputs == list(zip(info["output_name"], info["output"], strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_each_runs(server: Server, languagebind: str, models: None, name: str):
    graph = short(name)
    check(server, name, graph, server.run(graph))


def check(server: Server, name: str, graph: dict, outputs: dict) -> None:
    """What came of a workflow: pictures, sounds and words."""
    import av
    import numpy
    from PIL import Image

    for key in of_kind(graph, "SaveImage"):
        files = outputs[key]["images"]
        assert len(files) == (3 if name == "batch-over-a-list" else 1)
        for file in files:
            pixels = numpy.asarray(Image.open(server.output(file)).convert("RGB"), dtype=float)
            assert pixels.std() > 2, "the picture is of one colour"
    for key in of_kind(graph, "PreviewAudio"):
        for file in outputs[key]["audio"]:
            with av.open(str(server.output(file))) as sound:
                wave = numpy.concatenate([frame.to_ndarray().ravel() for frame in sound.decode(audio=0)])
            assert wave.astype(float).std() > 0, "the sound is silent"
    saved = of_kind(graph, "ConceptAlgebra_SaveRender")
    assert len(saved) == (2 if name in SAVED else 0)
    for key in saved:
        (file,) = (file for kind in ("images", "audio") for file in outputs[key].get(kind, ()))
        assert server.output(file).suffix == SAVED[name] and server.output(file).stat().st_size > 500
    said = [text for key in of_kind(graph, "ConceptAlgebra_Readout") for text in outputs[key]["text"]]
    assert len(said) == len(READS[name])
    for text, wanted in zip(said, READS[name], strict=True):
        # first the expression, then the composed phrase, then a line of cosine and word for each
        words = {word for line in text.splitlines()[2:] for word in line.split(maxsplit=1)[1].split()}
        assert wanted <= words, text
    for key in of_kind(graph, "PreviewAny"):
        assert all(text.strip() for text in outputs[key]["text"])
