import pytest
import torch
from safetensors.torch import save_file

from concept_algebra.ops.pocket.store import read
from concept_algebra.ops.weights import WeightsError, fill


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"nothing\.safetensors is missing"):
        read("nothing", tmp_path)


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"not safetensors at all")
    with pytest.raises(WeightsError, match=r"bad\.safetensors cannot be read"):
        read("bad", tmp_path)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_nan_weights_are_refused_by_tensor(tmp_path, value):
    save_file({"fine": torch.ones(2), "broken": torch.tensor([1.0, value])}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="'broken' contains NaN"):
        read("w", tmp_path)


def test_metadata_and_halves_come_back(tmp_path):
    save_file({"weight": torch.ones(2, 3).half(), "bias": torch.zeros(2).half()}, tmp_path / "w.safetensors", {"a": "b"})
    tensors, metadata = read("w", tmp_path)
    assert metadata == {"a": "b"}
    layer = fill(torch.nn.Linear(3, 2), tensors, "w")
    assert layer.weight.dtype == torch.float32 and not layer.weight.requires_grad and not layer.training


def test_what_does_not_fit_is_listed():
    tensors = {"weight": torch.ones(2, 4), "extra": torch.ones(1)}
    with pytest.raises(WeightsError, match=r"missing \['bias'\], left over \['extra'\], misshapen \['weight'\]"):
        fill(torch.nn.Linear(3, 2), tensors, "w")
