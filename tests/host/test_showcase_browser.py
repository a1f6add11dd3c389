"""Showcase in a real browser, in both node renderers: the sheet on its node, and the page behind its button, which plays and moves."""

import pytest
from server import Server
from test_browser import PATIENCE, READY, browser, load, page, pytestmark  # noqa: F401
from test_panel import run
from test_save_browser import flows  # noqa: F401

NODE = "app.graph.nodes.find(n => n.type === 'ConceptAlgebra_Showcase')"
BUTTON = f"{NODE}.widgets.find(w => w.name === 'open the page')"
SHEET = f"""() => {NODE}.imgs?.some(i => Math.min(i.naturalWidth, i.naturalHeight) > 300 && i.naturalWidth !== i.naturalHeight) ||
    [...document.querySelectorAll('[data-node-id] img')].some(i => Math.min(i.naturalWidth, i.naturalHeight) > 300 && i.naturalWidth !== i.naturalHeight)"""
PLAYED = """async player => {
  player.muted = true; player.currentTime = 0; await player.play();
  await new Promise(done => player.addEventListener('timeupdate', () => player.currentTime > 0 && done()));
  return [player.duration, player.error, player.currentSrc.slice(0, 5)];
}"""


@pytest.fixture(params=[False, True], ids=["canvas", "nodes2"])
def unbound(request, browser, server: Server):  # noqa: F811
    """A page as an ordinary person has it: the tests' server is started with --disable-api-nodes, which forbids media inside pages."""
    context = browser.new_context(viewport={"width": 1600, "height": 1150}, bypass_csp=True)

    def free(route):
        answer = route.fetch()
        route.fulfill(response=answer, headers={name: value for name, value in answer.headers.items() if name != "content-security-policy"})

    # to somebody new it would offer templates, over everything
    server.post("/settings/Comfy.TutorialCompleted", True)
    context.route(lambda url: not url.startswith((server.url, "data:", "blob:")), lambda route: route.abort())
    context.route("**/view?*", free)
    page = context.new_page()  # noqa: F811
    page.set_default_timeout(PATIENCE)
    page.goto(server.url)
    page.wait_for_function(READY)
    page.wait_for_timeout(3000)
    page.evaluate("on => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', on)", request.param)
    page.wait_for_function("on => !!LiteGraph.vueNodesMode === on", arg=request.param)
    yield page
    context.close()


def graph(flows, media, targets, mode):  # noqa: F811
    f = flows.Flow(f"shown-{mode}")
    encoder = f.node("LoadEncoder")
    drawing = {medium: f.node("LoadGenerator", generator=f"pocket {medium}", encoder=encoder) for medium in media}
    concept = f.node("List", targets=targets, encoder=encoder)
    whole = f.node("Showcase", quick=True, steps=2, filename_prefix=f"browser/{mode}", concept=concept, encoder=encoder, **drawing)
    f.lay_out(("Show", [[encoder, *drawing.values()], [concept], [whole]]))
    return f.page()


def centre(page):  # noqa: F811
    page.evaluate(f"() => {{ const [x, y] = {NODE}.pos; app.canvas.ds.scale = 1; app.canvas.ds.offset = [300 - x, 120 - y]; app.canvas.setDirty(true, true); }}")


def press(page):  # noqa: F811
    """Press the button: the newer renderer has one, the older draws it."""
    drawn = page.query_selector("[data-node-id] button:has-text('open the page')")
    if drawn:
        drawn.click()
    else:
        page.evaluate(f"() => {BUTTON}.callback()")
    page.wait_for_selector("dialog[open]")


def framed(page):  # noqa: F811
    page.wait_for_selector("dialog[open] iframe")
    frame = page.query_selector("dialog iframe").content_frame()
    frame.wait_for_selector("h1")
    return frame


