/*
 * A page of metrics that is brought instead of being fetched: what a script writes into a file, or
 * a job leaves behind that ends before anybody could scrape it.
 *
 *     POST /api/v1/import/prometheus
 *     Content-Type: application/openmetrics-text   OpenMetrics; anything else: the text format
 *
 * The page is read twice: first to the end, so that of a page with a mistake nothing is stored;
 * then in batches of lines. Samples without a time are of the moment in which the page came. A
 * sample that the rules refuse leaves the others in, and the answer says which it was.
 *
 * A series of the text format is known by the bytes of its name and labels as they stand, so that
 * the labels of a page that comes again are not looked at. No key of remote write looks like one:
 * those begin with a byte that no name does. OpenMetrics escapes differently, so its lines have no
 * keys: the same bytes would be other labels.
 *
 * Locking: none. Cost: some 20 instructions a byte; a megabyte of memory.
 */
#include <serve/prometheus/write.h>

#include <inttypes.h>
#include <stdio.h>

#include <os/os.h>

#define BATCH_LINES 2048u

struct page {
    struct write_request request;
    enum tsdb_exposition_format format;
    int64_t now_ms;
    size_t escaped_bytes_max;           /* of the longest line's name and labels */
    struct tsdb_label *labels;          /* own */
    struct tsdb_text_room text;         /* own: of one line */
    struct tsdb_exposition_line *lines; /* own; with the next three behind them */
    struct quarry_tsdb_entry *entries;
    struct tsdb_sample *samples;
    uint8_t *refusals;
    size_t line_count;
    size_t exemplar_count, exemplar_bytes; /* of the lines, and what their labels need */
};

/* ---- series --------------------------------------------------------------------------------- */

static enum tsdb_label_fault labels_of(struct page *page, const struct tsdb_exposition_line *line,
                                       struct tsdb_label_set *set, struct tsdb_labels *ret_labels)
{
    write_label_set(page->request.store, page->labels, set);
    page->text.used = 0;
    bool has_room = tsdb_exposition_labels(line, set, &page->text);
    Q_ASSERT(has_room); /* it has that of the longest line */
    return tsdb_label_set_finish_series(set, ret_labels);
}

/* In the form of quarry_tsdb_resolve_function. */
static bool resolve(void *argument, size_t entry_index, struct quarry_tsdb_labels *ret_labels)
{
    struct page *page = argument;
    struct tsdb_label_set set;

    return labels_of(page, &page->lines[entry_index], &set, ret_labels) == TSDB_LABELS_GOOD;
}

static void tell_refusals(struct page *page)
{
    struct tsdb_label_set set;

    for (size_t i = 0; i < page->line_count; i++) {
        struct tsdb_labels labels = {NULL, 0};
        if (page->refusals[i] != QUARRY_TSDB_TAKEN) {
            (void)labels_of(page, &page->lines[i], &set, &labels);
            write_tell(&page->request,
                       quarry_tsdb_refusal_text((enum quarry_tsdb_refusal)page->refusals[i]),
                       labels);
        }
    }
}

/*
 * Puts the exemplars of the lines into their entries. Without memory there are none: an exemplar
 * fails nothing. Returns: own: what they lie in; NULL: none.
 */
static void *attach_exemplars(struct page *page)
{
    struct quarry_tsdb_exemplar *exemplars =
        page->exemplar_count == 0
            ? NULL
            : tsdb_memory_take(&page->request.store->memory,
                               page->exemplar_count * sizeof *exemplars + page->exemplar_bytes);
    char *room = exemplars == NULL ? NULL : (char *)(exemplars + page->exemplar_count);
    struct quarry_tsdb_exemplar *next = exemplars;

    for (size_t i = 0; exemplars != NULL && i < page->line_count; i++) {
        if (page->lines[i].has_exemplar &&
            tsdb_exposition_exemplar(&page->lines[i], page->samples[i].t_ms, room, next)) {
            room += tsdb_exposition_exemplar_bytes(&page->lines[i]);
            page->entries[i].exemplars = next++;
            page->entries[i].exemplar_count = 1;
        }
    }
    page->exemplar_count = page->exemplar_bytes = 0;
    return exemplars;
}

static enum quarry_status flush(struct page *page)
{
    struct write_request *request = &page->request;
    const struct quarry_tsdb_request appended = {
        .tenant = request->tenant,
        .is_partial = true,
        .fills_past = true,
        .entries = page->entries,
        .entry_count = page->line_count,
        .resolve = resolve,
        .resolve_argument = page,
        .ret_refusals = page->refusals,
    };
    struct quarry_tsdb_result result;

    if (page->line_count == 0) {
        return QUARRY_OK;
    }
    void *exemplars = attach_exemplars(page);
    enum quarry_status status = quarry_tsdb_append(request->store->tsdb, &appended, &result);
    tsdb_memory_give(&request->store->memory, exemplars);
    write_count(request, &result);
    tell_refusals(page);
    page->line_count = 0;
    return status == QUARRY_OK || write_is_refusal(status, &result)
               ? QUARRY_OK
               : error_set(&request->error, status, "%s", quarry_status_text(status));
}

static enum quarry_status add_sample(struct page *page, const struct tsdb_exposition_line *line)
{
    enum quarry_status status = page->line_count == BATCH_LINES ? flush(page) : QUARRY_OK;
    size_t index = page->line_count++;

