/*
 * load: descriptions of series to series.
 *
 *     load 1m
 *       @st 0s                     of all that follow: when counting began, before each sample
 *       up{job="a"}@st -30s -1mx2  of the series that follows
 *       up{job="a"} 1 2 3 4
 *
 * A store of Prometheus keeps native histograms in chunks, and what it says of resets on reading is
 * what its chunks say: within one there was none. The same is said here (script_settle_hints),
 * since expressions show it.
 */
#include <promql/script_parts.h>

#include <stdlib.h>
#include <string.h>

/* When counting began, relative to samples. */
struct starts {
    int64_t *offset_ms;
    bool *is_omitted;
    size_t count, capacity;
};

struct loading {
    struct script *script;
    int64_t step_ms;
    struct starts common;  /* of series that have none of their own; goes round */
    struct starts pending; /* of the next line's series */
    struct quarry_tsdb_slice pending_name;
    bool has_pending;
    struct script_series *first;
};

/* ---- starts --------------------------------------------------------------------------------- */

static bool add_start(struct script *script, struct starts *starts, int64_t offset_ms,
                      bool is_omitted)
{
    if (starts->count == PROMQL_SERIES_VALUES_MAX) {
        return script_fault(script, "too many start times");
    }
    if (starts->count == starts->capacity) {
        const size_t capacity = starts->capacity == 0 ? 16 : starts->capacity * 2;
        struct starts grown = {
            .offset_ms = promql_memory_take_zero(&script->scratch, capacity, sizeof(int64_t)),
            .is_omitted = promql_memory_take_zero(&script->scratch, capacity, sizeof(bool))};

        if (script->scratch.is_refused) {
            return script_fault(script, "no memory for start times");
        }
        if (starts->count > 0) {
            memcpy(grown.offset_ms, starts->offset_ms, starts->count * sizeof(int64_t));
            memcpy(grown.is_omitted, starts->is_omitted, starts->count * sizeof(bool));
        }
        starts->offset_ms = grown.offset_ms;
        starts->is_omitted = grown.is_omitted;
        starts->capacity = capacity;
    }
    starts->offset_ms[starts->count] = offset_ms;
    starts->is_omitted[starts->count++] = is_omitted;
    return true;
}

/* "-1m30s" at the front of `item`, which it takes off. */
static bool take_offset(struct script *script, struct quarry_tsdb_slice *item, int64_t *ret_ms)
{
    struct quarry_tsdb_slice duration = *item;

    duration.count = duration.count > 0 && (item->bytes[0] == '-' || item->bytes[0] == '+');
    while (duration.count < item->count && item->bytes[duration.count] != 'x' &&
           item->bytes[duration.count] != '+' && item->bytes[duration.count] != '-') {
        duration.count++;
    }
    item->bytes += duration.count;
    item->count -= duration.count;
    if (script_starts(duration, "+")) {
        duration.bytes++;
        duration.count--;
    }
    return script_duration(script, duration, ret_ms);
}

/* "x3" at the front of `item`. */
static bool take_count(struct script *script, struct quarry_tsdb_slice item, uint32_t *ret_count)
{
    uint32_t count = 0;

    for (size_t i = 1; i < item.count; i++) {
        if (item.bytes[i] < '0' || item.bytes[i] > '9' || count > PROMQL_SERIES_VALUES_MAX) {
            return script_fault(script, "invalid repeat count");
        }
        count = count * 10 + (uint32_t)(item.bytes[i] - '0');
    }
    if (item.count < 2 || item.bytes[0] != 'x') {
        return script_fault(script, "expected 'x<count>'");
    }
    *ret_count = count;
    return true;
}

/* The newest offset that is one. */
static int64_t last_offset(const struct starts *starts)
{
    for (size_t i = starts->count; i-- > 0;) {
        if (!starts->is_omitted[i]) {
            return starts->offset_ms[i];
        }
    }
    return 0;
}

