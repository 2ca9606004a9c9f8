/*
 * Federation: the newest sample of each series that is selected, as a page that is scraped.
 *
 *     match[] … ──> sets of series ──> rows, by metric name and labels, each once ──> text, in
 * pieces
 *
 * A sample counts if it is no older than tsdb.lookback and does not end its series. It has its time
 * with it. As in Prometheus, a series without the label `instance` gets an empty one: the scraper's
 * own is not to be put in its place.
 *
 * A family's samples stand together under one line of its type, which is `untyped`: what was known
 * of it was not the samples' to keep. So rows are sorted by name first, which is not always the
 * first label.
 *
 * Series whose newest sample is a native histogram are left out, as Prometheus leaves them out of a
 * text: it has no form for them.
 *
 * Locking: none. Cost: 64 bytes a series while it is answered; for several selectors a comparison
 * of labels costs some 100 ns, log n of them a series.
 */
#include <serve/prometheus/prometheus.h>

#include <stdlib.h>

#include <os/os.h>
#include <serve/prometheus/selector.h>

/* Selectors of one request. */
#define SELECTORS_MAX 64u
/* Of the text, that is made at a time. */
#define PIECE_BYTES_MIN Q_KIB(64)

/* A series with a sample. */
struct row {
    struct tsdb_slice name; /* of the metric; borrowed from the set */
    struct quarry_tsdb_set *set;
    size_t index;
    struct tsdb_sample sample;
};

struct page {
    struct serve_tsdb *store;
    uint16_t tenant;
    int64_t now_ms;
    struct quarry_tsdb_set *sets[SELECTORS_MAX]; /* own */
    size_t set_count;
    struct row *rows; /* own */
    size_t row_count, row_capacity;
    size_t next;               /* row to be written */
    struct tsdb_label *labels; /* own: of two series, each with one more */
};

/* ---- rows ----------------------------------------------------------------------------------- */

/* The labels of a series in one of the two rooms. */
static struct tsdb_labels labels_of(const struct page *page, const struct row *row, size_t which)
{
    const uint32_t most = page->store->limits.labels.label_count_max;
    struct tsdb_label *room = page->labels + which * (most + (size_t)1);
    size_t count = quarry_tsdb_set_labels(row->set, row->index, room, most);

    return (struct tsdb_labels){room, size_min(count, most)};
}

static int compare_labels(struct tsdb_labels a, struct tsdb_labels b)
{
    size_t common = size_min(a.count, b.count);

    for (size_t i = 0; i < common; i++) {
        int order = tsdb_slice_compare(a.labels[i].name, b.labels[i].name);
        order = order != 0 ? order : tsdb_slice_compare(a.labels[i].value, b.labels[i].value);
        if (order != 0) {
            return order;
        }
    }
    return (a.count > b.count) - (a.count < b.count);
}

/* In the form of qsort_r: by name, then by labels, which of one set is their index. */
static int compare_rows(const void *left, const void *right, void *argument)
{
    const struct row *a = left, *b = right;
    const struct page *page = argument;
    int order = tsdb_slice_compare(a->name, b->name);

    if (order != 0) {
        return order;
    }
    if (a->set == b->set) {
        return (a->index > b->index) - (a->index < b->index);
    }
    return compare_labels(labels_of(page, a, 0), labels_of(page, b, 1));
}

/* Sorts, and leaves each series once. */
static void order_rows(struct page *page)
{
    size_t kept = 0;

    if (page->row_count == 0) {
        return;
    }
    qsort_r(page->rows, page->row_count, sizeof *page->rows, compare_rows, page);
    for (size_t i = 1; i < page->row_count; i++) {
        if (compare_rows(&page->rows[kept], &page->rows[i], page) != 0) {
            page->rows[++kept] = page->rows[i];
        }
    }
    page->row_count = kept + 1;
}

static enum quarry_status add_row(struct page *page, struct quarry_tsdb_set *set, size_t index,
                                  struct tsdb_sample sample)
{
    enum quarry_status status =
        tsdb_memory_grow(&page->store->memory, (void **)&page->rows, &page->row_capacity,
                         page->row_count + 1, sizeof *page->rows);

