/*
 * Sets of labels, as callers bring them: sorting, checking, comparing.
 */
#ifndef QUARRY_TSDB_LABELS_H
#define QUARRY_TSDB_LABELS_H

#include <quarry/status.h>

#include <base/base.h>
#include <tsdb/types.h>

/*
 * Labels of one series at most: a record counts them in 8 bits. Prometheus has no limit of its own;
 * what senders send has some 60 at most.
 */
#define TSDB_LABELS_MAX 255u
/* Bytes of a label's value, and of a name: what a symbol can hold and a query still print. */
#define TSDB_LABEL_BYTES_MAX (1u << 20)

/*
 * Makes labels what struct tsdb_labels says: sorts them by name and drops those with empty values,
 * which mean the same as no label.
 *
 * `labels`: borrowed, `*count` of them; moved about. `error`: names the label; may be NULL.
 * Errors: QUARRY_BAD_INPUT: a name that comes twice, or is empty; QUARRY_TOO_LARGE: too many
 * labels, or too long: the labels are in any order then.
 * Threads: any. Cost: one comparison a label when they are sorted, as senders send them.
 */
enum quarry_status tsdb_labels_make(struct tsdb_label *labels, size_t *count,
                                    struct quarry_error *error);

/* Whether labels are what struct tsdb_labels says, and within the limits. */
bool tsdb_labels_are_valid(const struct tsdb_labels *labels);

/* The value of a name; of 0 bytes when there is no such label. Cost: O(log labels). */
struct tsdb_slice tsdb_labels_find(const struct tsdb_labels *labels, struct tsdb_slice name);

/*
 * Orders sets of labels: the first label in which they differ decides, by its name and then its
 * value; a set that is the other's beginning comes first. Returns: less than, equal to, above 0.
 * Source: Prometheus' order of labels, in which its answers are sorted.
 */
int tsdb_labels_compare(const struct tsdb_labels *a, const struct tsdb_labels *b);

#endif
