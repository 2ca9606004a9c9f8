/*
 * Exemplars of the series that an expression selects: /api/v1/query_exemplars.
 *
 *     expression ──> its selectors ──> the store, once for each ──> rows, by labels, each once
 *
 * Whatever the expression does to its series is not looked at, as in Prometheus, nor are the times
 * that selectors are moved by.
 *
 * Rows lie in the request's memory, whose grant bounds them.
 */
#include <stdlib.h>

#include <serve/api/handlers.h>
#include <serve/api/params.h>
#include <serve/api/selectors.h>

struct row {
    struct row *next; /* the one that was found before */
    struct quarry_tsdb_labels series;
    struct quarry_tsdb_exemplar *exemplars;
    size_t count;
};

struct gathering {
    struct http_call *call;
    struct api_request *request;
    struct row *rows;
    size_t row_count;
    int64_t start_ms, end_ms;
    enum quarry_status status;
    struct quarry_error error;
};

/* ---- copies --------------------------------------------------------------------------------- */

static struct quarry_tsdb_slice copy_slice(struct promql_memory *memory,
                                           struct quarry_tsdb_slice slice)
{
    return (struct quarry_tsdb_slice){promql_memory_copy(memory, slice.bytes, slice.count),
                                      slice.count};
}

/* Returns: false: no memory. */
static bool copy_labels(struct promql_memory *memory, const struct quarry_tsdb_labels *from,
                        struct quarry_tsdb_labels *ret_copy)
{
    struct quarry_tsdb_label *labels = promql_memory_take_zero(memory, from->count, sizeof *labels);

    for (size_t i = 0; labels != NULL && i < from->count; i++) {
        labels[i].name = copy_slice(memory, from->labels[i].name);
        labels[i].value = copy_slice(memory, from->labels[i].value);
    }
    *ret_copy = (struct quarry_tsdb_labels){labels, from->count};
    return !memory->is_refused;
}

/* In the form of quarry_tsdb_exemplar_function. */
static bool take_series(void *argument, const struct quarry_tsdb_labels *series,
                        const struct quarry_tsdb_exemplar *exemplars, size_t count)
{
    struct gathering *gathering = argument;
    struct promql_memory *memory = &gathering->request->memory;
    struct row *row = promql_memory_take_zero(memory, 1, sizeof *row);
    struct quarry_tsdb_exemplar *copies = promql_memory_take_zero(memory, count, sizeof *copies);
    bool is_whole = row != NULL && copies != NULL && copy_labels(memory, series, &row->series);

    for (size_t i = 0; is_whole && i < count; i++) {
        copies[i] = exemplars[i];
        is_whole = copy_labels(memory, &exemplars[i].labels, &copies[i].labels);
    }
    if (!is_whole) {
        gathering->status = QUARRY_NO_MEMORY;
        return false;
    }
    row->exemplars = copies;
    row->count = count;
    row->next = gathering->rows;
    gathering->rows = row;
    gathering->row_count++;
    if (atomic_load_relaxed_bool(gathering->call->is_cancelled)) { /* a hint */
        gathering->status = QUARRY_CANCELLED;
    }
    return gathering->status == QUARRY_OK;
}

/* ---- selectors ------------------------------------------------------------------------------ */

static void gather_selector(struct gathering *gathering, const struct promql_node *node)
{
    const struct quarry_tsdb_query query = {
        .tenant = gathering->request->context.tenant,
        .matchers = node->selector.matchers,
        .matcher_count = node->selector.matcher_count,
        .min_ms = gathering->start_ms,
        .max_ms = gathering->end_ms,
    };
    enum quarry_status status = quarry_tsdb_exemplars(
        gathering->request->context.store->tsdb, &query, take_series, gathering, &gathering->error);

    if (gathering->status == QUARRY_OK) {
        gathering->status = status;
    }
}

static void gather(struct gathering *gathering, const struct promql_node *node);

static void gather_arguments(struct gathering *gathering, const struct promql_node *node)
{
    for (size_t i = 0; i < node->call.argument_count; i++) {
        gather(gathering, node->call.arguments[i]);
    }
}

