/** Shows the card of a run on Eval Card. */

import { app } from "../../scripts/app.js";
import { drawn } from "./markdown.js";
import { after, placeOf, style } from "./placed.js";
import { element } from "./rows.js";

const HEIGHT = 220;
const SIZE = [440, 420]; // of a node just made; a saved one has its own
const EMPTY = "Run to see whether it worked.";
const cards = new Map(); // of the nodes that are in a graph
// The element that a card lies in, by the place of its node; see web/features.js.
const hosts = new Map();

function createCard() {
    const root = element("div", "card", EMPTY);
    // the canvas would zoom and drag
    for (const kind of ["wheel", "pointerdown"]) root.addEventListener(kind, (event) => event.stopPropagation());
    // over a list of renders there are several
    const show = (texts) => {
        if (texts?.length) root.replaceChildren(...drawn(texts.join("\n\n")));
    };
    return { root, show };
}

app.registerExtension({
    name: "ConceptAlgebra.Card",
    // a workflow that is shown again brings its outputs after its nodes
    onNodeOutputsUpdated(outputs) {
        for (const [node, card] of cards) card.show(outputs?.[placeOf(node)]?.card);
    },
    nodeCreated(node) {
        if (node.comfyClass !== "ConceptAlgebra_EvalCard" || typeof node.addDOMWidget !== "function") return;
        style("card");
        style("features");
        const card = createCard();
        const host = element("div", "host");
        host.append(card.root);
        const options = { serialize: false, hideOnZoom: false, getMinHeight: () => HEIGHT, getValue: () => "", setValue: () => {} };
        const widget = node.addDOMWidget("card", "concept_algebra_card", host, options);
        widget.serialize = false;
        node.setSize?.(SIZE.map((side, index) => Math.max(side, node.size[index])));
        after(node, "onAdded", () => {
            const place = placeOf(node);
            if (!hosts.has(place)) hosts.set(place, host);
            widget.element = hosts.get(place);
            widget.element.replaceChildren(card.root);
            cards.set(node, card);
        });
        after(node, "onConfigure", () => card.show(app.nodeOutputs?.[placeOf(node)]?.card));
        after(node, "onRemoved", () => {
            card.root.remove();
            cards.delete(node);
        });
        after(node, "onExecuted", (output) => card.show(output?.card));
    },
});
