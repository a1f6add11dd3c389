/** The search for a feature to add, by its name. */

import { search } from "./edits.js";
import { element } from "./rows.js";

/** names: gives all names; missing: says why there are none; chosen: told the name that is picked. */
export function createSearch({ names, missing, chosen }) {
    const root = element("div", "search");
    const input = element("input", "query");
    Object.assign(input, { type: "search", placeholder: "add a feature by name", autocomplete: "off", spellcheck: false });
    input.setAttribute("aria-label", "add a feature by name");
    const found = element("div", "found");
    function draw() {
        found.replaceChildren();
        const hits = search(names(), input.value);
        for (const name of hits) {
            const hit = element("button", "hit", name);
            hit.type = "button";
            hit.title = `add ${name}`;
            hit.addEventListener("click", () => {
                input.value = "";
                draw();
                chosen(name);
            });
            found.append(hit);
        }
        if (input.value.trim() && !hits.length) found.append(element("p", "hint", names().length ? "no feature is called so" : missing()));
    }
    input.addEventListener("input", draw);
    input.addEventListener("keydown", (event) => {
        const plain = !event.ctrlKey && !event.metaKey && !event.altKey && !event.shiftKey && !event.isComposing;
        if (event.key === "Enter" && plain) found.querySelector("button")?.click();
    });
    root.append(input, found);
    return { root, draw };
}
