/** The panel of named features on a node: bars, and with an editor also switches, factors and a search. */

import { additions, rewritten, search, standing } from "./edits.js";

const NEXT = { on: "off", off: "erased", erased: "on" };
const SIGNS = { on: "\u25cf", off: "\u25cb", erased: "\u2298" };
const SAID = {
    on: "on: click to switch this feature off",
    off: "off: click to erase also what else points along it",
    erased: "off and erased: click to switch it on again",
};
const START = 0.5; // how much of a feature is added at first

function element(kind, name, text = "") {
    const made = document.createElement(kind);
    made.className = `concept-algebra-${name}`;
    if (text) made.textContent = text;
    return made;
}

function number(value, title, changed) {
    const input = element("input", "number");
    Object.assign(input, { type: "number", min: 0, step: 0.1, value: String(value), title });
    input.setAttribute("aria-label", title);
    input.addEventListener("change", () => {
        const amount = Number(input.value);
        if (input.value !== "" && Number.isFinite(amount) && amount >= 0) changed(amount);
        else input.value = String(value);
    });
    return input;
}

/**
 * A panel to put on a node.
 *
 * editor: {read, write, linked} of the text of edits, for a panel that edits; null for one that shows. While `linked` says
 * that the text comes from another node, it shows too.
 * fetched: gets the list of all names from where a run says that it lies.
 */
export function createPanel({ editor = null, fetched = null }) {
    const root = element("div", "panel");
    const list = element("div", "list");
    let charts = [];
    let names = [];

    // the canvas would zoom and drag
    list.addEventListener("wheel", (event) => event.stopPropagation());
    for (const kind of ["pointerdown", "keydown", "keyup"]) root.addEventListener(kind, (event) => event.stopPropagation());

    function edit(change) {
        editor.write(rewritten(editor.read(), change));
        draw();
    }

    const editing = () => editor !== null && !editor.linked();

    function row(name, amount, most, kind) {
        const line = element("div", "row");
        const bar = element("div", "bar");
        const fill = element("div", kind);
        const label = element("span", "name", name);
        label.title = name;
        let shown = amount;
        if (editing() && kind === "there") {
            const now = standing(editor.read(), name);
            shown = now.state === "erased" ? 0 : (now.state === "off" ? 0 : amount * now.factor) + now.added;
            const off = element("button", "switch", SIGNS[now.state]);
            off.type = "button";
            off.title = `${name} is ${SAID[now.state]}`;
            off.setAttribute("aria-label", off.title);
            off.addEventListener("click", () => edit({ kind: NEXT[now.state] === "on" ? "scaled" : NEXT[now.state], name, amount: 1 }));
            line.classList.toggle("concept-algebra-off", now.state !== "on");
            const factor = number(now.factor, `how many times as strong ${name} is`, (factor) => edit({ kind: "scaled", name, amount: factor }));
            line.append(off, label, bar, element("span", "amount", shown.toFixed(2)), factor);
        } else if (editing() && kind === "added") {
            const away = element("button", "switch", "\u00d7");
            away.type = "button";
            away.title = `do not add ${name}`;
            away.setAttribute("aria-label", away.title);
            away.addEventListener("click", () => edit({ kind: "added", name, amount: 0 }));
            const much = number(amount, `how much of ${name} is added`, (amount) => edit({ kind: "added", name, amount }));
            line.append(away, label, bar, element("span", "amount", amount.toFixed(2)), much);
        } else {
            line.append(label, bar, element("span", "amount", shown.toFixed(2)));
            if (editing()) {
                line.prepend(element("span", "switch"));
                line.append(element("span", "blank"));
            }
        }
        fill.style.width = `${Math.min(100, (100 * shown) / most)}%`;
        bar.append(fill);
        return line;
    }

    function draw() {
        list.replaceChildren();
        if (!charts.length) list.append(element("p", "hint", "Run once to see the features."));
        for (const { title, there, taken, summary, report = [] } of charts) {
            const known = new Set(there.map(([name]) => name));
            const added = editing() ? additions(editor.read(), known).map((name) => [name, standing(editor.read(), name).added]) : [];
            const most = Math.max(1e-9, ...[...there, ...taken, ...added].map(([, amount]) => amount));
            const head = element("div", "title", title);
            head.title = title;
            list.append(head);
            for (const [name, amount] of there) list.append(row(name, amount, most, "there"));
            for (const [name, amount] of added) list.append(row(name, amount, most, "added"));
            for (const [name, amount] of taken) list.append(row(name, amount, most, "taken"));
            for (const text of [summary, ...report]) list.append(element("p", "hint", text));
        }
    }

    if (editor) root.append(searchBox(() => names, (name) => edit({ kind: "added", name, amount: standing(editor.read(), name).added + START })));
    root.append(list);
    draw();
    return {
        root,
        draw,
        async show(found) {
            charts = found ?? [];
            draw();
            const where = charts[0]?.names;
            if (where && fetched) names = await fetched(where);
        },
    };
}

function searchBox(names, chosen) {
    const box = element("div", "search");
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
        if (input.value.trim() && !hits.length) {
            found.append(element("p", "hint", names().length ? "no feature is called so" : "run once, then the names are known"));
        }
    }
    input.addEventListener("input", draw);
    input.addEventListener("keydown", (event) => {
        if (event.key === "Enter") found.querySelector("button")?.click();
    });
    box.append(input, found);
    return box;
}
