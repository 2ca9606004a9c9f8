/*
 * Label sets, from whatever order into the store's.
 *
 * Senders sort: the protocols want it. So sorting begins by looking whether it is needed, and is an
 * insertion when it is; sets are small, and the caller's limit bounds what a hostile one costs (64
 * labels: 2,000 comparisons).
 *
 * What holds:
 *  1. `count` never passes the limit, so the room is never left.
 *  2. A set that is finished has names in rising order, no two equal, none empty, no value empty.
 *  3. The first fault stays: what comes after one is not looked at.
 *
 * An empty value is no label: `a{b=""}` is `a`, for Prometheus and here.
 *
 * The bytes of tsdb_labels_encode, for each label, are those of protobuf:
 *
 *     | 0a | length | 0a | length of name | name | 12 | length of value | value |
 */
#include <tsdb/label_set.h>

#include <tsdb/utf8.h>

#include <base/base.h>

/* Bytes of a name that an error repeats. */
#define TOLD_BYTES_MAX 64

#define TAG_LABEL 0x0a
#define TAG_NAME  0x0a
#define TAG_VALUE 0x12

void tsdb_label_set_init(struct tsdb_label_set *set, const struct tsdb_label_limits *limits,
                         struct tsdb_label *labels)
{
    *set = (struct tsdb_label_set){.labels = labels, .limits = *limits, .culprit = {"", 0}};
}

void tsdb_label_set_fail(struct tsdb_label_set *set, enum tsdb_label_fault fault,
                         struct tsdb_slice culprit)
{
    Q_ASSERT(fault != TSDB_LABELS_GOOD);
    if (set->fault == TSDB_LABELS_GOOD) {
        set->fault = fault;
        set->culprit = culprit;
    }
}

static enum tsdb_label_fault fault_of(const struct tsdb_label_set *set, struct tsdb_slice name,
                                      struct tsdb_slice value)
{
    if (name.count == 0) {
        return TSDB_LABELS_EMPTY_NAME;
    }
    if (set->count == set->limits.label_count_max) {
        return TSDB_LABELS_TOO_MANY;
    }
    if (name.count > set->limits.name_bytes_max) {
        return TSDB_LABELS_NAME_TOO_LONG;
    }
    if (value.count > set->limits.value_bytes_max) {
        return TSDB_LABELS_VALUE_TOO_LONG;
    }
    return tsdb_utf8_is_valid(name) && tsdb_utf8_is_valid(value) ? TSDB_LABELS_GOOD
                                                                 : TSDB_LABELS_NOT_UTF8;
}

void tsdb_label_set_add(struct tsdb_label_set *set, struct tsdb_slice name, struct tsdb_slice value)
{
    if (set->fault != TSDB_LABELS_GOOD || (value.count == 0 && name.count != 0)) {
        return;
    }
    const enum tsdb_label_fault fault = fault_of(set, name, value);
    if (fault != TSDB_LABELS_GOOD) {
        tsdb_label_set_fail(set, fault, name);
        return;
    }
    set->labels[set->count++] = (struct tsdb_label){.name = name, .value = value};
    Q_DCHECK(set->count <= set->limits.label_count_max);
}

/* Moves a label to where it belongs among the sorted ones before it. */
static void insert(struct tsdb_label *labels, size_t at)
{
    const struct tsdb_label label = labels[at];

    while (at > 0 && tsdb_slice_compare(labels[at - 1].name, label.name) > 0) {
        labels[at] = labels[at - 1];
        at--;
    }
    labels[at] = label;
}

enum tsdb_label_fault tsdb_label_set_finish(struct tsdb_label_set *set,
                                            struct tsdb_labels *ret_labels)
{
    if (set->fault != TSDB_LABELS_GOOD) {
        return set->fault;
    }
    for (size_t i = 1; i < set->count; i++) {
        if (tsdb_slice_compare(set->labels[i - 1].name, set->labels[i].name) > 0) {
            insert(set->labels, i);
        }
    }
    for (size_t i = 1; i < set->count; i++) {
        if (tsdb_slice_equal(set->labels[i - 1].name, set->labels[i].name)) {
            tsdb_label_set_fail(set, TSDB_LABELS_DUPLICATE, set->labels[i].name);
            return set->fault;
        }
    }
    *ret_labels = (struct tsdb_labels){.labels = set->labels, .count = set->count};
    return TSDB_LABELS_GOOD;
}

enum tsdb_label_fault tsdb_label_set_finish_series(struct tsdb_label_set *set,
                                                   struct tsdb_labels *ret_labels)
{
    struct tsdb_labels labels;

