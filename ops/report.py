"""The page of one showcase, and the gallery of several: plain HTML that needs no network and no server."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path

from PIL import Image
from torch import Tensor

from .curves import curves
from .evaluate.card import Card
from .rounding import rounded
from .interpret.bundle import Bundle
from .interpret.readout import Composition
from .media import as_bytes
from .render import Reading, Render
from .report_bundle import agreed, maps, readings, verdict, verdicts
from .report_instruments import table
from .report_style import SCRIPT, STYLE
from .space import Modality

THUMBNAILS = 8
TYPES = {".png": "image/png", ".wav": "audio/wav", ".mp4": "video/mp4"}
GALLERY = '<header><p class="mark">concept algebra <i>gallery</i></p><h1>Concept algebra</h1></header>'
"""The head of a gallery, by which an earlier one is known from somebody else's page."""
NAMES: dict[Modality, str] = {"text": "In words", "image": "Picture", "audio": "Sound", "video": "Video"}


@dataclass(frozen=True)
class Rendered:
    """One render with its file, which goes into the page whole, a picture of its media [3, H, W] in 0..1, what it reads of itself and
    its card. others: of the same from other seeds, (seed, picture [3, H, W], cosine)."""

    render: Render
    file: Path
    picture: Tensor
    pictures: list[tuple[int, Tensor, Reading]]
    bundle: Bundle
    card: Card
    others: Sequence[tuple[int, Tensor, float]] = ()


@dataclass(frozen=True)
class Target:
    """What a page shows: the expression, the phrase it reads as with what that reads of itself and its card (None without the
    text), the words nearest to it, and its renders."""

    expression: str
    said: tuple[Composition, Bundle, Card] | None
    words: Reading
    renders: list[Rendered]
    facts: list[tuple[str, str]]


def page(target: Target) -> str:
    """The whole index.html of one target, with its media in it; they also lie beside it, for who wants them."""
    parts = [f'<header><p class="mark">concept algebra <i>showcase</i></p><h1>{_formula(target.expression)}</h1></header>']
    if target.said:
        composition, bundle, card = target.said
        parts.append(_section("text", verdict(card.verdict) + _said(composition) + _words(target.words) + readings([bundle])))
    for modality in ("image", "audio", "video"):
        pair = [rendered for rendered in target.renders if rendered.render.modality == modality]
        if pair:
            parts.append(_section(modality, _pair(pair, target.expression)))
    parts.append(_together(target))
    parts.append(_facts(target.facts))
    return _document(target.expression, "".join(parts))


def gallery(entries: list[tuple[str, str, str | None, Tensor | None]]) -> str:
    """The index.html over several targets: (expression, folder, phrase, picture [3, H, W] or None) each."""
    cards = []
    for expression, folder, phrase, picture in entries:
        shown = f'<img src="{data_uri(picture)}" alt="">' if picture is not None else '<span class="blank"></span>'
        said = f"<small>{escape(phrase)}</small>" if phrase else ""
        cards.append(f'<li><a href="{escape(folder, quote=True)}/index.html">{shown}<b>{_formula(expression)}</b>{said}</a></li>')
    return _document("Concept algebra", GALLERY + f'<ul class="gallery">{"".join(cards)}</ul>')


def data_uri(pixels: Tensor) -> str:
    """A picture [3, H, W] in 0..1 as a PNG inside a URI."""
    return _encoded(pixels, "png", optimize=True)


def photo_uri(pixels: Tensor) -> str:
    """The same as a JPEG, a tenth as large: for what is seen beside its original."""
    return _encoded(pixels, "jpeg", quality=88)


