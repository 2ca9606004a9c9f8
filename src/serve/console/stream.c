/*
 * The stream of figures that open pages read.
 *
 *     watcher 1 ──┐
 *     watcher 2 ──┼── the newest report ◂── made by who finds it old ◂── /metrics, the ledger
 *     watcher 3 ──┘
 *
 * Each watcher is an answer in pieces that pauses for a second before the next piece. Whose turn
 * it is looks at the newest report: one that is younger than a turn is his too; else he makes a
 * new one, and who comes meanwhile sends the old one again or, where there is none, an empty
 * comment. So the work is done once a second however many watch, and not at all when nobody does.
 *
 * The report is /metrics without its comments and buckets, by lines, as data of an event. A line
 * with a carriage return would be two lines of a stream, and is left out: names that clients choose
 * cannot add an event. What is told about the heap goes to administrators alone.
 *
 * Invariants:
 *   1. A report is not changed once it is `newest`; it ends with its last holder, of which `newest`
 *      is one while there are watchers.
 *   2. The last watcher lets `newest` go, so nothing is left when the door closes.
 *
 * Locking: a mutex, a leaf, for what is shared; nothing is made or copied under it.
 */
#include <serve/console/stream.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <os/os.h>

#define PERIOD_NS (1 * Q_SECOND_NS)
/* A report so old is not sent again: watchers' seconds begin at any time. */
#define OLD_NS (900 * Q_MS_NS)

struct report {
    uint32_t holder_count; /* guarded by the mutex */
    uint64_t made_ns;      /* monotonic; const once it is newest, as the text */
    struct http_text metrics, heap;
};

struct watcher {
    const struct stream_source *source;
    uint64_t sent_ns; /* of the report that was sent last */
};

static struct {
    struct os_mutex mutex;
    /* guarded by mutex */
    struct report *newest; /* NULL: none yet */
    bool is_making;
    uint32_t watcher_count;
} stream;

void stream_init(void)
{
    os_mutex_init(&stream.mutex, OS_RANK_LEAF, 0);
}

/* ---- reports -------------------------------------------------------------------------------- */

static void end_report(struct report *report)
{
    http_text_fini(&report->metrics);
    http_text_fini(&report->heap);
    free(report);
}

/* NULL does nothing. */
static void release(struct report *report)
{
    if (report == NULL) {
        return;
    }
    os_mutex_lock(&stream.mutex);
    bool is_last = --report->holder_count == 0;
    os_mutex_unlock(&stream.mutex);
    if (is_last) {
        end_report(report);
    }
}

static bool is_told(const char *line, size_t bytes)
{
    return bytes > 0 && line[0] != '#' && memchr(line, '\r', bytes) == NULL &&
           memmem(line, bytes, "_bucket{", 8) == NULL;
}

/* Adds lines of a text as data of an event. */
static void add_lines(struct http_text *out, const struct http_text *text)
{
    for (size_t at = 0; at < text->count;) {
        const char *line = text->bytes + at;
        const char *end = memchr(line, '\n', text->count - at);
        size_t bytes = end == NULL ? text->count - at : (size_t)(end - line);

        if (is_told(line, bytes)) {
            http_text_say(out, "data: ");
            http_text_add(out, line, bytes);
            http_text_say(out, "\n");
        }
        at += bytes + 1;
    }
}

static void begin_event(struct http_text *out, const char *name, uint64_t made_ns)
{
    http_text_format(out, "event: %s\nid: %" PRIu64 "\n", name, made_ns / Q_MS_NS);
}

static void write_report(struct report *report, const struct stream_source *source)
{
    struct http_text text;

    http_text_init(&text, report->metrics.memory, report->metrics.bytes_max);
    begin_event(&report->metrics, "metrics", report->made_ns);
    source->write_metrics(source->argument, &text);
    add_lines(&report->metrics, &text);
    http_text_say(&report->metrics, "\n");
    report->metrics.is_failed |= text.is_failed;

    http_text_empty(&text);
    if (source->write_heap(source->argument, &text)) {
        begin_event(&report->heap, "heap", report->made_ns);
        add_lines(&report->heap, &text);
        http_text_say(&report->heap, "\n");
        report->heap.is_failed |= text.is_failed;
    }
    http_text_fini(&text);
}

