"""Interpret and a card of several seeds in a real browser, in both node renderers: the maps and the readings stand on the node."""

from copy import deepcopy

import pytest
from graphs import node, render
from test_browser import browser, page, pytestmark  # noqa: F401

CARD = """kind => {
    const node = app.graph.nodes.find(n => n.type === `ConceptAlgebra_${kind}`);
    return node.widgets.find(w => w.name === 'card').element.querySelector('.concept-algebra-card');
}"""


def graph(seed):
    """A render from two seeds, one of them read and both on a card, with numbers for names, as the page wants them."""
    made = render("dog + ball", steps=2, seed=seed)
    made["again"] = deepcopy(made["render"])
    made["again"]["inputs"]["seed"] += 1
    made["reading"] = node("Interpret", filename_prefix="", render=["render", 0], encoder=["encoder", 0])
    made["card"] = node("EvalCard", render=["render", 0], encoder=["encoder", 0], render_2=["again", 0])
    numbers = {name: str(place) for place, name in enumerate(made, 1)}
    for part in made.values():
        part["inputs"] = {name: [numbers[value[0]], value[1]] if isinstance(value, list) else value for name, value in part["inputs"].items()}
    return {numbers[name]: part for name, part in made.items()}


@pytest.fixture
def shown(page):  # noqa: F811
    """The page, with Interpret in view beside Eval Card and the rest out of the way, before a run."""
    mode = page.evaluate("() => !!LiteGraph.vueNodesMode")
    # each renderer's run is one of its own, not the other's from the cache
    page.evaluate("graph => app.loadApiJson(graph, 'reading')", graph(20 + 2 * mode))
    page.wait_for_function("() => app.graph.nodes.length === 7")
    page.wait_for_timeout(500)
    page.evaluate("""() => {
        for (const node of app.graph.nodes) node.pos = [node.pos[0] + 3000, node.pos[1]];
        app.graph.nodes.find(n => n.type === 'ConceptAlgebra_Interpret').pos = [0, 0];
        app.graph.nodes.find(n => n.type === 'ConceptAlgebra_EvalCard').pos = [660, 0];
    }""")
    # what lies where is told anew by loading it; as text, for what is undefined would come back as null
    page.evaluate("() => app.loadGraphData(JSON.parse(JSON.stringify(app.graph.serialize())))")
    page.wait_for_function("() => app.graph.nodes.length === 7")
    page.evaluate("() => { app.canvas.ds.scale = 1; app.canvas.ds.offset = [120, 120]; app.canvas.setDirty(true, true); }")
    page.wait_for_timeout(500)
    return page


def test_a_reading_and_a_card_of_seeds_stand_on_their_nodes(shown):
    def of(kind, what):
        return shown.evaluate(f"() => (card => {what})(({CARD})('{kind}'))")

    assert of("Interpret", "card.innerText") == "Run to read the render."
    shown.evaluate("""() => {
        window.over = null;
        for (const kind of ['execution_success', 'execution_error'])
            app.api.addEventListener(kind, event => { window.over = [kind, event.detail.exception_message]; }, { once: true });
        app.queuePrompt(0, 1);
    }""")
    shown.wait_for_function("() => window.over")
    assert shown.evaluate("() => window.over[0]") == "execution_success"
    shown.wait_for_function(f"() => (card => card && [...card.querySelectorAll('img')].filter(i => i.naturalWidth).length === 4)(({CARD})('Interpret'))")
    # all maps lie in the part of the card that is in view, as large as their captions need
    places = of("Interpret", "[...card.querySelectorAll('img')].map(i => [i.offsetWidth, i.offsetTop + i.offsetHeight <= card.clientHeight])")
    assert all(width >= 100 and inside for width, inside in places), places
    captions = of("Interpret", "[...card.querySelectorAll('.concept-algebra-map')].map(map => map.innerText.trim())")
    assert [caption.partition(":")[0] for caption in captions] == ["dog + ball", "dog", "ball", "where the encoder looked, whatever is asked"]
    said = of("Interpret", "card.innerText")
    assert "What it reads as" in said and "Nearest words: " in said and not any(sign in said for sign in ("###", "**", "\\", "|"))
    heads = of("Interpret", "[...card.querySelectorAll('tr:first-child')].map(row => [...row.cells].map(cell => cell.innerText))")
    assert heads == [["feature", "target", "output"], ["probe", "probability"]]
    wide = "Promise.all([...card.querySelectorAll('a')].map(async link => (await createImageBitmap(await (await fetch(link.href)).blob())).width))"
    assert all(width > 512 for width in of("Interpret", wide))
    assert "Of 2 seeds: every two of them alike" in of("EvalCard", "card.innerText")
    assert shown.complaints == []