def test_the_sheet_stands_on_the_node_and_the_page_opens(unbound, server: Server, flows):  # noqa: F811
    page = unbound  # noqa: F811
    mode = page.evaluate("() => !!LiteGraph.vueNodesMode")
    load(page, graph(flows, ("image", "audio", "video"), "fire + water", mode))
    centre(page)
    press(page)
    assert page.query_selector("dialog").inner_text().startswith("close") and "Run first" in page.query_selector("dialog").inner_text()
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog.concept-algebra-page", state="detached")
    prompt = page.evaluate("async () => (await app.graphToPrompt()).output")
    (asked,) = (node["inputs"] for node in prompt.values() if node["class_type"] == "ConceptAlgebra_Showcase")
    assert "open the page" not in asked, "the button is no input"
    run(page)
    page.wait_for_function(SHEET)
    press(page)
    frame = framed(page)
    assert frame.query_selector("h1").inner_text() == "fire + water"
    assert frame.evaluate("() => [origin, [...document.images].filter(image => !image.naturalWidth).length]") == ["null", 0]
    with pytest.raises(Exception, match="SecurityError|Blocked a frame"):
        frame.evaluate("() => parent.document.body.innerHTML")
    for kind, count in (("audio", 2), ("video", 2)):
        players = frame.query_selector_all(kind)
        assert len(players) == count
        for player in players:
            duration, error, source = player.evaluate(PLAYED)
            assert duration > 0.9 and error is None and source == "data:"
    slider = frame.query_selector(".compare input")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.2, box["y"] + box["height"] / 2)
    assert 10 < float(frame.evaluate("() => getComputedStyle(document.querySelector('.compare')).getPropertyValue('--at')").rstrip("%")) < 30
    assert frame.query_selector("a[href]:not([href^='#'])") is None and page.query_selector("dialog .concept-algebra-said").inner_text() == ""
    # the page has the keys since the click into it, and an Escape would be its own
    page.click("dialog .concept-algebra-close")
    page.wait_for_selector("dialog.concept-algebra-page", state="detached")


def test_of_several_targets_one_is_chosen_and_a_bound_page_says_so(page, server: Server, flows):  # noqa: F811
    mode = page.evaluate("() => !!LiteGraph.vueNodesMode")
    load(page, graph(flows, (), "moon\noctopus", f"list-{mode}"))
    centre(page)
    run(page)
    press(page)
    frame = framed(page)
    assert frame.query_selector("h1").inner_text() == "moon"
    page.select_option("dialog select", label="octopus")
    page.wait_for_function("() => document.querySelector('dialog .concept-algebra-place').textContent.endsWith('octopus')")
    page.wait_for_timeout(1000)
    assert page.query_selector("dialog iframe").content_frame().query_selector("h1").inner_text() == "octopus"
    assert "--disable-api-nodes" in page.query_selector("dialog .concept-algebra-said").inner_text()
    page.click("dialog .concept-algebra-close")
    # a workflow that comes back has its pages still
    page.evaluate("() => app.extensionManager.command.execute('Comfy.NewBlankWorkflow')")
    page.wait_for_function(f"() => !{NODE}")
    page.evaluate("() => app.extensionManager.command.execute('Workspace.PreviousOpenedWorkflow')")
    page.wait_for_function(f"() => {NODE}")
    page.wait_for_timeout(1000)
    press(page)
    assert page.evaluate("() => document.querySelectorAll('dialog option').length") == 2
    page.click("dialog .concept-algebra-close")
    assert page.complaints == []


def test_what_keeps_media_from_playing_is_known_from_the_answer(page):  # noqa: F811
    said = page.evaluate(
        """async policies => {
            const { silenced } = await import('/extensions/concept-algebra/showcase.js');
            return policies.map(silenced);
        }""",
        [None, "", "script-src 'self'", "default-src 'self'; img-src data:", "default-src 'self'; media-src 'self' data:", "DEFAULT-SRC 'self' data:"],
    )
    assert said == [False, False, False, True, False, False]


def test_a_page_is_left_without_ways_out_of_it(page):  # noqa: F811
    made = page.evaluate(
        """async text => (await import('/extensions/concept-algebra/showcase.js')).alone(text)""",
        '<!doctype html><html><body><a href="run.json">run</a><a href="#x">x</a><audio><source src="data:audio/wav;base64,"><source src="a.wav"></audio></body></html>',
    )
    assert "run.json" not in made and 'href="#x"' in made and "a.wav" not in made and "data:audio/wav" in made
