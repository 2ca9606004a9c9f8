/*
 * Sets of labels as evaluation makes them: comparing, choosing from, printing, finding.
 */
#ifndef QUARRY_PROMQL_LABELS_H
#define QUARRY_PROMQL_LABELS_H

#include <quarry/tsdb.h>

#include <base/base.h>

struct eval;

/* Labels sorted by name, borrowed. */
struct eval_labels {
    const struct quarry_tsdb_label *labels;
    size_t count;
};

/* Room that is reused: of the query's memory. */
struct eval_label_buffer {
    struct quarry_tsdb_label *labels;
    size_t capacity;
};

/* Names out of which labels are chosen. */
struct eval_names {
    const struct quarry_tsdb_slice *names;
    size_t count;
};

bool eval_slice_equal(struct quarry_tsdb_slice a, struct quarry_tsdb_slice b);
int eval_slice_compare(struct quarry_tsdb_slice a, struct quarry_tsdb_slice b);
bool eval_slice_is(struct quarry_tsdb_slice slice, const char *text);
struct quarry_tsdb_slice eval_slice(const char *text);

bool eval_labels_equal(struct eval_labels a, struct eval_labels b);
/* As Prometheus sorts: label by label, by name and then by value; a set before its extension. */
int eval_labels_compare(struct eval_labels a, struct eval_labels b);
uint64_t eval_labels_hash(struct eval_labels labels);
/* The value of a label; count 0: it has none such. */
struct quarry_tsdb_slice eval_labels_get(struct eval_labels labels, const char *name);
struct quarry_tsdb_slice eval_labels_find(struct eval_labels labels, struct quarry_tsdb_slice name);

/* Whether `name` is one of those. */
bool eval_names_have(struct eval_names names, struct quarry_tsdb_slice name);

/* Room for `count` labels. Returns: false: the query has failed. */
bool eval_buffer_reserve(struct eval *eval, struct eval_label_buffer *buffer, size_t count);
/* Writes those of `labels` that `names` has, or has not, to a buffer with room for all. What is
 * written may be the same array. Returns: borrowed from the buffer. */
struct eval_labels eval_labels_keep(struct eval_labels labels, struct eval_names names,
                                    struct eval_label_buffer *buffer);
struct eval_labels eval_labels_without(struct eval_labels labels, struct eval_names names,
                                       bool drops_reserved, bool has_type_and_unit,
                                       struct eval_label_buffer *buffer);
/* Whether a label is the name, or with `has_type_and_unit` the type or the unit. */
bool eval_is_reserved(struct quarry_tsdb_slice name, bool has_type_and_unit);
/* Sets a label, or takes it away when the value is empty; the buffer, in which `labels` lie, has
 * room for one more. */
struct eval_labels eval_labels_set(struct eval_labels labels, struct quarry_tsdb_slice name,
                                   struct quarry_tsdb_slice value,
                                   struct eval_label_buffer *buffer);
/* Copies the array; the strings stay borrowed. */
bool eval_labels_copy(struct eval *eval, struct eval_labels labels, struct eval_labels *ret_labels);

/* Prints `{a="b", c="d"}`, cut at `capacity`. Returns: bytes written, without the NUL. */
size_t eval_labels_print(struct eval_labels labels, char *text, size_t capacity);

/* The same of one text: in quotes, what is not plain escaped. */
size_t eval_quote(struct quarry_tsdb_slice text, char *quoted, size_t capacity);

/* As Prometheus keeps them, in one piece, whose hash says what limit_ratio takes: each name and
 * each value behind its length, which is one byte, or from 255 on 0xff and three, the lowest first.
 * Writes up to `capacity` bytes. Returns: how many there are; the hash of fewer is none of theirs.
 */
size_t eval_labels_pack(struct eval_labels labels, char *room, size_t capacity);
/* Whether a label may be called so: UTF-8, and not nothing; in 2.42 letters, digits and _. */
bool eval_is_label_name(const struct eval *eval, struct quarry_tsdb_slice name);

/* ---- finding -------------------------------------------------------------------------------- */

/* From labels to numbers in the order they came. */
struct eval_table {
    struct eval_labels *keys;
    uint64_t *hashes;
    uint32_t *slots; /* number + 1; 0: free */
    size_t count, capacity, slot_count;
};

#define EVAL_ABSENT UINT32_MAX

/* The number of labels, or EVAL_ABSENT. */
uint32_t eval_table_find(const struct eval_table *table, struct eval_labels labels);
/* The number of labels; new ones are copied and get the next. Returns: false: failed. */
bool eval_table_put(struct eval *eval, struct eval_table *table, struct eval_labels labels,
                    uint32_t *ret_number, bool *ret_is_new);

#endif
