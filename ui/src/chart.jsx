// A chart over time: uPlot in the colours of the page.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { bytes } from "./format.js";
import { colourOf } from "./parts.jsx";

// Several series on one axis of times: what is missing is null.
export function align(series) {
    const times = [...new Set(series.flatMap((one) => one.times))].sort((a, b) => a - b);
    const place = new Map(times.map((time, index) => [time, index]));
    const rows = series.map((one) => {
        const row = new Array(times.length).fill(null);
        one.times.forEach((time, index) => {
            row[place.get(time)] = Number.isFinite(one.values[index]) ? one.values[index] : null;
        });
        return row;
    });
    return [times, ...rows];
}

function stacked(data) {
    const sums = new Array(data[0].length).fill(0);
    const rows = data.slice(1).map((row) => row.map((value, index) => (sums[index] += value ?? 0)));
    return [data[0], ...rows];
}

// Steps between marks: what is counted in bytes has powers of two.
const POWERS = Array.from({ length: 50 }, (_, power) => 2 ** power);

function clock(times, step) {
    const parts = { hour: "2-digit", minute: "2-digit", second: step < 60 ? "2-digit" : undefined, hour12: false };
    return times.map((time) => new Date(time * 1000).toLocaleTimeString([], parts));
}

// Seconds at either side of a single point: uPlot would show the day behind it.
const AROUND_ONE = 60;

function options(names, text, isStacked, width, isOnePoint) {
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--ink").trim();
    const line = style.getPropertyValue("--line").trim();
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
    return {
        width,
        height: 260,
        legend: { live: true },
        cursor: { drag: { x: true, y: false } },
        axes: [
            { ...axis, values: (_, times, __, ___, step) => clock(times, step) },
            { ...axis, size: 80, values: (_, ticks) => ticks.map(text), ...(text === bytes ? { incrs: POWERS } : {}) },
        ],
        scales: {
            x: { range: (_, min, max) => (isOnePoint ? [min - AROUND_ONE, min + AROUND_ONE] : [min, max]) },
            y: { range: (_, min, max) => [Math.min(0, min), max > 0 ? max * 1.05 : 1] },
        },
        series: [{ value: (_, time) => (time == null ? "–" : new Date(time * 1000).toLocaleString()) }, ...names.map((name, index) => ({
            label: name,
            stroke: colourOf(index),
            fill: isStacked ? `${colourOf(index)}55` : undefined,
            width: 1.5,
            points: { show: isOnePoint },
            value: (plot, value, at, point) => {
                const below = isStacked && at > 1 && point != null ? plot.data[at - 1][point] : 0;
                return value == null ? "–" : text(value - (below ?? 0));
            },
        }))],
        bands: isStacked ? names.slice(1).map((_, index) => ({ series: [index + 2, index + 1] })) : [],
    };
}

export function Chart({ series, text, isStacked = false, label }) {
    const place = useRef();
    useEffect(() => {
        const box = place.current;
        if (series.length === 0) {
            return undefined;
        }
        const data = align(series);
        const plot = new uPlot(
            options(series.map((one) => one.name), text, isStacked, box.clientWidth, data[0].length === 1),
            isStacked ? stacked(data) : data, box);
        const watch = new ResizeObserver(() => plot.setSize({ width: box.clientWidth, height: 260 }));
        watch.observe(box);
        return () => {
            watch.disconnect();
            plot.destroy();
        };
    }, [series]);
    return <div class="chart" ref={place} role="img" aria-label={label} />;
}
