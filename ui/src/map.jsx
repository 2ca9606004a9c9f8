// Where memory is: a cell for each chunk of 4 MiB, in the order of addresses, lane by lane. While the
// page is open it keeps an hour of pictures to go back to.
import { useEffect, useRef, useState } from "preact/hooks";
import { askBytes, usePolled } from "./api.js";
import { bytes, percent } from "./format.js";
import { readMap } from "./map_read.js";
import { COLOURS, Trouble } from "./parts.jsx";

const LOOK_MS = 1000;
const KEPT_EVERY_MS = 10000;
const KEPT_MAX = 360;
const KEPT_BYTES_MAX = 64 * 1024 * 1024;
const SPARSE_PART = 0.05;
const CELLS = [[400, 24], [2000, 16], [Infinity, 10]]; // a cell's side, by how many there are
const GAP = 1;
const LINE = 16;
const REST = "#8a8f96";

const VIEWS = {
    owner: "owner",
    fill: "fill",
    residency: "residency",
};

// Rows of cells; each lane begins one, under its name.
function layOut(map, width) {
    const [, side] = CELLS.find(([most]) => map.chunks.length <= most);
    const columns = Math.max(1, Math.floor(width / side));
    const cells = [];
    const heads = [];
    let y = 0;
    let lane = -1;
    let column = 0;
    map.chunks.forEach((chunk, index) => {
        if (chunk.lane !== lane) {
            y += lane === -1 ? 0 : side + 4;
            lane = chunk.lane;
            heads.push({ y, name: map.lanes.get(lane) });
            y += LINE;
            column = 0;
        } else if (column === columns) {
            y += side;
            column = 0;
        }
        cells.push({ index, x: column * side, y });
        column++;
    });
    return { cells, heads, side, height: y + side + 4 };
}

// Owners by what they hold: the first few have colours of their own.
function coloursOf(map) {
    const held = new Map();
    for (const { owner, used } of map.chunks) {
        held.set(owner, (held.get(owner) ?? 0) + used);
    }
    const order = [...held].filter(([owner, used]) => used > 0 && owner > 1).sort((a, b) => b[1] - a[1]);
    return new Map(order.map(([owner], rank) => [owner, rank < COLOURS.length - 1 ? COLOURS[rank] : REST]));
}

function shade(part, hue) {
    return `hsl(${hue} 70% ${90 - 55 * part}%)`;
}

function isSparse(map, chunk) {
    return chunk.used > 0 && chunk.used < SPARSE_PART * map.chunkPages;
}

function paint(canvas, map, layout, view, ink) {
    const scale = window.devicePixelRatio || 1;
    const pen = canvas.getContext("2d");
    const pages = map.chunkPages;
    const colours = coloursOf(map);
    const side = layout.side - GAP;
    canvas.width = canvas.clientWidth * scale;
    canvas.height = layout.height * scale;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, canvas.clientWidth, layout.height);
    pen.font = "11px system-ui, sans-serif";
    pen.fillStyle = ink;
    for (const { y, name } of layout.heads) {
        pen.fillText(name, 0, y + LINE - 4);
    }
    for (const { index, x, y } of layout.cells) {
        const chunk = map.chunks[index];
        pen.fillStyle = "#8882";
        pen.fillRect(x, y, side, side);
        if (view === VIEWS.owner) {
            const high = Math.ceil((side * chunk.used) / pages);
            pen.fillStyle = colours.get(chunk.owner) ?? REST;
            pen.fillRect(x, y + side - high, side, high);
        } else {
            const part = view === VIEWS.fill ? chunk.used / pages : 1 - chunk.scavenged / pages;
            pen.fillStyle = shade(part, view === VIEWS.fill ? 205 : 30);
            pen.fillRect(x, y, side, side);
        }
        if (isSparse(map, chunk)) {
            pen.strokeStyle = "#d55e00";
            pen.strokeRect(x + 0.5, y + 0.5, side - 1, side - 1);
        }
    }
}

