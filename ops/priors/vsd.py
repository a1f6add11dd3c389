"""Variational score distillation: the way from what a latent looks like to what its generator finds natural.

Wang et al. 2023, arXiv 2305.16213, in x0-space and for one latent. Where score distillation compares the generator's
estimate of the clean latent with the latent, and so pulls toward the mode, here it is compared with the estimate of a twin
(the generator with a LoRA, phi) that learns, as the run goes, to denoise what the run makes.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..generators.flow import along
from ..generators.protocol import Generator
from .displacement import HIGHEST, LOWEST, moved, noised, rate, shifted
from .lora import LoRA
from .protocol import PriorStep
from .replay import Replay, turned

if TYPE_CHECKING:
    from .settings import VsdSettings

TRAVEL = 30.0
"""How far a full difference would move each value over a run: on the pocket's pictures what leads from noise to a thing in 100
steps; a third of it leads half of the way."""
LAST_HIGHEST, FALLS_FROM = 0.55, 0.4
"""The ceiling of the latent's times falls to this over the run, from this share of it on."""
WARMUP = 100
"""Steps over which phi's learning rate rises, a tenth of the run at most."""
SHORT = 200
"""Prior steps up to which phi learns at the full rate: it has as far to go in a short run as in a long one."""
MEMORISED, UNLEARNED = 0.2, 0.98
"""M below the one: phi knows the latent by heart, and this is plain score distillation. Above the other: phi has not
learned anything about it, or there is nothing left to learn, and there is hardly a pull."""
JUDGED_FROM = 0.25
"""The share of the run after which M is judged: every phi begins at 1."""
MEMORY = 0.98
"""How much of the running means of errors that M is made of stays from step to step."""


class PriorAlarm(UserWarning):
    """A prior does not do what it is there for."""


