"""What one step of each phase of a render takes, counted (see memory_meter.py), on meta tensors or real ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..ops.encoders.decoded import embed
from ..ops.encoders.languagebind import LanguageBind
from ..ops.encoders.protocol import Embedding
from ..ops.generators.protocol import Generator
from ..ops.objective.value import Measure, Moment, Objective
from ..ops.objective.views import views
from ..ops.priors.settings import VsdSettings
from ..ops.tracks import settings
from ..ops.wear import worn
from .memory_meter import Meter

LATENTS = 8
"""Of a latent's size that a run keeps beside it: its levels with Adam's two moments, the best, the mean, noise and base."""


@dataclass(frozen=True)
class Taken:
    """Bytes: held between forward and backward, and at most, of what a step makes beside weights."""

    held: int
    peak: int


def phases(generator: Generator, encoder: LanguageBind) -> dict[str, Callable[[], Taken]]:
    """By name, what counts a phase of rendering `generator`'s medium in showcase's settings, one latent at a time.

    The steps of VSD's LoRA alternate with data steps, which are those of the honest track.
    """
    honest, flair = (settings(generator.modality, track).crops for track in ("honest", "natural"))
    return {
        "honest": lambda: step(generator, encoder, honest, denoised=False),
        "natural, flair": lambda: step(generator, encoder, flair, denoised=True),
        "natural, vsd": lambda: learned(generator, VsdSettings()),
        "finish": lambda: finish(generator, encoder),
    }


def step(generator: Generator, encoder: LanguageBind, crops: int, denoised: bool) -> Taken:
    """One data step: latent, decoded, looked at `crops` times, and back. denoised: from the network's estimate of the latent,
    through which the gradient comes back, as flair has it."""
    latent = _latent(generator).requires_grad_()
    cond = generator.condition(None) if denoised else None
    moment = Moment(0.5, torch.Generator().manual_seed(0))
    with Meter() as meter:
        clean = generator.predict_x0(latent, _time(generator), cond) if denoised else latent
        media = generator.decode(clean)
        del clean
        loss = views(Objective("seen", _seen), encoder, generator, crops)(media, moment).loss.sum()
        del media
        held = meter.live
        torch.autograd.grad(loss, latent)
    return Taken(held + _kept(generator), meter.peak + _kept(generator))


def learned(generator: Generator, made: VsdSettings) -> Taken:
    """One step of VSD's LoRA, with its optimiser and the replayed latents."""
    latent, cond = _latent(generator), generator.condition(None)
    with Meter() as meter:
        lora = generator.new_lora(made.rank, torch.Generator().manual_seed(0))
        parameters = lora.parameters()
        adam = [torch.empty_like(p) for p in parameters for _ in range(2)]
        with torch.enable_grad():
            loss = (generator.predict_x0(latent, _time(generator), cond, lora) - latent).square().mean()
        held = meter.live
        torch.autograd.grad(loss, parameters)
        del adam
    replayed = made.replay * latent.nbytes
    return Taken(held + replayed + _kept(generator), meter.peak + replayed + _kept(generator))


@torch.no_grad()
def finish(generator: Generator, encoder: LanguageBind) -> Taken:
    """The end of a render: decoded, read, worn and read, encoded again."""
    latent = _latent(generator)
    with Meter() as meter:
        media = generator.decode(latent)
        for seen in (media, worn(media, generator.modality)):
            embed(encoder, generator, seen)
        generator.encode(media)
    return Taken(meter.live + _kept(generator), meter.peak + _kept(generator))


@torch.no_grad()
def read(encoder: LanguageBind, phrases: int) -> Taken:
    """So many phrases through the text tower, at CLIP's full context."""
    tower = encoder.towers["text"]
    device, context = tower.text_projection.weight.device, tower.text_model.embeddings.position_embedding.num_embeddings
    with Meter() as meter:
        tower.encode(torch.zeros(phrases, context, dtype=torch.long, device=device), torch.zeros(phrases, dtype=torch.long, device=device))
    return Taken(meter.live, meter.peak)


def _seen(embedding: Embedding, moment: Moment) -> Measure:
    """All that terms of an objective may look at."""
    looked = (embedding.pooled, embedding.tokens, embedding.dense)
    return Measure(sum(x.float().flatten(1).mean(1) for x in looked), {})


def _latent(generator: Generator) -> Tensor:
    return torch.zeros(1, *generator.latent_shape, device=generator.device)


def _time(generator: Generator) -> Tensor:
    return torch.full((1,), 0.5, device=generator.device)


def _kept(generator: Generator) -> int:
    return LATENTS * _latent(generator).nbytes
