/*
 * Label sets as they come from outside: in any order, perhaps too many, perhaps not valid.
 *
 * A reader of some format puts names and values into a caller's room, then the set is brought into
 * the form of `struct tsdb_labels` or its fault is told.
 */
#ifndef QUARRY_TSDB_LABEL_SET_H
#define QUARRY_TSDB_LABEL_SET_H

#include <quarry/status.h>

#include <tsdb/types.h>

/* How much a label set may hold. */
struct tsdb_label_limits {
    uint32_t label_count_max; /* the metric name is one of them */
    uint32_t name_bytes_max;
    uint32_t value_bytes_max;
};

/* Why a set is not that of a series. The series is lost by it, not the request. */
enum tsdb_label_fault {
    TSDB_LABELS_GOOD,
    TSDB_LABELS_NO_METRIC_NAME,
    TSDB_LABELS_EMPTY_NAME,
    TSDB_LABELS_NOT_UTF8,
    TSDB_LABELS_DUPLICATE,
    TSDB_LABELS_TOO_MANY,
    TSDB_LABELS_NAME_TOO_LONG,
    TSDB_LABELS_VALUE_TOO_LONG,
    TSDB_LABELS_ODD_REFS, /* of remote write 2.0: a name without a value */
    TSDB_LABELS_BAD_REF,  /* of remote write 2.0: a symbol that is not there */
};

/*
 * A set that is being put together. `labels`: borrowed, room for `limits.label_count_max`.
 */
struct tsdb_label_set {
    struct tsdb_label *labels;
    struct tsdb_label_limits limits;
    uint32_t count;
    enum tsdb_label_fault fault; /* the first one that was met */
    struct tsdb_slice culprit;   /* the name that has it; borrowed; of TOO_MANY and refs: empty */
};

/* A set of no labels. `labels`: borrowed while the set is used, room for the limit. */
void tsdb_label_set_init(struct tsdb_label_set *set, const struct tsdb_label_limits *limits,
                         struct tsdb_label *labels);
/*
 * Adds a label; one without a value is as if it were not there. `name`, `value`: borrowed while the
 * set is used. A fault is kept in the set, where the first one stays. Cost: some 40 instructions.
 */
void tsdb_label_set_add(struct tsdb_label_set *set, struct tsdb_slice name,
                        struct tsdb_slice value);
/* Notes a fault, unless there is one. `culprit`: borrowed; its bytes may be none. */
void tsdb_label_set_fail(struct tsdb_label_set *set, enum tsdb_label_fault fault,
                         struct tsdb_slice culprit);
/*
 * Sorts the labels and looks for duplicates.
 *
 * `ret_labels`: borrowed from the set's room; written only without a fault.
 * Returns: the set's fault. It may have no metric name: see tsdb_label_set_finish_series.
 * Cost: O(n) for labels that are sorted already, else O(n²) comparisons of the at most
 * `label_count_max` labels.
 */
enum tsdb_label_fault tsdb_label_set_finish(struct tsdb_label_set *set,
                                            struct tsdb_labels *ret_labels);
/* As tsdb_label_set_finish, of a set that must have a metric name. */
enum tsdb_label_fault tsdb_label_set_finish_series(struct tsdb_label_set *set,
                                                   struct tsdb_labels *ret_labels);

/*
 * Says what is wrong with a set: its limit, and the beginning of the name that has the fault.
 * `ret_error`: overwritten, QUARRY_BAD_INPUT or QUARRY_TOO_LARGE. The set has a fault.
 */
void tsdb_label_set_tell(const struct tsdb_label_set *set, struct quarry_error *ret_error);

/* The metric name of a series' labels; empty: they have none. */
struct tsdb_slice tsdb_labels_metric_name(struct tsdb_labels labels);

/*
 * Writes labels as remote write 1.0 has them, so that a series that came some other way has the
 * same bytes to be known by.
 *
 * `room`: borrowed, `room_bytes` bytes.
 * Returns: the bytes written; 0: there is no room, or no label.
 * Cost: some 20 instructions a label, and the copy.
 */
size_t tsdb_labels_encode(struct tsdb_labels labels, char *room, size_t room_bytes);

#endif
