/*
 * Series in memory.
 *
 * Blocks have three samples, so that whoever reads them meets the border of blocks often. A set
 * holds the numbers of the series that match; series stay where they are until the store ends.
 */
#include <promql/script_source.h>

#include <quarry/memory.h>

#include <tsdb/re2_shim.h>

#include <base/base.h>

#include <string.h>

#define BLOCK_SAMPLES 3u
#define RE2_BYTES     ((size_t)1024 * 1024)

struct promql_set {
    struct script_store *store;
    int64_t min_ms, max_ms;
    size_t count;
    struct script_series *series[];
};

struct promql_cursor {
    struct promql_set *set;
    const struct script_series *series;
    size_t at, end; /* samples that are left */
};

void script_store_init(struct script_store *store, struct quarry_account *account,
                       struct quarry_pool *pool, uint64_t grant_bytes)
{
    *store = (struct script_store){.series = NULL};
    promql_memory_init(&store->memory, account, pool, grant_bytes);
}

void script_store_fini(struct script_store *store)
{
    promql_memory_fini(&store->memory);
}

static int compare_slices(struct quarry_tsdb_slice a, struct quarry_tsdb_slice b)
{
    const size_t count = a.count < b.count ? a.count : b.count;
    int order = count == 0 ? 0 : memcmp(a.bytes, b.bytes, count);

    return order != 0 ? order : a.count < b.count ? -1 : a.count > b.count;
}

int script_compare_labels(const struct quarry_tsdb_label *left, size_t left_count,
                          const struct quarry_tsdb_label *right, size_t right_count)
{
    for (size_t i = 0; i < left_count && i < right_count; i++) {
        int order = compare_slices(left[i].name, right[i].name);

        order = order != 0 ? order : compare_slices(left[i].value, right[i].value);
        if (order != 0) {
            return order;
        }
    }
    return left_count < right_count ? -1 : left_count > right_count;
}

/* ---- adding --------------------------------------------------------------------------------- */

