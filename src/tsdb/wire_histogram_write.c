/*
 * Histograms as messages, for answers.
 *
 *     single fields that are not 0 | spans, a message each | packed counts | time | bounds
 *
 * Of the fields that stand for one of two, the count's and that of zeros, one is always there:
 * whoever reads it tells by that what the histogram counts in. Integers' buckets become differences
 * to the one before.
 *
 * Each side is written by one function that is given a place or none: then it only counts.
 *
 * Locking: none. Cost: some 10 instructions a bucket.
 */
#include <tsdb/wire_histogram.h>

#include <base/base.h>

/* Tags: number of the field << 3 | type. */
enum {
    TAG_COUNT_INT = 1 << 3,
    TAG_COUNT_FLOAT = 2 << 3 | 1,
    TAG_SUM = 3 << 3 | 1,
    TAG_SCHEMA = 4 << 3,
    TAG_ZERO_THRESHOLD = 5 << 3 | 1,
    TAG_ZERO_COUNT_INT = 6 << 3,
    TAG_ZERO_COUNT_FLOAT = 7 << 3 | 1,
    TAG_NEGATIVE_SPAN = 8 << 3 | 2,
    TAG_NEGATIVE_DELTAS = 9 << 3 | 2,
    TAG_NEGATIVE_COUNTS = 10 << 3 | 2,
    TAG_POSITIVE_SPAN = 11 << 3 | 2,
    TAG_POSITIVE_DELTAS = 12 << 3 | 2,
    TAG_POSITIVE_COUNTS = 13 << 3 | 2,
    TAG_RESET_HINT = 14 << 3,
    TAG_TIME = 15 << 3,
    TAG_CUSTOM = 16 << 3 | 2,
    SPAN_TAG_OFFSET = 1 << 3,
    SPAN_TAG_LENGTH = 2 << 3,
};

/* Where bytes go; `at` NULL: they are counted alone. */
struct sink {
    uint8_t *at;
    size_t count;
};

static void put_varint(struct sink *sink, uint64_t value)
{
    if (sink->at != NULL) {
        (void)varint_put_u64(sink->at + sink->count, value);
    }
    sink->count += varint_length_u64(value);
}

static void put_fixed(struct sink *sink, uint64_t bits)
{
    if (sink->at != NULL) {
        endian_store_le_u64(sink->at + sink->count, bits);
    }
    sink->count += sizeof bits;
}

static void put_number(struct sink *sink, uint32_t tag, uint64_t value)
{
    put_varint(sink, tag);
    put_varint(sink, value);
}

static void put_double(struct sink *sink, uint32_t tag, uint64_t bits)
{
    put_varint(sink, tag);
    put_fixed(sink, bits);
}

static uint32_t zigzag(int32_t value)
{
    return (uint32_t)value << 1 ^ (value < 0 ? UINT32_MAX : 0);
}

static size_t span_bytes(const struct tsdb_span *span)
{
    return (span->offset == 0 ? 0 : 1 + varint_length_u64(zigzag(span->offset))) +
           (span->length == 0 ? 0 : 1 + varint_length_u64(span->length));
}

static void put_spans(struct sink *sink, uint32_t tag, const struct tsdb_buckets *buckets)
{
    for (uint32_t i = 0; i < buckets->span_count; i++) {
        const struct tsdb_span *span = &buckets->spans[i];
        put_number(sink, tag, span_bytes(span));
        if (span->offset != 0) {
            put_number(sink, SPAN_TAG_OFFSET, zigzag(span->offset));
        }
        if (span->length != 0) {
            put_number(sink, SPAN_TAG_LENGTH, span->length);
        }
    }
}

static void put_doubles(struct sink *sink, uint32_t tag, const uint64_t *bits, uint32_t count)
{
    if (count == 0) {
        return;
    }
    put_number(sink, tag, count * sizeof *bits);
    for (uint32_t i = 0; i < count; i++) {
        put_fixed(sink, bits[i]);
    }
}

static uint64_t difference(const struct tsdb_buckets *buckets, uint32_t index)
{
    uint64_t before = index == 0 ? 0 : buckets->buckets[index - 1];

    return varint_zigzag((int64_t)(buckets->buckets[index] - before));
}

static void put_deltas(struct sink *sink, uint32_t tag, const struct tsdb_buckets *buckets)
{
    size_t byte_count = 0;

    if (buckets->bucket_count == 0) {
        return;
    }
    for (uint32_t i = 0; i < buckets->bucket_count; i++) {
        byte_count += varint_length_u64(difference(buckets, i));
    }
    put_number(sink, tag, byte_count);
    for (uint32_t i = 0; i < buckets->bucket_count; i++) {
        put_varint(sink, difference(buckets, i));
    }
}

static void put_single(struct sink *sink, const struct tsdb_histogram *histogram)
{
    if (histogram->is_float) {
        put_double(sink, TAG_COUNT_FLOAT, histogram->count);
    } else {
        put_number(sink, TAG_COUNT_INT, histogram->count);
    }
    if (histogram->sum_bits != 0) {
        put_double(sink, TAG_SUM, histogram->sum_bits);
    }
    if (histogram->schema != 0) {
        put_number(sink, TAG_SCHEMA, zigzag(histogram->schema));
    }
    if (histogram->zero_threshold_bits != 0) {
        put_double(sink, TAG_ZERO_THRESHOLD, histogram->zero_threshold_bits);
    }
    if (histogram->is_float) {
        put_double(sink, TAG_ZERO_COUNT_FLOAT, histogram->zero_count);
    } else {
        put_number(sink, TAG_ZERO_COUNT_INT, histogram->zero_count);
    }
}

static void put_histogram(struct sink *sink, const struct tsdb_histogram *histogram)
{
    const struct tsdb_buckets *negative = &histogram->negative, *positive = &histogram->positive;

    put_single(sink, histogram);
    put_spans(sink, TAG_NEGATIVE_SPAN, negative);
    if (histogram->is_float) {
        put_doubles(sink, TAG_NEGATIVE_COUNTS, negative->buckets, negative->bucket_count);
    } else {
        put_deltas(sink, TAG_NEGATIVE_DELTAS, negative);
    }
    put_spans(sink, TAG_POSITIVE_SPAN, positive);
    if (histogram->is_float) {
        put_doubles(sink, TAG_POSITIVE_COUNTS, positive->buckets, positive->bucket_count);
    } else {
        put_deltas(sink, TAG_POSITIVE_DELTAS, positive);
    }
    if (histogram->reset_hint != TSDB_RESET_UNKNOWN) {
        put_number(sink, TAG_RESET_HINT, (uint64_t)histogram->reset_hint);
    }
    if (histogram->t_ms != 0) {
        put_number(sink, TAG_TIME, (uint64_t)histogram->t_ms);
    }
    put_doubles(sink, TAG_CUSTOM, histogram->custom_bits, histogram->custom_count);
}

size_t tsdb_wire_histogram_bytes(const struct tsdb_histogram *histogram)
{
    struct sink sink = {NULL, 0};

    put_histogram(&sink, histogram);
    return sink.count;
}

void tsdb_wire_histogram_write(const struct tsdb_histogram *histogram, uint8_t *to)
{
    struct sink sink = {to, 0};

    put_histogram(&sink, histogram);
}
