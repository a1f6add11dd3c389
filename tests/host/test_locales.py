"""The words on screen: locales in step with the schemas, and a tooltip on everything."""

import importlib.util
import json
import re

import pytest
from server import PACK

spec = importlib.util.spec_from_file_location("pack_locales", PACK / "tools" / "locales.py")
locales = importlib.util.module_from_spec(spec)
spec.loader.exec_module(locales)


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
    assert len(nodes) == 19
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