/* Where a series with these labels is, or belongs. */
static size_t place_of(const struct script_store *store, const struct script_series *series,
                       bool *ret_found)
{
    size_t low = 0, high = store->count;

    *ret_found = false;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        const struct script_series *other = store->series[middle];
        int order = script_compare_labels(series->labels, series->label_count, other->labels,
                                          other->label_count);
        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static bool insert(struct script_store *store, size_t place, const struct script_series *added)
{
    struct script_series *series = promql_memory_take(&store->memory, sizeof(*series));

    if (store->count == store->capacity) {
        const size_t capacity = store->capacity == 0 ? 16 : store->capacity * 2;
        struct script_series **grown =
            promql_memory_take_zero(&store->memory, capacity, sizeof(struct script_series *));
        if (grown == NULL) {
            return false;
        }
        if (store->count > 0) {
            memcpy(grown, store->series, store->count * sizeof(struct script_series *));
        }
        store->series = grown;
        store->capacity = capacity;
    }
    if (series == NULL) {
        return false;
    }
    *series = *added;
    memmove(&store->series[place + 1], &store->series[place],
            (store->count - place) * sizeof(struct script_series *));
    store->series[place] = series;
    store->count++;
    return true;
}

/* An array of both. NULL: the memory refused. */
static void *join(struct promql_memory *memory, const void *first, size_t first_count,
                  const void *second, size_t second_count, size_t member_bytes)
{
    char *joined = promql_memory_take_zero(memory, first_count + second_count, member_bytes);

    if (joined != NULL) {
        memcpy(joined, first, first_count * member_bytes);
        memcpy(joined + first_count * member_bytes, second, second_count * member_bytes);
    }
    return joined;
}

enum quarry_status script_store_add(struct script_store *store, const struct script_series *added)
{
    struct promql_memory *memory = &store->memory;
    bool is_found;
    const size_t place = place_of(store, added, &is_found);

    if (added->count == 0) {
        return QUARRY_OK;
    }
    if (!is_found) {
        return insert(store, place, added) ? QUARRY_OK : QUARRY_NO_MEMORY;
    }
    struct script_series *series = store->series[place];
    if (added->t_ms[0] <= series->t_ms[series->count - 1]) {
        return QUARRY_BAD_INPUT;
    }
    const size_t count = series->count, more = added->count;
    series->t_ms = join(memory, series->t_ms, count, added->t_ms, more, sizeof(int64_t));
    series->bits = join(memory, series->bits, count, added->bits, more, sizeof(uint64_t));
    series->start_ms =
        join(memory, series->start_ms, count, added->start_ms, more, sizeof(int64_t));
    series->histograms = join(memory, series->histograms, count, added->histograms, more,
                              sizeof(const struct promql_histogram *));
    if (memory->is_refused) {
        return QUARRY_NO_MEMORY;
    }
    series->count = count + more;
    series->has_histograms |= added->has_histograms;
    series->has_starts |= added->has_starts;
    return QUARRY_OK;
}

/* ---- selecting ------------------------------------------------------------------------------ */

static struct quarry_tsdb_slice value_of(const struct script_series *series,
                                         struct quarry_tsdb_slice name)
{
    for (size_t i = 0; i < series->label_count; i++) {
        if (compare_slices(series->labels[i].name, name) == 0) {
            return series->labels[i].value;
        }
    }
    return (struct quarry_tsdb_slice)QUARRY_TSDB_TEXT("");
}

/* Leaves those of the set that match. */
static enum quarry_status narrow(struct promql_set *set, const struct quarry_tsdb_matcher *matcher,
                                 struct quarry_error *error)
{
    const bool is_regex =
        matcher->match == QUARRY_TSDB_REGEX || matcher->match == QUARRY_TSDB_NOT_REGEX;
    const bool wanted = matcher->match == QUARRY_TSDB_EQUAL || matcher->match == QUARRY_TSDB_REGEX;
    struct tsdb_re2 *re2 = NULL;
    size_t kept = 0;
    char why[128];

    if (is_regex) {
        enum quarry_status status = tsdb_re2_compile(matcher->value.bytes, matcher->value.count,
                                                     RE2_BYTES, &re2, why, sizeof(why));
        if (status != QUARRY_OK) {
            return error_set(error, status, "regular expression: %s", why);
        }
    }
    for (size_t i = 0; i < set->count; i++) {
        const struct quarry_tsdb_slice value = value_of(set->series[i], matcher->name);
        const bool matches = is_regex ? tsdb_re2_matches(re2, value.bytes, value.count)
                                      : compare_slices(value, matcher->value) == 0;
        if (matches == wanted) {
            set->series[kept++] = set->series[i];
        }
    }
    set->count = kept;
    tsdb_re2_free(re2);
    return QUARRY_OK;
}

static void set_close(struct promql_set *set)
{
    quarry_free(set->store->memory.pool, set);
}

static enum quarry_status set_open(void *argument, const struct promql_selection *selection,
                                   struct promql_set **ret_set, struct quarry_error *error)
{
    struct script_store *store = argument;
    struct promql_set *set = quarry_alloc(
        store->memory.pool, sizeof(*set) + store->count * sizeof(struct script_series *));

    if (set == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for a set of series");
    }
    *set = (struct promql_set){.store = store,
                               .min_ms = selection->min_ms,
                               .max_ms = selection->max_ms,
                               .count = store->count};
    if (store->count > 0) {
        memcpy(set->series, store->series, store->count * sizeof(struct script_series *));
    }
    for (size_t i = 0; i < selection->matcher_count; i++) {
        enum quarry_status status = narrow(set, &selection->matchers[i], error);
        if (status != QUARRY_OK) {
            set_close(set);
            return status;
        }
    }
    *ret_set = set;
    return QUARRY_OK;
}

static size_t set_count(const struct promql_set *set)
{
    return set->count;
}

static size_t set_labels(const struct promql_set *set, size_t index,
                         struct quarry_tsdb_label *labels, size_t capacity)
{
    const struct script_series *series = set->series[index];
    const size_t count = series->label_count < capacity ? series->label_count : capacity;

    if (count > 0) {
        memcpy(labels, series->labels, count * sizeof(labels[0]));
    }
    return series->label_count;
}

static enum quarry_status cursor_create(struct promql_set *set, struct promql_cursor **ret_cursor)
{
    struct promql_cursor *cursor = quarry_alloc(set->store->memory.pool, sizeof(*cursor));

    if (cursor == NULL) {
        return QUARRY_NO_MEMORY;
    }
    *cursor = (struct promql_cursor){.set = set};
    *ret_cursor = cursor;
    return QUARRY_OK;
}

static void cursor_destroy(struct promql_cursor *cursor)
{
    quarry_free(cursor->set->store->memory.pool, cursor);
}

static void cursor_series(struct promql_cursor *cursor, size_t index)
{
    const struct script_series *series = cursor->set->series[index];

    cursor->series = series;
    cursor->at = 0;
    cursor->end = series->count;
    while (cursor->at < cursor->end && series->t_ms[cursor->at] < cursor->set->min_ms) {
        cursor->at++;
    }
    while (cursor->end > cursor->at && series->t_ms[cursor->end - 1] > cursor->set->max_ms) {
        cursor->end--;
    }
}

static enum quarry_status cursor_next(struct promql_cursor *cursor, struct promql_block *ret_block)
{
    const struct script_series *series = cursor->series;
    const size_t at = cursor->at, left = cursor->end - at;

    if (left == 0) {
        return QUARRY_NOT_FOUND;
    }
    *ret_block =
        (struct promql_block){.t_ms = series->t_ms + at,
                              .bits = series->bits + at,
                              .histograms = series->has_histograms ? series->histograms + at : NULL,
                              .start_ms = series->has_starts ? series->start_ms + at : NULL,
                              .count = (uint32_t)(left < BLOCK_SAMPLES ? left : BLOCK_SAMPLES)};
    cursor->at += ret_block->count;
    return QUARRY_OK;
}

struct promql_source script_store_source(struct script_store *store)
{
    static const struct promql_source_functions functions = {.select = set_open,
                                                             .set_close = set_close,
                                                             .set_count = set_count,
                                                             .set_labels = set_labels,
                                                             .cursor_create = cursor_create,
                                                             .cursor_destroy = cursor_destroy,
                                                             .cursor_series = cursor_series,
                                                             .cursor_next = cursor_next};

    return (struct promql_source){.functions = &functions, .argument = store};
}
