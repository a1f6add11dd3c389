/** Shows what a run says on Eval Card and on Interpret, and the maps of the latter. */

import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { drawn } from "./markdown.js";
import { after, placeOf, style } from "./placed.js";
import { element } from "./rows.js";

const HEIGHT = 220;
// What stands on a node before it has run, and the size of one just made; a saved one has its own.
const NODES = {
    ConceptAlgebra_EvalCard: { empty: "Run to see whether it worked.", size: [440, 420] },
    ConceptAlgebra_Interpret: { empty: "Run to read the render.", size: [560, 760] },
};
const cards = new Map(); // of the nodes that are in a graph
// The element that a card lies in, by the place of its node; see web/features.js.
const hosts = new Map();

/** The pictures of one text, each of which opens by itself when it is clicked. */
function figures(files) {
    const root = element("div", "figures");
    for (const file of files) {
        const link = root.appendChild(document.createElement("a"));
        const picture = link.appendChild(element("img", "figure"));
        Object.assign(link, { href: api.apiURL(`/view?${new URLSearchParams(file)}`), target: "_blank", title: "open by itself" });
        picture.src = link.href;
    }
    return root;
}

function createCard(empty) {
    const root = element("div", "card", empty);
    // the canvas would zoom and drag
    for (const kind of ["wheel", "pointerdown"]) root.addEventListener(kind, (event) => event.stopPropagation());
    // over a list of renders there are several
    const show = (output) => {
        const parts = output?.card?.flatMap((text, index) => [...drawn(text), figures(output.figures?.[index] ?? [])]);
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
        const options = { serialize: false, hideOnZoom: false, getMinHeight: () => HEIGHT, getValue: () => "", setValue: () => {} };
        const widget = node.addDOMWidget("card", "concept_algebra_card", host, options);
        widget.serialize = false;
        node.setSize?.(kind.size.map((side, index) => Math.max(side, node.size[index])));
        after(node, "onAdded", () => {
            const place = placeOf(node);
            if (!hosts.has(place)) hosts.set(place, host);
            widget.element = hosts.get(place);
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
