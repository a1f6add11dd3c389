"""The `concept-algebra` command for those who have the pack as a folder and not as an installed package:

    python ComfyUI/custom_nodes/concept-algebra COMMAND ...
"""

import importlib
import importlib.util
import sys
from pathlib import Path

if not __package__:
    root = Path(__file__).parent
    # running a folder puts it first on the path, where its own folders would shadow other people's modules
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != root.resolve()]
    spec = importlib.util.spec_from_file_location("concept_algebra", root / "__init__.py", submodule_search_locations=[str(root)])
    sys.modules["concept_algebra"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["concept_algebra"])

if __name__ == "__main__":
    sys.exit(importlib.import_module("concept_algebra.cli").main())
