"""What people get: the files of the registry's archive, which are those git tracks less what .comfyignore names."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ("__init__.py", "cli.py", "commands/", "nodes/", "ops/", "benchmarks/")
HOST = {"comfy", "comfy_api", "comfy_execution", "folder_paths", "server"}
OPTIONAL = {"diffusers", "ftfy", "transformers"}  # used where they are installed; the tests run without them too
UNWANTED = {
    "aiohttp", "cryptography", "ctypes", "ftplib", "http", "httpx", "marshal", "multiprocessing", "pickle", "requests",
    "smtplib", "socket", "subprocess", "urllib",
}  # fmt: skip


def tracked(*options: str) -> set[str]:
    listed = subprocess.run(["git", "ls-files", "-z", *options], cwd=ROOT, capture_output=True, check=True, text=True)
    return set(filter(None, listed.stdout.split("\0")))


@pytest.fixture(scope="module")
def archive() -> set[str]:
    """Paths in the archive."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    return tracked() - tracked("--cached", "--ignored", "--exclude-from=.comfyignore")


@pytest.fixture(scope="module")
def trees(archive) -> dict[str, ast.Module]:
    return {name: ast.parse((ROOT / name).read_text(encoding="utf-8")) for name in archive if name.endswith(".py")}


def imports(tree: ast.Module):
    """(level, module, name or None) of every import, those inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.level, node.module or "", alias.name) for alias in node.names)


def test_nothing_runs_other_programs_or_code_or_uses_the_network(trees):
    for name, tree in trees.items():
        for _, module, _ in imports(tree):
            assert module.partition(".")[0] not in UNWANTED, f"{name} imports {module}"
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                unwanted = re.fullmatch(r"eval|exec|compile|__import__|os\.(system|popen|exec\w+|spawn\w+)", called)
                if called == "torch.load":
                    unwanted = not any(given.arg == "weights_only" and getattr(given.value, "value", None) is True for given in node.keywords)
                assert not unwanted, f"{name}, line {node.lineno}: {called}"


def test_only_what_comfyui_has_is_imported(trees):
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11 or newer")
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    known = {"PIL" if name == "Pillow" else name for name in declared} | HOST | OPTIONAL | sys.stdlib_module_names
    for name, tree in trees.items():
        for level, module, _ in imports(tree):
            assert level or module.partition(".")[0] in known, f"{name} imports {module}"


def test_everything_imported_inside_the_pack_is_in_the_archive(archive, trees):
    for name in filter(lambda name: name.startswith(CORE), trees):
        for level, module, imported in imports(trees[name]):
            if level:
                target = Path(name).parents[level - 1].joinpath(*filter(None, module.split(".")))
                files = [target.with_suffix(".py") if module else None, target / "__init__.py", target / f"{imported}.py"]
                assert any(f and f.as_posix() in archive for f in files), f"{name} imports {module or '.'} ({imported})"


def test_the_data_the_pack_needs_is_in_the_archive(archive):
    wanted = r"ops/pocket/weights/.*\.safetensors|web/docs/.*|workflows/.*\.json|locales/.*\.json"
    names = {name for name in tracked() if re.fullmatch(wanted, name)}
    assert sum(name.endswith(".safetensors") for name in names) >= 9
    names |= {"LICENSE", "NOTICE", "README.md", "pyproject.toml", "requirements.txt", "ops/pocket/vocabulary.txt", "ops/pocket/MODEL_CARD.md"}
    assert names <= archive, names - archive


def test_what_only_developers_need_stays_out(archive):
    assert not [name for name in archive if name.startswith((".ci/", "tests/", "recipe/", "tools/"))]


def test_what_the_browser_loads_is_readable(archive):
    for name in archive:
        if name.endswith((".js", ".mjs", ".css")):
            lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
            assert ".min." not in name and max(map(len, lines), default=0) < 500, name


def test_the_archive_works_by_itself(archive, tmp_path):
    pack = tmp_path / "concept_algebra"
    for name in archive:
        (pack / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, pack / name)
    code = (
        "import concept_algebra, sys\n"
        "from concept_algebra import cli\n"
        "from concept_algebra.ops import showcase\n"
        "from concept_algebra.ops.encoders.pocket import load\n"
        "from concept_algebra.ops.generators import pocket\n"
        "encoder = load()\n"
        "for modality in ('image', 'audio', 'video'): pocket.load(modality, encoder)\n"
        "print(concept_algebra.__file__)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], check=False, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert Path(found.stdout.strip()).parent == pack


def test_the_registry_is_told_what_it_asks_for():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11 or newer")
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project, comfy = told["project"], told["tool"]["comfy"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"]) and "comfyui" not in project["name"].lower()
    assert comfy["PublisherId"] and comfy["DisplayName"] and comfy["requires-comfyui"] == ">=0.8.0"
    required = (ROOT / "requirements.txt").read_text(encoding="utf-8").split()
    assert required == project["dependencies"]
    assert all(re.fullmatch(r"[A-Za-z]+", name) for name in required), "what ComfyUI has is never pinned"
