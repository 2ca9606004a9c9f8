/*
 * The source over a store: its sets and cursors are the store's own, each with one in front of it.
 *
 *     block of floats       passed through
 *     block of histograms   | pointers | histograms | counts, bounds: doubles | spans |
 *
 * A store's histograms have counts of integers, or bits of doubles; evaluation wants doubles. So a
 * block of them, up to 64 or so, is made anew in memory of the cursor, which is used again for the
 * next. It is charged to the source's account, as what a query takes.
 *
 * Locking: none; a cursor is one thread's. Cost: of a histogram some 2 ns a bucket.
 */
#include <promql/tsdb_source.h>

#include <stdlib.h>
#include <string.h>

#include <promql/memory.h>

/* Some words each, and a query has as many as selectors: they are malloc's. */
struct promql_set {
    const struct promql_tsdb_source *store;
    struct quarry_tsdb_set *inner; /* own */
};

struct promql_cursor {
    struct quarry_tsdb_cursor *inner; /* own */
    struct promql_memory memory;      /* of the last block's histograms */
};

static enum quarry_status select_series(void *argument, const struct promql_selection *selection,
                                        struct promql_set **ret_set, struct quarry_error *error)
{
    const struct promql_tsdb_source *store = argument;
    const struct quarry_tsdb_query query = {.tenant = store->tenant,
                                            .matchers = selection->matchers,
                                            .matcher_count = selection->matcher_count,
                                            .min_ms = selection->min_ms,
                                            .max_ms = selection->max_ms};
    struct promql_set *set = malloc(sizeof *set);

    if (set == NULL) {
        return QUARRY_NO_MEMORY;
    }
    set->store = store;
    enum quarry_status status = quarry_tsdb_select(store->tsdb, &query, &set->inner, error);
    if (status != QUARRY_OK) {
        free(set);
        return status;
    }
    *ret_set = set;
    return QUARRY_OK;
}

static void set_close(struct promql_set *set)
{
    quarry_tsdb_set_close(set->inner);
    free(set);
}

static size_t set_count(const struct promql_set *set)
{
    return quarry_tsdb_set_count(set->inner);
}

static size_t set_labels(const struct promql_set *set, size_t index,
                         struct quarry_tsdb_label *labels, size_t capacity)
{
    return quarry_tsdb_set_labels(set->inner, index, labels, capacity);
}

static enum quarry_status cursor_create(struct promql_set *set, struct promql_cursor **ret_cursor)
{
    struct promql_cursor *cursor = malloc(sizeof *cursor);

    if (cursor == NULL) {
        return QUARRY_NO_MEMORY;
    }
    enum quarry_status status = quarry_tsdb_cursor_create(set->inner, &cursor->inner);
    if (status != QUARRY_OK) {
        free(cursor);
        return status;
    }
    promql_memory_init(&cursor->memory, set->store->account, set->store->pool, UINT64_MAX);
    *ret_cursor = cursor;
    return QUARRY_OK;
}

static void cursor_destroy(struct promql_cursor *cursor)
{
    promql_memory_fini(&cursor->memory);
    quarry_tsdb_cursor_destroy(cursor->inner);
    free(cursor);
}

static void cursor_series(struct promql_cursor *cursor, size_t index)
{
    quarry_tsdb_cursor_series(cursor->inner, index);
}

/* ---- histograms ----------------------------------------------------------------------------- */

static double double_of(uint64_t bits)
{
    double value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A count of a histogram, which is an integer or the bits of a double. */
static double count_of(const struct quarry_tsdb_histogram *histogram, uint64_t word)
{
    return histogram->is_float ? double_of(word) : (double)word;
}

/* An array of doubles of words. NULL: no memory. */
static const double *doubles_make(struct promql_memory *memory, const uint64_t *words,
                                  uint32_t count, bool are_bits)
{
    double *doubles = promql_memory_take(memory, count * sizeof *doubles);

    for (uint32_t i = 0; doubles != NULL && i < count; i++) {
        doubles[i] = are_bits ? double_of(words[i]) : (double)words[i];
    }
    return doubles;
}

static bool buckets_make(struct promql_memory *memory, const struct quarry_tsdb_buckets *from,
                         bool is_float, struct promql_buckets *ret_buckets)
{
    struct promql_span *spans = promql_memory_take(memory, from->span_count * sizeof *spans);

    for (uint32_t i = 0; spans != NULL && i < from->span_count; i++) {
        spans[i] = (struct promql_span){from->spans[i].offset, from->spans[i].length};
    }
    *ret_buckets = (struct promql_buckets){
        .spans = spans,
        .counts = doubles_make(memory, from->buckets, from->bucket_count, is_float),
        .span_count = from->span_count,
        .bucket_count = from->bucket_count};
    return spans != NULL && ret_buckets->counts != NULL;
}

/* NULL: no memory. */
static const struct promql_histogram *histogram_make(struct promql_memory *memory,
                                                     const struct quarry_tsdb_histogram *from)
{
    struct promql_histogram *made = promql_memory_take(memory, sizeof *made);

    if (made == NULL) {
        return NULL;
    }
    *made = (struct promql_histogram){
        .schema = from->schema,
        .reset_hint = (enum promql_reset_hint)from->reset_hint,
        .zero_threshold = double_of(from->zero_threshold_bits),
        .zero_count = count_of(from, from->zero_count),
        .count = count_of(from, from->count),
        .sum = double_of(from->sum_bits),
        .custom_bounds = doubles_make(memory, from->custom_bits, from->custom_count, true),
        .custom_count = from->custom_count};
    bool is_whole = made->custom_bounds != NULL &&
                    buckets_make(memory, &from->positive, from->is_float, &made->positive) &&
                    buckets_make(memory, &from->negative, from->is_float, &made->negative);
    return is_whole ? made : NULL;
}

/* A block's histograms. NULL: no memory. */
static const struct promql_histogram *const *histograms_make(struct promql_cursor *cursor,
                                                             const struct quarry_tsdb_block *block)
{
    const struct promql_mark begin = {NULL, 0};
    struct promql_memory *memory = &cursor->memory;

    promql_memory_release(memory, begin); /* those of the block before */
    memory->is_refused = false;
    const struct promql_histogram **made =
        promql_memory_take(memory, block->count * sizeof(struct promql_histogram *));
    for (uint32_t i = 0; made != NULL && i < block->count; i++) {
        made[i] = histogram_make(memory, &block->histograms[i]);
        if (made[i] == NULL) {
            return NULL;
        }
    }
    return made;
}

static enum quarry_status cursor_next(struct promql_cursor *cursor, struct promql_block *ret_block)
{
    struct quarry_tsdb_block block;
    enum quarry_status status = quarry_tsdb_cursor_next(cursor->inner, &block);

    if (status != QUARRY_OK) {
        return status;
    }
    *ret_block =
        (struct promql_block){.t_ms = block.t_ms, .bits = block.bits, .count = block.count};
    if (block.histograms != NULL) {
        ret_block->histograms = histograms_make(cursor, &block);
        return ret_block->histograms == NULL ? QUARRY_NO_MEMORY : QUARRY_OK;
    }
    return QUARRY_OK;
}

struct promql_source promql_tsdb_source(struct promql_tsdb_source *store)
{
    static const struct promql_source_functions functions = {
        .select = select_series,
        .set_close = set_close,
        .set_count = set_count,
        .set_labels = set_labels,
        .cursor_create = cursor_create,
        .cursor_destroy = cursor_destroy,
        .cursor_series = cursor_series,
        .cursor_next = cursor_next,
    };
    return (struct promql_source){.functions = &functions, .argument = store};
}
