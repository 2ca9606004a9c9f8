/*
 * Chunks of native histograms, written: encodings 2 and 3. histogram_chunk_read.c reads them.
 *
 *     +-------+--------+-----------+--------+---------+---------+---------+-----------+---------+
 *     | count | header | threshold | schema | spans + | spans - | bounds  | histogram | padding |
 *     | u16be | u8     | 1, 9 bytes| varbit | ...     | ...     | if -53  | ...       | 0-7 bit |
 *     +-------+--------+-----------+--------+---------+---------+---------+-----------+---------+
 *
 *                   first              following
 *     time          varbit             varbit of the second difference (the step before: 0)
 *     count, zeros  varbit unsigned    varbit of the second difference      floats: 64 bit, XOR
 *     sum           64 bit             XOR
 *     buckets       varbit             varbit of the second difference      floats: 64 bit, XOR
 *
 *     varbit  0 | 10 + 3 | 110 + 6 | 1110 + 9 | 11110 + 12 | 111110 + 18 | 1111110 + 25
 *             | 11111110 + 56 | 11111111 + 64 bits
 *
 * A bucket of integers is the difference to the bucket before it, the first one its count; a bucket
 * of floats is its count. A stale marker is a sum with nothing else: no buckets, the second
 * differences of its counts 0.
 *
 * Invariants:
 * 1. All histograms of a chunk but stale ones have the layout that it begins with.
 * 2. Within a chunk that is not a gauge's no count falls: readers take it that there was no reset.
 * 3. The count in the first two bytes is written last.
 * 4. Differences wrap, and nothing is lost by it.
 *
 * Rejected: widening a chunk's layout when a bucket appears, as Prometheus' appender does: it
 * decodes the chunk and encodes all of it again. A new chunk costs the bytes of a layout, some 20,
 * and gives each histogram back with the spans that it came with. A chunk after a change of layout
 * says that it does not know of a reset, which sends readers to look for themselves.
 *
 * Source: the format document of Prometheus (tsdb/docs/format/chunks.md); blocks of a Prometheus
 * 2.42 with native histograms, in tests/tsdb.
 */
#include <tsdb/histogram_chunk.h>

#include <math.h>
#include <string.h>

#include <tsdb/histogram_chunk_parts.h>

#define HEADER_BYTES 3u

void histogram_chunk_appender_init(struct histogram_chunk_appender *appender,
                                   struct tsdb_memory *memory)
{
    *appender = (struct histogram_chunk_appender){.memory = memory};
}

void histogram_chunk_appender_fini(struct histogram_chunk_appender *appender)
{
    block_array_fini(appender->memory, &appender->bytes);
    tsdb_memory_give(appender->memory, appender->fields);
    tsdb_memory_give(appender->memory, appender->words);
}

void histogram_chunk_reset(struct histogram_chunk_appender *appender)
{
    appender->has_last = false;
    appender->count = 0;
}

/* ---- what can follow ------------------------------------------------------------------------ */

static bool count_fell(const struct tsdb_histogram *histogram, uint64_t before, uint64_t now)
{
    double a, b;

    if (!histogram->is_float) {
        return now < before;
    }
    memcpy(&a, &before, sizeof a);
    memcpy(&b, &now, sizeof b);
    return b < a;
}

static bool buckets_fell(const struct tsdb_histogram *histogram, const struct tsdb_buckets *before,
                         const struct tsdb_buckets *now)
{
    for (uint32_t i = 0; i < now->bucket_count; i++) {
        if (count_fell(histogram, before->buckets[i], now->buckets[i])) {
            return true;
        }
    }
    return false;
}

static bool any_fell(const struct tsdb_histogram *before, const struct tsdb_histogram *now)
{
    return count_fell(now, before->count, now->count) ||
           count_fell(now, before->zero_count, now->zero_count) ||
           buckets_fell(now, &before->positive, &now->positive) ||
           buckets_fell(now, &before->negative, &now->negative);
}

static bool follows_as_counter(const struct tsdb_histogram *before,
                               const struct tsdb_histogram *histogram,
                               enum histogram_chunk_header *ret_header)
{
    *ret_header = HISTOGRAM_CHUNK_UNKNOWN;
    if (histogram->reset_hint == TSDB_RESET_YES) {
        *ret_header = HISTOGRAM_CHUNK_RESET;
        return false;
    }
    if (before == NULL || !tsdb_histogram_same_layout(before, histogram)) {
        return false;
    }
    if (any_fell(before, histogram)) {
        *ret_header = HISTOGRAM_CHUNK_RESET;
        return false;
    }
    *ret_header = HISTOGRAM_CHUNK_NO_RESET;
    return true;
}

bool histogram_chunk_follows(const struct histogram_chunk_appender *appender,
                             const struct tsdb_histogram *histogram,
                             enum histogram_chunk_header *ret_header)
{
    const struct tsdb_histogram *last = appender->has_last ? &appender->last : NULL;
    bool was_gauge = last != NULL && appender->header == HISTOGRAM_CHUNK_GAUGE;
    bool was_stale = last != NULL && last->sum_bits == TSDB_STALE_BITS;

