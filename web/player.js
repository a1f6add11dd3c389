/** Gives Save Render ComfyUI's own player, which its page gives to its own nodes only. */

import { app } from "../../scripts/app.js";

const PLAYS = "ConceptAlgebra_SaveRender";

app.registerExtension({
    name: "ConceptAlgebra.Player",
    beforeRegisterNodeDef(kind, definition) {
        if (kind.comfyClass === PLAYS) definition.input.required.audioUI = ["AUDIO_UI", {}];
    },
    nodeCreated(node) {
        if (node.comfyClass !== PLAYS) return;
        // it shows what a run has made, and is no part of what is asked
        node.widgets.find(({ name }) => name === "audioUI").options.serialize = false;
    },
});
