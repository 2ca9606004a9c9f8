/*
 * What remote write 1.0 and 2.0 have in common: limits, samples, and how an error tells its place.
 */
#ifndef QUARRY_TSDB_WIRE_PARTS_H
#define QUARRY_TSDB_WIRE_PARTS_H

#include <tsdb/label_set.h>
#include <tsdb/protobuf.h>
#include <tsdb/wire_histogram.h>

/* Types of metric families, numbered as in both protocols. */
enum tsdb_metric_type {
    TSDB_METRIC_UNKNOWN = 0,
    TSDB_METRIC_COUNTER = 1,
    TSDB_METRIC_GAUGE = 2,
    TSDB_METRIC_HISTOGRAM = 3,
    TSDB_METRIC_GAUGE_HISTOGRAM = 4,
    TSDB_METRIC_SUMMARY = 5,
    TSDB_METRIC_INFO = 6,
    TSDB_METRIC_STATESET = 7,
};
#define TSDB_METRIC_TYPE_COUNT 8u

/* What is said of a family of metrics. All borrowed. */
struct tsdb_family {
    struct tsdb_slice name;
    enum tsdb_metric_type type;
    struct tsdb_slice help, unit;
};

/* An exemplar, its labels in the caller's room. */
struct tsdb_exemplar {
    struct tsdb_labels labels;
    int64_t t_ms;
    uint64_t bits;
    bool has_time; /* else `t_ms` is 0, and the sample's holds */
};

/* The name of a type as OpenMetrics has it: "gaugehistogram". Returns: a static string. */
const char *tsdb_metric_type_name(enum tsdb_metric_type type);
/* The type of a number from outside: those that are none are unknown. */
static inline enum tsdb_metric_type tsdb_metric_type_of(uint64_t number)
{
    return number < TSDB_METRIC_TYPE_COUNT ? (enum tsdb_metric_type)number : TSDB_METRIC_UNKNOWN;
}

/* A double, and int64 milliseconds: fields 1 and 2 of a sample, 2 and 3 of an exemplar. */
struct wire_point {
    struct tsdb_sample sample;
    int64_t start_ms; /* of 2.0's samples: field 3 */
    bool has_time;
};

/*
 * Reads the message of a sample, in full.
 * Returns: false: it is none.
 */
bool wire_read_sample(struct tsdb_slice message, struct wire_point *ret_point);

/*
 * The next field of a number in a message whose field was checked before to be one.
 * Returns: PROTOBUF_WRONG also where it holds no bytes.
 */
enum protobuf_read wire_next_message(struct protobuf_cursor *cursor, uint32_t number,
                                     struct tsdb_slice *ret_message);

/* Where one is among the samples, histograms or exemplars of a series. */
struct tsdb_write_items {
    struct protobuf_cursor cursor; /* what is left of the series' message */
};
/*
 * The next message of a number in a series. `begin`: of the body, for what an error tells.
 * Errors: QUARRY_NOT_FOUND: there is none; QUARRY_BAD_INPUT.
 */
enum quarry_status wire_next_item(const uint8_t *begin, struct tsdb_write_items *items,
                                  uint32_t number, struct tsdb_slice *ret_message,
                                  struct quarry_error *error);
/* The same, of a sample's number, and the sample. */
enum quarry_status wire_next_point(const uint8_t *begin, struct tsdb_write_items *items,
                                   uint32_t number, struct wire_point *ret_point,
                                   struct quarry_error *error);
/* Reads what an exemplar has besides labels. Returns: false: it is none. */
bool wire_read_exemplar(struct tsdb_slice message, struct tsdb_exemplar *exemplar);

/* Says that a request is wrong at some byte of its uncompressed body. Returns: QUARRY_BAD_INPUT. */
enum quarry_status wire_wrong(struct quarry_error *error, const void *begin, const void *at,
                              const char *what);

#endif
