// The key-value store: its levels, writes and stalls.
import { askRange, figure, rate, usePolled } from "./api.js";
import { Chart } from "./chart.jsx";
import { bytes, count, seconds } from "./format.js";
import { Fact, Facts, Trouble } from "./parts.jsx";
import { useMetrics } from "./stream.js";

const CHART_MS = 15000;
const HOUR = 3600;
const WORK = 'label_replace(sum(rate(quarry_kv_flushed_bytes_total[2m])), "work", "flushes", "", "") or label_replace(sum(rate(quarry_kv_level_compaction_written_bytes_total[2m])), "work", "compactions", "", "") or label_replace(sum(rate(quarry_kv_log_bytes_total[2m])), "work", "log", "", "")';

function Levels({ now }) {
    const levels = (now.families.quarry_kv_level_bytes ?? []).map(({ labels: { level }, value }) => ({
        level, bytes: value, files: figure(now, "quarry_kv_level_files", { level }),
        written: figure(now, "quarry_kv_level_compaction_written_bytes_total", { level }),
    }));
    const most = Math.max(1, ...levels.map((one) => one.bytes));
    return (
        <div class="levels">
            {levels.map((one) => (
                <div class="level">
                    <span>{`L${one.level}`}</span>
                    <span class="tier"><i style={{ width: `${one.bytes > 0 ? Math.max(1, (100 * one.bytes) / most) : 0}%` }} /></span>
                    <span>{`${bytes(one.bytes)}, ${count(one.files)} files, ${bytes(one.written)} written by compactions`}</span>
                </div>
            ))}
        </div>
    );
}

export function KeyValue() {
    const { value: now, before, error } = useMetrics();
    const { value: work } = usePolled((signal) => askRange(WORK, HOUR, signal), CHART_MS);
    const series = (work ?? []).map((one) => ({ ...one, name: one.labels.work }));
    const of = (name) => figure(now, `quarry_kv_${name}`);
    const by = (name) => `${count(rate(now, before, `quarry_kv_${name}`))}/s`;
    if (now && !now.families.quarry_kv_keys_estimated) {
        return <section><h2>Key-value store</h2><p>There is none: <code>kv.enabled</code> is off.</p></section>;
    }
    return (
        <>
            <Trouble error={error} />
            {now && (
                <>
                    <section>
                        <h2>Levels</h2>
                        <Levels now={now} />
                    </section>
                    <section>
                        <h2>Store</h2>
                        <Facts>
                            <Fact name="keys, about" value={count(of("keys_estimated"))} />
                            <Fact name="gets" value={by("gets_total")} />
                            <Fact name="puts" value={by("puts_total")} />
                            <Fact name="deletes" value={by("deletes_total")} />
                            <Fact name="memtables" value={bytes(of("memtable_bytes"))} />
                            <Fact name="blocks cached" value={bytes(of("block_bytes"))} />
                            <Fact name="pinned" value={bytes(of("pinned_bytes"))} />
                            <Fact name="iterators, snapshots" value={`${count(of("iterators"))}, ${count(of("snapshots"))}`} />
                            <Fact name="writes delayed, in all" value={seconds(of("delayed_seconds_total"))} />
                            <Fact name="not needed any more" value={bytes(of("obsolete_bytes"))} />
                        </Facts>
                    </section>
                </>
            )}
            <section>
                <h2>Bytes written by second, the last hour</h2>
                {series.length > 0 ? <Chart series={series} text={bytes} label="Bytes written by work" /> : <p class="quiet">No samples yet.</p>}
            </section>
        </>
    );
}
