/*
 * The text formats of metrics, written: for /metrics and /federate, into whatever a caller has.
 *
 *     struct tsdb_exposition_writer writer;
 *
 *     tsdb_exposition_begin(&writer, TSDB_TEXT, &sink);
 *     tsdb_exposition_put_family(&writer, &family);
 *     tsdb_exposition_put_sample(&writer, &sample);
 *     status = tsdb_exposition_end(&writer);
 *
 * What the sink refuses stops the writing for good: the puts after that do nothing, and the end
 * tells. So a caller need not look at each one.
 *
 * Threads: a writer is one thread's.
 */
#ifndef QUARRY_TSDB_EXPOSITION_WRITE_H
#define QUARRY_TSDB_EXPOSITION_WRITE_H

#include <tsdb/exposition.h>

/* Bytes that are gathered before the sink is called. */
#define TSDB_EXPOSITION_BUFFER_BYTES 4096u

/*
 * Takes bytes: all of them, or fails. `bytes`: borrowed for the call.
 * Returns: QUARRY_OK, or what tsdb_exposition_end is to return.
 */
struct tsdb_sink {
    enum quarry_status (*write)(void *argument, const char *bytes, size_t byte_count);
    void *argument;
};

/* A text being written, in the caller's storage; there is nothing to fini. */
struct tsdb_exposition_writer {
    enum tsdb_exposition_format format;
    struct tsdb_sink sink;
    enum quarry_status status; /* what the sink said first */
    size_t used;
    char buffer[TSDB_EXPOSITION_BUFFER_BYTES];
};

/* One line. All borrowed for the call. */
struct tsdb_exposition_sample {
    struct tsdb_labels labels; /* of a series: the metric name among them, or an empty one */
    uint64_t bits;
    int64_t t_ms;
    bool has_time;
    const struct tsdb_exemplar
        *exemplar; /* NULL: none. The text format has none and leaves it out */
};

/* The Content-Type of a format. Returns: a static string. */
const char *tsdb_exposition_content_type(enum tsdb_exposition_format format);

/* Begins a text. `sink`: copied. */
void tsdb_exposition_begin(struct tsdb_exposition_writer *writer,
                           enum tsdb_exposition_format format, const struct tsdb_sink *sink);
/*
 * Writes HELP, TYPE and, in OpenMetrics, UNIT of a family; help and unit only if they are not
 * empty.
 *
 * `family`: borrowed; its name is that of its samples, as Prometheus keeps it. OpenMetrics' family
 * of a counter is without the "_total" that its samples have; a counter whose name has none is
 * unknown there. Types that the text format lacks are the nearest that it has. A unit that the
 * name does not end in is left out.
 */
void tsdb_exposition_put_family(struct tsdb_exposition_writer *writer,
                                const struct tsdb_family *family);
/* Writes a line. A name that is no plain one is in quotes. Cost: some 10 instructions a byte. */
void tsdb_exposition_put_sample(struct tsdb_exposition_writer *writer,
                                const struct tsdb_exposition_sample *sample);
/* Ends the text and hands the rest to the sink. Returns: what the sink refused with, or OK. */
enum quarry_status tsdb_exposition_end(struct tsdb_exposition_writer *writer);

#endif
