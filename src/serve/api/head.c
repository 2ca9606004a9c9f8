/*
 * What the store has most of: /api/v1/status/tsdb.
 *
 * Counts of series by metric name, and by pairs of a name and a value, are made of all series: for
 * each label its values are gathered, sorted and counted, and the memory is given back before the
 * next. With a million series that takes a second or so, and 16 MB.
 */
#include <inttypes.h>
#include <stdlib.h>

#include <serve/api/handlers.h>
#include <serve/api/params.h>
#include <serve/api/selectors.h>

#define LIMIT_DEFAULT 10u
#define LIMIT_MOST    10000u
/* Labels of a series that are looked at. */
#define LABELS_MAX 1024u

struct count {
    struct quarry_tsdb_slice name, value; /* value.bytes NULL: a name alone */
    uint64_t count;
};

/* The largest counts, in falling order. */
struct top {
    struct count *counts;
    size_t count, capacity;
};

struct head_answer {
    struct http_call *call;
    struct api_request *request;
    struct quarry_tsdb_set *set; /* all series */
    struct quarry_tsdb_label *labels;
    struct quarry_tsdb_slice *names; /* of labels */
    size_t name_count, name_capacity;
    uint64_t pair_count;
    struct top by_metric, by_pair, values, bytes;
};

/* ---- the largest ---------------------------------------------------------------------------- */

static void rank(struct top *top, struct count count)
{
    size_t at = top->count;

    while (at > 0 && top->counts[at - 1].count < count.count) {
        at--;
    }
    if (at == top->capacity) {
        return;
    }
    const size_t kept = size_min(top->count, top->capacity - 1);
    memmove(&top->counts[at + 1], &top->counts[at], (kept - at) * sizeof *top->counts);
    top->counts[at] = count;
    top->count = kept + 1;
}

static bool init_top(struct top *top, struct promql_memory *memory, size_t capacity)
{
    top->capacity = capacity;
    top->counts = promql_memory_take_zero(memory, capacity, sizeof *top->counts);
    return top->counts != NULL;
}

/* ---- values of a label ---------------------------------------------------------------------- */

static int compare_slices(const void *left, const void *right)
{
    const struct quarry_tsdb_slice *a = left, *b = right;
    const size_t common = size_min(a->count, b->count);
    const int order = common == 0 ? 0 : memcmp(a->bytes, b->bytes, common);

    return order != 0 ? order : (a->count > b->count) - (a->count < b->count);
}

static bool equal(struct quarry_tsdb_slice a, struct quarry_tsdb_slice b)
{
    return compare_slices(&a, &b) == 0;
}

/* The value of `name` of each series that has it. */
static size_t gather(const struct head_answer *head, struct quarry_tsdb_slice name,
                     struct quarry_tsdb_slice *values)
{
    const size_t series_count = quarry_tsdb_set_count(head->set);
    size_t count = 0;

    for (size_t i = 0; i < series_count; i++) {
        const size_t labels =
            size_min(quarry_tsdb_set_labels(head->set, i, head->labels, LABELS_MAX), LABELS_MAX);
        for (size_t j = 0; j < labels; j++) {
            if (equal(head->labels[j].name, name)) {
                values[count++] = head->labels[j].value;
                break;
            }
        }
        if (i % 4096 == 0 && atomic_load_relaxed_bool(head->call->is_cancelled)) { /* a hint */
            break;
        }
    }
    return count;
}

