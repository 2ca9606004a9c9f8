// Who asked for memory: sampled call stacks as a flame graph.
import { useEffect, useRef, useState } from "preact/hooks";
import { askJson, usePolled } from "./api.js";
import { boxesOf, treeOf } from "./flame.js";
import { bytes, percent } from "./format.js";
import { Trouble } from "./parts.jsx";

const ROW = 18;
const LEVELS_MAX = 64;
const TOP = 500;
const PROFILES = {
    "in use": { list: "stacks", weight: (stack) => stack.live_bytes, name: "heap" },
    "allocated since the start": { list: "allocating_stacks", weight: (stack) => stack.alloc_bytes, name: "allocs" },
    "kept from going back": { list: "pinning_stacks", weight: (stack) => stack.pinned_span_bytes - stack.pinned_live_bytes, name: "fragmentation" },
};
const ROOTS = { stack: null, owner: "owner", lifetime: "lifetime" };

function hue(name) {
    let hash = 0;
    for (const letter of name) {
        hash = (hash * 31 + letter.codePointAt(0)) >>> 0;
    }
    return 20 + (hash % 40);
}

function paint(canvas, boxes, pointed) {
    const scale = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = (Math.max(0, ...boxes.map((box) => box.level)) + 1) * ROW;
    canvas.style.height = `${height}px`;
    canvas.width = width * scale;
    canvas.height = height * scale;
    const pen = canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.font = "11px ui-monospace, monospace";
    pen.textBaseline = "middle";
    for (const box of boxes) {
        const x = box.from * width;
        const wide = (box.to - box.from) * width - 0.5;
        if (wide < 0.5) {
            continue;
        }
        pen.fillStyle = `hsl(${hue(box.node.name)} 75% ${box === pointed ? 50 : 68}%)`;
        pen.fillRect(x, box.level * ROW, wide, ROW - 1);
        if (wide > 30) {
            pen.fillStyle = "#111";
            pen.save();
            pen.beginPath();
            pen.rect(x, box.level * ROW, wide - 2, ROW);
            pen.clip();
            pen.fillText(box.node.name, x + 3, box.level * ROW + ROW / 2);
            pen.restore();
        }
    }
}

function Graph({ tree, onZoom }) {
    const canvas = useRef();
    const [pointed, setPointed] = useState(null);
    const boxes = boxesOf(tree, LEVELS_MAX);
    useEffect(() => {
        const draw = () => canvas.current && paint(canvas.current, boxes, pointed);
        draw();
        window.addEventListener("resize", draw);
        return () => window.removeEventListener("resize", draw);
    }, [tree, pointed?.node]);
    const find = (event) => {
        const part = event.offsetX / canvas.current.clientWidth;
        const level = Math.floor(event.offsetY / ROW);
        return boxes.find((box) => box.level === level && part >= box.from && part < box.to) ?? null;
    };
    const frame = pointed?.node.frame;
    return (
        <>
            <p class="told">
                {pointed
                    ? `${pointed.node.name}: ${bytes(pointed.node.value)}, ${percent(pointed.node.value, tree.value)}${frame?.file ? `, ${frame.file}:${frame.line}` : ""}`
                    : "A click goes into a function, one on the top row back out."}
            </p>
            <canvas ref={canvas} class="flame" role="img" aria-label="Flame graph of allocations"
                onMouseMove={(event) => setPointed(find(event))} onMouseLeave={() => setPointed(null)}
                onClick={(event) => onZoom(find(event)?.node)} />
        </>
    );
}

export function Stacks() {
    const [profile, setProfile] = useState("in use");
    const [root, setRoot] = useState("stack");
    const [zoomed, setZoomed] = useState(null);
    const [turn, setTurn] = useState(0);
    const { value, error } = usePolled((signal) => askJson(`/api/v1/heap/figures?top=${TOP}`, signal), 0, [turn]);
    const chosen = PROFILES[profile];
    const stacks = value?.[chosen.list] ?? [];
    const tree = treeOf(stacks, chosen.weight, ROOTS[root]);
    const pick = (setter) => (event) => {
        setZoomed(null);
        setter(event.target.value);
    };
    return (
        <section>
            <h2>Stacks</h2>
            <Trouble error={error} />
            <p class="controls">
                <label>Memory <select value={profile} onChange={pick(setProfile)}>{Object.keys(PROFILES).map((name) => <option>{name}</option>)}</select></label>
                <label>Beginning with <select value={root} onChange={pick(setRoot)}>{Object.keys(ROOTS).map((name) => <option>{name}</option>)}</select></label>
                <button onClick={() => { setZoomed(null); setTurn(turn + 1); }}>Look again</button>
                <a href={`/debug/pprof/${chosen.name}`} download={`quarry-${chosen.name}.pb.gz`}>For pprof</a>
            </p>
            {value && tree.value === 0 && <p class="quiet">No sample of this kind yet: one in {bytes(value.sample_mean_bytes)} is looked at.</p>}
            {tree.value > 0 && <Graph tree={zoomed ?? tree} onZoom={(node) => setZoomed(!node || node === zoomed || node === tree ? null : node)} />}
            <p class="quiet">Estimates from samples of malloc; pages that stores take by themselves are under Size classes and in the map.</p>
        </section>
    );
}
