/** What widgets of this pack share: where their node and its files lie, what happens to it, and how they look. */

/** Where a node lies, as the page's outputs name it: by its number, inside a subgraph after the subgraph's own. */
export function placeOf(node) {
    const { graph, id } = node;
    return !graph || graph.rootGraph === graph || graph.isRootGraph ? String(id) : `${graph.id}:${id}`;
}

/** Where ComfyUI hands out a file that a node's output names, below its own address. */
export function addressOf({ filename, subfolder, type }) {
    return `/view?${new URLSearchParams({ filename, subfolder, type })}`;
}

/** Loads a style sheet that lies beside this file, once. */
export function style(name) {
    const id = `concept-algebra-${name}`;
    if (document.getElementById(id)) return;
    const link = Object.assign(document.createElement("link"), { id, rel: "stylesheet", href: new URL(`./${name}.css`, import.meta.url).href });
    document.head.append(link);
}

/** Calls `told` after whatever a node already does at an event. */
export function after(node, event, told) {
    const before = node[event];
    node[event] = function (...args) {
        const answer = before?.apply(this, args);
        told(...args);
        return answer;
    };
}
