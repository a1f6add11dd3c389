/** The panel of named features on a node: bars, and with an editor also switches, factors and a search. */

import { additions, dropped, named, rewritten, standing } from "./edits.js";
import { createRow, element } from "./rows.js";
import { createSearch } from "./search.js";

const NEXT = { on: "off", off: "erased", erased: "scaled" };
const START = 0.5; // how much of a feature is added at first
const UNKNOWN = { loading: "the names are being read", failed: "the names could not be read; run again" };

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
    let state = "unread"; // of the names: unread, loading, failed, read
    let from = null; // the file that they lie in
    let asked = 0;
    let awaited = false; // by the run that is going on
    let run = null; // the text when that run began
    let ran = null; // the text that what is shown came from; null where that is not known
    let failure = null; // of the last run: what it says of this node, "" where another one failed
    let parts = new Map(); // what is in the list, by what it is

    // the canvas would zoom and drag; what the page does with Ctrl is for the page
    list.addEventListener("wheel", (event) => event.stopPropagation());
    root.addEventListener("pointerdown", (event) => event.stopPropagation());
    for (const kind of ["keydown", "keyup"]) {
        root.addEventListener(kind, (event) => {
            if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
        });
    }

    const editing = () => editor !== null && !editor.linked();

    function written(text) {
        if (editing()) editor.write(text);
        draw();
    }

    const edit = (change) => written(rewritten(editor.read(), change));

    function there(name) {
        const now = standing(editor.read(), name).state;
        edit({ kind: NEXT[now], name, amount: 1 });
    }

    const acts = {
        there: (name) => ({ clicked: () => there(name), changed: (amount) => edit({ kind: "scaled", name, amount }) }),
        added: (name) => ({ clicked: () => edit({ kind: "added", name, amount: 0 }), changed: (amount) => edit({ kind: "added", name, amount }) }),
        unknown: (name) => ({ clicked: () => written(dropped(editor.read(), name)) }),
        taken: () => ({}),
    };

    const box = editor && createSearch({
        names: () => names,
        missing: () => UNKNOWN[state] ?? "run once, then the names are known",
        chosen: (name) => edit({ kind: "added", name, amount: standing(editor.read(), name).added + START }),
    });

    function draw() {
        const before = parts;
        parts = new Map();
        const edits = editing();
        const text = edits ? editor.read() : "";
        const known = new Set(names);
        const unknown = edits && known.size ? named(text).filter((name) => !known.has(name)) : [];
        const put = (key, make) => {
            const part = before.get(key) ?? make();
            parts.set(key, part);
            return part;
        };
        const say = (key, kind, said) => put(`${key} ${said}`, () => ({ root: Object.assign(element("div", kind, said), { title: said }) })).root;
        const row = (key, kind, name, values) => put(`${key} ${edits} ${kind} ${name}`, () => createRow({ kind, name, editing: edits, ...(edits ? acts[kind](name) : {}) })).update(values);

        if (box) box.root.hidden = !edits;
        if (failure !== null) say("failure", "failure", failure || "The last run failed on another node.");
        for (const name of unknown) row("unknown", "unknown", name, {});
        if (failure !== null && charts.length) say("failure", "hint", "What follows is of the run before.");
        if (!charts.length) say("start", "hint", "Run once to see the features.");
        for (const [index, chart] of charts.entries()) {
            const added = edits ? additions(text).filter((name) => !unknown.includes(name)) : [];
            const sums = added.map((name) => standing(text, name).added);
            const most = Math.max(1e-9, ...sums, ...[...chart.there, ...chart.taken].map(([, amount]) => amount));
            const addition = (name) => {
                const now = standing(text, name);
                const shown = now.state === "erased" ? 0 : now.added; // erasing comes last
                row(index, "added", name, { shown, share: shown / most, state: shown ? "on" : "erased", value: now.added });
            };
            say(`${index} title`, "title", chart.title);
            for (const [name, amount] of chart.there) {
                const now = edits ? standing(text, name) : { state: "on", factor: 1 };
                const shown = now.state === "on" ? amount * now.factor : 0;
                row(index, "there", name, { shown, share: shown / most, state: now.state, value: now.factor });
                if (added.includes(name)) addition(name);
            }
            const present = new Set(chart.there.map(([name]) => name));
            for (const name of added) if (!present.has(name)) addition(name);
            for (const [name, amount] of chart.taken) row(index, "taken", name, { shown: amount, share: amount / most });
            say(`${index} summary`, "hint", chart.summary);
            const old = edits && ran !== null && text !== ran;
            if (old) say(`${index} old`, "hint", "The edits have changed since they were run; run again to see what they do.");
            for (const [number, line] of (chart.report ?? []).entries()) say(`${index} ${number}`, "hint", line).classList.toggle("concept-algebra-old", old);
        }
        arrange(list, [...parts.values()].map((part) => part.root));
    }

    async function read(where) {
        const turn = ++asked;
        if (where?.filename !== from) names = [];
        from = where?.filename;
        state = where && fetched ? "loading" : "unread";
        if (state === "loading") {
            try {
                const found = await fetched(where);
                if (turn !== asked) return;
                names = found;
                state = "read";
            } catch {
                if (turn !== asked) return;
                state = "failed";
            }
        }
        box?.draw();
        draw();
    }

    if (box) root.append(box.root);
    root.append(list);
    draw();
    return {
        root,
        draw,
        /** Told when a run begins: what it will show comes from the text as it is now. */
        started() {
            awaited = true;
            run = editor?.read() ?? null;
        },
        /** Told when the run takes what is shown from the one before: it is as new as can be. */
        cached() {
            awaited = false;
        },
        /** Told when the run failed: what the page says of this node, "" where another node failed. */
        failed(said) {
            if (!awaited) return;
            awaited = false;
            failure = said;
            draw();
        },
        /** Show what a node's output holds; `now` when it comes from the run that is going on. */
        async show(found, now = false) {
            charts = found ?? [];
            failure = null;
            ran = now ? run : null;
            if (now) awaited = false;
            draw();
            await read(charts[0]?.names);
        },
    };
}

/** Makes these the children, in this order, and touches none that stays where it is: a focus would go. */
function arrange(parent, wanted) {
    const kept = new Set(wanted);
    for (const child of [...parent.children]) if (!kept.has(child)) child.remove();
    for (const [index, child] of wanted.entries()) if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
}
