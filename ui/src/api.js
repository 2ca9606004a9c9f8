// What is asked of the server, and how often. Everything is read from the origin of the page.
import { useEffect, useRef, useState } from "preact/hooks";

export class Refused extends Error {
    constructor(status, text) {
        super(text || `the server answered ${status}`);
        this.status = status;
    }
}

async function ask(path, signal, options = {}) {
    const answer = await fetch(path, { signal, ...options, headers: { "X-Requested-With": "console", ...options.headers } });
    if (!answer.ok) {
        const text = (await answer.text()).slice(0, 400);
        let message = text;
        try {
            message = JSON.parse(text).error ?? text;
        } catch {
            // It is plain text then.
        }
        throw new Refused(answer.status, message);
    }
    return answer;
}

export async function askJson(path, signal) {
    return (await ask(path, signal)).json();
}

export async function askBytes(path, signal) {
    return (await ask(path, signal)).arrayBuffer();
}

// Has an action done. Returns: what came of it, in words.
export async function act(name, token, form) {
    const options = { method: "POST", headers: { "X-Quarry-Token": token }, body: new URLSearchParams(form) };
    const answer = await ask(`/api/v1/actions/${name}`, undefined, options);
    return (await answer.json()).data.result;
}

// { name: [{ labels, value }] } of Prometheus' text format.
export function parseMetrics(text) {
    const families = {};
    for (const line of text.split("\n")) {
        const found = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
        if (line.startsWith("#") || !found) {
            continue;
        }
        const labels = {};
        for (const [, name, value] of (found[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
            labels[name] = value.replace(/\\(.)/g, (_, byte) => (byte === "n" ? "\n" : byte));
        }
        (families[found[1]] ??= []).push({ labels, value: Number(found[3]) });
    }
    return families;
}

export async function askMetrics(signal) {
    const answer = await ask("/metrics", signal);
    return { at: performance.now() / 1000, families: parseMetrics(await answer.text()) };
}

// The sum over the series of a family that have these labels.
export function figure(metrics, name, labels = {}) {
    const series = metrics?.families[name];
    if (!series) {
        return NaN;
    }
    const wanted = Object.entries(labels);
    return series
        .filter((one) => wanted.every(([key, value]) => one.labels[key] === value))
        .reduce((sum, one) => sum + one.value, 0);
}

// By second, between two readings; NaN before there are two.
export function rate(now, before, name, labels) {
    if (!now || !before || now.at <= before.at) {
        return NaN;
    }
    return Math.max(0, figure(now, name, labels) - figure(before, name, labels)) / (now.at - before.at);
}

// A server that makes another's report at the moment is asked again.
const BUSY_MS = 1000;

// Asks again and again while the page is seen. Returns { value, before, error }.
export function usePolled(asker, period, dependencies = []) {
    const [state, setState] = useState({});
    const last = useRef();
    useEffect(() => {
        const abort = new AbortController();
        let timer;
        const turn = async () => {
            let isBusy = false;
            if (!document.hidden) {
                try {
                    const value = await asker(abort.signal);
                    const before = last.current;
                    last.current = value;
                    setState({ value, before });
                } catch (error) {
                    if (abort.signal.aborted) {
                        return;
                    }
                    isBusy = error.status === 503;
                    setState((old) => ({ ...old, error: isBusy ? old.error : error }));
                }
            }
            if (!abort.signal.aborted && (period > 0 || isBusy)) {
                timer = setTimeout(turn, isBusy ? BUSY_MS : period);
            }
        };
        last.current = undefined;
        turn();
        return () => {
            abort.abort();
            clearTimeout(timer);
        };
    }, dependencies);
    return state;
}

const RANGE_POINTS = 240;

// Series of an expression over the last seconds: [{ labels, times, values }].
export async function askRange(expression, span, signal) {
    const end = Date.now() / 1000;
    const step = Math.max(15, Math.ceil(span / RANGE_POINTS));
    const query = new URLSearchParams({ query: expression, start: end - span, end, step });
    const answer = await askJson(`/api/v1/query_range?${query}`, signal);
    return answer.data.result.map(({ metric, values = [] }) => ({
        labels: metric,
        times: values.map(([time]) => time),
        values: values.map(([, value]) => Number(value)),
    }));
}
