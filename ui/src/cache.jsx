// The cache: tenants, hits, what leaves.
import { askRange, figure, rate, usePolled } from "./api.js";
import { Chart } from "./chart.jsx";
import { bytes, count, percent } from "./format.js";
import { Fact, Facts, Table, Trouble } from "./parts.jsx";
import { useMetrics } from "./stream.js";

const CHART_MS = 15000;
const HOUR = 3600;
const HITS = "sum by (tenant) (rate(quarry_cache_tenant_hits_total[2m])) / (sum by (tenant) (rate(quarry_cache_tenant_hits_total[2m])) + sum by (tenant) (rate(quarry_cache_tenant_misses_total[2m])))";

function tenantsOf(now, before) {
    return (now.families.quarry_cache_tenant_items ?? []).map(({ labels: { tenant } }) => {
        const of = (name) => figure(now, `quarry_cache_tenant_${name}`, { tenant });
        const by = (name) => rate(now, before, `quarry_cache_tenant_${name}`, { tenant });
        return {
            tenant, items: of("items"), bytes: of("item_bytes"), hits: of("hits_total"), misses: of("misses_total"),
            gets: by("hits_total") + by("misses_total"), sets: by("sets_total"), evictions: by("evictions_total"),
            expirations: by("expirations_total"),
            refused: of("refused_no_memory_total") + of("refused_too_large_total"),
        };
    });
}

const COLUMNS = [
    { name: "tenant", value: (row) => row.tenant, isText: true },
    { name: "items", value: (row) => row.items, text: (row) => count(row.items) },
    { name: "bytes", value: (row) => row.bytes, text: (row) => bytes(row.bytes) },
    { name: "hit ratio", value: (row) => row.hits / (row.hits + row.misses || 1), text: (row) => percent(row.hits, row.hits + row.misses) },
    { name: "gets/s", value: (row) => row.gets, text: (row) => count(row.gets) },
    { name: "sets/s", value: (row) => row.sets, text: (row) => count(row.sets) },
    { name: "evictions/s", value: (row) => row.evictions, text: (row) => count(row.evictions) },
    { name: "expirations/s", value: (row) => row.expirations, text: (row) => count(row.expirations) },
    { name: "refused", value: (row) => row.refused, text: (row) => count(row.refused) },
];

export function Cache() {
    const { value: now, before, error } = useMetrics();
    const { value: ratios } = usePolled((signal) => askRange(HITS, HOUR, signal), CHART_MS);
    const series = (ratios ?? []).map((one) => ({ ...one, name: one.labels.tenant || "default" }));
    const of = (name) => bytes(figure(now, `quarry_cache_${name}_bytes`));
    return (
        <>
            <Trouble error={error} />
            {now && (
                <>
                    <section>
                        <h2>Memory of the cache</h2>
                        <Facts>
                            <Fact name="items" value={count(figure(now, "quarry_cache_items"))} />
                            <Fact name="charged" value={of("charged")} note={` of ${of("size")}`} />
                            <Fact name="in cells" value={of("cell")} />
                            <Fact name="free in pages" value={of("free")} />
                            <Fact name="index" value={of("index")} />
                            <Fact name="policy" value={of("policy")} />
                        </Facts>
                    </section>
                    <section>
                        <h2>Tenants</h2>
                        <Table columns={COLUMNS} rows={tenantsOf(now, before)} sortedBy="bytes" />
                    </section>
                </>
            )}
            <section>
                <h2>Hit ratio, the last hour</h2>
                {series.length > 0
                    ? <Chart series={series} text={(value) => percent(value, 1)} label="Hit ratio by tenant" />
                    : <p class="quiet">No gets in the last hour.</p>}
            </section>
        </>
    );
}
