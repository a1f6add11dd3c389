"""Without the libraries one line says what to install."""

import sys

import pytest

from concept_algebra.ops.generators.diffusers_loading import library


@pytest.mark.parametrize("absent", ["diffusers", "transformers"])
def test_what_to_install_is_said_in_one_line(monkeypatch, absent):
    if absent == "transformers":
        pytest.importorskip("diffusers", reason="the one library without the other; pip install diffusers")
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(ModuleNotFoundError, match="pip install diffusers transformers") as told:
        library()
    assert "\n" not in str(told.value)
