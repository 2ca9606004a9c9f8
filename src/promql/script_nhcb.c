/*
 * load_with_nhcb: beside classic histograms, what they are as native ones with boundaries of their
 * own.
 *
 * Series are taken together that have the same labels but for `le`, and the same name but for
 * _bucket, _count and _sum; of each moment that any of them has a sample, one histogram is made.
 * Counts of buckets are cumulative; one that falls makes the script wrong.
 */
#include <promql/script_parts.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum part { PART_BUCKET, PART_COUNT, PART_SUM, PART_NONE };

/* A sample of a part, and what it is of. */
struct piece {
    const struct quarry_tsdb_label *labels; /* those of the histogram */
    size_t label_count;
    int64_t t_ms;
    enum part part;
    double le, value;
};

struct pieces {
    struct script *script;
    struct piece *pieces;
    size_t count;
};

static double number_of(uint64_t bits)
{
    double number;

    memcpy(&number, &bits, sizeof(number));
    return number;
}

static bool is_text(struct quarry_tsdb_slice slice, const char *text)
{
    return slice.count == strlen(text) && memcmp(slice.bytes, text, slice.count) == 0;
}

/* What a name is of; *name becomes that of the histogram. */
static enum part part_of(struct quarry_tsdb_slice *name)
{
    static const char *const suffixes[] = {"_bucket", "_count", "_sum"};

    for (enum part part = PART_BUCKET; part < PART_NONE; part++) {
        const size_t count = strlen(suffixes[part]);
        if (name->count > count &&
            memcmp(name->bytes + name->count - count, suffixes[part], count) == 0) {
            name->count -= count;
            return part;
        }
    }
    return PART_NONE;
}

/* The labels of the histogram that a series is of. Returns: what the series is of it. */
static enum part base_of(struct script *script, const struct script_series *series,
                         struct piece *ret_piece)
{
    struct quarry_tsdb_label *labels = promql_memory_take_zero(
        &script->store.memory, series->label_count, sizeof(struct quarry_tsdb_label));
    enum part part = PART_NONE;
    bool has_le = false;

    if (labels == NULL) {
        script_fault(script, "no memory for labels");
        return PART_NONE;
    }
    *ret_piece = (struct piece){.labels = labels};
    for (size_t i = 0; i < series->label_count; i++) {
        struct quarry_tsdb_label label = series->labels[i];

        if (is_text(label.name, "le")) {
            has_le = promql_read_number(label.value, &ret_piece->le) && !isnan(ret_piece->le);
            continue;
        }
        if (is_text(label.name, "__name__")) {
            part = part_of(&label.value);
        }
        labels[ret_piece->label_count++] = label;
    }
    ret_piece->part = part;
    return part == PART_BUCKET && !has_le ? PART_NONE : part;
}

static int compare_pieces(const void *left, const void *right)
{
    const struct piece *a = left, *b = right;
    int order = script_compare_labels(a->labels, a->label_count, b->labels, b->label_count);

    if (order != 0) {
        return order;
    }
    if (a->t_ms != b->t_ms) {
        return a->t_ms < b->t_ms ? -1 : 1;
    }
    if (a->part != b->part) {
        return a->part < b->part ? -1 : 1;
    }
    return a->le < b->le ? -1 : a->le > b->le;
}

static bool collect(struct pieces *pieces, const struct script_series *loaded)
{
    struct script *script = pieces->script;
    size_t room = 0;

    for (const struct script_series *series = loaded; series != NULL; series = series->next) {
        room += series->count;
    }
    pieces->pieces = promql_memory_take_zero(&script->scratch, room, sizeof(struct piece));
    if (pieces->pieces == NULL) {
        return script_fault(script, "no memory for histograms");
    }
    for (const struct script_series *series = loaded; series != NULL; series = series->next) {
        struct piece piece;

        if (base_of(script, series, &piece) == PART_NONE) {
            continue;
        }
        for (size_t i = 0; i < series->count; i++) {
            piece.t_ms = series->t_ms[i];
            piece.value = number_of(series->bits[i]);
            if (series->histograms[i] == NULL) {
                pieces->pieces[pieces->count++] = piece;
            }
        }
    }
    if (pieces->count > 1) {
        qsort(pieces->pieces, pieces->count, sizeof(struct piece), compare_pieces);
    }
    return true;
}

