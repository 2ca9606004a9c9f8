// Size classes, and who holds spans: where the malloc wastes.
import { askJson, usePolled } from "./api.js";
import { bytes, count, percent } from "./format.js";
import { Fact, Facts, Table, Trouble } from "./parts.jsx";

const LOOK_MS = 5000;
const WASTE = {
    span_free_bytes: "free in spans",
    thread_cached_bytes: "with threads",
    page_cached_bytes: "pages with threads",
    free_backed_bytes: "free pages",
    span_tail_bytes: "behind last objects",
    metadata_bytes: "structures",
    rounding_bytes: "rounding, estimated",
};

const CLASSES = [
    { name: "object", value: (row) => row.object_bytes, text: (row) => bytes(row.object_bytes) },
    { name: "alive", value: (row) => row.live_count, text: (row) => count(row.live_count) },
    { name: "spans", value: (row) => row.span_count },
    { name: "pages of a span", value: (row) => row.span_pages },
    { name: "full", value: (row) => row.live_count / (row.capacity_count || 1), text: (row) => percent(row.live_count, row.capacity_count) },
    { name: "waste", value: (row) => row.waste_bytes, text: (row) => bytes(row.waste_bytes) },
    { name: "allocated", value: (row) => row.alloc_count, text: (row) => count(row.alloc_count) },
    { name: "freed", value: (row) => row.free_count, text: (row) => count(row.free_count) },
];

const ROWS = [
    { name: "owner", value: (row) => row.owner, isText: true },
    { name: "lifetime", value: (row) => row.lifetime, isText: true },
    { name: "alive", value: (row) => row.live_bytes, text: (row) => bytes(row.live_bytes) },
    { name: "spans", value: (row) => row.span_bytes, text: (row) => bytes(row.span_bytes) },
    { name: "large", value: (row) => row.large_bytes, text: (row) => bytes(row.large_bytes) },
    { name: "fragmentation", value: (row) => row.fragmentation_bytes, text: (row) => bytes(row.fragmentation_bytes) },
    { name: "of spans", value: (row) => row.fragmentation_bytes / (row.span_bytes || 1), text: (row) => percent(row.fragmentation_bytes, row.span_bytes) },
];

export function Classes() {
    const { value, error } = usePolled((signal) => askJson("/api/v1/heap/figures?top=0", signal), LOOK_MS);
    return (
        <>
            <Trouble error={error} />
            {value && (
                <>
                    <section>
                        <h2>Waste by cause</h2>
                        <Facts>
                            <Fact name="alive" value={bytes(value.object_bytes)} />
                            {Object.entries(WASTE).map(([field, name]) => <Fact name={name} value={bytes(value.waste[field])} />)}
                        </Facts>
                    </section>
                    <section>
                        <h2>Owners and lifetimes</h2>
                        <Table columns={ROWS} rows={value.rows} sortedBy="fragmentation" />
                    </section>
                    <section>
                        <h2>Size classes</h2>
                        <Table columns={CLASSES} rows={value.classes.filter((row) => row.alloc_count > 0)} sortedBy="waste" />
                    </section>
                </>
            )}
        </>
    );
}