    page->lines[index] = *line;
    page->samples[index] = line->sample;
    if (!line->has_time) {
        page->samples[index].t_ms = page->now_ms;
    }
    page->entries[index] = (struct quarry_tsdb_entry){
        .key = {line->series.bytes, page->format == TSDB_TEXT ? line->series.count : 0},
        .samples = &page->samples[index],
        .sample_count = 1,
    };
    if (line->has_exemplar) {
        page->exemplar_count++;
        page->exemplar_bytes += tsdb_exposition_exemplar_bytes(line);
    }
    return status;
}

/* ---- the page ------------------------------------------------------------------------------- */

static size_t room_for(const struct tsdb_exposition_line *line)
{
    return line->kind == TSDB_LINE_SAMPLE ? line->series.count
                                          : line->name.text.count + line->text.count;
}

/* Goes over all of it. Errors: QUARRY_BAD_INPUT: a line is wrong. */
static enum quarry_status check(struct page *page)
{
    struct tsdb_exposition reader = tsdb_exposition_of(page->format, page->request.body);
    struct tsdb_exposition_line line;
    enum quarry_status status;

    while ((status = tsdb_exposition_next(&reader, &line, &page->request.error)) == QUARRY_OK) {
        page->escaped_bytes_max = size_max(page->escaped_bytes_max, room_for(&line));
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

static enum quarry_status take_room(struct page *page)
{
    const struct tsdb_memory *memory = &page->request.store->memory;
    const size_t each = sizeof *page->lines + sizeof *page->entries + sizeof *page->samples + 1;

    page->text.capacity = page->escaped_bytes_max + 1;
    page->text.bytes = tsdb_memory_take(memory, page->text.capacity);
    page->labels = write_labels_take(page->request.store);
    page->lines = tsdb_memory_take(memory, BATCH_LINES * each);
    if (page->text.bytes == NULL || page->labels == NULL || page->lines == NULL) {
        return error_set(&page->request.error, QUARRY_NO_MEMORY, "no memory to read a page");
    }
    page->entries = (struct quarry_tsdb_entry *)(void *)(page->lines + BATCH_LINES);
    page->samples = (struct tsdb_sample *)(void *)(page->entries + BATCH_LINES);
    page->refusals = (uint8_t *)(page->samples + BATCH_LINES);
    return QUARRY_OK;
}

static void keep_family(struct page *page, const struct tsdb_exposition_line *line)
{
    static const uint32_t parts[] = {
        [TSDB_LINE_SAMPLE] = 0,
        [TSDB_LINE_TYPE] = TSDB_METADATA_TYPE,
        [TSDB_LINE_HELP] = TSDB_METADATA_HELP,
        [TSDB_LINE_UNIT] = TSDB_METADATA_UNIT,
    };
    struct tsdb_family family;

    page->text.used = 0;
    if (tsdb_exposition_family(line, &page->text, &family)) {
        (void)tsdb_metadata_put(page->request.store->metadata, page->request.tenant, &family,
                                parts[line->kind]);
    }
}

static enum quarry_status store(struct page *page)
{
    struct tsdb_exposition reader = tsdb_exposition_of(page->format, page->request.body);
    struct tsdb_exposition_line line;
    enum quarry_status status = QUARRY_OK;

    while (status == QUARRY_OK &&
           tsdb_exposition_next(&reader, &line, &page->request.error) == QUARRY_OK) {
        if (line.kind == TSDB_LINE_SAMPLE) {
            status = add_sample(page, &line);
        } else {
            keep_family(page, &line);
        }
    }
    return status == QUARRY_OK ? flush(page) : status;
}

/* How many were taken, as remote write 2.0 says it: who brings pages counts what was refused. */
static void say_taken(const struct page *page)
{
    char value[24];

    (void)snprintf(value, sizeof value, "%" PRIu64, page->request.taken_count);
    http_say_field(page->request.call, "X-Prometheus-Remote-Write-Samples-Written", value);
}

enum http_outcome prometheus_import(struct http_call *call, struct serve_tsdb *tsdb,
                                    uint16_t tenant)
{
    struct http_slice type = {"", 0};
    struct page page = {
        .request = {.call = call,
                    .store = tsdb,
                    .tenant = tenant,
                    .is_partial = true,
                    .body = {call->body.bytes, call->body.count}},
        .format = TSDB_TEXT,
        .now_ms = (int64_t)(os_wall_ns(os_real()) / Q_MS_NS),
    };

    if (http_header(call, "content-type", &type) &&
        http_slice_is(write_media_type(type), "application/openmetrics-text")) {
        page.format = TSDB_OPENMETRICS;
    }
    page.request.status = check(&page);
    if (page.request.status == QUARRY_OK) {
        page.request.status = take_room(&page);
    }
    if (page.request.status == QUARRY_OK) {
        page.request.status = store(&page);
        say_taken(&page);
    }
    write_answer(&page.request);
    tsdb_memory_give(&tsdb->memory, page.text.bytes);
    tsdb_memory_give(&tsdb->memory, page.labels);
    tsdb_memory_give(&tsdb->memory, page.lines);
    return HTTP_DONE;
}
