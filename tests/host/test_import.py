"""Loading the pack into ComfyUI costs next to nothing: no heavy module, no disk scan, no network, no other version of anything."""

import json
import subprocess
from pathlib import Path

import pytest
from conftest import HOSTS, NONE
from server import PACK, interpreter

# Runs in the host's own Python: brings up what every ComfyUI has imported by then, then watches the pack being loaded.
SCRIPT = """
import asyncio, importlib.util, json, sys, time
sys.argv = ["main.py", "--cpu"]
sys.path.insert(0, ".")
import comfy.options
comfy.options.enable_args_parsing()
import torch, folder_paths, comfy.model_management, comfy_api.latest
before, opened = set(sys.modules), []
watched = ("os.listdir", "os.scandir", "open", "socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system")
sys.addaudithook(lambda event, args: opened.append((event, str(args[0]) if args else "")) if event in watched else None)
pack = PACK
began = time.process_time()
spec = importlib.util.spec_from_file_location("/some/path/concept-algebra", pack + "/__init__.py", submodule_search_locations=[pack])
module = importlib.util.module_from_spec(spec)
sys.modules["/some/path/concept-algebra"] = module
spec.loader.exec_module(module)
extension = asyncio.run(module.comfy_entrypoint())
nodes = asyncio.run(extension.get_node_list())
for node in nodes:
    node.GET_SCHEMA()
print(json.dumps({"seconds": time.process_time() - began, "nodes": len(nodes), "modules": sorted(set(sys.modules) - before),
                  "events": opened, "concepts": folder_paths.folder_names_and_paths["concepts"][0]}))
"""


@pytest.fixture(scope="module", params=HOSTS or [None], ids=lambda host: host.name if host else "none")
def loaded(request):
    if request.param is None:
        pytest.skip(NONE)
    script = SCRIPT.replace("pack = PACK", f"pack = {str(PACK)!r}")
    done = subprocess.run([interpreter(request.param), "-c", script], cwd=request.param, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_no_heavy_module_comes_in(loaded):
    assert loaded["nodes"] >= 19
    heavy = {"scipy", "transformers", "diffusers", "matplotlib", "pandas", "torchvision", "torchaudio", "concept_algebra"}
    assert not {name.split(".")[0] for name in loaded["modules"]} & heavy
    # the towers and generators are imported when a node loads them
    assert not [name for name in loaded["modules"] if name.endswith((".ops.encoders.pocket", ".ops.generators.pocket"))]


def test_nothing_is_scanned_but_the_concept_folders(loaded):
    scanned = {path for event, path in loaded["events"] if event in ("os.listdir", "os.scandir")}
    # Python's importer lists the folders of the packages that it looks into
    own = {path for path in scanned if Path(path).is_relative_to(PACK) and (Path(path) / "__init__.py").exists() or Path(path) == PACK / "ops"}
    importer = {path for path in scanned if any(Path(path).is_relative_to(part) for part in ("/usr", "/opt", "/root/.pyenv")) or "site-packages" in path}
    concepts = {path for path in scanned if any(path.startswith(folder) for folder in loaded["concepts"])}
    assert scanned <= own | importer | concepts, scanned - own - importer - concepts
    weights = [path for event, path in loaded["events"] if event == "open" and path.endswith((".safetensors", ".txt"))]
    assert not weights


def test_nothing_goes_out(loaded):
    assert not [event for event, _ in loaded["events"] if event.startswith(("socket", "subprocess", "os.system"))]


def test_installing_it_on_top_of_comfyui_changes_no_version():
    """Whatever ComfyUI asks for satisfies us, and we name no version of anything."""
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11 to read pyproject.toml")
    project = tomllib.loads((PACK / "pyproject.toml").read_text("utf-8"))["project"]
    assert all(name.replace("-", "").replace("_", "").isalnum() for name in project["dependencies"]), "a pin or a range"
    if not HOSTS:
        pytest.skip(NONE)
    for host in HOSTS:
        asked = {line.split("=")[0].split(">")[0].split("~")[0].strip().lower() for line in (host / "requirements.txt").read_text().splitlines()}
        assert {name.lower() for name in project["dependencies"]} <= asked, host
