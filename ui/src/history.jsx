// Memory over time, from the server's own time series.
import { useState } from "preact/hooks";
import { askRange, usePolled } from "./api.js";
import { Chart } from "./chart.jsx";
import { bytes, count } from "./format.js";
import { Trouble } from "./parts.jsx";

const LOOK_MS = 15000;
const SPANS = { "15 minutes": 900, "1 hour": 3600, "6 hours": 21600, "24 hours": 86400 };

const CHARTS = [
    { title: "Committed memory by what it does", query: "sum by (state) (quarry_memory_state_bytes)", label: "state", isStacked: true, text: bytes },
    { title: "Memory in use by owner", query: "topk(7, sum by (owner) (quarry_memory_owner_bytes))", label: "owner", text: bytes },
    { title: "Free memory", query: 'label_replace(sum(quarry_memory_state_bytes{state=~"cached|free_backed"}), "state", "backed", "", "") or label_replace(sum(quarry_memory_released_bytes), "state", "given back", "", "")', label: "state", text: bytes },
    { title: "Events by minute", query: 'label_replace(sum(rate(quarry_kv_flushes_total[5m])) * 60, "event", "flush", "", "") or label_replace(sum(rate(quarry_kv_compactions_total[5m])) * 60, "event", "compaction", "", "") or label_replace(sum(rate(quarry_tsdb_purged_windows_total[5m])) * 60, "event", "window purged", "", "") or label_replace(sum(rate(quarry_account_reclaims_total[5m])) * 60, "event", "reclaim", "", "")', label: "event", text: count },
];

function One({ chart, span }) {
    const { value, error } = usePolled((signal) => askRange(chart.query, span, signal), LOOK_MS, [span]);
    const series = (value ?? []).map((one) => ({ ...one, name: one.labels[chart.label] ?? "all" }));
    return (
        <section>
            <h2>{chart.title}</h2>
            <Trouble error={error} />
            {value && series.length === 0 && <p class="quiet">No samples yet: the server reads its own figures every 15 s.</p>}
            {series.length > 0 && <Chart series={series} text={chart.text} isStacked={chart.isStacked} label={chart.title} />}
        </section>
    );
}

export function History() {
    const [span, setSpan] = useState("1 hour");
    return (
        <>
            <p class="controls">
                <label>The last{" "}
                    <select value={span} onChange={(event) => setSpan(event.target.value)}>
                        {Object.keys(SPANS).map((name) => <option>{name}</option>)}
                    </select>
                </label>
            </p>
            {CHARTS.map((chart) => <One key={chart.title} chart={chart} span={SPANS[span]} />)}
        </>
    );
}
