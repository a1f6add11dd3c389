"""The page of one showcase, and the gallery of several: plain HTML that needs no network and no server."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from html import escape
from io import BytesIO

from PIL import Image
from torch import Tensor

from .curves import curves
from .interpret.readout import Composition
from .media import as_bytes
from .render import Reading, Render
from .report_instruments import table
from .report_style import SCRIPT, STYLE
from .space import Modality

THUMBNAILS = 8
NAMES: dict[Modality, str] = {"text": "In words", "image": "Picture", "audio": "Sound", "video": "Video"}


@dataclass(frozen=True)
class Rendered:
    """One render with the name of its file in the page's folder, and a picture of its media [3, H, W] in 0..1."""

    render: Render
    file: str
    picture: Tensor
    pictures: list[tuple[int, Tensor, Reading]]


@dataclass(frozen=True)
class Target:
    """What a page shows: the expression, the phrase and words it reads as (None without the text), and its renders."""

    expression: str
    said: Composition | None
    words: Reading
    renders: list[Rendered]
    facts: list[tuple[str, str]]


def page(target: Target) -> str:
    """The whole index.html of one target; its media lie beside it."""
    parts = [_header(_formula(target.expression), "showcase")]
    if target.said:
        parts.append(_section("text", _said(target.said) + _words(target.words)))
    for modality in ("image", "audio", "video"):
        pair = [rendered for rendered in target.renders if rendered.render.modality == modality]
        if pair:
            parts.append(_section(modality, _pair(pair, target.expression)))
    parts.append(_facts(target.facts))
    return _document(target.expression, "".join(parts))


def gallery(entries: list[tuple[str, str, str | None, Tensor | None]]) -> str:
    """The index.html over several targets: (expression, folder, phrase, picture [3, H, W] or None) each."""
    cards = []
    for expression, folder, phrase, picture in entries:
        shown = f'<img src="{data_uri(picture)}" alt="">' if picture is not None else '<span class="blank"></span>'
        said = f"<small>{escape(phrase)}</small>" if phrase else ""
        cards.append(f'<li><a href="{escape(folder, quote=True)}/index.html">{shown}<b>{_formula(expression)}</b>{said}</a></li>')
    return _document("Concept algebra", _header("Concept algebra", "gallery") + f'<ul class="gallery">{"".join(cards)}</ul>')


def data_uri(pixels: Tensor) -> str:
    """A picture [3, H, W] in 0..1 as a PNG inside a URI."""
    buffer = BytesIO()
    Image.fromarray(as_bytes(pixels)).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _document(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main><script>{SCRIPT}</script></body></html>\n"
    )


def _header(title: str, kind: str) -> str:
    return f'<header><p class="mark">concept algebra <i>{kind}</i></p><h1>{title}</h1></header>'


def _formula(expression: str) -> str:
    """The expression with its operators set back, so that the words stand out."""
    return re.sub(r"(?<=\s)[-+](?=\s)|\*|[()]", lambda found: f"<i>{found[0]}</i>", escape(expression, quote=False))


def _section(modality: Modality, body: str) -> str:
    return f'<section class="{modality}"><h2>{NAMES[modality]}</h2>{body}</section>'


def _said(said: Composition) -> str:
    """The phrase, and under it how it grew."""
    best = " <i>then</i> ".join(f"{escape(kept[0][0])} <data>{kept[0][1]:.2f}</data>" for kept in said.rounds)
    return f'<p class="phrase">{escape(said.phrase)}</p><p class="grown">{best}</p>'


def _words(words: Reading, limit: int = 8) -> str:
    if not words:
        return ""
    top = max(cosine for _, cosine in words) or 1.0
    items = (
        f'<li><span>{escape(word)}</span><meter min="0" max="1" value="{max(0.0, cosine / top):.3f}"></meter>'
        f"<data>{cosine:.2f}</data></li>"
        for word, cosine in words[:limit]
    )
    return f'<ol class="words">{"".join(items)}</ol>'


def _pair(pair: list[Rendered], expression: str) -> str:
    sides = "".join(
        f'<div><h3 class="{shown.render.track}">{shown.render.track} <data>{shown.render.cosine:.2f}</data></h3>'
        f"{_words(shown.render.looks[-1][2], 5)}</div>"
        for shown in pair
    )
    lines = {shown.render.track: [(row["step"], row["cosine"]) for row in shown.render.trajectory] for shown in pair}
    chart = curves(lines, "cosine with the concept at each step, by track")
    notes = f'<div class="sides">{sides}</div><figure class="chart"><figcaption>cosine with the concept, by step</figcaption>{chart}</figure>'
    notes += table([shown.render for shown in pair])
    stage = _players(pair, expression) if pair[0].render.modality == "audio" else _compare(pair, expression)
    strips = "".join(_strip(shown) for shown in pair)
    return f'<div class="pair"><div class="stage">{stage}</div><div class="notes">{notes}</div></div>{strips}'


def _compare(pair: list[Rendered], expression: str) -> str:
    video = pair[0].render.modality == "video"
    layers = []
    for shown in pair:
        track, source = shown.render.track, escape(shown.file, quote=True)
        what = escape(f"{expression}, {track}", quote=True)
        layers.append(
            f'<video class="{track}" src="{source}" aria-label="{what}" autoplay loop muted playsinline></video>'
            if video
            else f'<img class="{track}" src="{source}" alt="{what}">'
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
        f'<audio controls src="{escape(shown.file, quote=True)}" aria-label="{escape(expression, quote=True)}, {shown.render.track}"></audio></figure>'
        for shown in pair
    )


def _strip(shown: Rendered) -> str:
    count = len(shown.pictures)
    chosen = sorted({round(index * (count - 1) / max(1, THUMBNAILS - 1)) for index in range(THUMBNAILS)})
    frames = "".join(
        f'<li><img src="{data_uri(picture)}" alt=""><span>{escape(", ".join(word for word, _ in words[:2]))}</span><data>step {step}</data></li>'
        for step, picture, words in (shown.pictures[index] for index in chosen)
    )
    return f'<ol class="strip {shown.render.track}" aria-label="{shown.render.track}, on the way">{frames}</ol>'


def _facts(facts: list[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    return (
        "<footer><p><b class=honest>Honest</b> follows the concept alone. "
        "<b class=natural>Natural</b> is also held to what the generator has learned to find plausible. "
        f'Both start from one seed. Every number is in <a href="run.json">run.json</a>.</p><dl>{rows}</dl></footer>'
    )
