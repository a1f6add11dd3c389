"""The panel of named features in a real browser, in both node renderers: what it shows, and the lines that it writes."""

import json

import pytest
from server import PACK, Server
from test_browser import browser, load, page, pytestmark  # noqa: F401

from concept_algebra.ops.features.edits import EditError, edits

MODULE = "/extensions/concept-algebra/edits.js"
LINES = [
    "- fur", "-fur", "-- fur", "--fur", "--- fur", "- - fur", "2 * fur", ".5*fire engine", "1e-2 * 7 up", "2 fur", "2 *", "* fur", "fur",
    "+ 0.5 purple", "+.5 7 up", "+ purple", "+ -1 fur", "+ 0.5", "-", "--", "# - fur", "", "  - unnamed 3 (nearest: dog)  ", "-2 * fur", "2. * a * b",
]  # fmt: skip


@pytest.fixture(scope="module")
def small():
    """An example workflow without what renders."""
    graph = json.loads((PACK / "workflows" / "remove-one-named-feature.json").read_text(encoding="utf-8"))
    kinds = ("LoadEncoder", "LoadSAE", "EncodeText", "Decompose", "EditFeatures")
    graph["nodes"] = [node for node in graph["nodes"] if node["type"].removeprefix("ConceptAlgebra_") in kinds]
    kept = {node["id"] for node in graph["nodes"]}
    graph["links"] = [link for link in graph["links"] if {link[1], link[3]} <= kept]
    numbers = {link[0] for link in graph["links"]}
    for node in graph["nodes"]:
        for slot in node["outputs"]:
            slot["links"] = [number for number in slot["links"] if number in numbers]
    return graph


@pytest.fixture
def edit(page, small):  # noqa: F811
    """The id of an Edit Features that has run, in view of the page."""
    load(page, small)
    (node,) = (node for node in small["nodes"] if node["type"] == "ConceptAlgebra_EditFeatures")
    page.evaluate("([x, y]) => { app.canvas.ds.scale = 1; app.canvas.ds.offset = [120 - x, 120 - y]; app.canvas.setDirty(true, true); }", node["pos"])
    run(page)
    page.wait_for_function("() => document.querySelectorAll('.concept-algebra-search').length === 1")
    return node["id"]


def run(page):  # noqa: F811
    page.evaluate("""() => {
        window.over = null;
        const ended = kind => event => { window.over = [kind, event.detail.exception_message]; };
        for (const kind of ['execution_success', 'execution_error']) app.api.addEventListener(kind, ended(kind), { once: true });
        app.queuePrompt(0, 1);
    }""")
    page.wait_for_function("() => window.over")
    assert page.evaluate("() => window.over")[0] == "execution_success"


def text_of(page, id):  # noqa: F811
    return page.evaluate("id => app.graph.getNodeById(id).widgets.find(w => w.name === 'edits').value", id)


def rows(page):  # noqa: F811
    """[sign, name, amount] of the rows of the panel that edits."""
    return page.evaluate("""() => {
        const panel = document.querySelector('.concept-algebra-search').parentElement;
        return [...panel.querySelectorAll('.concept-algebra-row')].map(row =>
            ['switch', 'name', 'amount'].map(part => row.querySelector(`.concept-algebra-${part}`).textContent));
    }""")


def click(page, title):  # noqa: F811
    # a dialog of the page's own first visit may lie above
    page.locator(f".concept-algebra-panel button[title^='{title}']").dispatch_event("click")


def test_page_and_server_read_a_line_alike(page):  # noqa: F811
    theirs = page.evaluate("async ([module, lines]) => { const { parse } = await import(module); return lines.map(parse); }", [MODULE, LINES])
    for line, found in zip(LINES, theirs, strict=True):
        try:
            (ours,) = edits(line) or [None]
        except EditError:
            ours = None
        assert found == (ours and {"kind": ours.kind, "name": ours.name, "amount": ours.amount}), line


@pytest.mark.parametrize(
    "text, edit, written",
    [
        ("", {"kind": "off", "name": "fur", "amount": 0}, "- fur"),
        ("# mine\n2 * fur\n- dog", {"kind": "off", "name": "fur", "amount": 0}, "# mine\n- fur\n- dog"),
        ("- fur\n-- fur\n- dog", {"kind": "scaled", "name": "fur", "amount": 1}, "- dog"),
        ("- fur\n+ 0.5 fur", {"kind": "added", "name": "fur", "amount": 0.75}, "- fur\n+ 0.75 fur"),
        ("+ 0.5 fur", {"kind": "added", "name": "fur", "amount": 0}, ""),
        ("no edit\n", {"kind": "erased", "name": "7 up", "amount": 0}, "no edit\n-- 7 up"),
    ],
)
def test_an_edit_takes_the_place_of_others_of_its_feature(page, text, edit, written):  # noqa: F811
    found = page.evaluate("async ([module, text, edit]) => (await import(module)).rewritten(text, edit)", [MODULE, text, edit])
    assert found == written


