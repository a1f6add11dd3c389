"""The card on Eval Card in a real browser, in both node renderers: what Markdown says, as text that a person reads."""

import json

import pytest
from server import PACK
from test_browser import browser, load, page, pytestmark  # noqa: F401

TEXT = """() => document.querySelector('.concept-algebra-card').innerText"""


@pytest.fixture(scope="module")
def small():
    """An example workflow as far as one Eval Card."""
    graph = json.loads((PACK / "workflows" / "trust.json").read_text(encoding="utf-8"))
    left_out = ("SaveImage", "Probe", "AttributionOverlay", "Readout")
    graph["nodes"] = [node for node in graph["nodes"] if node["type"].removeprefix("ConceptAlgebra_") not in left_out and "natural" not in node.get("title", "")]
    kept = {node["id"] for node in graph["nodes"]}
    graph["links"] = [link for link in graph["links"] if {link[1], link[3]} <= kept]
    numbers = {link[0] for link in graph["links"]}
    for node in graph["nodes"]:
        for slot in node["outputs"]:
            slot["links"] = [number for number in slot["links"] if number in numbers]
        if node["type"] == "ConceptAlgebra_DualTrack":
            node["widgets_values"][0] = 2
        if node["type"] == "ConceptAlgebra_EncodeText":
            node["widgets_values"][0] = "a_b <i>c</i>"
    return graph


def test_the_card_stands_on_its_node_after_a_run(page, small):  # noqa: F811
    load(page, small)
    assert page.evaluate(TEXT) == "Run to see whether it worked."
    page.evaluate("""() => {
        window.over = null;
        for (const kind of ['execution_success', 'execution_error']) app.api.addEventListener(kind, event => { window.over = [kind, event.detail.exception_message]; });
        app.queuePrompt(0, 1);
    }""")
    page.wait_for_function("() => window.over")
    assert page.evaluate("() => window.over[0]") == "execution_success"
    page.wait_for_function("() => document.querySelector('.concept-algebra-card table')")
    said = page.evaluate(TEXT)
    # what stands in the expression is neither Markdown nor HTML
    assert said.startswith('"a_b <i>c</i>": image, honest') and "not judged. No judge was given" in said
    assert not any(sign in said for sign in ("**", "\\", "|", "<sub>"))
    rows = "() => [...document.querySelectorAll('.concept-algebra-card tr')].map(row => [...row.cells].map(cell => cell.innerText))"
    assert page.evaluate(rows)[0] == ["reading", "value"] and all(len(row) == 2 for row in page.evaluate(rows))
    assert page.evaluate("() => document.querySelector('.concept-algebra-card strong').innerText") == "not judged"
    assert page.complaints == []


def test_every_form_of_a_card_is_read(page):  # noqa: F811
    drawn = page.evaluate(
        """async text => {
            const { drawn } = await import('/extensions/concept-algebra/markdown.js');
            return drawn(text).map(part => [part.tagName, part.textContent, [...part.querySelectorAll('td')].map(cell => cell.textContent)]);
        }""",
        "## dog \\| cat\n\n**succeeded**. All 2 did.\n\n| part | role |\n| --- | --- |\n| a \\| b | kept |\n\n- one \\*two\\*\n- three\n\n<sub>By `siglip-1`.</sub>\n",
    )
    assert drawn == [
        ["DIV", "dog | cat", []], ["P", "succeeded. All 2 did.", []], ["TABLE", "partrolea | bkept", ["a | b", "kept"]], ["UL", "one *two*three", []],
        ["P", "By siglip-1.", []],
    ]  # fmt: skip
