/** The rows of the panel. Each is made once and then kept up to date, so that what is pressed or typed in stays there. */

const SIGNS = { on: "\u25cf", off: "\u25cb", erased: "\u2298" };
const SAID = {
    on: "on: click to switch this feature off",
    off: "off: click to erase also what else points along it",
    erased: "off and erased: click to switch it on again",
};

export function element(kind, name, text = "") {
    const made = document.createElement(kind);
    made.className = `concept-algebra-${name}`;
    if (text) made.textContent = text;
    return made;
}

/**
 * A row: {root, update}.
 *
 * kind: "there", "added", "taken" or "unknown", which colours the bar. clicked: what its switch does; changed: what its number
 * does, told the amount. update takes {shown, share, state, value}: the amount beside the bar, how much of the bar it fills
 * (0 to 1), the state of the switch and what stands in the number; a row that lacks a part leaves out what is of it.
 */
export function createRow({ kind, name, editing, clicked = null, changed = null }) {
    const root = element("div", "row");
    const label = element("span", "name", name);
    label.title = name;
    const bar = element("div", "bar");
    const fill = element("div", kind);
    const amount = element("span", "amount");
    const off = clicked && button(clicked);
    const input = changed && number(kind === "there" ? `how many times as strong ${name} is` : `how much of ${name} is added`, changed);
    bar.append(fill);
    if (kind === "unknown") root.append(off, label, element("span", "lacking", "no such feature"));
    else if (editing) root.append(off ?? element("span", "switch"), label, bar, amount, input?.root ?? element("span", "blank"));
    else root.append(label, bar, amount);
    return {
        root,
        update({ shown = 0, share = 0, state = "on", value }) {
            amount.textContent = shown.toFixed(2);
            fill.style.width = `${100 * Math.min(1, Math.max(0, share))}%`;
            root.classList.toggle("concept-algebra-off", state !== "on");
            input?.update(value);
            if (!off) return;
            off.textContent = kind === "there" ? SIGNS[state] : "\u00d7";
            off.title = { there: `${name} is ${SAID[state]}`, added: `do not add ${name}`, unknown: `take ${name} out of the text` }[kind];
            off.setAttribute("aria-label", off.title);
        },
    };
}

function button(clicked) {
    const made = element("button", "switch");
    made.type = "button";
    made.addEventListener("click", clicked);
    return made;
}

function number(title, changed) {
    const root = element("input", "number");
    let value = 0;
    Object.assign(root, { type: "number", min: 0, step: 0.1, title });
    root.setAttribute("aria-label", title);
    root.addEventListener("change", () => {
        const amount = Number(root.value);
        if (root.value !== "" && Number.isFinite(amount) && amount >= 0) changed(amount);
        else root.value = String(value);
    });
    root.addEventListener("blur", () => {
        root.value = String(value);
    });
    return {
        root,
        update(now) {
            value = now;
            // what is being typed is the reader's
            if (document.activeElement !== root) root.value = String(now);
        },
    };
}
