"""The card of a render or of a phrase: its numbers, and whether it worked, as data. Views of it are made elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..instruments import Instruments
from ..plain import restored, with_nulls
from ..space import Modality
from .agreement import Agreement
from .edit import EditSuccess
from .judgement import Judgement
from .stability import Stability
from .verdict import Verdict

FORMAT = "concept-algebra/card/1"
SCHEMA = Path(__file__).with_name("card.schema.json")
"""What `Card.to_dict` writes, as JSON Schema."""


@dataclass(frozen=True)
class Card:
    """What is known of one render of an expression, or of the phrase that was composed for it.

    track: of a render; "composed" for a phrase. made_with: id of the space it was optimised in.
    judgement: whether an encoder that it was not optimised with knows it. instruments: of the run, as they are; None of a phrase,
    which has no run. edit: of an expression with more than one part, where a judge was there. agreement: with the outputs in
    other modalities; of a phrase, those of the honest track. stability: over seeds, where there were several.
    """

    expression: str
    modality: Modality
    track: str
    seed: int
    made_with: str
    judgement: Judgement
    instruments: Instruments | None = None
    edit: EditSuccess | None = None
    agreement: tuple[Agreement, ...] = ()
    stability: Stability | None = None

    @property
    def verdict(self) -> Verdict:
        """Did it work: what the judge says of the target as a whole."""
        return self.judgement.verdict

    def to_dict(self) -> dict[str, Any]:
        """Numbers, strings, lists, dicts and None, fit for JSON: what is not finite is None."""
        return {"format": FORMAT, **with_nulls(asdict(self))}

    def to_json(self) -> str:
        """`to_dict` as text that ends in a newline."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Card:
        """What `to_dict` gave, also after a way through JSON. ValueError, naming the place, for anything else."""
        if not isinstance(plain, Mapping) or plain.get("format") != FORMAT:
            found = plain.get("format") if isinstance(plain, Mapping) else type(plain).__name__
            raise ValueError(f"this is not a card: its format is {found}, expected {FORMAT}")
        return restored(cls, {name: value for name, value in plain.items() if name != "format"}, "card")

    @classmethod
    def from_json(cls, text: str) -> Card:
        """What `to_json` gave. ValueError for anything else."""
        return cls.from_dict(json.loads(text))
