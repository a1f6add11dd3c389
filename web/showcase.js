/** Puts "open the page" on Showcase: a target's page with its pictures, sounds and clips, over ComfyUI's own. */

import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { addressOf, after, placeOf, style } from "./placed.js";
import { element } from "./rows.js";

const SHOWS = "ConceptAlgebra_Showcase";
const SIZE = [420, 700]; // of a node just made; a saved one has its own
const found = new Map(); // what a node's last run has made, by the node

/** Whether what ComfyUI sends along with its answers keeps media inside a page from playing, as --disable-api-nodes does. */
export function silenced(policy) {
    const rules = new Map((policy ?? "").split(";").map((rule) => rule.trim().split(/\s+/)).map(([name, ...sources]) => [name.toLowerCase(), sources]));
    const sources = rules.get("media-src") ?? rules.get("default-src");
    return sources !== undefined && !sources.includes("data:");
}

/** The page without what leads out of it: files beside it are not where it is shown. */
export function alone(text) {
    const page = new DOMParser().parseFromString(text, "text/html");
    for (const link of page.querySelectorAll("a[href]:not([href^='#'])")) link.removeAttribute("href");
    for (const source of page.querySelectorAll("source:not([src^='data:'])")) source.remove();
    return `<!doctype html>${page.documentElement.outerHTML}`;
}

/** A dialog with one of several pages in it, each named as a node's output names a file, with a title; of none it says what to do. */
function opened(pages) {
    const dialog = element("dialog", "page");
    const choice = element("select", "targets");
    choice.append(...pages.map(({ title }, index) => new Option(title, index)));
    choice.hidden = pages.length < 2;
    const title = element("strong", "target");
    const place = element("span", "place");
    const save = element("a", "save", "save the page");
    const close = element("button", "close", "close");
    const said = element("p", "said");
    const frame = document.createElement("iframe");
    // an origin of its own: somebody else's page cannot touch ComfyUI
    frame.setAttribute("sandbox", "allow-scripts");
    const head = element("div", "head");
    head.append(title, choice, place, save, close);
    dialog.append(head, said, frame);

    let asked = 0;
    async function show(page) {
        const turn = ++asked;
        title.textContent = pages.length < 2 ? page.title : "";
        frame.title = page.title;
        place.textContent = `output/${page.subfolder}`;
        save.href = api.apiURL(addressOf(page));
        save.download = `${page.subfolder.split(/[\\/]/).at(-1)}.html`;
        said.textContent = "";
        try {
            // a link to it would only save it: ComfyUI hands HTML out as a download
            const answer = await api.fetchApi(addressOf(page));
            if (!answer.ok) throw new Error(answer.status === 404 ? "the folder is gone: run with another seed, and it is made again" : `ComfyUI answered ${answer.status}`);
            const text = await answer.text();
            if (turn !== asked) return;
            if (silenced(answer.headers.get("Content-Security-Policy"))) {
                said.textContent = "This ComfyUI lets no sound and no clip play inside a page (--disable-api-nodes does that). Save the page and open it by itself.";
            }
            frame.srcdoc = alone(text);
        } catch (error) {
            if (turn === asked) said.textContent = `The page cannot be shown: ${error.message}.`;
        }
    }

    choice.addEventListener("change", () => show(pages[Number(choice.value)]));
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => dialog.remove());
    // what is typed here is not for the graph
    for (const kind of ["keydown", "keyup", "wheel", "paste", "copy"]) dialog.addEventListener(kind, (event) => event.stopPropagation());
    document.body.append(dialog);
    dialog.showModal();
    if (pages.length) {
        show(pages[0]);
    } else {
        for (const part of [place, save, frame]) part.remove();
        said.textContent = "Run first: the page of what comes out opens here.";
    }
}

app.registerExtension({
    name: "ConceptAlgebra.Showcase",
    // a workflow that is shown again brings its outputs after its nodes
    onNodeOutputsUpdated(outputs) {
        for (const node of found.keys()) keep(node, outputs?.[placeOf(node)]);
    },
    nodeCreated(node) {
        if (node.comfyClass !== SHOWS) return;
        style("showcase");
        found.set(node, []);
        const open = node.addWidget("button", "open the page", null, () => opened(found.get(node) ?? []));
        open.serialize = false;
        open.options.serialize = false;
        node.setSize?.(SIZE.map((side, index) => Math.max(side, node.size[index])));
        after(node, "onAdded", () => found.has(node) || found.set(node, []));
        after(node, "onConfigure", () => keep(node, app.nodeOutputs?.[placeOf(node)]));
        after(node, "onExecuted", (output) => {
            keep(node, output);
            forget(node);
        });
        after(node, "onRemoved", () => found.delete(node));
    },
});

/** Takes the last preview of a run away: Nodes 2.0 shows previews in place of what came out, for as long as they are there. */
function forget(node) {
    const page = document.getElementById("vue-app")?.__vue_app__?.config.globalProperties;
    // there is no other way to its own store; without it, the sheet shows twice, for it is the last preview too
    setTimeout(() => page?.$pinia?._s?.get("nodeOutput")?.revokePreviewsByExecutionId?.(placeOf(node)), 0);
}

function keep(node, output) {
    if (!output?.page?.length) return;
    found.set(node, output.page);
}
