/** Shows what a run says on Eval Card and on Interpret, and the maps of the latter. */

import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { drawn } from "./markdown.js";
import { addressOf, after, placeOf, style } from "./placed.js";
import { element } from "./rows.js";

// What stands on a node before it has run, the least height of its card, and the size of one just made; a saved one has its own.
const NODES = {
    ConceptAlgebra_EvalCard: { empty: "Run to see whether it worked.", least: 220, size: [440, 420] },
    ConceptAlgebra_Interpret: { empty: "Run to read the render.", least: 420, size: [600, 800] },
};
const cards = new Map(); // of the nodes that are in a graph
// The element that a card lies in, by the place of its node; see web/features.js.
const hosts = new Map();

/** The maps of one reading beside each other; each opens with its title and scale. */
function drawnMaps(maps) {
    if (!maps?.length) return [];
    const list = element("div", "maps");
    for (const { said, small, large } of maps) {
        const link = list.appendChild(element("a", "map"));
        const picture = Object.assign(document.createElement("img"), { src: api.apiURL(addressOf(small)), alt: said });
        Object.assign(link, { href: api.apiURL(addressOf(large)), target: "_blank", title: "open with its scale" });
        link.append(picture, element("span", "said", said));
    }
    return [element("p", "said", "Where it was seen: red speaks for it, blue against it."), list];
}

function createCard(empty) {
    const root = element("div", "card", empty);
    // the canvas would zoom and drag
    for (const kind of ["wheel", "pointerdown"]) root.addEventListener(kind, (event) => event.stopPropagation());
    // over a list of renders there are several
    const show = (output) => {
        const parts = output?.card?.flatMap((text, index) => [...drawnMaps(output.maps?.[index]), ...drawn(text)]);
        if (parts?.length) root.replaceChildren(...parts);
    };
    return { root, show };
}

app.registerExtension({
    name: "ConceptAlgebra.Card",
    // a workflow that is shown again brings its outputs after its nodes
    onNodeOutputsUpdated(outputs) {
        for (const [node, card] of cards) card.show(outputs?.[placeOf(node)]);
    },
    nodeCreated(node) {
        const kind = NODES[node.comfyClass];
        if (!kind || typeof node.addDOMWidget !== "function") return;
        style("card");
        style("features");
        const card = createCard(kind.empty);
        const host = element("div", "host");
        host.append(card.root);
        const options = { serialize: false, hideOnZoom: false, getMinHeight: () => kind.least, getValue: () => "", setValue: () => {} };
        const widget = node.addDOMWidget("card", "concept_algebra_card", host, options);
        widget.serialize = false;
        node.setSize?.(kind.size.map((side, index) => Math.max(side, node.size[index])));
        after(node, "onAdded", () => {
            const place = placeOf(node);
            if (!hosts.has(place)) hosts.set(place, host);
            widget.element = hosts.get(place);
            widget.element.style.minHeight = `${kind.least}px`; // Nodes 2.0 asks the element
            widget.element.replaceChildren(card.root);
            cards.set(node, card);
        });
        after(node, "onConfigure", () => card.show(app.nodeOutputs?.[placeOf(node)]));
        after(node, "onRemoved", () => {
            card.root.remove();
            cards.delete(node);
        });
        after(node, "onExecuted", (output) => card.show(output));
    },
});
