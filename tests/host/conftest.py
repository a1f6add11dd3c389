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