/* A histogram of the pieces of one moment. NULL: none can be made; the fault says why. */
static const struct promql_histogram *convert(struct script *script, const struct piece *pieces,
                                              size_t count)
{
    struct promql_memory *memory = &script->store.memory;
    struct promql_histogram *histogram = promql_memory_take_zero(memory, 1, sizeof(*histogram));
    double *counts = promql_memory_take_zero(memory, count + 1, sizeof(double));
    double *bounds = promql_memory_take_zero(memory, count + 1, sizeof(double));
    struct promql_span *span = promql_memory_take_zero(memory, 1, sizeof(*span));
    uint32_t bucket_count = 0, bound_count = 0;
    double before = 0;
    bool has_count = false;

    if (memory->is_refused) {
        script_fault(script, "no memory for a histogram");
        return NULL;
    }
    histogram->schema = PROMQL_SCHEMA_CUSTOM;
    for (size_t i = 0; i < count; i++) {
        const struct piece *piece = &pieces[i];

        if (piece->part == PART_SUM) {
            histogram->sum = piece->value;
        } else if (piece->part == PART_COUNT) {
            histogram->count = piece->value;
            has_count = true;
        } else if (piece->value < before) {
            script_fault(script, "counts of buckets fall at le=%g", piece->le);
            return NULL;
        } else {
            counts[bucket_count++] = piece->value - before;
            before = piece->value;
            if (isfinite(piece->le)) {
                bounds[bound_count++] = piece->le;
            }
        }
    }
    histogram->count = has_count ? histogram->count : before;
    if (bucket_count == bound_count) { /* none is of +Inf */
        counts[bucket_count++] = histogram->count - before;
        before = histogram->count;
    }
    if (histogram->count != before || counts[bucket_count - 1] < 0) {
        script_fault(script, "count of a histogram is not that of its buckets");
        return NULL;
    }
    *span = (struct promql_span){.length = bucket_count};
    histogram->positive = (struct promql_buckets){
        .spans = span, .counts = counts, .span_count = 1, .bucket_count = bucket_count};
    histogram->custom_bounds = bounds;
    histogram->custom_count = bound_count;
    return promql_histogram_compact(memory, histogram);
}

/* Whether two pieces are of one series, and of one moment. */
static bool is_same_series(const struct piece *left, const struct piece *right)
{
    return script_compare_labels(left->labels, left->label_count, right->labels,
                                 right->label_count) == 0;
}

/* Makes the series of the pieces from `first` on. Returns: where the next one's begin. */
static size_t make_series(struct script *script, const struct pieces *pieces, size_t first,
                          struct script_series *series)
{
    struct promql_memory *memory = &script->store.memory;
    size_t end = first, moments = 0;

    while (end < pieces->count && is_same_series(&pieces->pieces[first], &pieces->pieces[end])) {
        moments += end == first || pieces->pieces[end].t_ms != pieces->pieces[end - 1].t_ms;
        end++;
    }
    *series = (struct script_series){
        .labels = pieces->pieces[first].labels,
        .label_count = pieces->pieces[first].label_count,
        .t_ms = promql_memory_take_zero(memory, moments, sizeof(int64_t)),
        .bits = promql_memory_take_zero(memory, moments, sizeof(uint64_t)),
        .start_ms = promql_memory_take_zero(memory, moments, sizeof(int64_t)),
        .histograms =
            promql_memory_take_zero(memory, moments, sizeof(const struct promql_histogram *)),
        .has_histograms = true};
    for (size_t i = first, next; !memory->is_refused && i < end; i = next) {
        const struct promql_histogram *histogram;

        for (next = i; next < end && pieces->pieces[next].t_ms == pieces->pieces[i].t_ms; next++) {
        }
        histogram = convert(script, &pieces->pieces[i], next - i);
        if (histogram == NULL) {
            return 0;
        }
        series->t_ms[series->count] = pieces->pieces[i].t_ms;
        memcpy(&series->bits[series->count], &histogram->sum, sizeof(uint64_t));
        series->histograms[series->count++] = histogram;
    }
    return memory->is_refused ? 0 : end;
}

bool script_load_nhcb(struct script *script, const struct script_series *loaded)
{
    struct pieces pieces = {.script = script};

    if (!collect(&pieces, loaded)) {
        return false;
    }
    for (size_t i = 0; i < pieces.count;) {
        struct script_series series;

        i = make_series(script, &pieces, i, &series);
        if (i == 0 || !script_settle_hints(script, &series)) {
            return script_fault(script, "no memory for histograms");
        }
        if (script_store_add(&script->store, &series) != QUARRY_OK) {
            return script_fault(script, "histograms cannot be added");
        }
    }
    return true;
}
