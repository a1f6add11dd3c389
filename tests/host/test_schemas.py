"""Every schema against its golden file: ids, order and defaults are what saved graphs are read with years later."""

import json
from pathlib import Path

import pytest

GOLDEN = Path(__file__).with_name("schemas.json")
NODES = 38


def described(info):
    """What a saved graph depends on, and what a person reads, of one node's /object_info."""
    inputs = []
    for group in ("required", "optional"):
        for name in info["input_order"].get(group, []):
            kind, options = (*info["input"][group][name], {})[:2]
            if isinstance(kind, list):  # ComfyUI before 0.9 lists a combo's options in place of its kind
                kind, options = "COMBO", {"options": kind, **options}
            kept = {k: options[k] for k in ("default", "min", "max", "step", "multiline", "control_after_generate", "advanced", "tooltip") if k in options}
            if kind == "COMBO" and info["name"] != "ConceptAlgebra_Load":  # whose options are the files there are
                kept["options"] = options["options"]
            inputs.append([name, kind, group, {k: v for k, v in kept.items() if v is not False}])
    outputs = [list(row) for row in zip(info["output"], info["output_name"], info["output_is_list"])]
    return {key: info[key] for key in ("display_name", "category", "description", "output_node")} | {"inputs": inputs, "outputs": outputs}


@pytest.fixture(scope="module")
def schemas(server):
    return {name: described(info) for name, info in server.get("/object_info").items() if name.startswith("ConceptAlgebra_")}


def test_schemas_equal_the_golden_file(schemas):
    """To accept a change that only appends, write the new schemas: python tests/host/test_schemas.py URL-OF-A-SERVER."""
    assert schemas == json.loads(GOLDEN.read_text("utf-8"))


def test_all_nodes_are_there_and_say_what_they_do(schemas):
    assert len(schemas) == NODES
    for name, schema in schemas.items():
        assert schema["category"].startswith("concept algebra"), name
        assert schema["description"].endswith("."), name
        lacking = [row[0] for row in schema["inputs"] if not row[3].get("tooltip")]
        assert not lacking, f"{name}: no tooltip on {lacking}"


def test_widgets_come_before_sockets(schemas):
    # a socket between widgets would shift the saved widget values of older graphs once it gets a widget; what is optional
    # comes after all that is required, widgets again first
    widgets = {"STRING", "INT", "FLOAT", "BOOLEAN", "COMBO"}
    for name, schema in schemas.items():
        for group in ("required", "optional"):
            kinds = [row[1] in widgets for row in schema["inputs"] if row[2] == group]
            assert kinds == sorted(kinds, reverse=True), name


if __name__ == "__main__":
    import sys
    import urllib.request

    with urllib.request.urlopen(sys.argv[1] + "/object_info") as answer:
        found = json.load(answer)
    golden = {name: described(info) for name, info in sorted(found.items()) if name.startswith("ConceptAlgebra_")}
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n", "utf-8")