function Told({ map, chunk }) {
    if (!chunk) {
        return <p class="quiet">Point at a chunk. A red edge: less than 5 % of it is in use, and keeps it here.</p>;
    }
    const size = (pages) => bytes(pages * map.pageBytes);
    const free = map.chunkPages - chunk.used - chunk.scavenged;
    return (
        <p>
            <b>{map.lanes.get(chunk.lane)}</b> chunk {chunk.chunk}: {size(chunk.used)} in use
            ({percent(chunk.used, map.chunkPages)}), most of it by <b>{map.owners[chunk.owner]}</b>;
            {" "}{size(free)} free and backed, {size(chunk.scavenged)} given back; longest free run {size(chunk.largestFree)}
        </p>
    );
}

function Legend({ map }) {
    const colours = [...coloursOf(map)];
    const named = colours.filter(([, colour]) => colour !== REST);
    const rest = colours.filter(([, colour]) => colour === REST).map(([owner]) => map.owners[owner]);
    return (
        <p class="legend">
            {named.map(([owner, colour]) => <span class="key"><i style={{ background: colour }} />{map.owners[owner]}</span>)}
            {rest.length > 0 && <span class="key"><i style={{ background: REST }} />{rest.join(", ")}</span>}
        </p>
    );
}

// Pictures kept to go back to, oldest first.
function useKept(map, size) {
    const kept = useRef([]);
    useEffect(() => {
        const list = kept.current;
        if (map && (list.length === 0 || map.time - list[list.length - 1].time >= KEPT_EVERY_MS)) {
            list.push(map);
            while (list.length > KEPT_MAX || list.length * size > KEPT_BYTES_MAX) {
                list.shift();
            }
        }
    }, [map]);
    return kept.current;
}

async function askMap(signal) {
    const buffer = await askBytes("/api/v1/heap/map", signal);
    return { map: readMap(buffer), size: buffer.byteLength };
}

export function HeapMap() {
    const { value, error } = usePolled(askMap, LOOK_MS);
    const [view, setView] = useState(VIEWS.owner);
    const [back, setBack] = useState(0);
    const [chunk, setChunk] = useState(null);
    const canvas = useRef();
    const layout = useRef();
    const kept = useKept(value?.map, value?.size ?? 1);
    const map = back > 0 ? kept[Math.max(0, kept.length - back)] ?? value?.map : value?.map;

    useEffect(() => {
        if (map && canvas.current) {
            layout.current = layOut(map, canvas.current.clientWidth);
            canvas.current.style.height = `${layout.current.height}px`;
            const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
            paint(canvas.current, map, layout.current, view, ink);
        }
    }, [map, view]);
    const point = (event) => {
        const { cells = [], side = 0 } = layout.current ?? {};
        const [x, y] = [event.offsetX, event.offsetY];
        const cell = cells.find((one) => x >= one.x && x < one.x + side && y >= one.y && y < one.y + side);
        setChunk(cell && map ? map.chunks[cell.index] : null);
    };
    return (
        <section>
            <h2>Heap map</h2>
            <Trouble error={error} />
            <p class="controls">
                <label>Colour{" "}
                    <select value={view} onChange={(event) => setView(event.target.value)}>
                        {Object.values(VIEWS).map((name) => <option>{name}</option>)}
                    </select>
                </label>
                <label>Back in time{" "}
                    <input type="range" min="0" max={Math.max(0, kept.length - 1)} value={back}
                        onInput={(event) => setBack(Number(event.target.value))} />
                </label>
                {map && <span>{new Date(map.time).toLocaleTimeString()}, {bytes(map.committed)} of {bytes(map.limit)}, {map.chunks.length} chunks of {bytes(map.chunkPages * map.pageBytes)}</span>}
            </p>
            <Told map={map} chunk={chunk} />
            {map && view === VIEWS.owner && <Legend map={map} />}
            <canvas ref={canvas} class="map" onMouseMove={point} onMouseLeave={() => setChunk(null)}
                role="img" aria-label="Chunks of the heap" />
        </section>
    );
}
