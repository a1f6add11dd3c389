"""Whether both doors lead to the same generator: `concept-algebra bench parity`, for each family one checkpoint read by both.

Random weights in the makers' own layouts, as the tests write them, are read by ComfyUI's loader and by this project's with the
diffusers library; both decode the same latents and look into the same noise, told nothing (LTX-Video, which then needs a text
encoder: the same random embedding). A figure is the largest difference of any value, of what the values' largest is.

It wants both libraries in one Python: run it with ComfyUI's, after `pip install diffusers`, with COMFYUI_PATH naming its folder.
A checkout's tests write the checkpoints, small ones, which older ComfyUI does not read of every family: None then. `--quick`
leaves SDXL out, the largest at 0.4 GB.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..ops.generators.protocol import Generator

TESTS = Path(__file__).parents[1] / "tests"
TIMES = (0.02, 0.3, 0.7, 0.98)


@dataclass(frozen=True)
class Case:
    """A family: the test module that writes its checkpoint and with what, the loader of the diffusers door, and a size."""

    writer: str
    written: dict[str, Any]
    loader: str
    size: dict[str, int | float]


CASES = {
    "sd35": Case("tiny_sd3", {}, "sd3", {"width": 32, "height": 48}),
    "stable-audio": Case("tiny_stable_audio", {}, "stable_audio", {"seconds": 0.2}),
    "ltx": Case("tiny_ltx", {"version": "0.9.0"}, "ltx_video", {"width": 64, "height": 96, "frames": 17}),
    "ltx 0.9.5": Case("tiny_ltx", {"version": "0.9.5"}, "ltx_video", {"width": 64, "height": 96, "frames": 17}),
    "sdxl": Case("tiny_sdxl", {}, "sdxl", {"width": 32, "height": 48}),
}


def run(quick: bool) -> tuple[list[tuple[str, ...]], dict[str, float | None]]:
    loaded = _comfy()
    rows, figures = [("family", "decoded", "estimated from noise")], {}
    for name in [name for name in CASES if not (quick and name == "sdxl")]:
        case = CASES[name]
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            path = Path(folder) / "checkpoint.safetensors"
            _module(case.writer).write(path, **case.written)
            try:
                ours = loaded(path, case.size)
            except RuntimeError as error:  # tensors of sizes that it does not know
                print(f"{name}: this ComfyUI reads it at its published size only ({str(error).splitlines()[0]})", file=sys.stderr)
                figures[name] = None
                continue
            decoded, estimated = compared(ours, _other(case, path))
        rows.append((name, f"{decoded:.1e}", f"{estimated:.1e}"))
        figures[name] = max(decoded, estimated)
    return rows, figures


def compared(ours: Generator, theirs: Generator) -> tuple[float, float]:
    """The largest relative differences of what two generators decode, and of the clean latents that they see in noise."""
    if ours.latent_shape != theirs.latent_shape:
        raise ValueError(f"the generators have latents of shapes {ours.latent_shape} and {theirs.latent_shape}, expected one shape")
    z = ours.start(2, seed=0)
    decoded = difference(ours.decode(z), theirs.decode(z))
    null = [_null(generator) for generator in (ours, theirs)]
    seen = []
    for time in TIMES:
        t = torch.full((2,), time)
        seen.append(difference(*(generator.predict_x0(z, t, cond) for generator, cond in zip((ours, theirs), null))))
    return decoded, max(seen)


def difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest of any value, relative to the largest value. ValueError for different shapes."""
    if ours.shape != theirs.shape:
        raise ValueError(f"one is of shape {tuple(ours.shape)}, the other of {tuple(theirs.shape)}")
    return float((ours.float() - theirs.float()).abs().max() / theirs.float().abs().max())


def _null(generator: Generator) -> Any:
    if generator.modality != "video":
        return generator.condition(None)
    embedding, mask = torch.randn(1, 7, 16, generator=torch.Generator().manual_seed(1)), torch.tensor([[1, 1, 1, 1, 1, 0, 0]])
    if hasattr(generator, "patcher"):
        return [[embedding, {"attention_mask": mask, "frame_rate": generator.fps}]]
    return embedding, mask


def _other(case: Case, path: Path) -> Generator:
    """By the diffusers door."""
    module = importlib.import_module(f"..ops.generators.{case.loader}", __package__)
    return module.load(path, **case.size, dtype=torch.float32)


def _comfy() -> Callable[[Path, dict[str, int | float]], Generator]:
    """What reads a checkpoint by ComfyUI's door. ValueError without a ComfyUI in this Python."""
    for folder in filter(None, os.environ.get("COMFYUI_PATH", str(Path.home() / "ComfyUI")).split(os.pathsep)[:1]):
        sys.path.insert(0, folder)
    try:
        import comfy.cli_args as settings
    except ImportError as error:
        raise ValueError(f"no ComfyUI here: set COMFYUI_PATH to its folder, and run this with its own Python ({error})") from error
    settings.args.cpu = settings.args.force_fp32 = True
    import comfy.model_management
    import comfy.sd

    from ..nodes.host_models import generator

    def load(path: Path, size: dict[str, int | float]) -> Generator:
        model, _, vae, _ = comfy.sd.load_checkpoint_guess_config(str(path), output_vae=True, output_clip=False)
        made = generator(model, vae, size)
        comfy.model_management.load_models_gpu([made.patcher, made.vae.patcher], force_full_load=True)
        return made

    return load


def _module(name: str) -> Any:
    """One of the tests' writers of checkpoints. ValueError outside a checkout."""
    if not TESTS.is_dir():
        raise ValueError(f"the checkpoints are written by the tests of a checkout, and there is no {TESTS}")
    if str(TESTS) not in sys.path:
        sys.path.append(str(TESTS))
    return importlib.import_module(name)
