// Is it well? The budget by owner, what the doctor found, what the doors do.
import { askJson, figure, rate, usePolled } from "./api.js";
import { bytes, count, percent, seconds } from "./format.js";
import { Bar, colourOf, Fact, Facts, Trouble } from "./parts.jsx";
import { useMetrics, useSummary } from "./stream.js";

const DOCTOR_MS = 300000; // half a second of a CPU

// Owners by the part of their name before a dot, most first; the smallest in one.
function parts(summary) {
    const sums = {};
    for (const { owner, in_use_bytes } of summary.owners) {
        const name = owner.split(/[.-]/)[0];
        sums[name] = (sums[name] ?? 0) + in_use_bytes;
    }
    const owned = Object.entries(sums).sort((a, b) => b[1] - a[1]);
    const named = owned.slice(0, 6);
    const rest = owned.slice(6).reduce((sum, [, value]) => sum + value, 0);
    const states = summary.states;
    const all = [
        ...named.map(([name, value], index) => ({ name, value, colour: colourOf(index) })),
        { name: "others", value: rest, colour: colourOf(6) },
        { name: "structures of the heap", value: states.metadata, colour: colourOf(7) },
        { name: "free, backed", value: states.cached + states.free_backed + states.in_flight + states.set_aside, colour: "#bbb" },
    ];
    return all.map((part) => ({ ...part, text: bytes(part.value) }));
}

function Findings() {
    const { value, error } = usePolled((signal) => askJson("/api/v1/doctor", signal), DOCTOR_MS);
    if (error && !value) {
        return <Trouble error={error} />;
    }
    if (!value) {
        return <p class="quiet">The doctor looks …</p>;
    }
    if (value.findings.length === 0) {
        return <p>{value.is_too_small ? "The heap is too small to judge." : "Nothing to change."}</p>;
    }
    return (
        <ul class="findings">
            {value.findings.map((finding) => (
                <li class={finding.severity}>
                    <b>{finding.severity}</b> {finding.text} <em>{finding.advice}</em>
                </li>
            ))}
        </ul>
    );
}

function Doors({ now, before }) {
    const doors = ["memcached", "resp", "http"].filter((door) => figure(now, "quarry_door_listeners", { door }) > 0);
    return (
        <Facts>
            <Fact name="doors" value={doors.join(", ") || "–"} />
            <Fact name="connections" value={count(figure(now, "quarry_net_connections"))}
                note={` of ${count(figure(now, "quarry_net_connections_max"))}`} />
            <Fact name="cache, gets" value={`${count(rate(now, before, "quarry_cache_tenant_hits_total") + rate(now, before, "quarry_cache_tenant_misses_total"))}/s`} />
            <Fact name="cache, sets" value={`${count(rate(now, before, "quarry_cache_tenant_sets_total"))}/s`} />
            <Fact name="RESP commands" value={`${count(rate(now, before, "quarry_resp_commands_total"))}/s`} />
            <Fact name="samples" value={`${count(rate(now, before, "quarry_tsdb_samples_total"))}/s`} />
            <Fact name="network in, out" value={`${bytes(rate(now, before, "quarry_net_received_bytes_total"))}/s, ${bytes(rate(now, before, "quarry_net_sent_bytes_total"))}/s`} />
            <Fact name="CPU" value={percent(rate(now, before, "quarry_cpu_seconds_total"), 1)} note=" of one" />
            <Fact name="longest turn of a loop" value={seconds(figure(now, "quarry_net_lag_max_seconds"))} />
        </Facts>
    );
}

export function Overview() {
    const { value: summary, error } = useSummary();
    const { value: now, before, error: metricsError } = useMetrics();
    return (
        <>
            <section>
                <h2>Memory</h2>
                <Trouble error={error ?? metricsError} />
                {summary && (
                    <>
                        <Bar whole={summary.limit_bytes} parts={parts(summary)} label="The budget by owner" />
                        <Facts>
                            <Fact name="committed" value={bytes(summary.committed_bytes)} note={` ${percent(summary.committed_bytes, summary.limit_bytes)}`} />
                            <Fact name="limit" value={bytes(summary.limit_bytes)} />
                            <Fact name="peak" value={bytes(summary.peak_bytes)} />
                            <Fact name="resident" value={bytes(summary.resident_bytes)} />
                            <Fact name="given back" value={bytes(summary.released_bytes)} />
                        </Facts>
                    </>
                )}
            </section>
            <section>
                <h2>Doctor</h2>
                <Findings />
            </section>
            <section>
                <h2>Traffic</h2>
                {now && <Doors now={now} before={before} />}
            </section>
        </>
    );
}
