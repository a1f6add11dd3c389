"""Low-rank adaptation of a module's linear layers, beside the module and never in it (LoRA: Hu et al. 2021, arXiv 2106.09685)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..atomic import write_bytes, write_text
from ..runtime import full_precision
from ..weights import packed

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
PREFIX = "base_model.model."
"""What the peft library puts before the path of a layer."""
PLAIN = {
    "use_dora": False, "use_rslora": False, "fan_in_fan_out": False, "lora_bias": False, "bias": "none",
    "rank_pattern": {}, "alpha_pattern": {}, "modules_to_save": None, "peft_type": "LORA",
}  # fmt: skip
"""The settings in an adapter's file that would make it another kind of adapter, with the values that do not."""


class LoRA:
    """Adds alpha / rank * B A x to what chosen linear layers of `module` give, while it is `on`.

    The module's parameters, state dict and hooks are its own again as soon as it is off, so one module serves the frozen
    and the adapted model, and whoever else holds it. A [rank, in] begins normal with deviation 1 / rank (what peft calls
    gaussian), drawn from `rng` on the CPU, B [out, rank] at zero: a fresh LoRA changes nothing. Both are float32 whatever
    the module's dtype, and live where its layers do.

    paths: of the layers within the module. alpha: `rank` when not given, which adds B A x as it is.
    ValueError for a rank below 1, for no path, and for one that names no linear layer.
    """

    def __init__(self, module: nn.Module, paths: Sequence[str], rank: int, rng: torch.Generator, alpha: float | None = None):
        if rank < 1 or not paths:
            raise ValueError(f"a LoRA of rank {rank} on {len(paths)} layers, expected at least 1 of each")
        parts = dict(module.named_modules())
        for path in paths:
            if not isinstance(parts.get(path), nn.Linear):
                found = type(parts[path]).__name__ if path in parts else "nothing"
                raise ValueError(f"a LoRA adapts linear layers, and '{path}' of {type(module).__name__} is {found}")
        self.module, self.rank, self.alpha = module, rank, float(rank if alpha is None else alpha)
        self._layers = {path: parts[path] for path in paths}
        self._a: dict[str, nn.Parameter] = {}
        self._b: dict[str, nn.Parameter] = {}
        # kept over steps and trained, so nothing may be born under a host's inference mode
        with torch.inference_mode(False):
            for path, layer in self._layers.items():
                device = layer.weight.device
                self._a[path] = nn.Parameter((torch.randn(rank, layer.in_features, generator=rng) / rank).to(device))
                self._b[path] = nn.Parameter(torch.zeros(layer.out_features, rank, device=device))

    def parameters(self) -> list[nn.Parameter]:
        """A and B of every layer, in the layers' order."""
        return [side[path] for path in self._layers for side in (self._a, self._b)]

    @contextmanager
    def on(self) -> Iterator[None]:
        """Within it the module computes with the adaptation, differentiable in `parameters()`. Not to be nested."""
        with ExitStack() as stack:
            for path, layer in self._layers.items():
                handle = layer.register_forward_hook(self._hook(path))
                stack.callback(handle.remove)
            yield

    def _hook(self, path: str):
        a, b, scale = self._a[path], self._b[path], self.alpha / self.rank

        def adapted(layer: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
            # without autocast, or half precision would swallow the small numbers that a LoRA starts with
            with full_precision(out.device):
                return out + (scale * F.linear(F.linear(inputs[0].float(), a), b)).to(out.dtype)

        return adapted

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of A and B on the CPU, by the names that peft gives them in files."""
        return {name: p.detach().cpu().clone() for name, p in self._named()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over what `state_dict` gave. ValueError, and nothing is changed, unless it fits exactly."""
        wanted = dict(self._named())
        if problems := sorted(wanted.keys() ^ state.keys()) or [k for k, p in wanted.items() if p.shape != state[k].shape]:
            raise ValueError(f"this LoRA of rank {self.rank} on {len(self._layers)} layers does not fit: {', '.join(problems[:4])}")
        with torch.inference_mode(False), torch.no_grad():
            for name, p in wanted.items():
                p.copy_(state[name])

    def save(self, folder: str | os.PathLike) -> None:
        """Write the two files of a peft adapter into a folder, which is made if it is not there. OSError with one line."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = PLAIN | {"r": self.rank, "lora_alpha": self.alpha, "lora_dropout": 0.0, "target_modules": list(self._layers)}
        config |= {"init_lora_weights": "gaussian", "inference_mode": True, "task_type": None, "base_model_name_or_path": None}
        write_bytes(folder / WEIGHTS, packed(self.state_dict(), {"format": "pt"}))
        write_text(folder / CONFIG, json.dumps(config, indent=2, sort_keys=True))

    @classmethod
    def load(cls, folder: str | os.PathLike, module: nn.Module) -> LoRA:
        """Read a peft adapter of linear layers for a module, with every layer that it has tensors for.

        ValueError for an adapter of another kind, one that is damaged, or one that does not fit; OSError for none.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load as unpack

        folder = Path(folder)
        config, data = (folder / CONFIG).read_bytes(), (folder / WEIGHTS).read_bytes()
        try:
            with torch.inference_mode(False):
                tensors = unpack(data)
            settings = json.loads(config)
            rank, alpha = int(settings["r"]), float(settings["lora_alpha"])
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{folder} is a damaged adapter: {error!r}") from error
        for name, plain in PLAIN.items():
            if (value := settings.get(name, plain)) != plain and (value or plain):
                raise ValueError(f"{folder} has {name} {value!r}; only plain LoRA can be read, with {plain!r}")
        paths = [k.removeprefix(PREFIX).removesuffix(".lora_A.weight") for k in tensors if k.endswith(".lora_A.weight")]
        try:
            lora = cls(module, paths, rank, torch.Generator("cpu"), alpha)
            lora.load_state_dict(tensors)
        except ValueError as error:
            raise ValueError(f"{folder}: {error}") from error
        return lora

    def _named(self) -> Iterator[tuple[str, nn.Parameter]]:
        for path in self._layers:
            yield f"{PREFIX}{path}.lora_A.weight", self._a[path]
            yield f"{PREFIX}{path}.lora_B.weight", self._b[path]
