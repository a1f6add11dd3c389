"""The example workflows in a real browser, in both node renderers: they open whole, come back as saved, and run."""

import json
import os
import shutil

import pytest
from server import PACK, Server

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: python -m pip install -e .[browser]")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: install it, or set CHROMIUM to its path")

FOLDER = PACK / "workflows"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
READY = "() => window.app?.extensionManager && app.graph && LiteGraph.registered_node_types['ConceptAlgebra_Readout']"
PATIENCE = 300_000
"""Milliseconds to wait for the page, and for a short run on a busy machine."""


def opened(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=[False, True], ids=["canvas", "nodes2"])
def page(request, browser, server: Server, languagebind: str, named_models: None):
    """A page with one of the two renderers, and in `page.complaints` what its console says about the pack.

    A complaint is every uncaught error, and every console error that names the pack, its nodes or its templates: the
    page's own errors (files that a fresh profile does not have, addresses off the machine that a test browser cannot
    reach) name none of them.
    """
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.complaints = []

    def heard(message):
        about = f"{message.text} {message.location.get('url', '')}".lower()
        if message.type == "error" and any(word in about for word in ("concept-algebra", "concept_algebra", "conceptalgebra")):
            page.complaints.append(about)

    page.on("console", heard)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(server.url)
    page.wait_for_function(READY)
    # the settings and the first workflow arrive after the page is up
    page.wait_for_timeout(3000)
    page.evaluate("on => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', on)", request.param)
    page.wait_for_function("on => !!LiteGraph.vueNodesMode === on", arg=request.param)
    page.complaints.clear()
    yield page
    context.close()


def load(page, graph: dict) -> None:
    page.evaluate("graph => app.loadGraphData(graph)", graph)
    page.wait_for_function("count => app.graph.nodes.length === count", arg=len(graph["nodes"]))
    page.wait_for_timeout(300)


def values(graph: dict) -> dict:
    """Widget values by node id, of the nodes that have any in our files."""
    return {str(node["id"]): node.get("widgets_values") for node in graph["nodes"] if node["type"] != "PreviewAny" and node.get("widgets_values")}


def wires(graph: dict) -> set:
    return {(link[1], link[2], link[3], link[4]) for link in graph["links"]}


@pytest.mark.parametrize("name", NAMES)
def test_it_opens_whole_and_comes_back_as_saved(page, server: Server, name: str):
    graph = json.loads(server.fetch(f"/api/workflow_templates/concept-algebra/{name}.json"))
    load(page, graph)
    missing = page.evaluate("() => app.graph.nodes.filter(n => n.has_errors || !LiteGraph.registered_node_types[n.type]).map(n => n.type)")
    assert missing == []
    assert page.evaluate("() => document.body.innerText.match(/missing node|some nodes are missing|node types were not found/i)") is None
    saved = page.evaluate("() => app.graph.serialize()")
    assert values(saved) == values(graph)
    assert wires(saved) == wires(graph)
    load(page, saved)
    again = page.evaluate("() => app.graph.serialize()")
    assert values(again) == values(saved) and wires(again) == wires(saved)
    assert page.complaints == []


@pytest.mark.parametrize("name", NAMES)
def test_the_page_would_queue_the_api_form(page, name: str):
    load(page, opened(name))
    prompt = page.evaluate("async () => (await app.graphToPrompt()).output")
    ours = json.loads((FOLDER / "api" / f"{name}.json").read_text(encoding="utf-8"))
    assert set(prompt) == set(ours)
    for key, node in ours.items():
        assert prompt[key]["class_type"] == node["class_type"]
        # the page adds what only it knows, such as the state of a player
        own = node["class_type"].startswith("ConceptAlgebra_")
        sent = prompt[key]["inputs"]
        assert (sent if own else {name: sent[name] for name in node["inputs"]}) == node["inputs"]


def test_no_node_covers_another(page):
    overlaps = """() => {
        const box = n => {
            const drawn = LiteGraph.vueNodesMode && document.querySelector(`[data-node-id="${n.id}"]`);
            const [w, h] = drawn ? [drawn.offsetWidth, drawn.offsetHeight] : [n.size[0], n.size[1] + 30];
            return [n.pos[0], n.pos[1] - 30, n.pos[0] + w, n.pos[1] - 30 + h];
        };
        const boxes = app.graph.nodes.map(n => [n.title, box(n)]);
        return boxes.flatMap(([t, a], i) => boxes.slice(0, i)
            .filter(([, b]) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]).map(([u]) => [t, u]));
    }"""
    for name in NAMES:
        load(page, opened(name))
        page.wait_for_timeout(1000)
        assert page.evaluate(overlaps) == [], name


def test_a_workflow_runs_from_the_page(page, server: Server):
    graph = opened("hairless-dog")
    for node in graph["nodes"]:
        if node["type"] == "ConceptAlgebra_LatentOptimiser":
            node["widgets_values"][0], node["widgets_values"][3] = 2, 1  # steps and looks
        if node["type"] == "SaveImage":
            # each renderer's run is one of its own, not the other's from the cache
            node["widgets_values"][0] += f"-{page.evaluate('() => String(!!LiteGraph.vueNodesMode)')}"
    load(page, graph)
    page.evaluate("""() => {
        window.done = {};
        app.api.addEventListener('executed', event => { window.done[event.detail.node] = event.detail.output; });
        app.api.addEventListener('execution_error', event => { window.failed = event.detail; });
    }""")
    page.evaluate("() => app.queuePrompt(0, 1)")
    last = [str(node["id"]) for node in graph["nodes"] if node["type"] in ("SaveImage", "PreviewAny", "ConceptAlgebra_Readout")]
    page.wait_for_function("ids => window.failed || ids.every(id => window.done[id])", arg=last)
    assert page.evaluate("() => window.failed ?? null") is None
    done = page.evaluate("() => window.done")
    for node in graph["nodes"]:
        if node["type"] == "SaveImage":
            (file,) = done[str(node["id"])]["images"]
            assert server.output(file).is_file()
        if node["type"] == "PreviewAny":
            shown = "id => app.graph.getNodeById(id).widgets.some(w => typeof w.value === 'string' && w.value.includes('dog'))"
            page.wait_for_function(shown, arg=node["id"])
    assert page.complaints == []
