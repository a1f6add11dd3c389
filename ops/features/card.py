"""The card of a dictionary: how well it stands for embeddings, how it treats the modalities, how sure its features are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..space import MODALITIES, Modality
from .dictionary import Dictionary
from .metrics import FOUND_AGAIN, dead, fvu, jaccard, matched, mean_cosine, mean_pair_cosine, monosemanticity, unimodal

MOST = 4096
"""Held-out vectors of a modality, and pairs, that a card is made of at most, spread evenly over what there is."""
ROWS = 1024


@dataclass(frozen=True)
class Fidelity:
    """How well codes stand for the held-out vectors of one modality. FVU and L0 mean nothing apart: a denser code is closer.

    count: vectors measured.
    l0, l0_sd: mean and standard deviation of the number of active features.
    empty: share of vectors for which none is active.
    fvu: fraction of variance unexplained, in centred units. cosine: mean cosine of vector and reconstruction, centred too.
    prefix_fvu: FVU with the first features only, at each of the card's prefixes; the last is `fvu`.
    """

    count: int
    l0: float
    l0_sd: float
    empty: float
    fvu: float
    cosine: float
    prefix_fvu: tuple[float, ...]


@dataclass(frozen=True)
class Overlap:
    """Mean Jaccard of the active features of `count` held-out pairs of a medium and its caption, and of strangers."""

    count: int
    paired: float
    strangers: float


@dataclass(frozen=True)
class Stability:
    """How much of the dictionary another seed finds again: mean cosine of the atoms with their partners there, share of
    atoms whose partner is nearer than `metrics.FOUND_AGAIN`, and the mean cosine weighted by how often they fire."""

    cosine: float
    found_again: float
    usage_weighted: float


@dataclass(frozen=True)
class Card:
    """What is measured of a dictionary on held-out data (definitions: metrics.py).

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
            fidelity = {m: Fidelity(**{**f, "prefix_fvu": tuple(f["prefix_fvu"])}) for m, f in plain["fidelity"].items()}
            overlap = {m: Overlap(**found) for m, found in plain["overlap"].items()}
            stability = Stability(**plain["stability"]) if plain["stability"] else None
            changed = {"prefixes": tuple(plain["prefixes"]), "fidelity": fidelity, "overlap": overlap, "stability": stability}
            return cls(**{**plain, **changed})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"a card of features is damaged: {error!r}") from error

    def markdown(self, title: str) -> str:
        """The card as a page for a person to read."""
        head = ["modality", "held out", "L0 (sd)", "FVU", "centred cosine", "empty codes"]
        rows = [
            [m, str(f.count), f"{f.l0:.1f} ({f.l0_sd:.1f})", f"{f.fvu:.3f}", f"{f.cosine:.3f}", _percent(f.empty)]
            for m, f in self.fidelity.items()
        ]
        parts = [f"# {title}", f"`{self.dictionary}`, {self.prefixes[-1]} features of the space `{self.space}`.", _table(head, rows)]
        if len(self.prefixes) > 1:
            curve = [[m, *(f"{value:.3f}" for value in f.prefix_fvu)] for m, f in self.fidelity.items()]
            parts += ["FVU with the first features only:", _table(["modality", *map(str, self.prefixes)], curve)]
        facts = [f"dead, of all features: {_percent(self.dead)}"]
        if self.unimodal is not None:
            facts.append(f"of one modality only, of those that fire: {_percent(self.unimodal)}")
        for modality, found in self.overlap.items():
            what = f"features that {modality} and caption share (Jaccard, {found.count} pairs)"
            facts.append(f"{what}: {found.paired:.3f}; strangers: {found.strangers:.3f}")
        if self.monosemanticity is not None:
            control = f"a feature that fires for everything: {self.monosemanticity_control:.3f}"
            facts.append(f"monosemanticity, in this space's own cosines: {self.monosemanticity:.3f}; {control}")
        if self.stability:
            s = self.stability
            found = f"cosine {s.cosine:.3f}, by usage {s.usage_weighted:.3f}, nearer than {FOUND_AGAIN}: {_percent(s.found_again)}"
            facts.append(f"found again by another seed: {found}")
        facts += [f"{name.replace('_', ' ')}: {value:.3g}" for name, value in self.naming.items()]
        return "\n\n".join([*parts, "\n".join(f"- {fact}" for fact in facts)]) + "\n"