class Vsd:
    """Displaces the latent along E[x0 | x_t] of the generator less that of phi, at a random noise level.

    A step first trains phi once (K = 1) on the latent or one of its past (see replay.py), at a time of its own,
    so that phi is never behind the latent it judges; then moves the latent: delta = rate * (x0_frozen - x0_phi) /
    mean|z - x0_frozen|, the normaliser of distribution matching distillation (Yin et al. 2023, arXiv 2311.18828), which
    makes one rate fit every generator. phi's loss is that of x0 weighted 1 / sigma^2, in a flow that of the velocity.

    stats: prior_time, prior_pull (root mean square of delta), prior_loss (phi's), prior_m and prior_alarm. M is the squared
    error of phi's x0 over the frozen one's, on the same noise and with the same weight, in running means: near 0 phi
    has memorised the latent, near 1 it knows no more of it than the frozen net does, because it has not learned or because
    the latent is natural. After a quarter of the run either is an alarm, 1.0, and a `PriorAlarm` warning once a run.

    cond: conditioning for both nets in place of no prompt, of which the frozen one alone is given `guidance`
    (classifier-free, with no prompt as the unconditional). lora: a trained one to begin with in place of a fresh one; the
    prior trains on it.
    """

    lora: LoRA

    sweeps = False

    def __init__(self, generator: Generator, settings: VsdSettings, cond: Any = None, lora: LoRA | None = None):
        self.generator, self.settings = generator, settings
        self.told = cond is not None
        self._given_cond, self._given_lora = cond, lora

    def begin(self, z: Tensor, total_steps: int, rng: torch.Generator) -> None:
        self._null, self._rng, self._device = self.generator.condition(None), rng, z.device
        self._cond = self._null if self._given_cond is None else self._given_cond
        self._total = -(-total_steps // self.settings.every)
        self._warmup = min(WARMUP, self._total // 10)
        self._lr = self.settings.lr * min(1.0, SHORT / self._total)
        self._taken, self._alarmed = 0, False
        self._errors = [0.0, 0.0]
        self._replay = Replay(self.settings.replay, self._total)
        with torch.inference_mode(False):
            self.lora = self._given_lora or self.generator.new_lora(self.settings.rank, rng)
            self._adam = torch.optim.AdamW(self.lora.parameters(), lr=0.0, betas=(0.9, 0.99), weight_decay=0.0)

    def wants(self, step: int) -> bool:
        return step % self.settings.every == 0

    def estimate(self, z: Tensor) -> Tensor:
        return z

    def step(self, z: Tensor, step: int) -> PriorStep:
        # a host's inference mode would not let phi learn; a clone, for its latents cannot be saved for a backward pass
        with torch.inference_mode(False):
            z = z.detach().clone()
            loss = self._learn(z)
            with torch.no_grad():
                t, frozen, plain, phi = self._look(z)
                delta = moved(z, frozen, frozen - phi, rate(self._taken, self._total, TRAVEL))
                m = self._memorised(z, t, phi, plain)
            self._replay.offer(z, self._taken)
        self._taken += 1
        alarm = self._taken > JUDGED_FROM * self._total and not MEMORISED <= m <= UNLEARNED
        if alarm and not self._alarmed:
            self._alarmed = True
            memorised = "has memorised the latent: it pulls as plain score distillation does"
            idle = "has learned nothing, or there is nothing left to learn: it hardly pulls"
            warnings.warn(f"VSD at step {step}: M = {m:.2f}, its LoRA {memorised if m < MEMORISED else idle}", PriorAlarm, stacklevel=2)
        stats = {"prior_time": float(t.mean()), "prior_pull": float(delta.square().mean().sqrt())}
        return PriorStep(delta, stats | {"prior_loss": loss, "prior_m": m, "prior_alarm": float(alarm)})

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers under flat names; the randomness is the run's and not among them."""
        state: dict[str, Any] = {f"lora.{name}": x for name, x in self.lora.state_dict().items()}
        for i, p in enumerate(self.lora.parameters()):
            state |= {f"adam.{i}.{name}": x.detach().cpu().clone() for name, x in self._adam.state[p].items()}
        state |= {"taken": self._taken, "alarmed": self._alarmed, "error_phi": self._errors[0], "error_frozen": self._errors[1]}
        return state | self._replay.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ValueError for the state of another LoRA."""
        inner = lambda start: {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}  # noqa: E731
        self.lora.load_state_dict(inner("lora."))
        with torch.inference_mode(False):
            moments = {i: {k: x.clone() for k, x in inner(f"adam.{i}.").items()} for i in range(len(list(self.lora.parameters())))}
            group = self._adam.state_dict()["param_groups"]
            self._adam.load_state_dict({"state": {i: m for i, m in moments.items() if m}, "param_groups": group})
            self._replay.load_state_dict(state, self._device)
        self._taken, self._alarmed = int(state["taken"]), bool(state["alarmed"])
        self._errors = [float(state["error_phi"]), float(state["error_frozen"])]

    def _learn(self, z: Tensor) -> float:
        """One step of phi; its loss."""
        shown = turned(self._replay.mixed(z, self._rng), self.generator.modality, self._rng)
        t = shifted(torch.sigmoid(torch.randn(len(z), generator=self._rng)), self.settings.shift).clamp(LOWEST, HIGHEST).to(z)
        noisy, sigma = noised(self.generator, shown, t, self._rng)
        with torch.enable_grad():
            predicted = self.generator.predict_x0(noisy, t, self._cond, self.lora)
            loss = ((predicted - shown) / sigma).square().mean()
            parameters = list(self.lora.parameters())
            for p, gradient in zip(parameters, torch.autograd.grad(loss, parameters)):
                p.grad = gradient
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        self._adam.param_groups[0]["lr"] = self._lr * min(1.0, (self._taken + 1) / (self._warmup + 1))
        self._adam.step()
        return float(loss.detach())

    def _look(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Times, and the x0 that the frozen net with guidance, the frozen net without and phi see in the noised latent."""
        late = max(0.0, (self._taken / self._total - FALLS_FROM) / (1 - FALLS_FROM))
        ceiling = HIGHEST + (LAST_HIGHEST - HIGHEST) * late
        t = shifted(torch.rand(len(z), generator=self._rng), self.settings.shift).clamp(LOWEST, ceiling).to(z)
        noisy, _ = noised(self.generator, z, t, self._rng)
        plain = frozen = self.generator.predict_x0(noisy, t, self._cond)
        if self._given_cond is not None and self.settings.guidance != 1:
            free = self.generator.predict_x0(noisy, t, self._null)
            frozen = free + self.settings.guidance * (plain - free)
        return t, frozen, plain, self.generator.predict_x0(noisy, t, self._cond, self.lora)

    def _memorised(self, z: Tensor, t: Tensor, phi: Tensor, plain: Tensor) -> float:
        sigma = along(self.generator.noise(t)[1], z)
        for i, guess in enumerate((phi, plain)):
            error = float(((guess - z) / sigma).square().mean())
            self._errors[i] = MEMORY * self._errors[i] + (1 - MEMORY) * error
        return self._errors[0] / max(self._errors[1], 1e-12)