    if (last != NULL && last->is_float != histogram->is_float) {
        last = NULL;
    }
    if (histogram->sum_bits == TSDB_STALE_BITS) {
        *ret_header = was_gauge ? HISTOGRAM_CHUNK_GAUGE : HISTOGRAM_CHUNK_UNKNOWN;
        return last != NULL;
    }
    if (histogram->reset_hint == TSDB_RESET_GAUGE) {
        *ret_header = HISTOGRAM_CHUNK_GAUGE;
        return was_gauge && !was_stale && last != NULL &&
               tsdb_histogram_same_layout(last, histogram);
    }
    return follows_as_counter(was_gauge || was_stale ? NULL : last, histogram, ret_header);
}

/* ---- writing -------------------------------------------------------------------------------- */

enum quarry_status histogram_chunk_begin(struct histogram_chunk_appender *appender,
                                         enum histogram_chunk_header header)
{
    enum quarry_status status =
        block_array_reserve(appender->memory, &appender->bytes, HEADER_BYTES, 1);

    if (status == QUARRY_OK && appender->fields == NULL) {
        status = histogram_chunk_room_take(appender->memory, &appender->fields, &appender->words);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    appender->bits = (struct chunk_bit_writer){.bytes = appender->bytes.members,
                                               .capacity_bytes = appender->bytes.capacity};
    appender->header = header;
    appender->count = 0;
    appender->delta_ms = 0;
    chunk_bits_put(&appender->bits, 0, 16);
    chunk_bits_put(&appender->bits, (uint64_t)header, 8);
    return QUARRY_OK;
}

static void put_varbit(struct chunk_bit_writer *bits, uint64_t value, uint32_t kind)
{
    static const uint8_t prefixes[] = {0, 2, 6, 14, 30, 62, 126, 254, 255};

    chunk_bits_put(bits, prefixes[kind], kind < 8 ? kind + 1 : 8);
    chunk_bits_put(bits, value, histogram_chunk_varbit_counts[kind]);
}

static void put_signed(struct chunk_bit_writer *bits, int64_t value)
{
    uint32_t kind = value == 0 ? 0 : 1;

    while (kind != 0 && kind < 8 && !chunk_bits_fit(value, histogram_chunk_varbit_counts[kind])) {
        kind++;
    }
    put_varbit(bits, (uint64_t)value, kind);
}

static void put_unsigned(struct chunk_bit_writer *bits, uint64_t value)
{
    uint32_t kind = value == 0 ? 0 : 1;

    while (kind != 0 && kind < 8 && value >> histogram_chunk_varbit_counts[kind] != 0) {
        kind++;
    }
    put_varbit(bits, value, kind);
}

static void put_threshold(struct chunk_bit_writer *bits, uint64_t threshold_bits)
{
    double threshold;
    int exponent = 0;

    memcpy(&threshold, &threshold_bits, sizeof threshold);
    if (threshold_bits == 0) {
        chunk_bits_put(bits, 0, 8);
    } else if (frexp(threshold, &exponent) == 0.5 && exponent >= -242 && exponent <= 11) {
        chunk_bits_put(bits, (uint64_t)(exponent + 243), 8);
    } else {
        chunk_bits_put(bits, 255, 8);
        chunk_bits_put(bits, threshold_bits, 64);
    }
}

static void put_spans(struct chunk_bit_writer *bits, const struct tsdb_buckets *buckets)
{
    put_unsigned(bits, buckets->span_count);
    for (uint32_t i = 0; i < buckets->span_count; i++) {
        put_unsigned(bits, buckets->spans[i].length);
        put_signed(bits, buckets->spans[i].offset);
    }
}

/* A boundary: thousandths plus one where those say it exactly, else a 0 bit and all of it. */
static void put_bound(struct chunk_bit_writer *bits, uint64_t bound_bits)
{
    double bound, again;
    memcpy(&bound, &bound_bits, sizeof bound);

    if (bound * 1000 >= 0 && bound * 1000 <= HISTOGRAM_CHUNK_BOUND_MAX) {
        double thousandths = round(bound * 1000);
        again = thousandths / 1000;
        if (memcmp(&again, &bound, sizeof again) == 0) {
            put_unsigned(bits, (uint64_t)thousandths + 1);
            return;
        }
    }
    chunk_bits_put(bits, 0, 1);
    chunk_bits_put(bits, bound_bits, 64);
}

static void put_layout(struct chunk_bit_writer *bits, const struct tsdb_histogram *histogram)
{
    put_threshold(bits, histogram->zero_threshold_bits);
    put_signed(bits, histogram->schema);
    put_spans(bits, &histogram->positive);
    put_spans(bits, &histogram->negative);
    if (histogram->schema == TSDB_HISTOGRAM_SCHEMA_CUSTOM) {
        put_unsigned(bits, histogram->custom_count);
        for (uint32_t i = 0; i < histogram->custom_count; i++) {
            put_bound(bits, histogram->custom_bits[i]);
        }
    }
}

static void put_xor(struct chunk_bit_writer *bits, struct histogram_chunk_field *field,
                    uint64_t value, bool is_first)
{
    if (is_first) {
        field->window = CHUNK_XOR_NONE;
        chunk_bits_put(bits, value, 64);
    } else {
        chunk_xor_put(bits, &field->window, value ^ field->value);
    }
    field->value = value;
}

static void put_integer(struct chunk_bit_writer *bits, struct histogram_chunk_field *field,
                        uint64_t value, bool is_first)
{
    uint64_t delta = is_first ? 0 : value - field->value;

    put_signed(bits, (int64_t)(is_first ? value : delta - field->delta));
    field->value = value;
    field->delta = delta;
}

/* Count or count of zeros, of integers: as other integers but for the first, and where it ends. */
static void put_count(struct chunk_bit_writer *bits, struct histogram_chunk_field *field,
                      uint64_t value, bool is_first, bool is_stale)
{
    if (is_first) {
        put_unsigned(bits, value);
        *field = (struct histogram_chunk_field){.value = value};
    } else if (is_stale) {
        put_signed(bits, 0);
    } else {
        put_integer(bits, field, value, false);
    }
}

static struct histogram_chunk_field *put_buckets(struct chunk_bit_writer *bits,
                                                 struct histogram_chunk_field *field,
                                                 const struct tsdb_buckets *buckets, bool is_float,
                                                 bool is_first)
{
    uint64_t before = 0;

    for (uint32_t i = 0; i < buckets->bucket_count; i++, field++) {
        if (is_float) {
            put_xor(bits, field, buckets->buckets[i], is_first);
        } else {
            put_integer(bits, field, buckets->buckets[i] - before, is_first);
            before = buckets->buckets[i];
        }
    }
    return field;
}

static void put_histogram(struct histogram_chunk_appender *appender,
                          const struct tsdb_histogram *histogram, bool is_first)
{
    struct chunk_bit_writer *bits = &appender->bits;
    struct histogram_chunk_field *fields = appender->fields;
    bool is_stale = histogram->sum_bits == TSDB_STALE_BITS;

    if (histogram->is_float) {
        put_xor(bits, &fields[0], histogram->count, is_first);
        put_xor(bits, &fields[1], histogram->zero_count, is_first);
    } else {
        put_count(bits, &fields[0], histogram->count, is_first, is_stale);
        put_count(bits, &fields[1], histogram->zero_count, is_first, is_stale);
    }
    put_xor(bits, &fields[2], histogram->sum_bits, is_first);
    fields = put_buckets(bits, fields + HISTOGRAM_CHUNK_FIXED_FIELDS, &histogram->positive,
                         histogram->is_float, is_first);
    (void)put_buckets(bits, fields, &histogram->negative, histogram->is_float, is_first);
}

/* The most bytes that one may take: 80 bits for anything that is one number. */
static size_t bytes_max(const struct tsdb_histogram *histogram)
{
    size_t numbers = 16 + (size_t)histogram->custom_count;

    numbers += 2 * ((size_t)histogram->positive.span_count + histogram->negative.span_count);
    numbers += (size_t)histogram->positive.bucket_count + histogram->negative.bucket_count;
    return numbers * 10;
}

static enum quarry_status make_room(struct histogram_chunk_appender *appender, size_t byte_count)
{
    size_t used = chunk_bits_byte_count(&appender->bits);
    enum quarry_status status;

