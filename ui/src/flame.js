// Stacks as a tree: what callers hold is the sum of what their callees do.
function label(frame) {
    if (frame.function) {
        return frame.function;
    }
    const file = (frame.module ?? "").split("/").pop();
    return file ? `${frame.address} (${file})` : frame.address;
}

// `stacks`: with frames, the innermost first. Each node: { name, value, children, frame }.
export function treeOf(stacks, weight, root) {
    const top = { name: "all", value: 0, children: new Map(), frame: null };
    for (const stack of stacks) {
        const value = weight(stack);
        if (value <= 0) {
            continue;
        }
        const names = [...stack.frames].reverse().map((frame) => ({ name: label(frame), frame }));
        const group = root ? [{ name: stack[root], frame: null }] : [];
        let node = top;
        node.value += value;
        for (const { name, frame } of [...group, ...names]) {
            if (!node.children.has(name)) {
                node.children.set(name, { name, value: 0, children: new Map(), frame });
            }
            node = node.children.get(name);
            node.value += value;
        }
    }
    return top;
}

// Boxes of a tree by level: { node, level, from, to } with parts of the whole.
export function boxesOf(top, levelMax) {
    const boxes = [];
    const place = (node, level, from) => {
        const to = from + node.value / top.value;
        boxes.push({ node, level, from, to });
        let at = from;
        if (level < levelMax) {
            for (const child of [...node.children.values()].sort((a, b) => b.value - a.value)) {
                place(child, level + 1, at);
                at += child.value / top.value;
            }
        }
    };
    if (top.value > 0) {
        place(top, 0, 0);
    }
    return boxes;
}