def _encoded(pixels: Tensor, kind: str, **options) -> str:
    buffer = BytesIO()
    Image.fromarray(as_bytes(pixels)).save(buffer, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def file_uri(file: Path) -> str:
    """A medium's file inside a URI. KeyError for a suffix that is none of `TYPES`."""
    return f"data:{TYPES[file.suffix]};base64,{base64.b64encode(file.read_bytes()).decode('ascii')}"


def _document(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main><script>{SCRIPT}</script></body></html>\n"
    )


def _formula(expression: str) -> str:
    """The expression with its operators set back, so that the words stand out."""
    return re.sub(r"(?<=\s)[-+](?=\s)|\*|[()]", lambda found: f"<i>{found[0]}</i>", escape(expression, quote=False))


def _section(modality: Modality, body: str) -> str:
    return f'<section class="{modality}"><h2>{NAMES[modality]}</h2>{body}</section>'


def _said(said: Composition) -> str:
    """The phrase, and under it its search: what each round kept, best first."""
    rounds = "".join(
        f"<li>{', '.join(f'{escape(phrase)} <data>{rounded(score)}</data>' for phrase, score in kept)}</li>" for kept in said.rounds
    )
    return f'<p class="phrase">{escape(said.phrase)}</p><p class="grown">composed in {len(said.rounds)} rounds, each of which kept:</p><ol class="search">{rounds}</ol>'


def _together(target: Target) -> str:
    """Whether the outputs belong together, by track; "" where there are no two of them."""
    parts = []
    for track in dict.fromkeys(shown.render.track for shown in target.renders):
        found = dict.fromkeys(each for shown in target.renders if shown.render.track == track for each in shown.card.agreement)
        parts += [agreed(track, list(found))] if found else []
    if not parts:
        return ""
    what = (
        "Of each two outputs, the share of other targets that both could less well be of: half by chance. "
        "What their own encoder says of it is how consistent they are, and no recognition."
    )
    return f'<section class="together"><h2>Together</h2><p class="warning">{what}</p><div class="sides">{"".join(f"<div>{part}</div>" for part in parts)}</div></section>'


def _words(words: Reading, limit: int = 8) -> str:
    if not words:
        return ""
    top = max(cosine for _, cosine in words) or 1.0
    items = (
        f'<li><span>{escape(word)}</span><meter min="0" max="1" value="{max(0.0, cosine / top):.3f}"></meter>'
        f"<data>{rounded(cosine)}</data></li>"
        for word, cosine in words[:limit]
    )
    return f'<ol class="words">{"".join(items)}</ol>'


def _pair(pair: list[Rendered], expression: str) -> str:
    sides = "".join(
        f'<div><h3 class="{shown.render.track}">{shown.render.track} <data>{rounded(shown.render.cosine)}</data></h3>'
        f"{_words(shown.render.looks[-1][2], 5)}</div>"
        for shown in pair
    )
    lines = {shown.render.track: [(row["step"], row["cosine"]) for row in shown.render.trajectory] for shown in pair}
    chart = curves(lines, "cosine with the concept at each step, by track")
    notes = f'<div class="sides">{sides}</div><figure class="chart"><figcaption>cosine with the concept, by step</figcaption>{chart}</figure>'
    notes += table([shown.render for shown in pair])
    judged = verdicts([shown.card for shown in pair])
    notes += readings([shown.bundle for shown in pair])
    seen = "".join(maps(shown.bundle, photo_uri) for shown in pair)
    stage = _players(pair, expression) if pair[0].render.modality == "audio" else _compare(pair, expression)
    strips = "".join(_strip(shown) + _others(shown) for shown in pair)
    return f'{judged}<div class="pair"><div class="stage">{stage}{_files(pair)}{seen}</div><div class="notes">{notes}</div></div>{strips}'


def _compare(pair: list[Rendered], expression: str) -> str:
    video = pair[0].render.modality == "video"
    layers = []
    for shown in pair:
        track = shown.render.track
        what = escape(f"{expression}, {track}", quote=True)
        layers.append(
            f'<video class="{track}" aria-label="{what}" autoplay loop muted playsinline>{_sources(shown.file)}</video>'
            if video
            else f'<img class="{track}" src="{file_uri(shown.file)}" alt="{what}">'
        )
    pause = '<button type="button" class="pause" aria-pressed="false">pause</button>' if video else ""
    return (
        f'<div class="compare">{"".join(layers)}<span class="handle"></span>'
        '<input type="range" min="0" max="100" value="50" step="1" aria-label="honest on the left, natural on the right"></div>'
        f'<p class="ends"><span class="honest">honest</span>{pause}<span class="natural">natural</span></p>'
    )


def _players(pair: list[Rendered], expression: str) -> str:
    return "".join(
        f'<figure class="player"><div class="spectrogram"><img src="{data_uri(shown.picture)}" alt="spectrogram"></div>'
        f'<figcaption class="{shown.render.track}">{shown.render.track}</figcaption>'
        f'<audio controls aria-label="{escape(expression, quote=True)}, {shown.render.track}">{_sources(shown.file)}</audio></figure>'
        for shown in pair
    )


def _sources(file: Path) -> str:
    # not every browser plays what lies in the page: Safari may ask for the file
    return f'<source src="{file_uri(file)}"><source src="{escape(file.name, quote=True)}">'


def _files(pair: list[Rendered]) -> str:
    links = " ".join(f'<a href="{escape(shown.file.name, quote=True)}">{escape(shown.file.name)}</a>' for shown in pair)
    return f'<p class="files">{links}</p>'


def _strip(shown: Rendered) -> str:
    count = len(shown.pictures)
    chosen = sorted({round(index * (count - 1) / max(1, THUMBNAILS - 1)) for index in range(THUMBNAILS)})
    frames = "".join(
        f'<li><img src="{data_uri(picture)}" alt=""><span>{escape(", ".join(word for word, _ in words[:2]))}</span><data>step {step}</data></li>'
        for step, picture, words in (shown.pictures[index] for index in chosen)
    )
    return f'<ol class="strip {shown.render.track}" aria-label="{shown.render.track}, on the way">{frames}</ol>'


def _others(shown: Rendered) -> str:
    """The same from other seeds, side by side; "" without any."""
    frames = "".join(
        f'<li><img src="{photo_uri(picture)}" alt=""><span>seed {seed}</span><data>cosine {rounded(cosine)}</data></li>' for seed, picture, cosine in shown.others
    )
    track = shown.render.track
    return f'<h3 class="{track} seeds">{track} from other seeds</h3><ol class="strip {track}">{frames}</ol>' if frames else ""


def _facts(facts: list[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    return (
        "<footer><p><b class=honest>Honest</b> follows the concept alone. "
        "<b class=natural>Natural</b> is also held to what the generator has learned to find plausible. "
        "Both start from one seed. Only an encoder that they were not made with can judge them. "
        f'Every number is in <a href="run.json">run.json</a>, the readings and cards are in the folder readings.</p><dl>{rows}</dl></footer>'
    )
