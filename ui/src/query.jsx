// The time-series store: PromQL, with names to complete, and what has most series.
import { useEffect, useState } from "preact/hooks";
import { act, askJson, askRange, figure, usePolled } from "./api.js";
import { Chart } from "./chart.jsx";
import { bytes, count } from "./format.js";
import { Fact, Facts, Table, Trouble } from "./parts.jsx";
import { useMetrics } from "./stream.js";

const SPANS = { "15 minutes": 900, "1 hour": 3600, "6 hours": 21600, "24 hours": 86400 };
const LOOK_MS = 5000;
const SERIES_SHOWN = 50;
const BEGINNING = "sum by (owner) (quarry_memory_owner_bytes)";

function nameOf(labels) {
    const { __name__: name = "", ...rest } = labels;
    const inside = Object.entries(rest).map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(", ");
    return inside ? `${name}{${inside}}` : name || "{}";
}

function rowsOf({ resultType, result }) {
    if (resultType === "scalar" || resultType === "string") {
        return [{ name: resultType, value: result[1] }];
    }
    return result.map(({ metric, value, histogram, values }) => ({
        name: nameOf(metric),
        value: value?.[1] ?? (histogram ? `histogram of ${histogram[1].count}, sum ${histogram[1].sum}` : `${values?.length ?? 0} samples`),
    }));
}

const COLUMNS = [
    { name: "series", value: (row) => row.name, isText: true },
    { name: "value", value: (row) => Number(row.value), text: (row) => row.value },
];

function Answer({ asked }) {
    const [state, setState] = useState({});
    useEffect(() => {
        const abort = new AbortController();
        const query = new URLSearchParams({ query: asked.expression });
        const work = async () => {
            const [now, range] = await Promise.all([
                askJson(`/api/v1/query?${query}`, abort.signal),
                askRange(asked.expression, asked.span, abort.signal).catch((error) => {
                    if (abort.signal.aborted) {
                        throw error;
                    }
                    return [];
                }),
            ]);
            setState({ now, range });
        };
        setState({});
        work().catch((error) => abort.signal.aborted || setState({ error }));
        return () => abort.abort();
    }, [asked]);
    const { now, range = [], error } = state;
    const notes = [...(now?.warnings ?? []), ...(now?.infos ?? [])];
    const series = range.slice(0, SERIES_SHOWN).map((one) => ({ ...one, name: nameOf(one.labels) }));
    return (
        <>
            <Trouble error={error} />
            {notes.map((note) => <p class="note">{note}</p>)}
            {series.length > 0 && <Chart series={series} text={count} label={asked.expression} />}
            {range.length > SERIES_SHOWN && <p class="quiet">{`The first ${SERIES_SHOWN} of ${range.length} series are drawn.`}</p>}
            {now && <Table columns={COLUMNS} rows={rowsOf(now.data)} sortedBy="value" caption={`${rowsOf(now.data).length} now`} />}
        </>
    );
}

function Asking({ onAsk }) {
    const [expression, setExpression] = useState(BEGINNING);
    const [span, setSpan] = useState("1 hour");
    const { value: names } = usePolled((signal) => askJson("/api/v1/label/__name__/values", signal), 0);
    const word = /[\w:]*$/.exec(expression)[0];
    const fitting = word.length >= 2
        ? (names?.data ?? []).filter((name) => name.includes(word) && name !== word).slice(0, 12)
        : [];
    const submit = (event) => {
        event.preventDefault();
        onAsk({ expression, span: SPANS[span] });
    };
    return (
        <form class="asking" onSubmit={submit}>
            <textarea rows="2" spellcheck={false} aria-label="PromQL" value={expression}
                onInput={(event) => setExpression(event.target.value)}
                onKeyDown={(event) => event.key === "Enter" && !event.shiftKey && submit(event)} />
            <select aria-label="Time" value={span} onChange={(event) => setSpan(event.target.value)}>
                {Object.keys(SPANS).map((name) => <option>{name}</option>)}
            </select>
            <button type="submit">Ask</button>
            {fitting.length > 0 && (
                <p class="names">
                    {fitting.map((name) => (
                        <button type="button" onClick={() => setExpression(expression.slice(0, expression.length - word.length) + name)}>{name}</button>
                    ))}
                </p>
            )}
        </form>
    );
}

