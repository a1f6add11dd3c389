"""The training loop of every pocket model: a budget of processor time, warm-up and cosine, averaged weights, checkpoints, resume."""

from __future__ import annotations

import argparse
import copy
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel


def options(description: str, minutes: float) -> argparse.ArgumentParser:
    """What every training can be told."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("recipe-data"), help="what fetch.sh and the assembling scripts have filled")
    parser.add_argument("--runs", type=Path, default=Path("recipe-data/run"), help="where checkpoints lie, a folder for each training")
    parser.add_argument("--minutes", type=float, default=minutes, help="processor time a thread")
    parser.add_argument("--threads", type=int, default=1)
    return parser


def started(parser: argparse.ArgumentParser, seed: int = 0) -> argparse.Namespace:
    """The options as given, with threads and torch's own randomness set by them."""
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(seed)
    return args


def train(
    model: nn.Module,
    step: Callable[[int, float], Tensor],
    folder: Path,
    minutes: float,
    lr: float,
    weight_decay: float = 0.05,
    average: float = 0.999,
    evaluate: Callable[[nn.Module], dict] | None = None,
    evaluate_every: float = 5.0,
) -> nn.Module:
    """Trains for `minutes` of processor time a thread, whatever else the machine does, and returns the exponential
    moving average of the weights.

    `step(index, progress)` gives the loss of one batch; progress runs 0..1 through the budget. The state is kept in
    folder/state.pt every two minutes and taken up from there on the next call; finished runs return at once.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state_file = folder / "state.pt"
    mean = copy.deepcopy(model).requires_grad_(False)
    decayed = [p for p in model.parameters() if p.requires_grad and p.dim() > 1]
    plain = [p for p in model.parameters() if p.requires_grad and p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98))
    index, spent = 0, 0.0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        model.load_state_dict(state["model"])
        mean.load_state_dict(state["mean"])
        optimiser.load_state_dict(state["optimiser"])
        index, spent = state["index"], state["spent"]
        print(f"taken up at step {index}, {spent / 60:.1f} min", flush=True)
    budget = minutes * 60
    saved = evaluated = spent
    running = None
    while spent < budget:
        began = time.process_time()
        progress = spent / budget
        rate = lr * min(1.0, (index + 1) / 200) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        with sdpa_kernel(SDPBackend.MATH):  # the fused CPU backward is several times slower on short sequences
            loss = step(index, progress)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        if torch.isfinite(norm):
            optimiser.step()
        index += 1
        with torch.no_grad():
            keep = min(average, index / (index + 10))
            for a, b in zip(mean.state_dict().values(), model.state_dict().values()):
                a.lerp_(b, 1 - keep) if a.is_floating_point() else a.copy_(b)
        value = loss.item()
        running = value if running is None else 0.98 * running + 0.02 * value
        spent += (time.process_time() - began) / torch.get_num_threads()
        if index % 100 == 0:
            print(f"step {index}  {spent / 60:.1f} of {minutes:g} min  loss {running:.4f}", flush=True)
        last = spent >= budget
        if spent - saved > 120 or last:
            saved = spent
            part = state_file.with_suffix(".part")
            torch.save(
                {"model": model.state_dict(), "mean": mean.state_dict(), "optimiser": optimiser.state_dict(), "index": index, "spent": spent},
                part,
            )
            os.replace(part, state_file)
        if evaluate and (spent - evaluated > evaluate_every * 60 or last):
            evaluated = spent
            mean.eval()
            with torch.no_grad():
                print(f"step {index}  " + "  ".join(f"{k} {v:.3f}" for k, v in evaluate(mean).items()), flush=True)
    return mean.eval()
