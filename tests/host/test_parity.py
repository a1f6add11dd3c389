"""One checkpoint by both doors, ComfyUI's loaders and the diffusers library: the same latents, the same numbers."""

import json
import os
import subprocess

import pytest
from conftest import HOSTS, NONE
from server import PACK, interpreter


@pytest.mark.parametrize("host", HOSTS or [None], ids=lambda host: host.name if host else "none")
def test_both_doors_lead_to_the_same_generator(host):
    if host is None:
        pytest.skip(NONE)
    python = interpreter(host)
    if subprocess.run([python, "-c", "import diffusers"], capture_output=True).returncode:
        pytest.skip(f"ComfyUI's Python has no diffusers to compare with: {python} -m pip install diffusers")
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")} | {"COMFYUI_PATH": str(host)}
    done = subprocess.run([python, str(PACK), "bench", "parity", "--quick"], capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    read = {name: figure for name, figure in figures.items() if figure is not None}
    assert len(figures) == 4 and "sd35" in read and max(read.values()) < 1e-4
    assert len(read) == 4 or "published size" in done.stderr