    if (status == QUARRY_OK) {
        struct row *row = &page->rows[page->row_count++];
        *row = (struct row){.set = set, .index = index, .sample = sample};
        row->name = tsdb_labels_metric_name(labels_of(page, row, 0));
    }
    return status;
}

/* The newest sample of each series of a set. */
static enum quarry_status add_rows(struct page *page, struct quarry_tsdb_set *set,
                                   const struct http_call *call)
{
    struct quarry_tsdb_cursor *cursor = NULL;
    struct quarry_tsdb_block block;
    size_t count = quarry_tsdb_set_count(set);
    enum quarry_status status = quarry_tsdb_cursor_create(set, &cursor);

    for (size_t i = 0; status == QUARRY_OK && i < count; i++) {
        struct tsdb_sample sample = {.bits = QUARRY_TSDB_STALE_BITS};
        quarry_tsdb_cursor_series(cursor, i);
        while ((status = quarry_tsdb_cursor_next(cursor, &block)) == QUARRY_OK) {
            sample.t_ms = block.t_ms[block.count - 1];
            sample.bits =
                block.histograms == NULL ? block.bits[block.count - 1] : QUARRY_TSDB_STALE_BITS;
        }
        status = status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
        if (status == QUARRY_OK && sample.bits != QUARRY_TSDB_STALE_BITS) {
            status = add_row(page, set, i, sample);
        }
        if (atomic_load_relaxed_bool(call->is_cancelled)) { /* a hint */
            status = QUARRY_CANCELLED;
        }
    }
    quarry_tsdb_cursor_destroy(cursor);
    return status;
}

/* ---- selectors ------------------------------------------------------------------------------ */

static enum quarry_status select_series(struct page *page, struct tsdb_slice text,
                                        const struct http_call *call, struct quarry_error *error)
{
    const struct tsdb_memory *memory = &page->store->memory;
    struct selector *selector = tsdb_memory_take(memory, sizeof *selector + text.count);
    struct quarry_tsdb_set *set = NULL;

    if (selector == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for a selector");
    }
    enum quarry_status status = selector_read(text, (char *)(selector + 1), selector, error);
    if (status == QUARRY_OK) {
        const struct quarry_tsdb_query query = {
            .tenant = page->tenant,
            .matchers = selector->matchers,
            .matcher_count = selector->matcher_count,
            .min_ms = page->now_ms - page->store->limits.lookback_ms,
            .max_ms = page->now_ms,
        };
        status = quarry_tsdb_select(page->store->tsdb, &query, &set, error);
    }
    tsdb_memory_give(memory, selector);
    if (status != QUARRY_OK) {
        return status;
    }
    page->sets[page->set_count++] = set;
    status = add_rows(page, set, call);
    return status == QUARRY_OK ? status
                               : error_set(error, status, "%s", quarry_status_text(status));
}

static enum quarry_status select_all(struct page *page, const struct http_call *call,
                                     struct quarry_error *error)
{
    const struct http_param *params;
    size_t count = http_params(call, &params);
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; status == QUARRY_OK && i < count; i++) {
        if (!http_slice_equals(params[i].name, "match[]")) {
            continue;
        }
        if (page->set_count == SELECTORS_MAX) {
            return error_set(error, QUARRY_BAD_INPUT, "more than %u selectors", SELECTORS_MAX);
        }
        const struct tsdb_slice text = {params[i].value.bytes, params[i].value.count};
        status = select_series(page, text, call, error);
    }
    return status;
}

/* ---- the text ------------------------------------------------------------------------------- */

/* In the form of struct tsdb_sink. */
static enum quarry_status sink(void *argument, const char *bytes, size_t byte_count)
{
    struct http_text *text = argument;

    http_text_add(text, bytes, byte_count);
    return text->is_failed ? QUARRY_NO_MEMORY : QUARRY_OK;
}

/* Puts an empty `instance` behind labels that have none, where Prometheus has it; they lie in the
 * first room, which has a place for it. */
