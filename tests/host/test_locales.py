"""The words on screen: locales in step with the schemas, a tooltip on everything, a help page for every node."""

import importlib.util
import json
import re

import pytest
from server import PACK

spec = importlib.util.spec_from_file_location("pack_locales", PACK / "tools" / "locales.py")
locales = importlib.util.module_from_spec(spec)
spec.loader.exec_module(locales)

PAGES = "/extensions/concept-algebra/docs/"


@pytest.fixture(scope="module")
def nodes(server):
    """/object_info of the pack's nodes, by id."""
    return {name: node for name, node in server.get("/object_info").items() if name.startswith(locales.PREFIX)}


def inputs(node):
    """(name, type or options, settings) of every input."""
    for kind in ("required", "optional"):
        for name, spec in node["input"].get(kind, {}).items():
            yield name, spec[0], spec[1] if len(spec) > 1 else {}


def test_the_english_file_says_what_the_schemas_say(nodes):
    assert len(nodes) == 38
    assert locales.NODE_DEFS.read_text(encoding="utf-8") == locales.text(nodes), "run tools/locales.py"


def test_everything_has_a_tooltip(nodes):
    for name, node in nodes.items():
        assert node["description"], name
        for socket, _, settings in inputs(node):
            assert settings.get("tooltip"), f"{name}.{socket}"
        assert all(node["output_tooltips"]) and len(node["output_tooltips"]) == len(node["output"]), name


def test_no_text_holds_a_sign_that_the_front_end_would_interpret():
    """Its message format gives a meaning to these, and ComfyUI 0.8 fails on one that is misplaced."""

    def texts(value):
        return [t for part in value.values() for t in texts(part)] if isinstance(value, dict) else [value]

    assert not [t for t in texts(json.loads(locales.NODE_DEFS.read_text(encoding="utf-8"))) if re.search(r"[{}@|$]", t)]


def test_the_server_delivers_our_texts(server):
    ours = json.loads(locales.NODE_DEFS.read_text(encoding="utf-8"))
    delivered = server.get("/i18n")["en"]["nodeDefs"]
    assert {name: delivered.get(name) for name in ours} == ours


def test_every_node_has_a_help_page_that_is_served_with_its_pictures(server, nodes):
    for name in nodes:
        page = server.fetch(f"{PAGES}{name}.md").decode()
        for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page):
            assert server.fetch(PAGES + picture)[8:12] == b"WEBP", f"{name}: {picture}"


def test_no_help_page_or_picture_is_left_over(nodes):
    folder = PACK / "web" / "docs"
    pages = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    assert pages.keys() == nodes.keys()
    used = {picture for page in pages.values() for picture in re.findall(r"\]\(([^)]+\.webp)\)", page)}
    pictures = {path.name: path.stat().st_size for path in folder.iterdir() if path.suffix != ".md"}
    assert pictures.keys() == used
    assert sum(pictures.values()) < 300_000


def test_help_pages_name_every_input_and_output_with_its_type_default_and_range(nodes):
    for name, node in nodes.items():
        page = (PACK / "web" / "docs" / f"{name}.md").read_text(encoding="utf-8")
        assert page.startswith(f"# {node['display_name']}\n")
        into, _, out = page.partition("## Outputs")
        for socket, kind, settings in inputs(node):
            row = cells(into, socket, name)[-1]
            if settings.get("options") and socket != "concept":  # not the files that happen to be there
                assert all(f"`{option}`" in row for option in settings["options"]), f"{name}.{socket}: {row}"
            elif kind in ("INT", "FLOAT"):
                wanted = f"default {settings['default']:g}; {settings['min']:.10g} to {settings['max']:.10g}"
                assert row == wanted, f"{name}.{socket}: {row}"
            elif kind == "BOOLEAN":
                assert row == f"default {'on' if settings['default'] else 'off'}", f"{name}.{socket}: {row}"
            elif kind not in ("STRING", "COMBO"):
                assert row == kind, f"{name}.{socket}: {row}"
        for socket, kind in zip(node["output_name"], node["output"], strict=True):
            assert cells(out, socket, name)[1] == kind, f"{name}.{socket}"


def cells(page, socket, name):
    """The cells of the table row that begins with a socket's name in bold."""
    row = re.search(rf"^\| \*\*{socket}\*\* (\|.*)\|$", page, re.M)
    assert row, f"the help page of {name} has no row for {socket}"
    return [f"**{socket}**", *(cell.strip() for cell in row[1].strip("| ").split(" | "))]