static bool read_start(struct script *script, struct starts *starts, struct quarry_tsdb_slice item)
{
    const bool is_omitted = script_starts(item, "_"), is_same = script_starts(item, "*");
    int64_t offset_ms = last_offset(starts), step_ms = 0;
    uint32_t count = 0;

    if (is_omitted || is_same) {
        item.bytes++;
        item.count--;
    } else if (!take_offset(script, &item, &offset_ms)) {
        return false;
    } else if (item.count > 0 && item.bytes[0] != 'x' && !take_offset(script, &item, &step_ms)) {
        return false;
    }
    if (item.count > 0 && !take_count(script, item, &count)) {
        return false;
    }
    count += !is_omitted || count == 0; /* _x3 is three, 1mx3 is four */
    for (uint32_t i = 0; i < count; i++, offset_ms += step_ms) {
        if (!add_start(script, starts, offset_ms, is_omitted)) {
            return false;
        }
    }
    return true;
}

/* A line whose first word ends in "@st". */
static bool read_starts(struct loading *loading, struct quarry_tsdb_slice line,
                        struct quarry_tsdb_slice word)
{
    struct script *script = loading->script;
    struct starts starts = {.count = 0};

    if (loading->has_pending) {
        return script_fault(script, "@st line has no following sample line");
    }
    while (line.count > 0) {
        if (!read_start(script, &starts, script_word(&line))) {
            return false;
        }
    }
    if (word.count == 3) {
        loading->common = starts;
        return true;
    }
    word.count -= 3;
    loading->pending = starts;
    loading->pending_name = word;
    loading->has_pending = true;
    return true;
}

/* ---- samples -------------------------------------------------------------------------------- */

static bool has_other_layout(const struct promql_histogram *left,
                             const struct promql_histogram *right)
{
    return left->schema != right->schema || left->zero_threshold != right->zero_threshold;
}

/* What a chunk says of a histogram behind `before`, NULL for none of the kind. Where counting began
 * anew a chunk begins, of whose first histogram a store says nothing: it cannot know whether the
 * chunk before it is still there. */
static bool hint_of(struct script *script, const struct promql_histogram *before, bool is_stale,
                    const struct promql_histogram *histogram, enum promql_reset_hint *ret_hint)
{
    struct promql_memory *memory = &script->store.memory;
    const struct promql_histogram *plain;
    bool is_reset;

    *ret_hint = PROMQL_RESET_UNKNOWN;
    if (histogram->reset_hint == PROMQL_RESET_GAUGE) {
        *ret_hint = PROMQL_RESET_GAUGE;
        return true;
    }
    if (histogram->reset_hint == PROMQL_RESET_YES || before == NULL || is_stale ||
        before->reset_hint == PROMQL_RESET_GAUGE || has_other_layout(before, histogram)) {
        return true;
    }
    plain = promql_histogram_with_hint(memory, histogram, PROMQL_RESET_UNKNOWN);
    if (plain == NULL || !promql_histogram_detect_reset(memory, plain, before, &is_reset)) {
        return script_fault(script, "no memory for a histogram");
    }
    *ret_hint = is_reset ? PROMQL_RESET_UNKNOWN : PROMQL_RESET_NO;
    return true;
}

/* Says of each histogram what a store would. */
bool script_settle_hints(struct script *script, struct script_series *series)
{
    const struct promql_histogram *before = NULL;
    bool is_stale = false;

    for (size_t i = 0; i < series->count; i++) {
        enum promql_reset_hint hint;
        const struct promql_histogram *histogram = series->histograms[i];

        if (series->bits[i] == QUARRY_TSDB_STALE_BITS) {
            is_stale = before != NULL;
            continue;
        }
        if (histogram == NULL) {
            before = NULL;
            continue;
        }
        if (!hint_of(script, before, is_stale, histogram, &hint)) {
            return false;
        }
        is_stale = false;
        before = promql_histogram_with_hint(&script->store.memory, histogram, hint);
        if (before == NULL) {
            return script_fault(script, "no memory for a histogram");
        }
        series->histograms[i] = before;
    }
    return true;
}

/* When counting began for value `index`; 0: not known. */
static int64_t start_of(const struct loading *loading, size_t index, int64_t t_ms)
{
    const struct starts *starts = loading->has_pending ? &loading->pending : &loading->common;
    const size_t at = starts->count == 0 ? 0 : index % starts->count;

    return starts->count == 0 || starts->is_omitted[at] ? 0 : t_ms + starts->offset_ms[at];
}

static bool put_samples(const struct loading *loading,
                        const struct promql_series_description *described,
                        struct script_series *series)
{
    struct promql_memory *memory = &loading->script->store.memory;
    const size_t count = described->value_count;

