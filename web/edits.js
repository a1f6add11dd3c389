/** Edits of features as text, one a line. Kept in step with ops/features/edits.py, which has the last word. */

const NUMBER = String.raw`(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?`;
const FORMS = [
    ["erased", /^--\s*()([^-\s].*)$/],
    ["off", /^-\s*()([^-\s].*)$/],
    ["scaled", new RegExp(String.raw`^(${NUMBER})\s*\*\s*(\S.*)$`)],
    ["added", new RegExp(String.raw`^\+\s*(${NUMBER})\s+(\S.*)$`)],
];

/** {kind, name, amount} of a line; null for one that says nothing, or nothing that is understood. */
export function parse(line) {
    const text = line.trim();
    if (!text || text.startsWith("#")) return null;
    for (const [kind, form] of FORMS) {
        const match = form.exec(text);
        if (match) return { kind, name: match[2], amount: Number(match[1] || 0) };
    }
    return null;
}

/** The line of an edit; "" for one that changes nothing. */
export function written({ kind, name, amount }) {
    if (kind === "erased") return `-- ${name}`;
    if (kind === "off") return `- ${name}`;
    if (kind === "added") return amount > 0 ? `+ ${shortened(amount)} ${name}` : "";
    return amount === 1 ? "" : `${shortened(amount)} * ${name}`;
}

/** What the text does with a feature: {state: "on" | "off" | "erased", factor, added}. */
export function standing(text, name) {
    const now = { state: "on", factor: 1, added: 0 };
    for (const edit of text.split("\n").map(parse)) {
        if (edit?.name !== name) continue;
        if (edit.kind === "scaled") now.factor *= edit.amount;
        else if (edit.kind === "added") now.added += edit.amount;
        else if (now.state !== "erased") now.state = edit.kind;
    }
    return now;
}

/** The text with this edit in the place of others of the same feature; an addition replaces additions only. */
export function rewritten(text, edit) {
    const replaced = (other) => other?.name === edit.name && (other.kind === "added") === (edit.kind === "added");
    const lines = text.split("\n");
    const place = lines.findIndex((line) => replaced(parse(line)));
    const kept = lines.filter((line) => !replaced(parse(line)));
    const line = written(edit);
    if (line && place >= 0) {
        kept.splice(place, 0, line);
    } else {
        while (kept.length && !kept.at(-1).trim()) kept.pop();
        if (line) kept.push(line);
    }
    return kept.join("\n");
}

/** The text without the lines of a feature. */
export function dropped(text, name) {
    return text.split("\n").filter((line) => parse(line)?.name !== name).join("\n");
}

/** The names that the text has an edit of, once each. */
export function named(text) {
    return namesOf(text, () => true);
}

/** The names that the text adds, once each. */
export function additions(text) {
    return namesOf(text, ({ kind }) => kind === "added");
}

/** Up to `count` names that hold every word of a query: those that begin with it first, then the shorter ones. */
export function search(names, query, count = 8) {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return [];
    const found = names.filter((name) => words.every((word) => name.toLowerCase().includes(word)));
    const late = (name) => (name.toLowerCase().startsWith(words[0]) ? 0 : 1);
    return found.sort((a, b) => late(a) - late(b) || a.length - b.length || (a < b ? -1 : 1)).slice(0, count);
}

function namesOf(text, wanted) {
    return [...new Set(text.split("\n").map(parse).filter((edit) => edit && wanted(edit)).map(({ name }) => name))];
}

function shortened(amount) {
    return String(Number(amount.toPrecision(4)));
}