/* Counts the values of one label. Returns: false: no memory. */
static bool count_values(struct head_answer *head, struct quarry_tsdb_slice name)
{
    struct promql_memory *memory = &head->request->memory;
    const struct promql_mark mark = promql_memory_mark(memory);
    const bool is_metric = equal(name, (struct quarry_tsdb_slice)QUARRY_TSDB_TEXT("__name__"));
    struct quarry_tsdb_slice *values =
        promql_memory_take_zero(memory, quarry_tsdb_set_count(head->set) + 1, sizeof *values);
    uint64_t value_count = 0, bytes = 0;

    if (values == NULL) {
        return false;
    }
    const size_t count = gather(head, name, values);
    qsort(values, count, sizeof *values, compare_slices);
    for (size_t i = 0, run = 1; i < count; i += run, run = 1) {
        while (i + run < count && equal(values[i], values[i + run])) {
            run++;
        }
        rank(&head->by_pair, (struct count){name, values[i], run});
        if (is_metric) {
            rank(&head->by_metric, (struct count){.name = values[i], .count = run});
        }
        value_count++;
        bytes += values[i].count;
    }
    promql_memory_release(memory, mark);
    head->pair_count += value_count;
    rank(&head->values, (struct count){.name = name, .count = value_count});
    rank(&head->bytes, (struct count){.name = name, .count = bytes});
    return true;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static void end_head(struct api_request *request)
{
    struct head_answer *head = request->own;

    quarry_tsdb_set_close(head->set);
}

/* In the form of quarry_tsdb_name_function. */
static bool take_name(void *argument, struct quarry_tsdb_slice name)
{
    struct head_answer *head = argument;
    struct promql_memory *memory = &head->request->memory;

    if (head->name_count == head->name_capacity) {
        const size_t capacity = head->name_capacity == 0 ? 64 : head->name_capacity * 2;
        struct quarry_tsdb_slice *names = promql_memory_take_zero(memory, capacity, sizeof *names);
        if (names == NULL) {
            return false;
        }
        if (head->name_count > 0) {
            memcpy(names, head->names, head->name_count * sizeof *names);
        }
        head->names = names;
        head->name_capacity = capacity;
    }
    const char *copy = promql_memory_copy(memory, name.bytes, name.count);
    head->names[head->name_count] = (struct quarry_tsdb_slice){copy, name.count};
    head->name_count += copy != NULL;
    return copy != NULL;
}

static enum quarry_status count_all(struct head_answer *head, struct quarry_error *error)
{
    const struct quarry_tsdb_query query = {.tenant = head->request->context.tenant,
                                            .min_ms = API_TIME_MIN_MS,
                                            .max_ms = API_TIME_MAX_MS};
    struct quarry_tsdb *tsdb = head->request->context.store->tsdb;
    enum quarry_status status = quarry_tsdb_select(tsdb, &query, &head->set, error);

    if (status == QUARRY_OK) {
        status = quarry_tsdb_label_names(tsdb, &query, take_name, head, error);
    }
    for (size_t i = 0; status == QUARRY_OK && i < head->name_count; i++) {
        status = count_values(head, head->names[i]) ? QUARRY_OK : QUARRY_NO_MEMORY;
    }
    if (status == QUARRY_OK && atomic_load_relaxed_bool(head->call->is_cancelled)) { /* a hint */
        status = QUARRY_CANCELLED;
    }
    return head->request->memory.is_refused ? QUARRY_NO_MEMORY : status;
}

static void put_top(struct http_text *text, const char *name, const struct top *top)
{
    http_text_format(text, ",\"%s\":[", name);
    for (size_t i = 0; i < top->count; i++) {
        const struct count *count = &top->counts[i];
        http_text_say(text, i > 0 ? ",{\"name\":" : "{\"name\":");
        if (count->value.bytes == NULL) {
            api_put_string(text, count->name);
        } else {
            char pair[512];
            (void)snprintf(pair, sizeof pair, "%.*s=%.*s", (int)size_min(count->name.count, 200),
                           count->name.bytes, (int)size_min(count->value.count, 300),
                           count->value.bytes);
            api_put_words(text, pair);
        }
        http_text_format(text, ",\"value\":%" PRIu64 "}", count->count);
    }
    http_text_add(text, "]", 1);
}

static enum http_outcome say_head(struct head_answer *head)
{
    struct http_text *text = &head->call->body_out;
    struct quarry_tsdb_stats stats;

    quarry_tsdb_read_stats(head->request->context.store->tsdb, &stats);
    api_begin_data(head->call);
    http_text_format(text,
                     "{\"headStats\":{\"numSeries\":%zu,\"numLabelPairs\":%" PRIu64
                     ",\"chunkCount\":%" PRIu64 ",\"minTime\":%" PRId64 ",\"maxTime\":%" PRId64 "}",
                     quarry_tsdb_set_count(head->set), head->pair_count, stats.window_count,
                     stats.min_ms, stats.max_ms);
    put_top(text, "seriesCountByMetricName", &head->by_metric);
    put_top(text, "labelValueCountByLabelName", &head->values);
    put_top(text, "memoryInBytesByLabelName", &head->bytes);
    put_top(text, "seriesCountByLabelValuePair", &head->by_pair);
    http_text_add(text, "}", 1);
    api_end_data(head->call);
    return HTTP_DONE;
}

enum http_outcome api_tsdb_status(struct http_call *call, struct api_request *request)
{
    struct promql_memory *memory = &request->memory;
    struct head_answer *head = promql_memory_take_zero(memory, 1, sizeof *head);
    struct quarry_error error = {0};
    uint64_t limit;

    if (!api_limit_param(call, &limit)) {
        return HTTP_DONE;
    }
    if (limit > LIMIT_MOST) {
        return api_fail(call, API_BAD_DATA, "limit must not exceed %u", LIMIT_MOST);
    }
    limit = limit == 0 ? LIMIT_DEFAULT : limit;
    if (head == NULL) {
        return api_fail_status(call, QUARRY_NO_MEMORY, NULL);
    }
    *head = (struct head_answer){.call = call, .request = request};
    head->labels = promql_memory_take(memory, LABELS_MAX * sizeof *head->labels);
    if (head->labels == NULL || !init_top(&head->by_metric, memory, (size_t)limit) ||
        !init_top(&head->by_pair, memory, (size_t)limit) ||
        !init_top(&head->values, memory, (size_t)limit) ||
        !init_top(&head->bytes, memory, (size_t)limit)) {
        return api_fail_status(call, QUARRY_NO_MEMORY, NULL);
    }
    request->own = head;
    request->end = end_head;
    const enum quarry_status status = count_all(head, &error);
    return status == QUARRY_OK ? say_head(head) : api_fail_status(call, status, &error);
}
