"""Reading published checkpoints: every key layout, and every fault with the key that has it."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from concept_algebra.ops.encoders.checkpoint import plain, read
from concept_algebra.ops.encoders.languagebind_parts import parts
from concept_algebra.ops.encoders.languagebind_tower import tower
from concept_algebra.ops.weights import WeightsError

KEYS = Path(__file__).parents[2] / "reference" / "languagebind" / "keys"
LAYOUTS = sorted(path.stem for path in KEYS.glob("*.txt"))
CONFIGURATION = {"text_config": {"num_attention_heads": 4}, "vision_config": {"num_attention_heads": 4, "hidden_act": "gelu", "num_mel_bins": 0}}


def layout(name):
    """A checkpoint with the names, shapes and types of a layout; values from the plain name, so that layouts agree."""
    rows = (re.fullmatch(r"(\S+) (\(.*\)) torch\.(\w+)", line).groups() for line in (KEYS / f"{name}.txt").read_text().splitlines())
    made = {}
    for key, shape, kind in rows:
        size = [int(n) for n in re.findall(r"\d+", shape)]
        seed = key.replace("base_model.model.", "").replace(".base_layer", "").replace(".default", "")
        source = torch.Generator().manual_seed(sum(ord(c) * (i + 1) for i, c in enumerate(seed)))
        made[key] = torch.zeros(size, dtype=torch.int64) if kind == "int64" else torch.randn(size, generator=source) * 0.1
    return made


def folder(path, tensors, configuration=CONFIGURATION, binary=False):
    path.mkdir(exist_ok=True)
    if binary:
        torch.save(tensors, path / "pytorch_model.bin")
    else:
        save_file(tensors, path / "model.safetensors")
    if configuration is not None:
        (path / "config.json").write_text(json.dumps(configuration))
    return path


def configured(name):
    made = json.loads(json.dumps(CONFIGURATION))
    if "audio" in name:
        made["vision_config"] |= {"num_mel_bins": 28, "target_length": 70}
    return made


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_loads_whole(name, tmp_path):
    stored = layout(name)
    found = parts(folder(tmp_path / name, stored, configured(name), binary=True))
    modality = name.split("_")[1]
    assert set(found) == {"text", modality}
    made = tower(modality, found[modality], torch.float32)
    values = made.state_dict()
    text = tower("text", found["text"], torch.float32)
    assert sum(p.numel() for m in (made, text) for p in m.parameters()) == sum(
        t.numel() for k, t in stored.items() if "lora_" not in k and "position_ids" not in k and "logit_scale" not in k
    )
    adapted = [key for key in stored if ".lora_A" in key]
    assert bool(adapted) == ("lora16" in name or "lora2" in name)
    for key in adapted:
        layer = key.split(".lora_A")[0]
        weight = stored.get(f"{layer}.weight", stored.get(f"{layer}.base_layer.weight"))
        up = stored[key.replace("lora_A", "lora_B")]
        expected = weight + 16 / up.shape[1] * up @ stored[key]
        torch.testing.assert_close(values[f"{layer.replace('base_model.model.', '')}.weight"], expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("case", ["audio_lora16", "image_lora2", "video_lora16"])
def test_both_eras_of_peft_give_the_same_tower(case, tmp_path):
    old, new = (plain(layout(f"{era}_{case}")) for era in ("ref", "pypi"))
    assert old.keys() == new.keys()
    for key in old:
        torch.testing.assert_close(old[key], new[key], atol=0, rtol=0)


@pytest.mark.parametrize(
    "rename",
    [
        lambda key: f"module.{key}",
        lambda key: key.replace("base_model.model.", ""),
        lambda key: key.replace(".default.weight", ".weight"),
        lambda key: key.replace(".default.weight", ".other.weight"),
    ],
)
def test_prefixes_and_adapter_names_change_nothing(rename):
    stored = layout("ref_video_lora16")
    expected, renamed = plain(stored), plain({rename(key): tensor for key, tensor in stored.items()})
    assert expected.keys() == renamed.keys() and all(torch.equal(expected[key], renamed[key]) for key in expected)


def test_alpha_comes_from_the_configuration(tmp_path):
    stored = layout("ref_image_lora2")
    key = "vision_model.encoder.base_model.model.layers.0.self_attn.q_proj"
    made = configured("ref_image_lora2")
    made["vision_config"]["lora_alpha"] = 6
    found = parts(folder(tmp_path / "a", stored, made))["image"].tensors["vision_model.encoder.layers.0.self_attn.q_proj.weight"]
    expected = stored[f"{key}.weight"] + 3 * stored[f"{key}.lora_B.default.weight"] @ stored[f"{key}.lora_A.default.weight"]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda s: s.pop("vision_model.post_layernorm.bias"), r"missing \['vision_model.post_layernorm.bias'\]"),
        (lambda s: s.update({"vision_model.encoder.layers.0.temporal_mlp.fc1.bias": torch.zeros(4)}), r"left over \[.*temporal_mlp"),
        (lambda s: s.update({"vision_model.pre_layrnorm.bias": torch.zeros(63)}), r"misshapen \['vision_model.pre_layrnorm.bias'\]"),
        (lambda s: s.update({"something.else": torch.zeros(1)}), r"left over \['something.else'\]"),
        (lambda s: s.pop("vision_model.embeddings.patch_embedding.weight"), "'vision_model.embeddings.patch_embedding.weight' is missing"),
        (lambda s: s.update({"vision_model.encoder.layers.0.mlp.fc1.lora_A.weight": torch.zeros(2, 64)}), "LoRA adapter and no lora_B"),
    ],
)
def test_a_key_that_does_not_fit_is_listed(change, said, tmp_path):
    stored = layout("ref_image_lora0")
    change(stored)
    with pytest.raises(WeightsError, match=said):
        tower("image", parts(folder(tmp_path / "a", stored))["image"], torch.float32)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"q.weight": torch.ones(4, 4), "q.base_layer.weight": torch.ones(4, 4)}, "'q.weight' twice"),
        ({"q.lora_A.weight": torch.ones(2, 4), "q.lora_B.weight": torch.ones(4, 2)}, "'q' has a LoRA adapter and no weight"),
        ({"q.weight": torch.ones(4, 4), "q.lora_A.weight": torch.ones(2, 4), "q.lora_B.weight": torch.ones(4, 3)}, r"LoRA factors \(4, 3\) and \(2, 4\)"),
        ({"q.weight": torch.ones(4, 4), "q.lora_A.a.weight": torch.ones(2, 4), "q.lora_A.b.weight": torch.ones(2, 4)}, "several LoRA adapters"),
    ],
)
def test_adapters_that_cannot_be_merged_are_refused(change, said):
    with pytest.raises(WeightsError, match=said):
        plain(change)


def test_a_torch_file_of_either_age_a_nested_one_and_one_in_parts(tmp_path):
    stored = {"a": torch.randn(3), "b": torch.randn(2, 2)}
    torch.save(stored, tmp_path / "new.bin")
    torch.save(stored, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    torch.save({"state_dict": stored}, tmp_path / "nested.bin")
    torch.save({"a": stored["a"]}, tmp_path / "pytorch_model-1.bin")
    torch.save({"b": stored["b"]}, tmp_path / "pytorch_model-2.bin")
    index = {"weight_map": {"a": "pytorch_model-1.bin", "b": "pytorch_model-2.bin"}}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    for path in (tmp_path / "new.bin", tmp_path / "old.bin", tmp_path / "nested.bin", tmp_path):
        tensors, configuration = read(path)
        assert configuration == {} and tensors.keys() == stored.keys() and all(torch.equal(tensors[k], stored[k]) for k in stored)
    (tmp_path / "pytorch_model-2.bin").unlink()
    with pytest.raises(WeightsError, match="lacks pytorch_model-2.bin"):
        read(tmp_path)


class Hostile:
    def __reduce__(self):
        return (print, ("this must not run",))


def test_files_that_cannot_be_read_say_which(tmp_path, capsys):
    torch.save({"a": Hostile()}, tmp_path / "hostile.bin")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    (tmp_path / "text.bin").write_text("version https://git-lfs.github.com/spec/v1")
    torch.save([1, 2], tmp_path / "list.bin")
    for name, said in (("hostile.bin", "torch weights"), ("cut.safetensors", "safetensors"), ("text.bin", "torch weights"), ("list.bin", "no state dict")):
        with pytest.raises(WeightsError, match=f"{name} .*{said}"):
            read(tmp_path / name)
    assert "this must not run" not in capsys.readouterr().out
    with pytest.raises(WeightsError, match="no such file or folder"):
        read(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match="holds no model.safetensors or pytorch_model.bin"):
        read(tmp_path / "empty")
    (tmp_path / "empty" / "config.json").write_text("{")
    save_file({"a": torch.zeros(1)}, tmp_path / "empty" / "model.safetensors")
    with pytest.raises(WeightsError, match="config.json is not JSON"):
        read(tmp_path / "empty")


def test_sound_towers_tell_their_bins_without_a_configuration(tmp_path):
    """Positions of both published sound towers: 8 x 74 and 9 x 74 patches."""
    for down, bins in ((8, 112), (9, 126)):
        stored = layout("ref_audio_lora0")
        stored["vision_model.embeddings.position_embedding.weight"] = torch.zeros(down * 74 + 1, 64)
        found = parts(folder(tmp_path / str(bins), stored, None))
        assert found["audio"].settings["bins"] == bins and found["audio"].settings["frames"] == 1036
        assert tower("audio", found["audio"], torch.float32).vision_model.embeddings.grid == (down, 74)


def test_huge_keeps_its_values_in_a_dict_of_its_own(tmp_path):
    own = {"num_attention_heads": 2, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-6}
    made = {"vision_config": {"num_attention_heads": 4}, "vision_config_dict": own}
    settings = parts(folder(tmp_path / "a", layout("ref_video_vl_new"), made))["video"].settings
    assert settings == {"heads": 2, "activation": "quick_gelu", "epsilon": 1e-6}


def test_other_modalities_are_refused_by_name(tmp_path):
    with pytest.raises(WeightsError, match="LanguageBindDepth checkpoint"):
        parts(folder(tmp_path / "a", layout("ref_image_lora0"), {"model_type": "LanguageBindDepth"}))


def test_an_unknown_activation_is_refused(tmp_path):
    made = {"vision_config": {"num_attention_heads": 4, "hidden_act": "relu"}}
    with pytest.raises(WeightsError, match="activation is 'relu', expected one of gelu"):
        tower("image", parts(folder(tmp_path / "a", layout("ref_image_lora0"), made))["image"], torch.float32)


def test_the_epsilon_of_the_configuration_reaches_every_norm(tmp_path):
    made = configured("ref_image_lora0")
    made["vision_config"]["layer_norm_eps"] = 1e-3
    read_off = tower("image", parts(folder(tmp_path / "a", layout("ref_image_lora0"), made))["image"], torch.float32)
    assert {part.eps for part in read_off.modules() if isinstance(part, torch.nn.LayerNorm)} == {1e-3}


@pytest.mark.parametrize(
    "vision, said",
    [
        ([], None),
        ("wide", "vision_config is not an object"),
        ({"lora_alpha": "16"}, "lora_alpha is '16', expected a number"),
        ({"lora_alpha": None, "num_attention_heads": None}, None),
        ({"num_attention_heads": 5}, "num_attention_heads is 5, which does not divide the width 64"),
    ],
)
def test_an_odd_configuration_is_a_line_that_names_it(vision, said, tmp_path):
    source = folder(tmp_path / "a", layout("ref_image_lora2"), {"vision_config": vision})
    if said is None:
        parts(source)
    else:
        with pytest.raises(WeightsError, match=f"a: .*{said}"):
            parts(source)


def test_an_empty_file_is_named(tmp_path):
    (tmp_path / "empty.bin").touch()
    with pytest.raises(WeightsError, match="empty.bin cannot be read"):
        read(tmp_path / "empty.bin")
