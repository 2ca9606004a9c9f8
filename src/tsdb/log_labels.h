/*
 * Labels in the log, each set against the one before it in the record.
 */
#ifndef QUARRY_TSDB_LOG_LABELS_H
#define QUARRY_TSDB_LOG_LABELS_H

#include <tsdb/buffer.h>
#include <tsdb/log.h>

/* A set of labels with bytes of its own. All-zero but for `bytes.memory` is empty. */
struct log_labels {
    struct tsdb_buffer bytes;
    struct tsdb_label labels[TSDB_LOG_LABELS_MAX]; /* slices of `bytes` */
    size_t count;
};

static inline struct tsdb_labels log_labels_of(const struct log_labels *labels)
{
    return (struct tsdb_labels){.labels = labels->labels, .count = labels->count};
}

/* Gives its memory back; it is empty. */
void log_labels_fini(struct log_labels *labels);

/*
 * Appends labels to a buffer. `before`: of the set before; NULL: there is none. It becomes a copy
 * of `labels` where it is not NULL.
 * Errors: QUARRY_TOO_LARGE, QUARRY_NO_MEMORY: `before` and the buffer are as they were.
 */
enum quarry_status log_labels_put(struct tsdb_buffer *to, struct log_labels *before,
                                  struct tsdb_labels labels);

/*
 * Reads labels. `at`: moved behind them. `before`: as when they were written. `ret_labels`: theirs.
 * Errors: QUARRY_CORRUPT, QUARRY_NO_MEMORY: `ret_labels` is anything.
 */
enum quarry_status log_labels_get(const uint8_t **at, const uint8_t *end,
                                  const struct log_labels *before, struct log_labels *ret_labels);

#endif