const TOP = [
    { name: "name", value: (row) => row.name, isText: true },
    { name: "count", value: (row) => row.value, text: (row) => count(row.value) },
];
const LISTS = {
    seriesCountByMetricName: "Series by metric",
    labelValueCountByLabelName: "Values by label",
    seriesCountByLabelValuePair: "Series by pair",
};

function Cardinality() {
    const { value } = usePolled((signal) => askJson("/api/v1/status/tsdb", signal), LOOK_MS);
    const { value: now } = useMetrics();
    return (
        <section>
            <h2>What there is</h2>
            {now && (
                <Facts>
                    <Fact name="series" value={count(figure(now, "quarry_tsdb_series"))} />
                    <Fact name="windows" value={count(figure(now, "quarry_tsdb_windows"))} />
                    <Fact name="samples taken" value={count(figure(now, "quarry_tsdb_samples_total"))} />
                    <Fact name="memory" value={bytes(figure(now, "quarry_tsdb_bytes"))} />
                </Facts>
            )}
            <div class="beside">
                {value && Object.entries(LISTS).map(([field, title]) => (
                    <Table caption={title} columns={TOP} rows={value.data[field] ?? []} sortedBy="count" />
                ))}
            </div>
        </section>
    );
}

const AT_WORK_MS = 2000;

function fieldsOf(one) {
    const range = one.step > 0 ? `${(one.end - one.start) / 1000} s by ${one.step / 1000} s` : "at a time";
    return { ...one, seconds: Number(one.duration.slice(0, -1)), range };
}

const QUERY_COLUMNS = [
    { name: "query", value: (row) => row.query, isText: true },
    { name: "over", value: (row) => row.range, isText: true },
    { name: "seconds", value: (row) => row.seconds, text: (row) => row.seconds.toFixed(3) },
    { name: "samples", value: (row) => row.samples, text: (row) => count(row.samples) },
    { name: "memory", value: (row) => row.memory_bytes, text: (row) => bytes(row.memory_bytes) },
    { name: "client", value: (row) => `${row.user} ${row.remote_addr}`.trim(), isText: true },
];
const ENDED_COLUMN = { name: "outcome", value: (row) => row.outcome, isText: true };

// Which queries keep the server busy, and which did: for administrators, who may end one.
function AtWork() {
    const { value: active, error } = usePolled((signal) => askJson("/api/v1/status/active_queries", signal), AT_WORK_MS);
    const { value: top } = usePolled((signal) => askJson("/api/v1/status/top_queries", signal), LOOK_MS);
    const [asked, setAsked] = useState("");
    const [told, setTold] = useState({});
    const kill = async (id) => {
        setAsked("");
        setTold({});
        try {
            const offered = await askJson("/api/v1/actions");
            setTold({ text: `${id}: ${await act("cancel_query", offered.data.token, { id })}` });
        } catch (failure) {
            setTold({ error: failure });
        }
    };
    const button = ({ id }) => (asked === id
        ? <><button onClick={() => kill(id)}>End it</button> <button onClick={() => setAsked("")}>Leave it</button></>
        : <button onClick={() => setAsked(id)}>Kill</button>);
    const running = (active?.data ?? []).map(fieldsOf);
    const ended = (top?.data ?? []).map(fieldsOf);
    return (
        <section>
            <h2>Queries</h2>
            <Trouble error={error ?? told.error} />
            {told.text && <p class="told">{told.text}</p>}
            {active && running.length === 0 && <p class="quiet">None is under way.</p>}
            {running.length > 0 && (
                <Table caption="Under way" rows={running} sortedBy="seconds"
                    columns={[...QUERY_COLUMNS, { name: "end", value: (row) => row.id, text: button }]} />
            )}
            {ended.length > 0 && (
                <Table caption="The slowest of the last ten minutes" rows={ended} sortedBy="seconds" columns={[...QUERY_COLUMNS, ENDED_COLUMN]} />
            )}
        </section>
    );
}

export function Query() {
    const [asked, setAsked] = useState(null);
    return (
        <>
            <section>
                <h2>PromQL</h2>
                <Asking onAsk={setAsked} />
                {asked && <Answer asked={asked} />}
            </section>
            <AtWork />
            <Cardinality />
        </>
    );
}
