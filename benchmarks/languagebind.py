"""LanguageBind's towers: how near to the original's numbers, and what a step costs at full size beside plain attention.

`pooled_max_abs` and `gradient_max_rel`: the largest difference from the original implementation over all its reference
cases, of unit embeddings and of gradients over their largest entry. `..._step_ratio`: time of one step, forward and
backward to the media's tower input, over that of the same tower with attention written out, full ViT-L/14 sizes with
random weights, float32, batch 1, the least of a few. `peak_gb`: the process's largest memory during the fused steps,
with the weights of all three towers (None where that cannot be told). `--quick` takes 2 of 24 layers. On Linux the table has each
step's own peak; what was measured at full size is in LANGUAGEBIND.md beside this file.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..ops.encoders.languagebind_parts import parts
from ..ops.encoders.languagebind_tower import tower
from ..ops.encoders.record import recorded
from ..ops.encoders.tower import VisionTower
from ..ops.grad import differentiable

REFERENCE = Path(__file__).parent / "data" / "languagebind"
MEDIA = ("image", "audio", "audio_lora", "video_lora", "video_vl_new")
# the published ViT-L/14 sizes; sound as in LanguageBind_Audio_FT
WIDTH, LAYERS, HEADS, PATCH = 1024, 24, 16, 14
INPUT = {"image": (1, 3, 224, 224), "audio": (1, 3, 112, 1036), "video": (8, 3, 224, 224)}


def run(quick: bool) -> tuple[list[tuple], dict[str, float | None]]:
    layers, repeats = (2, 2) if quick else (LAYERS, 3)
    pooled, gradient = map(max, zip(*(against_reference(case) for case in (*MEDIA, "text"))))
    towers = {modality: full_size(modality, layers) for modality in INPUT}
    memory = Memory()
    rows: list[tuple] = [("tower", "layers", "fused s", "plain s", "ratio", "fused keeps MiB", "plain keeps MiB", "fused peak GB", "plain peak GB")]
    figures: dict[str, float | None] = {"pooled_max_abs": pooled, "gradient_max_rel": gradient}
    # from the smaller need to the larger: what the allocator keeps of an earlier step then hides nothing of a later one
    for modality, made in towers.items():
        ours, kept, high = step(made, modality, False, repeats, memory)
        theirs, more, higher = step(made, modality, True, repeats, memory)
        peaks = ("" if value is None else f"{value:.2f}" for value in (high, higher))
        rows.append((modality, layers, f"{ours:.2f}", f"{theirs:.2f}", f"{ours / theirs:.2f}", f"{kept:.0f}", f"{more:.0f}", *peaks))
        figures[f"{modality}_step_ratio"] = round(ours / theirs, 3)
    # clips take the most, and come last
    return rows, figures | {"peak_gb": None if high is None else round(memory.held + high, 2)}


class Memory:
    """The process's memory by Linux's /proc, 10^9 bytes; without one everything is None."""

    def __init__(self):
        self.held = self._status("VmRSS")
        """At the beginning: weights and libraries."""

    def watch(self) -> None:
        """Let the high-water mark begin anew."""
        if self.held is not None:
            Path("/proc/self/clear_refs").write_text("5")

    def peak(self) -> float | None:
        """The most taken since `watch`, beyond what was held at the beginning."""
        return None if self.held is None else self._status("VmHWM") - self.held

    @staticmethod
    def _status(name: str) -> float | None:
        try:
            lines = Path("/proc/self/status").read_text().splitlines()
        except OSError:
            return None
        return next(int(line.split()[1]) * 1024 / 1e9 for line in lines if line.startswith(name))


def published(case: str, folder: Path) -> dict[str, Tensor]:
    """Writes a reference case's checkpoint as its repository would hold it, and returns the case's inputs, outputs and
    gradients."""
    with safe_open(REFERENCE / f"{case}.safetensors", "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        configuration = file.metadata()["config"]
    save_file({name.removeprefix("sd."): t for name, t in tensors.items() if name.startswith("sd.")}, folder / "model.safetensors")
    (folder / "config.json").write_text(configuration)
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("sd.")}


def frame_by_frame(pixels: Tensor) -> Tensor:
    """The reference takes clips [B, 3, T, H, W], our tower [B * T, 3, H, W]; anything else stays."""
    return pixels.transpose(1, 2).flatten(0, 1) if pixels.dim() == 5 else pixels


def against_reference(case: str) -> tuple[float, float]:
    """(largest difference of unit embeddings, of gradients relative to their largest entry) from the original's numbers."""
    modality = case.split("_")[0]
    with tempfile.TemporaryDirectory() as folder:
        tensors = published(case, Path(folder))
        made = tower(modality, parts(Path(folder))[modality], torch.float32)
    if modality == "text":
        ids = tensors["in.input_ids"]
        table = made.text_model.embeddings.token_embedding
        leaf = table(ids).clone().requires_grad_()
        table.register_forward_hook(lambda *_: leaf)
        unit, known = made.encode(ids, ids.argmax(-1))[0], tensors["grad.token_embeddings"]
    else:
        leaf, known = tensors["in.pixel_values"].requires_grad_(), tensors["grad.pixel_values"]
        unit = made(frame_by_frame(leaf))[0]
    gradient = torch.autograd.grad((unit * tensors["in.cotangent"]).sum(), leaf)[0]
    return float((unit - tensors["out.embedding_unit"]).detach().abs().max()), float((gradient - known).abs().max() / known.abs().max())


def meta(modality: str, layers: int = LAYERS) -> VisionTower:
    """A ViT-L/14 tower without weights, on the meta device."""
    frames = INPUT[modality][0] if modality == "video" else 0
    grid = INPUT[modality][-2] // PATCH, INPUT[modality][-1] // PATCH
    with torch.device("meta"):
        made = VisionTower(nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=False), grid, WIDTH, layers, HEADS, frames=frames, placed=True)
    return made.eval().requires_grad_(False)


def full_size(modality: str, layers: int) -> VisionTower:
    """A ViT-L/14 tower with random weights."""
    made = meta(modality, layers).to_empty(device="cpu")
    source = torch.Generator().manual_seed(0)
    for part in made.modules():
        for name, parameter in part.named_parameters(recurse=False):
            norm = isinstance(part, nn.LayerNorm) and name == "weight"
            nn.init.ones_(parameter) if norm else nn.init.normal_(parameter, std=0.02, generator=source)
    return made


def step(made: VisionTower, modality: str, plain: bool, repeats: int, memory: Memory) -> tuple[float, float, float | None]:
    """(seconds of the fastest of `repeats` steps, MiB that autograd keeps between forward and backward, weights apart, and
    what the process takes at most for a step, see `Memory`)."""
    leaf = torch.randn(INPUT[modality], generator=torch.Generator().manual_seed(0)).requires_grad_()
    weights = {p.untyped_storage().data_ptr() for p in made.parameters()}
    saved: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    seconds = []
    memory.watch()
    for _ in range(repeats):
        saved.clear()
        began = time.perf_counter()
        with differentiable(made), recorded(made, attention=True) if plain else nullcontext():
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
                pooled, _, dense, _ = made(leaf)
            torch.autograd.grad(pooled[:, 0].sum() + dense[..., 0].mean(), leaf)
        seconds.append(time.perf_counter() - began)
    return min(seconds), sum(saved.values()) / 2**20, memory.peak()
