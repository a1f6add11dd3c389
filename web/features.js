/** Puts the panel of named features on SAE Decompose and Edit Features. */

import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { createPanel } from "./panel.js";

const SHOWS = "ConceptAlgebra_Decompose";
const EDITS = "ConceptAlgebra_EditFeatures";
const HEIGHTS = { [SHOWS]: 200, [EDITS]: 240 };
const SIZES = { [SHOWS]: [340, 360], [EDITS]: [420, 480] }; // of a node just made; a saved one has its own
const lists = new Map(); // all names of a dictionary, by the file that they lie in

async function fetched({ filename, subfolder, type }) {
    if (!lists.has(filename)) {
        const answer = await api.fetchApi(`/view?${new URLSearchParams({ filename, subfolder, type })}`);
        if (!answer.ok) return [];
        lists.set(filename, await answer.json());
    }
    return lists.get(filename);
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

function style() {
    const id = "concept-algebra-features";
    if (document.getElementById(id)) return;
    const link = Object.assign(document.createElement("link"), { id, rel: "stylesheet", href: new URL("./features.css", import.meta.url).href });
    document.head.append(link);
}

app.registerExtension({
    name: "ConceptAlgebra.Features",
    nodeCreated(node) {
        const height = HEIGHTS[node.comfyClass];
        if (!height || typeof node.addDOMWidget !== "function") return;
        style();
        const editor = node.comfyClass === EDITS ? editorOf(node) : null;
        const panel = createPanel({ editor, fetched });
        const options = { serialize: false, hideOnZoom: false, getMinHeight: () => height, getValue: () => "", setValue: () => {} };
        const widget = node.addDOMWidget("features", "concept_algebra_features", panel.root, options);
        widget.serialize = false;
        if (editor) {
            const told = editor.widget.callback;
            editor.widget.callback = function (...args) {
                panel.draw();
                return told?.apply(this, args);
            };
        }
        node.setSize?.(SIZES[node.comfyClass].map((side, index) => Math.max(side, node.size[index])));
        const executed = node.onExecuted;
        node.onExecuted = function (output, ...rest) {
            executed?.call(this, output, ...rest);
            panel.show(output?.features);
        };
    },
});