/* NULL: no memory. It is told as of the moment in which it is begun. */
static struct report *make(const struct http_call *call, const struct stream_source *source)
{
    struct report *report = calloc(1, sizeof *report);

    if (report == NULL) {
        return NULL;
    }
    http_text_init(&report->metrics, call->body_out.memory, call->body_out.bytes_max);
    http_text_init(&report->heap, call->body_out.memory, call->body_out.bytes_max);
    report->made_ns = os_monotonic_ns(os_real());
    write_report(report, source);
    if (report->metrics.is_failed || report->heap.is_failed) {
        end_report(report);
        return NULL;
    }
    return report;
}

/* The newest one, held; NULL: there is none. *ret_makes: the caller has to make one instead. */
static struct report *acquire(uint64_t now_ns, bool *ret_makes)
{
    os_mutex_lock(&stream.mutex);
    struct report *report = stream.newest;
    bool is_old = report == NULL || sat_sub_u64(now_ns, report->made_ns) >= OLD_NS;
    *ret_makes = is_old && !stream.is_making;
    if (*ret_makes) {
        stream.is_making = true;
        report = NULL;
    } else if (report != NULL) {
        report->holder_count++;
    }
    os_mutex_unlock(&stream.mutex);
    return report;
}

/* Makes the report, if it could be made, the newest. The caller holds it as well. */
static void publish(struct report *report)
{
    os_mutex_lock(&stream.mutex);
    struct report *before = report == NULL ? NULL : stream.newest;
    if (report != NULL) {
        report->holder_count = 2;
        stream.newest = report;
    }
    stream.is_making = false;
    os_mutex_unlock(&stream.mutex);
    release(before);
}

/* ---- watchers ------------------------------------------------------------------------------- */

static enum http_outcome send_event(struct http_call *call)
{
    struct watcher *watcher = call->state;
    const struct stream_source *source = watcher->source;
    bool makes = false;
    struct report *report = acquire(os_monotonic_ns(os_real()), &makes);

    if (makes) {
        report = make(call, source);
        publish(report);
    }
    if (report == NULL || report->made_ns == watcher->sent_ns) {
        http_text_say(&call->body_out, ":\n\n");
    } else {
        watcher->sent_ns = report->made_ns;
        http_text_add(&call->body_out, report->metrics.bytes, report->metrics.count);
        if ((call->identity.rights & SERVE_ADMIN) != 0 && report->heap.count > 0) {
            http_text_add(&call->body_out, report->heap.bytes, report->heap.count);
        }
    }
    release(report);
    call->is_last = source->is_ending(source->argument);
    return HTTP_DONE;
}

static bool admit(void)
{
    os_mutex_lock(&stream.mutex);
    bool is_admitted = stream.watcher_count < STREAM_WATCHERS_MAX;
    stream.watcher_count += is_admitted ? 1 : 0;
    os_mutex_unlock(&stream.mutex);
    return is_admitted;
}

/* Invariant 2. */
static void leave(void)
{
    struct report *left = NULL;

    os_mutex_lock(&stream.mutex);
    Q_ASSERT(stream.watcher_count > 0);
    if (--stream.watcher_count == 0) {
        left = stream.newest;
        stream.newest = NULL;
    }
    os_mutex_unlock(&stream.mutex);
    release(left);
}

static void end_watcher(struct http_call *call)
{
    free(call->state);
    leave();
}

enum http_outcome stream_answer(struct http_call *call, const struct stream_source *source)
{
    if (!admit()) {
        http_say_text(call, 503, "as many watch the server as may\n");
        return HTTP_DONE;
    }
    struct watcher *watcher = calloc(1, sizeof *watcher);

    if (watcher == NULL) {
        leave();
        http_say_status(call, QUARRY_NO_MEMORY);
        return HTTP_DONE;
    }
    watcher->source = source;
    call->content_type = "text/event-stream";
    call->never_compress = true; /* an event would wait in the packer for the next */
    call->pause_ns = PERIOD_NS;
    call->more = send_event;
    call->state = watcher;
    call->end_state = end_watcher;
    return HTTP_DONE;
}
