"""Write locales/en/nodeDefs.json from the nodes' schemas: `python tools/locales.py http://127.0.0.1:8188`.

The address is of a running ComfyUI that has the pack. A translation is a copy of locales/en under the language's code,
with every text but the keys translated; keys that it leaves out are shown in English.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

PREFIX = "ConceptAlgebra_"
NODE_DEFS = Path(__file__).parents[1] / "locales" / "en" / "nodeDefs.json"


def definitions(object_info: dict[str, Any]) -> dict[str, Any]:
    """What /object_info says of the pack's nodes, in the format of nodeDefs.json: outputs go by their index."""
    return {name: _definition(node) for name, node in sorted(object_info.items()) if name.startswith(PREFIX)}


def text(object_info: dict[str, Any]) -> str:
    """The file's content."""
    return json.dumps(definitions(object_info), indent=2, ensure_ascii=False) + "\n"


def _definition(node: dict[str, Any]) -> dict[str, Any]:
    inputs = {name: spec for kind in ("required", "optional") for name, spec in node["input"].get(kind, {}).items()}
    options = {name: spec[1] if len(spec) > 1 else {} for name, spec in inputs.items()}
    outputs = enumerate(zip(node["output_name"], node["output_tooltips"], strict=True))
    return {
        "display_name": node["display_name"],
        "description": node["description"],
        "inputs": {
            name: {"name": option.get("display_name") or name, "tooltip": option.get("tooltip")}
            for name, option in options.items()
        },
        "outputs": {str(index): {"name": name, "tooltip": tooltip} for index, (name, tooltip) in outputs},
    }


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with urllib.request.urlopen(sys.argv[1].rstrip("/") + "/object_info", timeout=60) as answer:
        NODE_DEFS.write_text(text(json.load(answer)), encoding="utf-8")
