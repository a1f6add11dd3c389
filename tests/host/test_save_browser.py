"""Save Render in a real browser, in both node renderers: the medium is on the node, and a saved file opens as its workflow."""

import pytest
from server import PACK, Server
from test_browser import browser, load, page, pytestmark  # noqa: F401
from test_panel import run

DROP = """async url => {
    const blob = await (await fetch(url)).blob();
    const name = new URL(url).searchParams.get('filename');
    await app.handleFile(new File([blob], name, { type: blob.type }));
}"""
NODE = "app.graph.nodes.find(n => n.type === 'ConceptAlgebra_SaveRender')"
SHOWS = {
    # the older renderer draws a picture on its canvas
    "image": f"""() => {NODE}.imgs?.some(i => i.src.includes('.png') && i.naturalWidth === 128) ||
        [...document.querySelectorAll('[data-node-id] img')].some(i => i.src.includes('.png') && i.naturalWidth === 128)""",
    "video": "() => [...document.querySelectorAll('video')].some(v => v.currentSrc.includes('.mp4') && v.videoWidth === 128)",
    "audio": "() => [...document.querySelectorAll('audio')].some(a => a.currentSrc.includes('.flac') && Math.abs(a.duration - 2.048) < 0.01)",
}


@pytest.fixture(scope="module")
def flows():
    import importlib.util
    import sys

    spec = importlib.util.spec_from_file_location("workflows_script", PACK / "tools" / "workflows.py")
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def graph(flows, kind: str, mode: bool) -> dict:
    f = flows.Flow(f"saved-{kind}")
    encoder = f.node("LoadEncoder")
    drawn = f.node("LoadGenerator", generator=f"pocket {kind}", encoder=encoder)
    target = f.node("EncodeText", text="bell", encoder=encoder)
    made = f.node("LatentOptimiser", steps=2, looks=1, concept=target, encoder=encoder, generator=drawn)
    # each renderer's run is one of its own, not the other's from the cache
    save = f.node("SaveRender", render=made["render"], filename_prefix=f"dropped/{kind}-{mode}")
    f.lay_out(("Save", [[encoder, drawn], [target], [made], [save]]))
    return f.page()


@pytest.mark.parametrize("kind", ["image", "audio", "video"])
def test_what_was_saved_is_shown_and_opens_its_workflow_when_dropped(page, server: Server, flows, kind: str):  # noqa: F811
    mode = page.evaluate("() => !!LiteGraph.vueNodesMode")
    sent = graph(flows, kind, mode)
    load(page, sent)
    prompt = page.evaluate("async () => (await app.graphToPrompt()).output")
    (asked,) = (node["inputs"] for node in prompt.values() if node["class_type"] == "ConceptAlgebra_SaveRender")
    assert asked.keys() == {"filename_prefix", "audio_format", "render"}, "the player is no input"
    page.evaluate(f"() => {{ const [x, y] = {NODE}.pos; app.canvas.ds.scale = 1; app.canvas.ds.offset = [300 - x, 120 - y]; app.canvas.setDirty(true, true); }}")
    run(page)
    page.wait_for_function(SHOWS[kind])
    (file,) = (server.folder / "output" / "dropped").glob(f"{kind}-{mode}_*")
    page.evaluate("() => app.graph.clear()")
    page.evaluate(DROP, f"{server.url}/view?filename={file.name}&subfolder=dropped&type=output")
    page.wait_for_function("count => app.graph.nodes.length === count", arg=len(sent["nodes"]))
    back = page.evaluate("() => app.graph.serialize()")
    (saved,) = (node for node in back["nodes"] if node["type"] == "ConceptAlgebra_SaveRender")
    assert saved["widgets_values"] == [f"dropped/{kind}-{mode}", "flac"]
    assert page.complaints == []
