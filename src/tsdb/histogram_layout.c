/*
 * Layouts as bytes: histogram_layout.h has the picture.
 *
 * Reading makes two passes over the spans: lengths first, to know how many buckets there are and
 * whether the room holds them, then into their place.
 *
 * Invariants: 1. Nothing is written to a room before it is known to be large enough. 2. No byte at
 * or behind `end` is looked at.
 * Locking: none. Cost: a few ns a span; rare, for layouts are told once and when they change.
 */
#include <tsdb/histogram_layout.h>

size_t histogram_layout_bytes_max(const struct tsdb_histogram *histogram)
{
    size_t span_count = (size_t)histogram->positive.span_count + histogram->negative.span_count;

    return 2 * VARINT_U32_BYTES_MAX + 8 + 3 * VARINT_U32_BYTES_MAX +
           2 * VARINT_U32_BYTES_MAX * span_count + 8 * (size_t)histogram->custom_count;
}

/* ---- writing -------------------------------------------------------------------------------- */

static uint8_t *put_word(uint8_t *to, uint64_t word)
{
    endian_store_le_u64(to, word);
    return to + 8;
}

static uint8_t *put_spans(uint8_t *to, const struct tsdb_buckets *buckets)
{
    for (uint32_t i = 0; i < buckets->span_count; i++) {
        to += varint_put_u64(to, varint_zigzag(buckets->spans[i].offset));
        to += varint_put_u32(to, buckets->spans[i].length);
    }
    return to;
}

uint8_t *histogram_layout_put(const struct tsdb_histogram *histogram, uint8_t *to)
{
    to += varint_put_u64(to, varint_zigzag(histogram->schema));
    to = put_word(to, histogram->zero_threshold_bits);
    to += varint_put_u32(to, histogram->positive.span_count);
    to += varint_put_u32(to, histogram->negative.span_count);
    to += varint_put_u32(to, histogram->custom_count);
    to = put_spans(to, &histogram->positive);
    to = put_spans(to, &histogram->negative);
    for (uint32_t i = 0; i < histogram->custom_count; i++) {
        to = put_word(to, histogram->custom_bits[i]);
    }
    return to;
}

/* ---- reading: what is left, and whether all was there ---------------------------------------- */

struct source {
    const uint8_t *at, *end;
    bool is_sound;
};

static uint64_t get_word(struct source *source)
{
    if (source->end - source->at < 8) {
        source->is_sound = false;
        return 0;
    }
    source->at += 8;
    return endian_load_le_u64(source->at - 8);
}

static uint32_t get_u32(struct source *source)
{
    uint32_t value = 0;
    size_t bytes = varint_get_u32(source->at, source->end, &value);

    source->is_sound = source->is_sound && bytes > 0;
    source->at += bytes;
    return value;
}

/* A count of parts. */
static uint32_t get_count(struct source *source)
{
    uint32_t count = get_u32(source);

    source->is_sound = source->is_sound && count <= TSDB_HISTOGRAM_PARTS_MAX;
    return source->is_sound ? count : 0;
}

static int32_t get_i32(struct source *source)
{
    return (int32_t)varint_unzigzag(get_u32(source));
}

/* Walks over the spans of one side, to know its buckets. */
static void count_buckets(struct source *source, struct tsdb_buckets *buckets)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < buckets->span_count && source->is_sound; i++) {
        (void)get_i32(source);
        sum += get_u32(source);
        source->is_sound = source->is_sound && sum <= TSDB_HISTOGRAM_PARTS_MAX;
    }
    buckets->bucket_count = source->is_sound ? (uint32_t)sum : 0;
}

/* `to`: where histogram_layout_place put the side's spans. */
static void get_spans(struct source *source, struct tsdb_span *to, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        to[i].offset = get_i32(source);
        to[i].length = get_u32(source);
    }
}

static void get_parts(struct source *source, struct tsdb_histogram_room room,
                      struct tsdb_histogram *histogram)
{
    uint64_t *words = histogram_layout_place(room, histogram) + histogram->positive.bucket_count +
                      histogram->negative.bucket_count;
    const uint32_t positive = histogram->positive.span_count,
                   negative = histogram->negative.span_count;

    get_spans(source, (struct tsdb_span *)words, positive);
    get_spans(source, (struct tsdb_span *)(words + positive), negative);
    for (uint32_t i = 0; i < histogram->custom_count; i++) {
        words[positive + negative + i] = get_word(source);
    }
}

enum quarry_status histogram_layout_get(const uint8_t **at, const uint8_t *end,
                                        struct tsdb_histogram_room room,
                                        struct tsdb_histogram *ret_histogram)
{
    struct source source = {*at, end, true};
    struct tsdb_histogram histogram = {.t_ms = 0};

    histogram.schema = get_i32(&source);
    histogram.zero_threshold_bits = get_word(&source);
    histogram.positive.span_count = get_count(&source);
    histogram.negative.span_count = get_count(&source);
    histogram.custom_count = get_count(&source);
    struct source spans = source;
    count_buckets(&source, &histogram.positive);
    count_buckets(&source, &histogram.negative);
    if (!source.is_sound || 8 * (size_t)histogram.custom_count > (size_t)(end - source.at)) {
        return QUARRY_CORRUPT;
    }
    if (tsdb_histogram_words(&histogram) > room.count) {
        return QUARRY_NO_MEMORY;
    }
    get_parts(&spans, room, &histogram);
    if (!spans.is_sound || !tsdb_histogram_is_sound(&histogram)) {
        return QUARRY_CORRUPT;
    }
    *at = spans.at;
    *ret_histogram = histogram;
    return QUARRY_OK;
}
