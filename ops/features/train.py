"""Training a sparse autoencoder on embeddings of any number of modalities, in minutes on a CPU."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..atomic import write_bytes
from ..runtime import rng as seeded_rng
from ..space import MODALITIES, Modality, fingerprint, finite
from ..weights import packed
from .fidelity import Fidelity, fidelity
from .gradient import gradient
from .sae import ANY, SparseAutoencoder, calibrated_threshold

FORMAT = "concept-algebra/sae-checkpoint/1"
FEWEST = 64
"""Vectors of one modality below which it is not trained on: a part is held out, and should tell something."""
HELD_OUT = 0.05
"""Share of each modality that is held out, 32 to 4096 vectors."""
WATCHED = 512
"""Held-out vectors of each modality that are measured while training runs."""


@dataclass(frozen=True)
class Recipe:
    """How an autoencoder is trained.

    width: m, the number of latents. k: mean nonzeros of a code. groups: prefix ends, rising to m. batch: vectors a step,
    shared evenly among modalities. rate: Adam's, warmed up over the first twentieth of the steps and falling linearly to 0
    over the last fifth. seed: of the one generator that all randomness comes from.

    ValueError for numbers that do not fit each other.
    """

    width: int
    k: int
    groups: tuple[int, ...]
    steps: int
    batch: int
    rate: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.k < self.width:
            raise ValueError(f"k is {self.k}, expected 1..{self.width - 1} for {self.width} latents")
        if list(self.groups) != sorted(set(self.groups)) or not self.groups or self.groups[0] < 1 or self.groups[-1] != self.width:
            raise ValueError(f"groups {self.groups} are not rising prefix ends, the last of them {self.width}")
        if self.steps < 1 or self.batch < len(MODALITIES) or not 0 < self.rate < 1:
            raise ValueError(f"steps {self.steps}, batch {self.batch}, rate {self.rate}: expected 1 or more, {len(MODALITIES)} or more, and 0..1")

    def rate_at(self, step: int) -> float:
        """The learning rate of a step."""
        warming = (step + 1) / max(1, self.steps // 20)
        falling = (self.steps - step) / max(1, self.steps // 5)
        return self.rate * min(1.0, warming, falling)


def recipe(count: int, dimension: int, k: int = 24, steps: int = 3000, seed: int = 0, width: int | None = None) -> Recipe:
    """A recipe that suits `count` vectors of a dimension.

    Without a width there are 4 latents a dimension and at most one for every ten vectors, in sixteenths; prefixes end at 1,
    3, 7 and 16 sixteenths. k is at most an eighth of the width. Raises ValueError for a width above the count.
    """
    if width and width > count:
        raise ValueError(f"width is {width}, expected at most {count}: there are no more items to learn from")
    width = width or max(64, min(4 * dimension, count // 10) // 16 * 16)
    groups = tuple(sorted({max(1, width * part // 16) for part in (1, 3, 7, 16)}))
    rate = 1e-3 if width <= 4096 else 5e-4
    return Recipe(width, max(1, min(k, width // 8)), groups, steps, min(1024, max(64, count // 8)), rate, seed)


@dataclass(frozen=True)
class Progress:
    """What `train` tells after a step.

    index, total: of steps. loss: squared error averaged over prefixes, of the step's batch. dead: share of latents that
    have not fired for long. held_out: per modality, on the steps that measure (every tenth part of a run), else empty.
    """

    index: int
    total: int
    loss: float
    dead: float
    held_out: Mapping[Modality, Fidelity] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Trained:
    """What training gives.

    autoencoder: rounded as a file keeps it. thresholds [m]: per modality, and `ANY` for modalities that were not trained
    on; mean L0 is k on held-out vectors. held_out: per modality.
    """

    autoencoder: SparseAutoencoder
    thresholds: Mapping[str, Tensor]
    held_out: Mapping[Modality, Fidelity]


def split(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """(indices to train on, held-out indices) of `count` vectors of one modality. The same for equal arguments."""
    order = torch.randperm(count, generator=seeded_rng(seed))
    held = min(max(32, int(HELD_OUT * count)), 4096)
    return order[held:], order[:held]


class TrainingError(ArithmeticError):
    """The loss stopped being a number."""


def train(
    data: Mapping[Modality, Tensor],
    recipe: Recipe,
    checkpoint: str | os.PathLike | None = None,
    watch: Callable[[Progress], None] = lambda _: None,
) -> Trained:
    """Train on vectors [N, D] of each modality, in centred units, single or half precision.

    Each modality has an equal share of every batch, drawn with replacement. The decoder's gradient is projected off its rows,
    which stay unit; the gradient is clipped at length 1; a latent that fires for none of max(20000, 2 N) vectors, or of a
    tenth of the run if that is fewer, is offered what the others leave over until it fires again.
    Equal data, recipe and machine give bit-equal results, also when the run was stopped and taken up again.

    checkpoint: a file that holds the run, written every twentieth part and when `watch` raises. A run of the same recipe and
        data goes on from it; it stays when the run is done.
    watch: is shown every step. What it raises stops the run, and is raised from here.

    Raises ValueError for data that cannot be trained on and a checkpoint of another run, TrainingError when the loss is not
    finite. Sources: Bussmann et al. 2025 (arXiv 2503.17547); Gao et al. 2024 (arXiv 2406.04093) for the dead.
    """
    # ComfyUI's nodes run in inference mode, whose tensors could not be optimised in place
    with torch.inference_mode(False), torch.no_grad():
        data = {modality: data[modality] for modality in MODALITIES if modality in data}
        _check(data)
        parts = {modality: split(len(x), recipe.seed) for modality, x in data.items()}
        held = {modality: data[modality][parts[modality][1]].float() for modality in data}
        run = _Run(recipe, next(iter(data.values())).shape[1], sum(map(len, data.values())))
        identity = _identity(recipe, data) if checkpoint else ""
        if checkpoint and os.path.exists(checkpoint):
            run.restore(Path(checkpoint), identity)
        while run.step < recipe.steps:
            loss = run.advance(_batch(data, parts, recipe.batch, run.rng))
            measures = run.step % max(1, recipe.steps // 10) == 0 or run.step == recipe.steps
            looked = {m: x[:WATCHED] for m, x in held.items()} if measures else {}
            found = {m: fidelity(run.autoencoder, x, calibrated_threshold(run.autoencoder, x, recipe.k)) for m, x in looked.items()}
            if checkpoint and (run.step % max(1, recipe.steps // 20) == 0 or run.step == recipe.steps):
                run.save(checkpoint, identity)
            try:
                watch(Progress(run.step - 1, recipe.steps, loss, len(run.dead) / recipe.width, found))
            except BaseException:
                if checkpoint:
                    run.save(checkpoint, identity)
                raise
        autoencoder = run.autoencoder.rounded()
        thresholds = {m: calibrated_threshold(autoencoder, x, recipe.k) for m, x in held.items()}
        fewest = min(map(len, held.values()))
        thresholds[ANY] = calibrated_threshold(autoencoder, torch.cat([x[:fewest] for x in held.values()]), recipe.k)
        return Trained(autoencoder, thresholds, {m: fidelity(autoencoder, x, thresholds[m]) for m, x in held.items()})


class _Run:
    """All that changes while training, and can be put down and taken up."""

    def __init__(self, recipe: Recipe, dimension: int, count: int):
        self.recipe, self.step, self.rng = recipe, 0, seeded_rng(recipe.seed)
        self.autoencoder = SparseAutoencoder.seeded(dimension, recipe.width, recipe.groups, self.rng)
        self.half = getattr(torch.cpu, "get_capabilities", dict)().get("avx512_bf16", False)
        self.patience = min(max(20_000, 2 * count), max(1, recipe.steps * recipe.batch // 10))
        self.silent = np.zeros(recipe.width, dtype=np.int64)
        """Vectors since each latent fired."""
        self.learned = [self.autoencoder.encoder, self.autoencoder.encoder_bias, self.autoencoder.decoder]
        self.adam = torch.optim.Adam(self.learned, lr=recipe.rate, fused=True)

    @property
    def dead(self) -> np.ndarray:
        return np.flatnonzero(self.silent >= self.patience)

    def advance(self, x: Tensor) -> float:
        found = gradient(self.autoencoder, x, self.recipe.k, self.dead, self.half)
        rows = self.autoencoder.decoder
        along = torch.linalg.vecdot(found.decoder, rows)[:, None]
        for parameter, slope in zip(self.learned, (found.encoder, found.encoder_bias, found.decoder.addcmul_(along, rows, value=-1))):
            parameter.grad = slope
        length = float(torch.nn.utils.clip_grad_norm_(self.learned, 1.0))
        if not np.isfinite(found.loss + length):
            told = f"the loss is {found.loss} and its gradient {length} long at step {self.step} of {self.recipe.steps}"
            raise TrainingError(f"{told}; try a smaller rate than {self.recipe.rate}")
        self.adam.param_groups[0]["lr"] = self.recipe.rate_at(self.step)
        self.adam.step()
        rows.div_(torch.linalg.vector_norm(rows, dim=1, keepdim=True))
        self.silent = np.where(found.fired, 0, self.silent + len(x))
        self.step += 1
        return found.loss

    def save(self, path: str | os.PathLike, identity: str) -> None:
        tensors = {"rng": self.rng.get_state(), "silent": torch.from_numpy(self.silent)}
        for name, parameter in zip(("encoder", "encoder_bias", "decoder"), self.learned):
            state = self.adam.state[parameter]
            tensors |= {name: parameter.data, f"{name}.first": state["exp_avg"], f"{name}.second": state["exp_avg_sq"]}
        write_bytes(path, packed(tensors, {"format": FORMAT, "run": identity, "step": str(self.step)}))

    def restore(self, path: Path, identity: str) -> None:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                metadata, tensors = file.metadata() or {}, {name: file.get_tensor(name).clone() for name in file.keys()}
        except SafetensorError as error:
            raise ValueError(f"{path} is not a checkpoint: {error}; delete it to start anew") from error
        if metadata.get("format") != FORMAT or metadata.get("run") != identity:
            raise ValueError(f"{path} is not a checkpoint of this recipe on these data: delete it to start anew, or name another file")
        try:
            self.step, self.silent = int(metadata["step"]), tensors["silent"].numpy()
            self.rng.set_state(tensors["rng"])
            for name, parameter in zip(("encoder", "encoder_bias", "decoder"), self.learned):
                parameter.copy_(tensors[name])
                moments = {"exp_avg": tensors[f"{name}.first"], "exp_avg_sq": tensors[f"{name}.second"]}
                self.adam.state[parameter] = {"step": torch.tensor(float(self.step)), **moments}
        except (KeyError, ValueError, RuntimeError, TypeError) as error:
            raise ValueError(f"{path} is a damaged checkpoint: {error!r}; delete it to start anew") from error


def _batch(data: Mapping[Modality, Tensor], parts: Mapping[Modality, tuple[Tensor, Tensor]], size: int, rng: torch.Generator) -> Tensor:
    rows = []
    for j, (modality, x) in enumerate(data.items()):
        pool = parts[modality][0]
        share = size // len(data) + (j < size % len(data))
        rows.append(x[pool[torch.randint(len(pool), (share,), generator=rng)]].float())
    return torch.cat(rows)


def _check(data: Mapping[Modality, Tensor]) -> None:
    if not data:
        raise ValueError(f"there is nothing to train on, expected vectors of one or more of {', '.join(MODALITIES)}")
    dimension = next(iter(data.values())).shape[-1]
    for modality, x in data.items():
        if x.dim() != 2 or x.shape[1] != dimension or len(x) < FEWEST:
            raise ValueError(f"{modality} data have shape {tuple(x.shape)}, expected {FEWEST} or more vectors of {dimension} numbers")
        finite(x, f"{modality} data")
        length = float(x.float().square().sum(1).mean().sqrt())
        if not 0.2 < length < 5:
            raise ValueError(f"{modality} data have a root mean square length of {length:.3g}, expected about 1: centre them with their space")


def _identity(recipe: Recipe, data: Mapping[Modality, Tensor]) -> str:
    return f"{json.dumps(asdict(recipe), sort_keys=True)} {fingerprint(dict(data))}"
