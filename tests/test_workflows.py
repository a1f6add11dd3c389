"""The example workflows on disk: as the script writes them, and both forms of each in step."""

import json
import uuid
from pathlib import Path

import pytest
from scripts import script

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "workflows"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
DRAWN_BY_THE_PAGE = {"MarkdownNote"}
WITH_MODELS = {"stable-diffusion-3.5", "stable-audio", "ltx-video", "showcase-with-large-models"}
"""Those that load a model of one's own, and say in their note which, from where and to where."""
AFTER_A_RUN = {"fixed", "increment", "decrement", "randomize"}


def page(name):
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def api(name):
    return json.loads((FOLDER / "api" / f"{name}.json").read_text(encoding="utf-8"))


def as_prompt(graph):
    """The /prompt form of a saved page, by the rules of the page and not by those of the script."""
    sources = {link[0]: [str(link[1]), link[2]] for link in graph["links"]}
    prompt = {}
    for node in graph["nodes"]:
        if node["type"] in DRAWN_BY_THE_PAGE:
            continue
        inputs, values = {}, iter(node["widgets_values"])
        for slot in node["inputs"]:
            if slot["link"] is not None:
                inputs[slot["name"]] = sources[slot["link"]]
            if "widget" not in slot:
                continue
            inputs.setdefault(slot["name"], next(values))
            if slot["name"] in ("seed", "index"):
                assert next(values) in AFTER_A_RUN
        assert next(values, None) is None, f"{node['type']} has values left over"
        prompt[str(node["id"])] = {"inputs": inputs, "class_type": node["type"]}
    return prompt


def boxes(graph):
    """(left, top, right, bottom) of every node with its title bar, which lies above its position."""
    for node in graph["nodes"]:
        (x, y), (width, height) = node["pos"], node["size"]
        yield x, y - 30, x + width, y + height


def test_the_files_are_what_the_script_writes(workflows):
    written = workflows.files()
    assert {path.relative_to(FOLDER).as_posix() for path in written} == {
        path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.json")
    }
    for path, text in written.items():
        assert path.read_text(encoding="utf-8") == text, f"run tools/workflows.py: {path.name} differs"


@pytest.fixture(scope="module")
def workflows():
    return script("workflows")


def test_there_are_twenty_one():
    assert len(NAMES) == 21 and WITH_MODELS < set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_both_forms_hold_the_same_nodes_links_and_values(name):
    assert as_prompt(page(name)) == api(name)


@pytest.mark.parametrize("name", NAMES)
def test_links_agree_from_both_ends(name):
    graph = page(name)
    nodes = {node["id"]: node for node in graph["nodes"]}
    uuid.UUID(graph["id"])
    assert graph["last_node_id"] == max(nodes) and graph["last_link_id"] == len(graph["links"])
    for number, source, out, to, into, kind in graph["links"]:
        assert number in nodes[source]["outputs"][out]["links"]
        assert nodes[source]["outputs"][out]["type"] == kind
        assert nodes[to]["inputs"][into]["link"] == number
        assert nodes[to]["inputs"][into]["type"] in (kind, "*")
    ends = [slot["link"] for node in nodes.values() for slot in node["inputs"] if slot["link"] is not None]
    assert sorted(ends) == sorted(link[0] for link in graph["links"])


@pytest.mark.parametrize("name", NAMES)
def test_nodes_lie_apart_and_inside_their_groups(name):
    graph = page(name)
    drawn = list(boxes(graph))
    for index, (left, top, right, bottom) in enumerate(drawn):
        for other in drawn[:index]:
            # the newer renderer draws a node up to 30 px taller
            assert left >= other[2] or other[0] >= right or top >= other[3] + 30 or other[1] >= bottom + 30
    groups = [group["bounding"] for group in graph["groups"]]
    for node, (left, top, right, bottom) in zip(graph["nodes"], drawn, strict=True):
        inside = [x <= left and y <= top and right <= x + w and bottom <= y + h for x, y, w, h in groups]
        outside = [left >= x + w or right <= x or top >= y + h or bottom <= y for x, y, w, h in groups]
        assert all(a or b for a, b in zip(inside, outside, strict=True))
        assert sum(inside) == 1 or node["type"] in DRAWN_BY_THE_PAGE


@pytest.mark.parametrize("name", NAMES)
def test_it_can_be_read_and_read_out(name):
    graph = page(name)
    kinds = [node["type"] for node in graph["nodes"]]
    assert "ConceptAlgebra_Readout" in kinds
    note = graph["nodes"][0]
    assert note["type"] == "MarkdownNote" and "**Look at**" in note["widgets_values"][0]
    # inline code is drawn blue on blue by the newer renderer
    assert not any("`" in node["widgets_values"][0] for node in graph["nodes"] if node["type"] == "MarkdownNote")
    place = {"ConceptAlgebra_LatentOptimiser": 2, "ConceptAlgebra_DualTrack": 2, "ConceptAlgebra_Showcase": 1}
    fixed = [node["widgets_values"][place[node["type"]]] for node in graph["nodes"] if node["type"] in place]
    assert set(fixed) == {"fixed"}


@pytest.mark.parametrize("name", NAMES)
def test_it_needs_no_file_of_ones_own_but_those_that_its_note_names(name):
    loads = {node["class_type"]: node["inputs"] for node in api(name).values() if "Load" in node["class_type"] and not node["class_type"].startswith("ConceptAlgebra_")}
    if name not in WITH_MODELS:
        assert not loads
        return
    note = page(name)["nodes"][0]["widgets_values"][0]
    folders = {"CheckpointLoaderSimple": "models/checkpoints", "CLIPLoader": "models/text_encoders", "VAELoader": "models/vae_approx"}
    assert "CheckpointLoaderSimple" in loads
    for kind, inputs in loads.items():
        assert next(iter(inputs.values())) in note and f"**{folders[kind]}**" in note
    assert "huggingface.co/" in note and "languagebind.safetensors" in note


def test_thumbnails_are_of_workflows_and_small():
    for path in FOLDER.glob("*.jpg"):
        assert path.stem in NAMES and path.stat().st_size < 30_000