    appender->bytes.count = used;
    status = block_array_reserve(appender->memory, &appender->bytes, used + byte_count, 1);
    appender->bits.bytes = appender->bytes.members;
    appender->bits.capacity_bytes = appender->bytes.capacity;
    return status;
}

enum quarry_status histogram_chunk_append(struct histogram_chunk_appender *appender,
                                          const struct tsdb_histogram *histogram)
{
    struct tsdb_histogram stale = {
        .t_ms = histogram->t_ms, .is_float = histogram->is_float, .sum_bits = histogram->sum_bits};
    const struct tsdb_histogram_room room = {.words = appender->words,
                                             .count = TSDB_HISTOGRAM_WORDS_MAX};
    bool is_first = appender->count == 0;
    uint64_t delta = is_first ? 0 : (uint64_t)histogram->t_ms - (uint64_t)appender->last.t_ms;
    enum quarry_status status = make_room(appender, bytes_max(histogram));

    Q_ASSERT(appender->fields != NULL && appender->count < UINT16_MAX);
    if (status != QUARRY_OK) {
        return status;
    }
    if (histogram->sum_bits == TSDB_STALE_BITS) {
        histogram = &stale;
    }
    if (is_first) {
        put_layout(&appender->bits, histogram);
        put_signed(&appender->bits, histogram->t_ms);
    } else {
        put_signed(&appender->bits, (int64_t)(delta - appender->delta_ms));
    }
    put_histogram(appender, histogram, is_first);
    appender->delta_ms = delta;
    tsdb_histogram_copy(histogram, room, &appender->last);
    appender->has_last = true;
    endian_store_be_u16(appender->bits.bytes, (uint16_t)++appender->count); /* invariant 3 */
    return QUARRY_OK;
}
