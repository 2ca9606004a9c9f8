/*
 * Sets of labels as slices of somebody's bytes.
 *
 * Sorting is by insertion: sets have 5 to 20 labels and nearly always come sorted, which costs one
 * comparison a label; the 255 that are allowed cost some 16,000 in the worst order.
 *
 * Locking: none.
 */
#include <tsdb/labels.h>

static void insert_sorted(struct tsdb_label *labels, size_t count, struct tsdb_label label)
{
    size_t at = count;

    while (at > 0 && tsdb_slice_compare(labels[at - 1].name, label.name) > 0) {
        labels[at] = labels[at - 1];
        at--;
    }
    labels[at] = label;
}

static enum quarry_status check_label(const struct tsdb_label *label, struct quarry_error *error)
{
    if (label->name.count == 0) {
        return error_set(error, QUARRY_BAD_INPUT, "a label without a name");
    }
    if (label->name.count > TSDB_LABEL_BYTES_MAX || label->value.count > TSDB_LABEL_BYTES_MAX) {
        return error_set(error, QUARRY_TOO_LARGE, "a label of %zu and %zu bytes: at most %u each",
                         label->name.count, label->value.count, TSDB_LABEL_BYTES_MAX);
    }
    return QUARRY_OK;
}

enum quarry_status tsdb_labels_make(struct tsdb_label *labels, size_t *count,
                                    struct quarry_error *error)
{
    size_t kept = 0;

    for (size_t i = 0; i < *count; i++) {
        enum quarry_status status = check_label(&labels[i], error);
        if (status != QUARRY_OK) {
            return status;
        }
        if (labels[i].value.count == 0) {
            continue;
        }
        if (kept == TSDB_LABELS_MAX) {
            return error_set(error, QUARRY_TOO_LARGE, "a series of more than %u labels",
                             TSDB_LABELS_MAX);
        }
        insert_sorted(labels, kept++, labels[i]);
    }
    for (size_t i = 1; i < kept; i++) {
        if (tsdb_slice_equal(labels[i - 1].name, labels[i].name)) {
            int shown = (int)size_min_u64(labels[i].name.count, 64);
            return error_set(error, QUARRY_BAD_INPUT, "label '%.*s' comes twice", shown,
                             labels[i].name.bytes);
        }
    }
    *count = kept;
    return QUARRY_OK;
}

bool tsdb_labels_are_valid(const struct tsdb_labels *labels)
{
    if (labels->count > TSDB_LABELS_MAX) {
        return false;
    }
    for (size_t i = 0; i < labels->count; i++) {
        const struct tsdb_label *label = &labels->labels[i];
        if (check_label(label, NULL) != QUARRY_OK || label->value.count == 0 ||
            (i > 0 && tsdb_slice_compare(label[-1].name, label->name) >= 0)) {
            return false;
        }
    }
    return true;
}

struct tsdb_slice tsdb_labels_find(const struct tsdb_labels *labels, struct tsdb_slice name)
{
    size_t low = 0, high = labels->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = tsdb_slice_compare(labels->labels[middle].name, name);
        if (order == 0) {
            return labels->labels[middle].value;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return (struct tsdb_slice){.bytes = "", .count = 0};
}

int tsdb_labels_compare(const struct tsdb_labels *a, const struct tsdb_labels *b)
{
    size_t common = size_min_u64(a->count, b->count);

    for (size_t i = 0; i < common; i++) {
        int order = tsdb_slice_compare(a->labels[i].name, b->labels[i].name);
        if (order == 0) {
            order = tsdb_slice_compare(a->labels[i].value, b->labels[i].value);
        }
        if (order != 0) {
            return order;
        }
    }
    return (a->count > b->count) - (a->count < b->count);
}
