"""Save Render on a real ComfyUI: what it writes, read back from the files, and that it is what the render's outputs are."""

import json
from fractions import Fraction

import av
import numpy as np
import pytest
from graphs import node, render
from PIL import Image
from server import Server

from concept_algebra.ops.media import read_audio

WORKFLOW = {"workflow": {"nodes": [{"id": 7, "type": "ConceptAlgebra_SaveRender"}], "note": "été 火"}}
"""Any JSON that a page may send along: the server hands it through."""


def saving(generator: str, file: str = "flac", **more):
    graph = render("fire + water", generator=generator, steps=2, seed=9)
    graph["save"] = node("SaveRender", filename_prefix=f"kept/{generator[7:]}", audio_format=file, render=["render", 0])
    return graph | more


def run(server: Server, graph: dict) -> dict:
    """The outputs of a graph that is sent as a page sends it, with its workflow."""
    done = server.wait(server.post("/prompt", {"prompt": graph, "client_id": "tests", "extra_data": {"extra_pnginfo": WORKFLOW}})["prompt_id"])
    assert done["status"]["status_str"] == "success", done["status"]["messages"][-1]
    return done["outputs"]


def only(files: list):
    (file,) = files
    assert file["subfolder"] == "kept" and file["type"] == "output"
    return file


def holds(words: dict, graph: dict, modality: str) -> None:
    """What stands in a file is the graph as it was sent, the workflow and what the render was made from."""
    words = {name.lower(): json.loads(text) for name, text in words.items() if name.lower() in ("prompt", "workflow", "concept_algebra")}
    # ComfyUI notes in the prompt, for itself, which nodes say that their files have changed
    sent = {key: {name: part for name, part in one.items() if name != "is_changed"} for key, one in words["prompt"].items()}
    assert sent == graph and words["workflow"] == WORKFLOW["workflow"]
    made = words["concept_algebra"]
    assert (made["expression"], made["seed"], made["modality"], made["track"]) == ("fire + water", 9, modality, "honest")
    assert made["settings"]["schedule"]["steps"] == 2 and made["settings"]["prior"]["name"] == "no"
    assert made["space"].startswith("pocket-") and made["generator"].startswith("pocket-")
    assert -1 <= made["cosine"] <= 1 and made["instruments"]["robust"] is not None and made["words"]


def test_a_picture_holds_its_workflow_and_is_the_renders(server):
    graph = saving("pocket image", image=node(".SaveImage", images=["render", 1], filename_prefix="kept/direct"))
    outputs = run(server, graph)
    picture = Image.open(server.output(only(outputs["save"]["images"])))
    assert picture.format == "PNG"
    holds(picture.text, graph, "image")
    native = Image.open(server.output(only(outputs["image"]["images"])))
    assert {name: picture.text[name] for name in native.text} == native.text
    # ComfyUI cuts to whole levels, and the pack rounds
    assert abs(np.asarray(picture).astype(int) - np.asarray(native)).max() <= 1


@pytest.mark.parametrize("file, step", [("flac", 2**-23), ("wav", 2**-15)])
def test_a_sound_is_as_loud_as_it_was_made_at_its_own_rate(server, file, step):
    graph = saving("pocket audio", file, native=node(".SaveAudio", audio=["render", 2], filename_prefix="kept/native"))
    outputs = run(server, graph)
    path = server.output(only(outputs["save"]["audio"]))
    assert path.suffix == f".{file}"
    sound, rate = read_audio(path)
    native, _ = read_audio(server.output(only(outputs["native"]["audio"])))
    assert rate == 16000 and sound.shape == native.shape == (1, 1, 32768)
    assert (sound - native).abs().max() <= step + 2**-15
    with av.open(str(path)) as container:
        words = dict(container.metadata)
    holds(json.loads(words["comment"]) if file == "wav" else words, graph, "audio")


def test_a_clip_has_the_generators_rate_and_frames(server):
    graph = saving("pocket video", frames=node(".SaveImage", images=["render", 1], filename_prefix="kept/frames"))
    outputs = run(server, graph)
    assert outputs["save"]["animated"] == [True]
    with av.open(str(server.output(only(outputs["save"]["images"])))) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == Fraction(8) and stream.codec_context.name == "h264"
        pictures = [frame.to_ndarray(format="rgb24").astype(float) for frame in container.decode(video=0)]
        holds(dict(container.metadata), graph, "video")
    frames = [np.asarray(Image.open(server.output(file)), dtype=float) for file in outputs["frames"]["images"]]
    assert len(pictures) == len(frames) == 8
    assert abs(np.stack(pictures) - np.stack(frames)).mean() < 6


def test_it_takes_a_render_of_dual_track_and_never_writes_over_one(server):
    graph = {name: part for name, part in render("bell", steps=2).items() if name != "render"}
    graph["dual"] = node("DualTrack", steps=2, seed=6, dial=0.0, looks=1, concept=["concept", 0], encoder=["encoder", 0], generator=["generator", 0])
    for place, name in enumerate(("honest", "natural")):
        graph[name] = node("SaveRender", filename_prefix="kept/dual", audio_format="flac", render=["dual", place])
        graph[f"{name} path"] = node(".PreviewAny", source=[name, 0])
    outputs = run(server, graph)
    paths = {name: server.output(only(outputs[name]["images"])) for name in ("honest", "natural")}
    assert paths["honest"] != paths["natural"]
    for name, path in paths.items():
        made = json.loads(Image.open(path).text["concept_algebra"])
        assert made["track"] == name and made["seed"] == 6
        assert outputs[f"{name} path"]["text"][0] == str(path)
    assert not [path for path in (server.folder / "output/kept").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("changed, said", [({"filename_prefix": "../../out"}, "outside the output folder"), ({"audio_format": "mp3"}, "not in list")])
def test_bad_input_is_answered_on_the_node(server, changed, said):
    graph = saving("pocket image")
    graph["save"]["inputs"] |= changed
    assert said in server.fail(graph)


def test_nothing_is_inside_where_comfyui_is_told_to_write_no_metadata(server):
    quiet = Server(server.host, options=("--disable-metadata",))
    graph = saving("pocket image")
    graph["reading"] = node("Interpret", filename_prefix="kept/reading", render=["render", 0], encoder=["encoder", 0])
    graph["show"] = node(
        "Showcase", seed=3, quick=True, steps=1, filename_prefix="kept", concept=["concept", 0], encoder=["encoder", 0], image=["generator", 0]
    )
    try:
        outputs = run(quiet, graph)
        assert Image.open(quiet.output(only(outputs["save"]["images"]))).text == {}
        folder = quiet.folder / "output" / "kept"
        pictures = {path.relative_to(folder).as_posix(): Image.open(path).text for path in folder.rglob("*.png")}
        assert {"reading_00001_/figure.png", "fire-plus-water/image-natural.png"} < pictures.keys() and not any(pictures.values())
        written = [path.read_bytes() for path in (quiet.folder / "output").rglob("*") if path.is_file()]
        assert not any(b"class_type" in data or b"ConceptAlgebra_SaveRender" in data for data in written)
    finally:
        quiet.close()
