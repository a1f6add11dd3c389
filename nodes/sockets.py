"""The pack's own sockets and what travels on them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from comfy_api.latest import io
from torch import nn

from ..ops.concept import Concept
from ..ops.encoders.protocol import Encoder
from ..ops.evaluate.distractors import Bank
from ..ops.evaluate.judgement import Court
from ..ops.generators.protocol import Generator
from ..ops.interpret.probes import Probe, every_shipped
from ..ops.interpret.readout import spoken
from ..ops.priors.settings import PriorSettings
from ..ops.render import Render
from ..ops.showcase import Measures
from ..ops.space import Modality, Space
from .host import Resident

ConceptSocket = io.Custom("CONCEPT")
EncoderSocket = io.Custom("CONCEPT_ENCODER")
GeneratorSocket = io.Custom("CONCEPT_GENERATOR")
PriorSocket = io.Custom("CONCEPT_PRIOR")
RenderSocket = io.Custom("CONCEPT_RENDER")
JudgeSocket = io.Custom("CONCEPT_JUDGE")
"""Carries a `HostedEncoder` that no render is made with: a socket of its own keeps it out of what optimises."""
SAESocket = io.Custom("CONCEPT_SAE")
"""Carries a `features.dictionary.Dictionary`, trained or not."""

ADVANCED = {"advanced": True}
"""Of an input that newer pages fold away; older ones have no argument for it."""

ALGEBRA, MEDIA, FEATURES, RENDERING, READING, FILES = (
    f"concept algebra{part}" for part in ("", "/encode", "/features", "/render", "/read", "/files and lists")
)


WORKING = 2**30
"""Bytes asked for a pocket generator's part of one step, forward and backward, beside the weights. Clips keep most: 0.4 GB
with the looks that the pocket's own encoder takes."""


@dataclass(frozen=True)
class HostedEncoder:
    """CONCEPT_ENCODER: an encoder whose towers are each in ComfyUI's memory management, and the file it is from; None for
    the pocket."""

    encoder: Encoder = field(repr=False)
    residents: Mapping[Modality, Resident] = field(repr=False)
    path: Path | None = None

    def of(self, modalities: Collection[Modality]) -> list[Resident]:
        """What has to be on the device to embed these. ValueError for one that the encoder does not read."""
        if lacking := [modality for modality in modalities if modality not in self.encoder.modalities]:
            raise ValueError(f"this encoder reads {', '.join(sorted(self.encoder.modalities))}, not {lacking[0]}")
        return [self.residents[modality] for modality in dict.fromkeys(modalities)]

    @cached_property
    def bank(self) -> Bank:
        """The frozen distractors; made with the text tower."""
        return Bank(self.encoder)

    @cached_property
    def probes(self) -> tuple[Probe, ...]:
        """Those that ship; made with the text tower."""
        return every_shipped(self.encoder)

    @property
    def measures(self) -> Measures:
        """What the outputs of every target are held against; made with the text tower."""
        return Measures(self.bank, self.probes)

    def court(self, made_with: Space) -> Court:
        """This encoder as the judge of what was made in a space; made with the text tower, once. Raises as `Court`."""
        if made_with.id not in self._courts:
            self._courts[made_with.id] = Court(self.encoder, made_with)
        return self._courts[made_with.id]

    @cached_property
    def _courts(self) -> dict[str, Court]:
        return {}


@dataclass(frozen=True)
class HostedGenerator:
    """CONCEPT_GENERATOR: a generator in ComfyUI's memory management.

    decoder: what decodes a latent. denoiser: what a prior needs besides; nothing where the decoder has it in it. working,
    denoising: bytes that a step of one latent takes beside the weights, without a prior, and what comes on top with one.
    candidates: the usual number for this generator, in place of the medium's.
    """

    generator: Generator = field(repr=False)
    decoder: tuple[Resident, ...] = field(repr=False)
    denoiser: tuple[Resident, ...] = field(default=(), repr=False)
    working: int = WORKING
    denoising: int = 0
    candidates: int | None = None

    def residents(self, natural: bool) -> list[Resident]:
        """What has to be on the device, all of it at once, with a prior or without."""
        return [*self.decoder, *(self.denoiser if natural else ())]

    def modules(self, natural: bool) -> list[nn.Module]:
        """What has to be differentiable."""
        return [self.generator, *(resident.module for resident in self.denoiser if natural)]


@dataclass(frozen=True)
class PriorChoice:
    """CONCEPT_PRIOR: which prior and how, how strong (0..1, see `schedule.Schedule.strength`), and whether it is told the concept.

    conditioning: what it is told instead, for generators that read CONDITIONING.
    """

    settings: PriorSettings
    strength: float
    told: bool
    conditioning: Any = field(default=None, repr=False)


@dataclass(frozen=True)
class Rendered:
    """CONCEPT_RENDER: a render with the generator, the concept and the seed it was made from.

    untold: the prior was to be told the concept, and the generator cannot be.
    """

    render: Render
    generator: Generator = field(repr=False)
    concept: Concept
    seed: int
    untold: bool

    @property
    def words(self) -> str:
        """The words nearest to what came out, best first."""
        return spoken(self.render.looks[-1][2])
