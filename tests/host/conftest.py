import shutil
from pathlib import Path

import pytest
from server import PACK, Server, hosts

HOSTS = hosts()
NONE = "no ComfyUI here: set COMFYUI_PATH to one or more of them (separated like PATH), or put one at ~/ComfyUI"


@pytest.fixture(scope="session", params=HOSTS or [None], ids=lambda host: host.name if host else "none")
def server(request):
    """A running ComfyUI with the pack and the gradient probe, one after the other of those there are."""
    if request.param is None:
        pytest.skip(NONE)
    server = Server(request.param, packs=(PACK / "tests/host/probe",))
    yield server
    server.close()


@pytest.fixture(scope="module")
def languagebind(server, tmp_path_factory):
    """A small LanguageBind of random weights where the server looks for converted encoders; its name there.

    It comes without a vocabulary, so that ComfyUI's own is read.
    """
    from tiny_languagebind import folders

    from concept_algebra.ops.encoders.languagebind_file import convert

    sources = folders(tmp_path_factory.mktemp("published"), tokenizer=False, tokens=49408)
    made = Path(server.folder) / "models" / "concept_encoders" / "languagebind.safetensors"
    made.parent.mkdir(parents=True)
    convert(sources, made)
    yield made.name
    shutil.rmtree(made.parent)


@pytest.fixture(scope="module")
def named_models(server):
    """Empty files under the names of the models that workflows load, for a page, which looks at names alone."""
    named = {
        "checkpoints": ("sd3.5_medium", "stable-audio-open-1.0", "ltx-video-2b-v0.9.5"),
        "text_encoders": ("t5xxl_fp16",), "vae_approx": ("taesd3_encoder", "taesd3_decoder"),
    }  # fmt: skip
    paths = [Path(server.folder) / "models" / folder / f"{name}.safetensors" for folder, names in named.items() for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    yield
    for path in paths:
        path.unlink()