    if (tsdb_label_set_finish(set, &labels) != TSDB_LABELS_GOOD) {
        return set->fault;
    }
    if (tsdb_labels_metric_name(labels).count == 0) {
        tsdb_label_set_fail(set, TSDB_LABELS_NO_METRIC_NAME, (struct tsdb_slice){"", 0});
        return set->fault;
    }
    *ret_labels = labels;
    return TSDB_LABELS_GOOD;
}

/* How much of a name is told: whole characters; nothing of one that is no text. */
static int told_bytes(struct tsdb_slice name)
{
    if (!tsdb_utf8_is_valid(name)) {
        return 0;
    }
    size_t told = size_min(name.count, TOLD_BYTES_MAX);
    while (told > 0 && told < name.count && (name.bytes[told] & 0xc0) == 0x80) {
        told--;
    }
    return (int)told;
}

void tsdb_label_set_tell(const struct tsdb_label_set *set, struct quarry_error *ret_error)
{
    const int told = told_bytes(set->culprit);
    const char *name = set->culprit.bytes;

    switch (set->fault) {
    case TSDB_LABELS_NO_METRIC_NAME:
        error_set(ret_error, QUARRY_BAD_INPUT, "labels: there is no " TSDB_METRIC_NAME);
        return;
    case TSDB_LABELS_EMPTY_NAME:
        error_set(ret_error, QUARRY_BAD_INPUT, "labels: one has no name");
        return;
    case TSDB_LABELS_NOT_UTF8:
        error_set(ret_error, QUARRY_BAD_INPUT, "label '%.*s': not UTF-8", told, name);
        return;
    case TSDB_LABELS_DUPLICATE:
        error_set(ret_error, QUARRY_BAD_INPUT, "label '%.*s': twice", told, name);
        return;
    case TSDB_LABELS_TOO_MANY:
        error_set(ret_error, QUARRY_TOO_LARGE, "labels: more than %u", set->limits.label_count_max);
        return;
    case TSDB_LABELS_NAME_TOO_LONG:
        error_set(ret_error, QUARRY_TOO_LARGE, "label '%.*s…': a name of %zu bytes, at most %u",
                  told, name, set->culprit.count, set->limits.name_bytes_max);
        return;
    case TSDB_LABELS_VALUE_TOO_LONG:
        error_set(ret_error, QUARRY_TOO_LARGE, "label '%.*s': a value of more than %u bytes", told,
                  name, set->limits.value_bytes_max);
        return;
    case TSDB_LABELS_ODD_REFS:
        error_set(ret_error, QUARRY_BAD_INPUT, "labels: a name without a value, as refs are odd");
        return;
    case TSDB_LABELS_BAD_REF:
        error_set(ret_error, QUARRY_BAD_INPUT, "labels: a ref to a symbol that is not there");
        return;
    case TSDB_LABELS_GOOD:
        break;
    }
    Q_UNREACHABLE();
}

struct tsdb_slice tsdb_labels_metric_name(struct tsdb_labels labels)
{
    const struct tsdb_slice wanted = tsdb_slice_of(TSDB_METRIC_NAME);

    for (size_t i = 0; i < labels.count; i++) {
        const int order = tsdb_slice_compare(labels.labels[i].name, wanted);
        if (order >= 0) {
            return order == 0 ? labels.labels[i].value : (struct tsdb_slice){"", 0};
        }
    }
    return (struct tsdb_slice){"", 0};
}

static uint8_t *put_text(uint8_t *at, uint8_t tag, struct tsdb_slice text)
{
    *at++ = tag;
    at += varint_put_u64(at, text.count);
    memcpy(at, text.bytes, text.count);
    return at + text.count;
}

/* The bytes of a text with its tag and length. */
static size_t text_bytes(struct tsdb_slice text)
{
    return 1 + varint_length_u64(text.count) + text.count;
}

size_t tsdb_labels_encode(struct tsdb_labels labels, char *room, size_t room_bytes)
{
    uint8_t *at = (uint8_t *)room;

    for (size_t i = 0; i < labels.count; i++) {
        const struct tsdb_label *label = &labels.labels[i];
        const size_t inner = text_bytes(label->name) + text_bytes(label->value);
        const size_t left = room_bytes - (size_t)(at - (uint8_t *)room);
        if (left < 1 + varint_length_u64(inner) + inner) {
            return 0;
        }
        *at++ = TAG_LABEL;
        at += varint_put_u64(at, inner);
        at = put_text(at, TAG_NAME, label->name);
        at = put_text(at, TAG_VALUE, label->value);
    }
    return (size_t)(at - (uint8_t *)room);
}