@torch.no_grad()
def measure(
    dictionary: Dictionary,
    held_out: Mapping[Modality, Tensor],
    pairs: Mapping[Modality, Tensor] = {},
    prefixes: Sequence[int] = (),
    again: Tensor | None = None,
    naming: Mapping[str, float] = {},
) -> Card:
    """The card of a dictionary.

    held_out: per modality [N, D], N >= 2, vectors in centred units that it was not trained on.
    pairs: per medium [P, 2], rows of `held_out` of that medium and of "text" that belong together.
    prefixes: ends of its groups of features, for the prefix curve; the last is all of them. None by default.
    again: [m, D] atoms of the same recipe from another seed.
    Raises ValueError for vectors of which a modality has fewer than two, or which do not vary, and for bad prefixes.
    """
    width = len(dictionary.atoms)
    prefixes = tuple(prefixes) or (width,)
    if prefixes[-1] != width or list(prefixes) != sorted(set(prefixes)) or prefixes[0] < 1:
        raise ValueError(f"prefixes are {prefixes}, expected rising numbers that end with the {width} features")
    order = [modality for modality in MODALITIES if modality in held_out]
    if not order:
        raise ValueError("there are no held-out vectors to measure with")
    fidelity, codes, directions = {}, {}, []
    for modality in order:
        if len(held_out[modality]) < 2:
            raise ValueError(f"{len(held_out[modality])} held-out vectors of {modality}, expected two or more")
        x = held_out[modality][_spread(len(held_out[modality]))].float().cpu()
        codes[modality] = _codes(dictionary, x, modality)
        fidelity[modality] = _fidelity(x, codes[modality], dictionary.atoms, prefixes)
        directions.append(normalize(x, dim=1))
    rates = torch.stack([(code > 0).float().mean(0) for code in codes.values()])
    silent, together = dead(rates), torch.cat(directions)
    scores = monosemanticity(torch.cat(list(codes.values())), together)
    scores = scores[~scores.isnan()]
    stability = None
    if again is not None:
        cosines, usage = matched(dictionary.atoms, again), rates.mean(0)
        weighted = float((cosines * usage).sum() / usage.sum()) if usage.any() else 0.0
        stability = Stability(float(cosines.mean()), float((cosines > FOUND_AGAIN).float().mean()), weighted)
    return Card(
        dictionary.id, dictionary.space.id, prefixes, fidelity,
        dead=float(silent.float().mean()),
        unimodal=float(unimodal(rates)[~silent].float().mean()) if len(order) > 1 and not silent.all() else None,
        overlap={m: found for m, rows in pairs.items() if (found := _overlap(dictionary, held_out, m, rows))},
        monosemanticity=float(scores.mean()) if len(scores) else None,
        monosemanticity_control=mean_pair_cosine(together),
        stability=stability, naming=dict(naming),
    )  # fmt: skip


def _fidelity(x: Tensor, code: Tensor, atoms: Tensor, prefixes: Sequence[int]) -> Fidelity:
    active = (code > 0).sum(1).float()
    y, curve, start = torch.zeros_like(x), [], 0
    for end in prefixes:
        y = y + code[:, start:end] @ atoms[start:end]
        curve.append(fvu(x, y))
        start = end
    return Fidelity(
        len(x), float(active.mean()), float(active.std(correction=0)), float((active == 0).float().mean()),
        curve[-1], mean_cosine(x, y), tuple(curve),
    )  # fmt: skip


def _overlap(dictionary: Dictionary, held_out: Mapping[Modality, Tensor], modality: Modality, rows: Tensor) -> Overlap | None:
    """None where there are no strangers to compare with."""
    rows = rows[_spread(len(rows))]
    media = _codes(dictionary, held_out[modality][rows[:, 0]], modality) > 0
    text = _codes(dictionary, held_out["text"][rows[:, 1]], "text") > 0
    # media of one caption, and captions of one medium, are no strangers
    same = (rows[:, 1][:, None] == rows[:, 1][None]) | (rows[:, 0][:, None] == rows[:, 0][None])
    return None if same.all() else Overlap(len(rows), *jaccard(media, text, same))


def _codes(dictionary: Dictionary, x: Tensor, modality: Modality) -> Tensor:
    return torch.cat([dictionary.encode(rows, modality).float().cpu() for rows in x.split(ROWS)])


def _spread(count: int) -> Tensor:
    """`MOST` positions at most, evenly spread over `count`."""
    return torch.arange(count) if count <= MOST else torch.arange(MOST) * count // MOST


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
