/**
 * The Markdown of an evaluation card and of a reading as elements. Kept in step with ops/evaluate/card_markdown.py and
 * ops/interpret/bundle_views.py: it reads what they write, and no more.
 */

import { element } from "./rows.js";

const MARKS = /\\(.)|\*\*(.+?)\*\*|`([^`]*)`|<\/?sub>/gs;

/** A line's text in an element: bold and code marked, escapes undone. What looks like HTML stays text. */
function written(parent, text) {
    let at = 0;
    for (const match of text.matchAll(MARKS)) {
        const [whole, escaped, bold, code] = match;
        parent.append(text.slice(at, match.index));
        at = match.index + whole.length;
        if (escaped) parent.append(escaped);
        if (bold) written(parent.appendChild(document.createElement("strong")), bold);
        if (code) parent.append(code);
    }
    parent.append(text.slice(at));
    return parent;
}

/** The cells of a table's row: a bar between them is bare, one inside them is escaped. */
const cells = (line) => line.slice(1, -1).split(/(?<!\\)\|/).map((cell) => cell.trim());

function table(lines) {
    const root = element("table", "table");
    for (const [index, line] of lines.entries()) {
        if (index === 1) continue; // the rule under the heads
        const row = root.insertRow();
        for (const cell of cells(line)) written(row.appendChild(document.createElement(index ? "td" : "th")), cell);
    }
    return root;
}

function block(text) {
    const lines = text.split("\n");
    const head = /^#{2,3} /.exec(text);
    if (head) return written(element("div", "title"), text.slice(head[0].length));
    if (text.startsWith("| ")) return table(lines);
    if (text.startsWith("- ")) {
        const list = document.createElement("ul");
        for (const line of lines) written(list.appendChild(document.createElement("li")), line.replace(/^- /, ""));
        return list;
    }
    return written(element("p", text.startsWith("<sub>") ? "foot" : "said"), text);
}

/** The elements of a text, one for each of its blocks. */
export function drawn(text) {
    return text.trim().split(/\n\n+/).map(block);
}
