/** Puts the panel of named features on SAE Decompose and Edit Features. */

import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { createPanel } from "./panel.js";
import { addressOf, after, placeOf, style } from "./placed.js";

const SHOWS = "ConceptAlgebra_Decompose";
const EDITS = "ConceptAlgebra_EditFeatures";
const HEIGHTS = { [SHOWS]: 200, [EDITS]: 240 };
const SIZES = { [SHOWS]: [340, 360], [EDITS]: [420, 480] }; // of a node just made; a saved one has its own
const lists = new Map(); // all names of a dictionary, by the file that they lie in
const panels = new Map(); // of the nodes that are in a graph
// The element that a panel lies in, by the place of its node, and empty without one. Undoing and changing workflows make
// every node anew, and Nodes 2.0 leaves the old node's element where it is when the new one stands in the same place.
const hosts = new Map();

async function fetched(file) {
    const { filename } = file;
    if (!lists.has(filename)) {
        const answer = await api.fetchApi(addressOf(file));
        if (!answer.ok) throw new Error(`${filename}: ${answer.status}`);
        lists.set(filename, await answer.json());
    }
    return lists.get(filename);
}

/** The number of a node that a run names: inside subgraphs theirs come first. */
function numberOf(id) {
    return String(id ?? "").split(":").at(-1);
}

function editorOf(node) {
    const widget = node.widgets?.find(({ name }) => name === "edits");
    if (!widget) return null;
    return {
        widget,
        linked: () => node.inputs?.some((input) => input.widget?.name === "edits" && input.link != null) ?? false,
        read: () => String(widget.value ?? ""),
        write(text) {
            widget.value = text;
            widget.callback?.(text);
            node.graph?.setDirtyCanvas?.(true, true);
        },
    };
}

app.registerExtension({
    name: "ConceptAlgebra.Features",
    setup() {
        api.addEventListener("execution_start", () => {
            for (const panel of panels.values()) panel.started();
        });
        api.addEventListener("execution_cached", ({ detail }) => {
            const ids = new Set((detail?.nodes ?? []).map(numberOf));
            for (const [node, panel] of panels) if (ids.has(String(node.id))) panel.cached();
        });
        api.addEventListener("execution_error", ({ detail }) => {
            for (const [node, panel] of panels) panel.failed(numberOf(detail?.node_id) === String(node.id) ? detail.exception_message : "");
        });
    },
    // a workflow that is shown again brings its outputs after its nodes
    onNodeOutputsUpdated(outputs) {
        for (const [node, panel] of panels) panel.show(outputs?.[placeOf(node)]?.features);
    },
    nodeCreated(node) {
        const height = HEIGHTS[node.comfyClass];
        if (!height || typeof node.addDOMWidget !== "function") return;
        style("features");
        const editor = node.comfyClass === EDITS ? editorOf(node) : null;
        const panel = createPanel({ editor, fetched });
        const host = Object.assign(document.createElement("div"), { className: "concept-algebra-host" });
        host.append(panel.root);
        const options = { serialize: false, hideOnZoom: false, getMinHeight: () => height, getValue: () => "", setValue: () => {} };
        const widget = node.addDOMWidget("features", "concept_algebra_features", host, options);
        widget.serialize = false;
        if (editor) after(editor.widget, "callback", panel.draw);
        node.setSize?.(SIZES[node.comfyClass].map((side, index) => Math.max(side, node.size[index])));
        after(node, "onAdded", () => {
            const place = placeOf(node);
            if (!hosts.has(place)) hosts.set(place, host);
            widget.element = hosts.get(place);
            widget.element.replaceChildren(panel.root);
            panels.set(node, panel);
        });
        after(node, "onConfigure", () => panel.show(app.nodeOutputs?.[placeOf(node)]?.features));
        after(node, "onConnectionsChange", panel.draw);
        after(node, "onRemoved", () => {
            panel.root.remove();
            panels.delete(node);
        });
        after(node, "onExecuted", (output) => panel.show(output?.features, true));
    },
});