def test_the_search_finds_all_words_and_the_nearest_first(page):  # noqa: F811
    names = ["bonfire", "fire engine", "fire", "engine", "engine of a fire truck", "Fireplace"]
    ask = "async ([module, names, query]) => (await import(module)).search(names, query)"
    assert page.evaluate(ask, [MODULE, names, "fire"]) == ["fire", "Fireplace", "fire engine", "bonfire", "engine of a fire truck"]
    assert page.evaluate(ask, [MODULE, names, " engine FIRE"]) == ["engine of a fire truck", "fire engine"]
    assert page.evaluate(ask, [MODULE, names, " "]) == []


def test_the_features_are_shown_after_a_run(page, edit):  # noqa: F811
    assert rows(page) == [["\u25cf", "balloon", "0.82"], ["\u25cb", "red", "0.00"]]
    assert "red: 0.50 to 0.00; still along it" in page.locator(".concept-algebra-search + .concept-algebra-list").inner_text()
    assert len(page.locator(".concept-algebra-panel").all()) == 2, "one on SAE Decompose, one on Edit Features"
    assert page.complaints == []


def test_clicking_writes_the_lines_and_the_server_does_them(page, edit):  # noqa: F811
    click(page, "red is off")
    assert text_of(page, edit) == "-- red"
    click(page, "red is off and erased")
    assert text_of(page, edit) == ""
    click(page, "balloon is on")
    factor = page.locator(".concept-algebra-number[title*='red']")
    factor.evaluate("input => { input.value = '1.5'; input.dispatchEvent(new Event('change')); }")
    assert text_of(page, edit) == "- balloon\n1.5 * red"
    page.locator(".concept-algebra-query").evaluate("input => { input.value = 'fire eng'; input.dispatchEvent(new Event('input')); }")
    click(page, "add fire engine")
    assert text_of(page, edit) == "- balloon\n1.5 * red\n+ 0.5 fire engine"
    assert rows(page) == [["\u25cb", "balloon", "0.00"], ["\u25cf", "red", "0.74"], ["\u00d7", "fire engine", "0.50"]]
    page.evaluate("() => { window.heard = null; app.api.addEventListener('executed', e => { if (e.detail.output?.features?.[0].report) window.heard = e.detail.output; }); }")
    run(page)
    page.wait_for_function("() => window.heard")
    said = page.evaluate("() => window.heard.text[0]").splitlines()
    assert [line.split(";")[0] for line in said[1:]] == ["balloon: 0.82 to 0.00", "red: 0.50 to 0.74", "fire engine: 0.00 to 0.50"]
    click(page, "do not add fire engine")
    assert text_of(page, edit) == "- balloon\n1.5 * red"
    prompt = page.evaluate("async id => (await app.graphToPrompt()).output[id].inputs", edit)
    assert set(prompt) == {"edits", "concept"} and prompt["edits"] == "- balloon\n1.5 * red"
    assert page.complaints == []


def test_typing_in_the_text_moves_the_bars(page, edit):  # noqa: F811
    page.evaluate("id => { const w = app.graph.getNodeById(id).widgets.find(w => w.name === 'edits'); w.value = '2 * balloon'; w.callback('2 * balloon'); }", edit)
    assert rows(page) == [["\u25cf", "balloon", "1.64"], ["\u25cf", "red", "0.50"]]


def test_names_are_text_and_nothing_else(page, server: Server):  # noqa: F811
    """A dictionary from somebody else may call a feature anything."""
    found = page.evaluate("""async () => {
        const { createPanel } = await import('/extensions/concept-algebra/panel.js');
        const panel = createPanel({});
        const name = '<img src=x onerror=window.broken=1>';
        await panel.show([{ title: name, there: [[name, 1]], taken: [[name, 1]], summary: name }]);
        document.body.append(panel.root);
        await new Promise(done => setTimeout(done, 200));
        const state = [panel.root.querySelectorAll('img').length, window.broken ?? null];
        panel.root.remove();
        return state;
    }""")
    assert found == [0, None]