/* Goes down as deep as the parser lets a tree be. */
static void gather(struct gathering *gathering, const struct promql_node *node)
{
    if (node == NULL || gathering->status != QUARRY_OK) {
        return;
    }
    switch (node->kind) {
    case PROMQL_SELECTOR:
        gather_selector(gathering, node);
        break;
    case PROMQL_MATRIX_SELECTOR:
        gather(gathering, node->matrix.selector);
        break;
    case PROMQL_SUBQUERY:
        gather(gathering, node->subquery.of);
        break;
    case PROMQL_AGGREGATE:
        gather(gathering, node->aggregate.of);
        gather(gathering, node->aggregate.parameter);
        break;
    case PROMQL_BINARY:
        gather(gathering, node->binary.left);
        gather(gathering, node->binary.right);
        break;
    case PROMQL_CALL:
        gather_arguments(gathering, node);
        break;
    case PROMQL_PAREN:
        gather(gathering, node->paren.of);
        break;
    case PROMQL_UNARY:
        gather(gathering, node->unary.of);
        break;
    case PROMQL_NUMBER:
    case PROMQL_TEXT:
    case PROMQL_DURATION:
        break;
    }
}

/* ---- the answer ----------------------------------------------------------------------------- */

static int compare_slices(struct quarry_tsdb_slice a, struct quarry_tsdb_slice b)
{
    const int order = memcmp(a.bytes, b.bytes, size_min(a.count, b.count));

    return order != 0 ? order : (a.count > b.count) - (a.count < b.count);
}

/* In the form of qsort. */
static int compare_rows(const void *left, const void *right)
{
    const struct quarry_tsdb_labels *a = &(*(const struct row *const *)left)->series;
    const struct quarry_tsdb_labels *b = &(*(const struct row *const *)right)->series;

    for (size_t i = 0; i < a->count && i < b->count; i++) {
        int order = compare_slices(a->labels[i].name, b->labels[i].name);
        order = order != 0 ? order : compare_slices(a->labels[i].value, b->labels[i].value);
        if (order != 0) {
            return order;
        }
    }
    return (a->count > b->count) - (a->count < b->count);
}

static void put_exemplar(struct http_text *text, const struct quarry_tsdb_exemplar *exemplar)
{
    double value;

    memcpy(&value, &exemplar->bits, sizeof value);
    http_text_say(text, "{\"labels\":");
    api_put_labels(text, exemplar->labels.labels, exemplar->labels.count);
    http_text_say(text, ",\"value\":");
    api_put_value(text, value);
    http_text_say(text, ",\"timestamp\":");
    api_put_time(text, exemplar->t_ms);
    http_text_say(text, "}");
}

static void put_row(struct http_text *text, const struct row *row)
{
    http_text_say(text, "{\"seriesLabels\":");
    api_put_labels(text, row->series.labels, row->series.count);
    http_text_say(text, ",\"exemplars\":[");
    for (size_t i = 0; i < row->count; i++) {
        http_text_say(text, i == 0 ? "" : ",");
        put_exemplar(text, &row->exemplars[i]);
    }
    http_text_say(text, "]}");
}

/* Answers with all rows: two selectors may have found the same series. */
static enum http_outcome answer(struct http_call *call, struct gathering *gathering)
{
    struct promql_memory *memory = &gathering->request->memory;
    const struct row **rows =
        promql_memory_take_zero(memory, gathering->row_count + 1, sizeof(struct row *));
    size_t count = 0;

    if (rows == NULL) {
        return api_fail_status(call, QUARRY_NO_MEMORY, NULL);
    }
    for (const struct row *row = gathering->rows; row != NULL; row = row->next) {
        rows[count++] = row;
    }
    qsort((void *)rows, count, sizeof(struct row *), compare_rows);
    api_begin_data(call);
    http_text_say(&call->body_out, "[");
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || compare_rows(&rows[i - 1], &rows[i]) != 0) {
            http_text_say(&call->body_out, i == 0 ? "" : ",");
            put_row(&call->body_out, rows[i]);
        }
    }
    http_text_say(&call->body_out, "]");
    api_end_data(call);
    return HTTP_DONE;
}

enum http_outcome api_query_exemplars(struct http_call *call, struct api_request *request)
{
    struct gathering gathering = {.call = call, .request = request};

    if (!api_time_param(call, "start", API_TIME_MIN_MS, &gathering.start_ms) ||
        !api_time_param(call, "end", API_TIME_MAX_MS, &gathering.end_ms)) {
        return HTTP_DONE;
    }
    if (gathering.end_ms < gathering.start_ms) {
        return api_fail(call, API_BAD_DATA, "end timestamp must not be before start timestamp");
    }
    const struct promql_node *node = api_parse_query_param(call, request);
    if (node == NULL) {
        return HTTP_DONE;
    }
    gather(&gathering, node);
    return gathering.status == QUARRY_OK
               ? answer(call, &gathering)
               : api_fail_status(call, gathering.status,
                                 gathering.error.text[0] == '\0' ? NULL : &gathering.error);
}
