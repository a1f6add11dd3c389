"""The card of a dictionary: how well it stands for embeddings, how it treats the modalities, how sure its features are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..markdown import table
from ..rounding import rounded
from ..space import MODALITIES, Modality
from .fidelity import Fidelity, fidelity
from .metrics import FOUND_AGAIN, dead, jaccard, matched, mean_pair_cosine, monosemanticity, unimodal
from .sae import ANY
from .trained import TrainedSAE


@dataclass(frozen=True)
class Overlap:
    """Mean Jaccard of the active features of `count` held-out pairs of a medium and its caption, and of strangers; and the mean
    centred cosine of the pairs. A word that is to move a medium as far as one would move a word wants about 1 / cosine of
    its weight (`strength`), which is what `Concept.shift` has its default for."""

    count: int
    paired: float
    strangers: float
    cosine: float

    @property
    def strength(self) -> float:
        return 1 / max(self.cosine, 0.01)


@dataclass(frozen=True)
class Stability:
    """How much of the dictionary another seed finds again: mean cosine of the atoms with their partners there, share of
    atoms whose partner is nearer than `metrics.FOUND_AGAIN`, and the mean cosine weighted by how often they fire."""

    cosine: float
    found_again: float
    usage_weighted: float


@dataclass(frozen=True)
class Card:
    """What is measured of a trained dictionary on held-out data (definitions: fidelity.py, metrics.py).

    prefixes: ends of the groups of features, the last being their number.
    dead: share of features that fire for nothing held out.
    unimodal: share of the others that fire in one modality only; None with one modality.
    monosemanticity: mean over features that fire twice or more, in the cosines of the space's own centred directions, which
        flatters: the features were learned there. None when no feature does. monosemanticity_control: the same of a feature
        that fires for everything.
    naming: what the naming of features found out about itself, by name of the number.
    """

    dictionary: str
    space: str
    prefixes: tuple[int, ...]
    fidelity: Mapping[Modality, Fidelity]
    dead: float
    unimodal: float | None
    overlap: Mapping[Modality, Overlap]
    monosemanticity: float | None
    monosemanticity_control: float
    stability: Stability | None = None
    naming: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dicts, fit for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Card:
        """What `to_dict` gave, also after a way through JSON. ValueError for anything else."""
        try:
            measured, shared = (_ordered(plain[name]) for name in ("fidelity", "overlap"))
            fidelity = {m: Fidelity(**{**f, "prefix_fvu": tuple(f["prefix_fvu"])}) for m, f in measured.items()}
            overlap = {m: Overlap(**found) for m, found in shared.items()}
            stability = Stability(**plain["stability"]) if plain["stability"] else None
            changed = {"prefixes": tuple(plain["prefixes"]), "fidelity": fidelity, "overlap": overlap, "stability": stability}
            return cls(**{**plain, **changed})
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"a card of features is damaged: {error!r}") from error

    def markdown(self, title: str) -> str:
        """The card as a page for a person to read."""
        head = ["modality", "held out", "L0 (sd)", "FVU", "centred cosine", "empty codes"]
        rows = [
            [m, str(f.count), f"{rounded(f.l0, '.1f')} ({rounded(f.l0_deviation, '.1f')})", rounded(f.fvu, ".3f"), rounded(f.centred_cosine, ".3f"), _percent(f.empty)]
            for m, f in self.fidelity.items()
        ]
        parts = [f"# {title}", f"`{self.dictionary}`, {self.prefixes[-1]} features of the space `{self.space}`.", table(head, rows)]
        if len(self.prefixes) > 1:
            curve = [[m, *(rounded(value, ".3f") for value in f.prefix_fvu)] for m, f in self.fidelity.items()]
            parts += ["FVU with the first features only:", table(["modality", *map(str, self.prefixes)], curve)]
        facts = [f"dead, of all features: {_percent(self.dead)}"]
        if self.unimodal is not None:
            facts.append(f"of one modality only, of those that fire: {_percent(self.unimodal)}")
        for modality, found in self.overlap.items():
            what = f"features that {modality} and caption share (Jaccard, {found.count} pairs)"
            facts.append(f"{what}: {rounded(found.paired, '.3f')}; strangers: {rounded(found.strangers, '.3f')}")
            facts.append(f"centred cosine of {modality} and caption: {rounded(found.cosine, '.3f')}; a word moves it at about {rounded(found.strength, '.1f')} times its weight")
        if self.monosemanticity is not None:
            control = f"a feature that fires for everything: {rounded(self.monosemanticity_control, '.3f')}"
            facts.append(f"monosemanticity, in this space's own cosines: {rounded(self.monosemanticity, '.3f')}; {control}")
        if self.stability:
            s = self.stability
            found = f"cosine {rounded(s.cosine, '.3f')}, by usage {rounded(s.usage_weighted, '.3f')}, nearer than {FOUND_AGAIN}: {_percent(s.found_again)}"
            facts.append(f"found again by another seed: {found}")
        facts += [f"{name.replace('_', ' ')}: {value:.3g}" for name, value in sorted(self.naming.items())]
        return "\n\n".join([*parts, "\n".join(f"- {fact}" for fact in facts)]) + "\n"


@torch.no_grad()
def measure(
    sae: TrainedSAE,
    held_out: Mapping[Modality, Tensor],
    pairs: Mapping[Modality, tuple[Tensor, Tensor]] = {},
    again: Tensor | None = None,
    naming: Mapping[str, float] = {},
) -> Card:
    """The card of a dictionary.

    held_out: per modality [N, D], N >= 2, vectors in centred units that it was not trained on.
    pairs: per medium [P, D] vectors of it and [P, D] of their captions, in centred units.
    again: [m, D] atoms of the same recipe from another seed.
    Raises ValueError without vectors, for fewer than two of a modality, and for those that do not vary.
    """
    order = list(_ordered(held_out))
    if not order:
        raise ValueError("there are no held-out vectors to measure with")
    codes = {modality: sae.encode(held_out[modality], modality) for modality in order}
    found = {m: fidelity(sae.autoencoder, held_out[m], sae.thresholds.get(m, sae.thresholds[ANY])) for m in order}
    rates = torch.stack([(code > 0).float().mean(0) for code in codes.values()])
    silent, directions = dead(rates), normalize(torch.cat([held_out[modality].float() for modality in order]), dim=1)
    scores = monosemanticity(torch.cat(list(codes.values())), directions)
    scores = scores[~scores.isnan()]
    stability = None
    if again is not None:
        cosines, usage = matched(sae.atoms, again), rates.mean(0)
        weighted = float((cosines * usage).sum() / usage.sum()) if usage.any() else 0.0
        stability = Stability(float(cosines.mean()), float((cosines > FOUND_AGAIN).float().mean()), weighted)
    return Card(
        sae.id, sae.space.id, sae.autoencoder.groups, found,
        dead=float(silent.float().mean()),
        unimodal=float(unimodal(rates)[~silent].float().mean()) if len(order) > 1 and not silent.all() else None,
        overlap={m: shared for m, members in pairs.items() if (shared := _overlap(sae, m, *members))},
        monosemanticity=float(scores.mean()) if len(scores) else None,
        monosemanticity_control=mean_pair_cosine(directions),
        stability=stability, naming=dict(naming),
    )  # fmt: skip


def _overlap(sae: TrainedSAE, modality: Modality, media: Tensor, captions: Tensor) -> Overlap | None:
    """None where there are no strangers to compare with."""
    if not len(media):
        return None
    # media of one caption, and captions of one medium, are no strangers
    kinds = [torch.unique(rows, dim=0, return_inverse=True)[1] for rows in (media, captions)]
    same = torch.stack([kind[:, None] == kind for kind in kinds]).any(0)
    if same.all():
        return None
    cosine = float(torch.nn.functional.cosine_similarity(media.float(), captions.float(), dim=1).mean())
    return Overlap(len(media), *jaccard(sae.encode(media, modality) > 0, sae.encode(captions, "text") > 0, same), cosine)


def _ordered(found: Mapping[Modality, Any]) -> dict[Modality, Any]:
    """As a card has them: JSON with sorted keys has them by the alphabet."""
    return {modality: found[modality] for modality in sorted(found, key=MODALITIES.index)}


def _percent(share: float) -> str:
    return f"{rounded(100 * share, '.1f')} %"
