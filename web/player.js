/** Gives Save Render what ComfyUI's page gives to its own nodes only: the player of sounds, and that of clips. */

import { app } from "../../scripts/app.js";

const SAVES = "ConceptAlgebra_SaveRender";

// ComfyUI 0.8 in Nodes 2.0 takes everything for a picture that comes from a node without a VIDEO input
function tellKind(node, output) {
    if (output?.images) node.previewMediaType = output.animated?.some(Boolean) ? "video" : "image";
}

app.registerExtension({
    name: "ConceptAlgebra.Player",
    beforeRegisterNodeDef(kind, definition) {
        if (kind.comfyClass === SAVES) definition.input.required.audioUI = ["AUDIO_UI", {}];
    },
    nodeCreated(node) {
        if (node.comfyClass !== SAVES) return;
        // it shows what a run has made, and is no part of what is asked
        node.widgets.find(({ name }) => name === "audioUI").options.serialize = false;
        const before = node.onExecuted;
        node.onExecuted = function (output, ...rest) {
            tellKind(this, output);
            return before?.call(this, output, ...rest);
        };
    },
    /** When a workflow comes back with what it had made. */
    onNodeOutputsUpdated(outputs) {
        for (const [id, output] of Object.entries(outputs)) {
            const node = app.graph.getNodeById(id);
            if (node?.comfyClass === SAVES) tellKind(node, output);
        }
    },
});
