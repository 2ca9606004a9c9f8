/*
 * Histograms in memory, and their layouts as bytes.
 *
 * A copy lies in a room of words, each array behind the one before:
 *
 *     | positive buckets | negative buckets | positive spans | negative spans | boundaries |
 *
 * so that both sides' buckets are one array, which codecs walk at once. A span is a word.
 *
 * Invariants: 1. bucket_count is the sum of the spans' lengths (tsdb_histogram_is_sound), for
 * whatever decoding yields too.
 * Locking: none.
 */
#include <tsdb/histogram.h>

#include <string.h>

#include <tsdb/histogram_layout.h>

Q_STATIC_ASSERT(sizeof(struct tsdb_span) == sizeof(uint64_t), "a span is a word");

void tsdb_histogram_counts(const int64_t *deltas, uint32_t count, uint64_t *ret_counts)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < count; i++) {
        sum += (uint64_t)deltas[i];
        ret_counts[i] = sum;
    }
}

void tsdb_histogram_deltas(const uint64_t *counts, uint32_t count, int64_t *ret_deltas)
{
    uint64_t before = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t now = counts[i];
        ret_deltas[i] = (int64_t)(now - before);
        before = now;
    }
}

/* ---- soundness and likeness ----------------------------------------------------------------- */

/* The buckets that spans are for; more than TSDB_HISTOGRAM_PARTS_MAX if there are too many. */
static uint32_t spanned(const struct tsdb_span *spans, uint32_t count)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < count && sum <= TSDB_HISTOGRAM_PARTS_MAX; i++) {
        sum += spans[i].length;
    }
    return sum > TSDB_HISTOGRAM_PARTS_MAX ? TSDB_HISTOGRAM_PARTS_MAX + 1 : (uint32_t)sum;
}

static bool are_buckets_sound(const struct tsdb_buckets *buckets)
{
    return buckets->span_count <= TSDB_HISTOGRAM_PARTS_MAX &&
           buckets->bucket_count <= TSDB_HISTOGRAM_PARTS_MAX &&
           spanned(buckets->spans, buckets->span_count) == buckets->bucket_count;
}

static bool is_schema_sound(int32_t schema, uint32_t custom_count)
{
    return schema == TSDB_HISTOGRAM_SCHEMA_CUSTOM
               ? custom_count <= TSDB_HISTOGRAM_PARTS_MAX
               : custom_count == 0 && schema >= TSDB_HISTOGRAM_SCHEMA_MIN &&
                     schema <= TSDB_HISTOGRAM_SCHEMA_MAX;
}

bool tsdb_histogram_is_sound(const struct tsdb_histogram *histogram)
{
    return is_schema_sound(histogram->schema, histogram->custom_count) &&
           histogram->reset_hint <= TSDB_RESET_GAUGE && are_buckets_sound(&histogram->positive) &&
           are_buckets_sound(&histogram->negative);
}

static bool same_words(const void *a, const void *b, uint32_t count)
{
    return count == 0 || memcmp(a, b, count * sizeof(uint64_t)) == 0;
}

static bool same_spans(const struct tsdb_buckets *a, const struct tsdb_buckets *b)
{
    return a->span_count == b->span_count && same_words(a->spans, b->spans, a->span_count);
}

bool tsdb_histogram_same_layout(const struct tsdb_histogram *a, const struct tsdb_histogram *b)
{
    return a->schema == b->schema && a->is_float == b->is_float &&
           a->zero_threshold_bits == b->zero_threshold_bits &&
           same_spans(&a->positive, &b->positive) && same_spans(&a->negative, &b->negative) &&
           a->custom_count == b->custom_count &&
           same_words(a->custom_bits, b->custom_bits, a->custom_count);
}

/* ---- copies --------------------------------------------------------------------------------- */

size_t tsdb_histogram_words(const struct tsdb_histogram *histogram)
{
    return (size_t)histogram->positive.bucket_count + histogram->negative.bucket_count +
           histogram->positive.span_count + histogram->negative.span_count +
           histogram->custom_count;
}

uint64_t *histogram_layout_place(struct tsdb_histogram_room room, struct tsdb_histogram *histogram)
{
    struct tsdb_buckets *positive = &histogram->positive, *negative = &histogram->negative;
    uint64_t *at = room.words;

    Q_ASSERT(tsdb_histogram_words(histogram) <= room.count);
    positive->buckets = at;
    negative->buckets = (at += positive->bucket_count);
    positive->spans = (struct tsdb_span *)(at += negative->bucket_count);
    negative->spans = (struct tsdb_span *)(at += positive->span_count);
    histogram->custom_bits = at + negative->span_count;
    return room.words;
}

static void copy_words(const void *to, const void *from, uint32_t count)
{
    if (count > 0) {
        memcpy((void *)(uintptr_t)to, from, count * sizeof(uint64_t)); /* a room's words */
    }
}

void tsdb_histogram_copy(const struct tsdb_histogram *from, struct tsdb_histogram_room room,
                         struct tsdb_histogram *ret_copy)
{
    struct tsdb_histogram copy = *from;

    Q_DCHECK(tsdb_histogram_is_sound(from));
    (void)histogram_layout_place(room, &copy);
    copy_words(copy.positive.buckets, from->positive.buckets, copy.positive.bucket_count);
    copy_words(copy.negative.buckets, from->negative.buckets, copy.negative.bucket_count);
    copy_words(copy.positive.spans, from->positive.spans, copy.positive.span_count);
    copy_words(copy.negative.spans, from->negative.spans, copy.negative.span_count);
    copy_words(copy.custom_bits, from->custom_bits, copy.custom_count);
    *ret_copy = copy;
}
