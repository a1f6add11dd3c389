"""A real ComfyUI with the pack in its custom_nodes, for the tests in this folder."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

PACK = Path(__file__).parents[2]
PATIENCE = 900.0


def hosts() -> list[Path]:
    """The ComfyUI folders to test on: COMFYUI_PATH (several, separated like PATH), else ~/ComfyUI when it is there."""
    named = os.environ.get("COMFYUI_PATH")
    folders = [Path(part).expanduser() for part in named.split(os.pathsep) if part] if named else [Path.home() / "ComfyUI"]
    if named and (missing := [str(f) for f in folders if not (f / "main.py").is_file()]):
        raise FileNotFoundError(f"COMFYUI_PATH names {', '.join(missing)}: no main.py there")
    return [f for f in folders if (f / "main.py").is_file()]


def interpreter(host: Path) -> str:
    """The Python of the host's own venv, else the one that runs the tests."""
    for path in (host / "venv/bin/python", host / ".venv/bin/python", host / "venv/Scripts/python.exe"):
        if path.exists():
            return str(path)
    return sys.executable


class Refused(Exception):
    """The server did not take a prompt; `answer` says why, `node_errors` among it."""

    def __init__(self, answer: dict[str, Any]):
        super().__init__(json.dumps(answer)[:2000])
        self.answer = answer


class Server:
    """One running ComfyUI on a port of its own, with folders of its own that go when it does.

    `packs` are further folders for custom_nodes, such as the gradient probe; `options` further arguments.
    """

    def __init__(self, host: Path, packs: tuple[Path, ...] = (), options: tuple[str, ...] = ()):
        self.host = host
        self.folder = Path(tempfile.mkdtemp(prefix="comfy-"))
        (self.folder / "custom_nodes").mkdir()
        for pack, name in ((PACK, "concept-algebra"), *((p, p.name) for p in packs)):
            (self.folder / "custom_nodes" / name).symlink_to(pack, target_is_directory=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = self.folder / "server.log"
        # an ordinary user's ComfyUI: without the paths and settings that the tests themselves run under
        clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        command = [interpreter(host), "main.py", "--cpu", "--port", str(self.port), "--disable-api-nodes", "--base-directory", str(self.folder)]
        database = ["--database-url", f"sqlite:///{self.folder / 'comfy.db'}"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen([*command, *database, *options], cwd=host, stdout=log, stderr=subprocess.STDOUT, env=clean)
        self._until(lambda: self._up(), "the server to start")

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return json.load(answer)

    def fetch(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return answer.read()

    def post(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise Refused(json.loads(error.read())) from None
        return json.loads(text) if text else None

    def queue(self, prompt: dict[str, Any]) -> str:
        """Queue a graph in API form; its id. Refused when it does not validate."""
        return self.post("/prompt", {"prompt": prompt, "client_id": "tests"})["prompt_id"]

    def wait(self, prompt_id: str) -> dict[str, Any]:
        """The history entry of a finished prompt."""
        self._until(lambda: prompt_id in self.get(f"/history/{prompt_id}"), f"prompt {prompt_id}")
        return self.get(f"/history/{prompt_id}")[prompt_id]

    def run(self, prompt: dict[str, Any]) -> dict[str, Any]:
        """The outputs by node of a graph that must succeed."""
        done = self.wait(self.queue(prompt))
        assert done["status"]["status_str"] == "success", done["status"]["messages"][-1]
        return done["outputs"]

    def fail(self, prompt: dict[str, Any]) -> str:
        """The message of a graph that must fail: on validation, or on a node."""
        try:
            done = self.wait(self.queue(prompt))
        except Refused as refused:
            errors = [e for node in refused.answer["node_errors"].values() for e in node["errors"]]
            return "\n".join(f"{e['message']}: {e['details']}" for e in errors)
        kind, detail = done["status"]["messages"][-1]
        assert kind == "execution_error", f"expected an error, got {kind}"
        return detail["exception_message"]

    def ran(self, prompt: dict[str, Any]) -> set[str]:
        """The nodes that a graph really ran: all but those served from cache."""
        done = self.wait(self.queue(prompt))
        cached = next(detail["nodes"] for kind, detail in done["status"]["messages"] if kind == "execution_cached")
        return set(prompt) - set(cached)

    def output(self, file: dict[str, str]) -> Path:
        """Where a file of a node's output lies."""
        return self.folder / file["type"] / file["subfolder"] / file["filename"]

    def _up(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.host} did not start:\n{self.log.read_text()[-3000:]}")
        try:
            return bool(self.get("/system_stats"))
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def _until(self, done, what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not done():
            if time.monotonic() > end:
                raise TimeoutError(f"waited {PATIENCE:.0f} s for {what}:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.2)
