// Reads a heap map: docs/formats/heap-map.md.
const MAGIC = "QHEAPMAP";
const HEADER_BYTES = 64;
const LANE_BYTES = 48;
const OWNER_BYTES = 40;
const ENTRY_BYTES = 16;

function text(view, at, length) {
    let words = "";
    for (let i = 0; i < length && view.getUint8(at + i) !== 0; i++) {
        words += String.fromCharCode(view.getUint8(at + i));
    }
    return words;
}

export function readMap(buffer) {
    const view = new DataView(buffer);
    if (buffer.byteLength < HEADER_BYTES || text(view, 0, 8) !== MAGIC || view.getUint16(8, true) !== 1) {
        throw new Error("this is no heap map of version 1");
    }
    const laneCount = view.getUint16(18, true);
    const ownerCount = view.getUint16(20, true);
    const chunkCount = view.getUint32(28, true);
    const owners = [];
    let at = HEADER_BYTES + laneCount * LANE_BYTES;
    for (let i = 0; i < ownerCount; i++, at += OWNER_BYTES) {
        owners.push(text(view, at + 8, 32));
    }
    const chunks = [];
    for (let i = 0; i < chunkCount; i++, at += ENTRY_BYTES) {
        chunks.push({
            chunk: view.getUint32(at, true),
            used: view.getUint16(at + 4, true),
            scavenged: view.getUint16(at + 6, true),
            lane: view.getUint8(at + 8),
            owner: view.getUint16(at + 10, true),
            largestFree: view.getUint16(at + 12, true),
            other: view.getUint16(at + 14, true),
        });
    }
    const lanes = new Map();
    for (let i = 0; i < laneCount; i++) {
        const lane = HEADER_BYTES + i * LANE_BYTES;
        lanes.set(view.getUint16(lane, true), text(view, lane + 16, 32));
    }
    return {
        chunkPages: view.getUint16(22, true),
        pageBytes: view.getUint32(24, true),
        time: Number(view.getBigUint64(32, true) / 1000000n),
        committed: Number(view.getBigUint64(40, true)),
        limit: Number(view.getBigUint64(48, true)),
        owners, lanes, chunks,
    };
}