static struct tsdb_labels with_instance(const struct page *page, struct tsdb_labels labels)
{
    static const struct tsdb_label empty = {QUARRY_TSDB_TEXT("instance"), QUARRY_TSDB_TEXT("")};

    for (size_t i = 0; i < labels.count; i++) {
        if (tsdb_slice_equal(labels.labels[i].name, empty.name)) {
            return labels;
        }
    }
    page->labels[labels.count++] = empty;
    return labels;
}

static bool begins_family(const struct page *page)
{
    return page->next == 0 ||
           !tsdb_slice_equal(page->rows[page->next - 1].name, page->rows[page->next].name);
}

static void put_row(struct page *page, struct tsdb_exposition_writer *writer)
{
    const struct row *row = &page->rows[page->next];
    const struct tsdb_exposition_sample sample = {
        .labels = with_instance(page, labels_of(page, row, 0)),
        .bits = row->sample.bits,
        .t_ms = row->sample.t_ms,
        .has_time = true,
    };

    if (begins_family(page)) {
        const struct tsdb_family family = {
            .name = row->name, .help = QUARRY_TSDB_TEXT(""), .unit = QUARRY_TSDB_TEXT("")};
        tsdb_exposition_put_family(writer, &family);
    }
    tsdb_exposition_put_sample(writer, &sample);
    page->next++;
}

/* In the form of http_handler_function. */
static enum http_outcome say_more(struct http_call *call)
{
    struct page *page = call->state;
    const struct tsdb_sink text = {.write = sink, .argument = &call->body_out};
    struct tsdb_exposition_writer writer;

    tsdb_exposition_begin(&writer, TSDB_TEXT, &text);
    while (page->next < page->row_count && call->body_out.count < PIECE_BYTES_MIN &&
           writer.status == QUARRY_OK) {
        put_row(page, &writer);
    }
    call->is_last = page->next == page->row_count;
    return tsdb_exposition_end(&writer) == QUARRY_OK ? HTTP_DONE : HTTP_FAILED;
}

/* ---- the handler ---------------------------------------------------------------------------- */

static void end_state(struct http_call *call)
{
    struct page *page = call->state;
    const struct tsdb_memory *memory = &page->store->memory;

    for (size_t i = 0; i < page->set_count; i++) {
        quarry_tsdb_set_close(page->sets[i]);
    }
    tsdb_memory_give(memory, page->rows);
    tsdb_memory_give(memory, page->labels);
    tsdb_memory_give(memory, page);
}

static enum http_outcome refuse(struct http_call *call, const char *text, enum quarry_status status)
{
    bool is_limit = status == QUARRY_TOO_LARGE || status == QUARRY_TOO_MANY;

    http_say_text(call, is_limit ? 400 : (uint32_t)quarry_status_http(status), text);
    http_text_say(&call->body_out, "\n");
    return HTTP_DONE;
}

enum http_outcome prometheus_federate(struct http_call *call, struct serve_tsdb *store,
                                      uint16_t tenant)
{
    const size_t labels_max = store->limits.labels.label_count_max + (size_t)1;
    struct page *page = tsdb_memory_take_zero(&store->memory, sizeof *page);
    struct quarry_error error = {0};

    if (page == NULL) {
        return refuse(call, "no memory for a page", QUARRY_NO_MEMORY);
    }
    page->store = store;
    page->tenant = tenant;
    page->now_ms = (int64_t)(os_wall_ns(os_real()) / Q_MS_NS);
    call->state = page;
    call->end_state = end_state;
    page->labels = tsdb_memory_take(&store->memory, 2 * labels_max * sizeof *page->labels);
    if (page->labels == NULL) {
        return refuse(call, "no memory for a page", QUARRY_NO_MEMORY);
    }
    enum quarry_status status = select_all(page, call, &error);
    if (status != QUARRY_OK) {
        return refuse(call, error.text, status);
    }
    order_rows(page);
    call->content_type = tsdb_exposition_content_type(TSDB_TEXT);
    call->more = say_more;
    return HTTP_DONE;
}
