// Figures as they come: one stream for all that a page shows, or polling where there is none.
//
// A tab that is not seen closes its stream, so that many tabs do not take a browser's few connections.
import { useEffect, useState } from "preact/hooks";
import { askJson, askMetrics, parseMetrics, usePolled } from "./api.js";

const STREAM = "/api/v1/stream";
const POLL_MS = 2000;
// A server that cannot be streamed from is asked for a stream again after so long.
const AGAIN_MS = 30000;

const READERS = {
    metrics: (event) => ({ at: Number(event.lastEventId) / 1000, families: parseMetrics(event.data) }),
    heap: (event) => JSON.parse(event.data),
};
const followers = new Set();
let source;
let again;

function tell(state) {
    for (const follower of followers) {
        follower(state);
    }
}

function close() {
    clearTimeout(again);
    source?.close();
    source = undefined;
}

// Errors are the polling's to tell: it asks the same server.
function fail() {
    close();
    again = setTimeout(turn, AGAIN_MS);
    tell({ isBroken: true });
}

function turn() {
    const isWanted = followers.size > 0 && !document.hidden;
    if (!isWanted) {
        close();
    } else if (!source) {
        clearTimeout(again);
        source = new EventSource(STREAM);
        source.onerror = fail;
        for (const [kind, read] of Object.entries(READERS)) {
            source.addEventListener(kind, (event) => tell({ kind, value: read(event) }));
        }
    }
}

document.addEventListener("visibilitychange", turn);

// { value, before } of a kind as the stream tells it; { isBroken } while there is none.
function useStream(kind) {
    const [state, setState] = useState({});
    useEffect(() => {
        const follower = (told) => {
            if (told.isBroken) {
                setState({ isBroken: true });
            } else if (told.kind === kind) {
                setState((old) => ({ value: told.value, before: old.value }));
            }
        };
        followers.add(follower);
        turn();
        return () => {
            followers.delete(follower);
            turn();
        };
    }, []);
    return state;
}

// The first figures are asked for: they are there before the stream is.
function useWatched(kind, asker) {
    const streamed = useStream(kind);
    const asked = usePolled(asker, streamed.isBroken ? POLL_MS : 0, [Boolean(streamed.isBroken)]);
    return streamed.value ? streamed : asked;
}

export function useMetrics() {
    return useWatched("metrics", askMetrics);
}

export function useSummary() {
    return useWatched("heap", (signal) => askJson("/api/v1/heap/summary", signal));
}
