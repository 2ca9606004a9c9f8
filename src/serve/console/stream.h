/*
 * Figures for pages that are open: one stream of server-sent events each, once a second.
 */
#ifndef QUARRY_SERVE_CONSOLE_STREAM_H
#define QUARRY_SERVE_CONSOLE_STREAM_H

#include <serve/http/http.h>

/* Streams at a time. A watcher costs a connection, some 20 KiB, and 0.1 ms of a CPU a second; the
 * report is made once for all of them. */
#define STREAM_WATCHERS_MAX 32u

/* What the report is made of. All are called by threads of the executor, one at a time. */
struct stream_source {
    void *argument;
    /* Figures in Prometheus' text format. */
    void (*write_metrics)(void *argument, struct http_text *text);
    /* The heap's summary, a line of JSON, for administrators. False: there is none now. */
    bool (*write_heap)(void *argument, struct http_text *text);
    /* The server ends: each stream does, with its next event. By any thread. */
    bool (*is_ending)(void *argument);
};

/* Threads: one, before the first stream. */
void stream_init(void);
/*
 * Answers with a stream: an event `metrics` each second and, to who may administer, one `heap`.
 * `source`: borrowed until the last stream has ended.
 *
 * More than STREAM_WATCHERS_MAX are answered with 503. A reader who does not take an event within
 * net.reader_timeout is closed by the net.
 * Threads: the executor's. Cost: a copy of the report for an event; the report once a second.
 */
enum http_outcome stream_answer(struct http_call *call, const struct stream_source *source);

#endif