    series->t_ms = promql_memory_take_zero(memory, count, sizeof(int64_t));
    series->bits = promql_memory_take_zero(memory, count, sizeof(uint64_t));
    series->start_ms = promql_memory_take_zero(memory, count, sizeof(int64_t));
    series->histograms =
        promql_memory_take_zero(memory, count, sizeof(const struct promql_histogram *));
    if (memory->is_refused) {
        return script_fault(loading->script, "no memory for samples");
    }
    for (size_t i = 0; i < count; i++) {
        const struct promql_series_value *value = &described->values[i];
        const size_t at = series->count;

        if (value->is_omitted) {
            continue;
        }
        series->t_ms[at] = (int64_t)i * loading->step_ms;
        series->bits[at] = value->bits;
        series->histograms[at] = value->histogram;
        series->start_ms[at] = start_of(loading, i, series->t_ms[at]);
        series->has_histograms |= value->histogram != NULL;
        series->has_starts |= series->start_ms[at] != 0;
        series->count++;
    }
    return script_settle_hints(loading->script, series);
}

/* The series of these labels among those that are being loaded. */
static struct script_series *find(const struct loading *loading, const struct script_series *like)
{
    struct script_series *series = loading->first;

    while (series != NULL && script_compare_labels(series->labels, series->label_count,
                                                   like->labels, like->label_count) != 0) {
        series = series->next;
    }
    return series;
}

static bool is_name_of(const struct loading *loading,
                       const struct promql_series_description *described)
{
    struct promql_series_description named;
    struct promql_parse_error error;

    return promql_parse_series(&loading->script->scratch, loading->pending_name, &named, &error) ==
               QUARRY_OK &&
           script_compare_labels(named.labels, named.label_count, described->labels,
                                 described->label_count) == 0;
}

static bool load_series(struct loading *loading, struct quarry_tsdb_slice line)
{
    struct script *script = loading->script;
    struct promql_series_description described;
    struct promql_parse_error error;

    if (promql_parse_series(&script->store.memory, line, &described, &error) != QUARRY_OK) {
        return script_fault(script, "line %u: %s", script->line, error.text);
    }
    if (loading->has_pending && !is_name_of(loading, &described)) {
        return script_fault(script, "@st metric does not match the following sample line metric");
    }
    if (loading->has_pending && loading->pending.count != described.value_count) {
        return script_fault(script, "@st line has %zu values but sample line has %zu",
                            loading->pending.count, described.value_count);
    }
    struct script_series *series =
        promql_memory_take_zero(&script->store.memory, 1, sizeof(*series));
    if (series == NULL) {
        return script_fault(script, "no memory for a series");
    }
    series->labels = described.labels;
    series->label_count = described.label_count;
    if (!put_samples(loading, &described, series)) {
        return false;
    }
    loading->has_pending = false;
    struct script_series *same = find(loading, series);
    if (same != NULL) {
        series->next = same->next;
        *same = *series; /* the last one counts */
        return true;
    }
    series->next = loading->first;
    loading->first = series;
    return true;
}

static bool load_line(struct loading *loading, struct quarry_tsdb_slice line)
{
    struct quarry_tsdb_slice rest = line;
    const struct quarry_tsdb_slice word = script_word(&rest);

    if (rest.count > 0 && word.count >= 3 && memcmp(word.bytes + word.count - 3, "@st", 3) == 0) {
        return read_starts(loading, rest, word);
    }
    return load_series(loading, line);
}

bool script_load(struct script *script, struct quarry_tsdb_slice rest, bool with_nhcb)
{
    struct loading loading = {.script = script};
    struct quarry_tsdb_slice line;

    if (!script_duration(script, rest, &loading.step_ms)) {
        return false;
    }
    while (script_body_line(script, &line)) {
        if (!load_line(&loading, line)) {
            return false;
        }
    }
    if (loading.has_pending) {
        return script_fault(script, "@st line has no following sample line");
    }
    for (const struct script_series *series = loading.first; series != NULL;
         series = series->next) {
        enum quarry_status status = script_store_add(&script->store, series);
        if (status != QUARRY_OK) {
            return script_fault(script, status == QUARRY_NO_MEMORY ? "no memory for series"
                                                                   : "out of order sample");
        }
    }
    return !with_nhcb || script_load_nhcb(script, loading.first);
}
