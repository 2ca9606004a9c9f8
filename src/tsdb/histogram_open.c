/*
 * Histograms one after another: each as what differs from the one before.
 *
 *     | flags | time | layout, if it changed | order | bits |
 *
 *     flags   1: layout as before; 2: counts are doubles; 4 × the reset hint
 *     time    zigzag varint, to the sample before
 *     order   of the Golomb codes (bits.h) of integers; 255: 64 bits each; of doubles 0
 *     bits    sum, count, zero count, positive buckets, negative buckets; filled up to a byte
 *
 *     integers   the difference to the count before, zigzag
 *     doubles    0: as before; 1 ssssss wwwwww b…: an exclusive or, shifted, of width w + 1
 *
 * Where the layout is told, counts "before" are zeros: it is when it changed, and when what differs
 * would be longer than all of it. The sum is a double in any case. The order
 * is chosen for each sample: all its counts grow alike, but how much depends on what was measured
 * since. A bucket that did not grow is a bit.
 *
 * 40 buckets that did not grow take 11 bytes, with all that is before them.
 *
 * Invariants
 *   1. A sample says itself where it ends, and is decoded by the same `before` alone.
 *   2. What was decoded is sound. No byte behind the sample's end is relied on, none at or behind
 *      `bytes` + `count` looked at.
 *
 * Locking: none. Cost: O(buckets); to encode, one pass over them for each order that is tried.
 *
 * Rejected: differences of differences, as in Prometheus' chunks: for buckets of few events they
 * are noise twice. A bit map of buckets that grew: a Golomb code of order 0 is one. An order for
 * each side: negative buckets are rare.
 */
#include <tsdb/histogram.h>

#include <string.h>

#include <tsdb/bits.h>
#include <tsdb/histogram_layout.h>

#define FLAG_SAME_LAYOUT 1u
#define FLAG_FLOAT       2u
#define HINT_SHIFT       2u
#define FLAGS_MAX        15u

#define ORDER_PLAIN 255u
/* Orders above need more than 20 bits for a bucket that did not grow. */
#define ORDER_LARGEST 20u
/* Of an exclusive or: that it is there, shift, width, bits. */
#define XOR_BITS_MAX (1 + 12 + 64)

/* What comes before a histogram whose layout changed. */
static const struct tsdb_histogram nothing;

/* ---- cells: count, zero count, buckets, in this order ---------------------------------------- */

static uint32_t cell_count(const struct tsdb_histogram *histogram)
{
    return 2 + histogram->positive.bucket_count + histogram->negative.bucket_count;
}

/* Cell `index`; 0 for a histogram without buckets. */
static uint64_t cell(const struct tsdb_histogram *histogram, uint32_t index)
{
    const uint32_t positive = histogram->positive.bucket_count;

    if (index < 2) {
        return index == 0 ? histogram->count : histogram->zero_count;
    }
    index -= 2;
    if (index < positive) {
        return histogram->positive.buckets[index];
    }
    index -= positive;
    return index < histogram->negative.bucket_count ? histogram->negative.buckets[index] : 0;
}

static uint64_t grown(const struct tsdb_histogram *before, const struct tsdb_histogram *histogram,
                      uint32_t index)
{
    return varint_zigzag((int64_t)(cell(histogram, index) - cell(before, index)));
}

/* ---- writing -------------------------------------------------------------------------------- */

struct sink {
    uint8_t *to;
    uint64_t word;
    uint32_t filled; /* bits of `word`, less than 64 */
};

static void put_bits(struct sink *sink, uint64_t value, uint32_t count)
{
    sink->word |= value << sink->filled;
    if (sink->filled + count >= 64) {
        endian_store_le_u64(sink->to, sink->word);
        sink->to += 8;
        sink->word = sink->filled == 0 ? 0 : value >> (64 - sink->filled);
        sink->filled = sink->filled + count - 64;
    } else {
        sink->filled += count;
    }
}

static uint8_t *finish(struct sink *sink)
{
    uint8_t bytes[8];
    uint32_t count = (sink->filled + 7) / 8;

    endian_store_le_u64(bytes, sink->word);
    memcpy(sink->to, bytes, count);
    return sink->to + count;
}

static void put_golomb(struct sink *sink, uint64_t z, uint32_t order)
{
    uint32_t ones = bits_log2_floor_u64((z >> order) + 1);

    put_bits(sink, bits_mask_u64(0, ones), ones + 1);
    put_bits(sink, z - (bits_mask_u64(0, ones) << order), ones + order);
}

static void put_xor(struct sink *sink, uint64_t xored)
{
    if (xored == 0) {
        put_bits(sink, 0, 1);
        return;
    }
    uint32_t shift = bits_trailing_zeros_u64(xored);
    uint32_t width = 64 - shift - bits_leading_zeros_u64(xored);
    put_bits(sink, 1 | (uint64_t)shift << 1 | (uint64_t)(width - 1) << 7, 13);
    put_bits(sink, xored >> shift, width);
}

/* Bits of all cells with an order; more than with ORDER_PLAIN where one has no code. */
static size_t measure(const struct tsdb_histogram *before, const struct tsdb_histogram *histogram,
                      uint32_t order)
{
    const uint32_t count = cell_count(histogram);
    size_t bits = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t z = grown(before, histogram, i);
        bits += z > TSDB_GOLOMB_MAX ? 64 * ((size_t)count + 1) : tsdb_golomb_length(z, order);
    }
    return bits;
}

static uint32_t choose_order(const struct tsdb_histogram *before,
                             const struct tsdb_histogram *histogram)
{
    size_t least = 64 * (size_t)cell_count(histogram);
    uint32_t chosen = ORDER_PLAIN;

    for (uint32_t order = 0; order <= ORDER_LARGEST; order++) {
        size_t bits = measure(before, histogram, order);
        if (bits < least) {
            least = bits;
            chosen = order;
        } else if (chosen != ORDER_PLAIN) {
            break; /* from the best one on they rise */
        }
    }
    return chosen;
}

/* Bits of sum and cells, of doubles or with the order that is best. */
static size_t bits_after(const struct tsdb_histogram *before,
                         const struct tsdb_histogram *histogram)
{
    size_t bits = XOR_BITS_MAX;

    if (!histogram->is_float) {
        uint32_t order = choose_order(before, histogram);
        return bits + (order == ORDER_PLAIN ? 64 * (size_t)cell_count(histogram)
                                            : measure(before, histogram, order));
    }
    for (uint32_t i = 0; i < cell_count(histogram); i++) {
        uint64_t xored = cell(histogram, i) ^ cell(before, i);
        bits += xored == 0
                    ? 1
                    : 13 + 64 - bits_trailing_zeros_u64(xored) - bits_leading_zeros_u64(xored);
    }
    return bits;
}

size_t tsdb_histogram_bytes_need(const struct tsdb_histogram *histogram)
{
    return 2 + VARINT_U64_BYTES_MAX + histogram_layout_bytes_max(histogram) +
           bits_after(&nothing, histogram) / 8 + 1;
}

/* Whether a histogram is told by what differs from the one before: if that is not longer than all
 * of it, as after a reset. */
static bool is_after(const struct tsdb_histogram *before, const struct tsdb_histogram *histogram)
{
    return before != NULL && tsdb_histogram_same_layout(before, histogram) &&
           bits_after(before, histogram) <=
               bits_after(&nothing, histogram) + 8 * histogram_layout_bytes_max(histogram);
}

static void put_cells(struct sink *sink, const struct tsdb_histogram *before,
                      const struct tsdb_histogram *histogram, uint32_t order)
{
    for (uint32_t i = 0; i < cell_count(histogram); i++) {
        if (histogram->is_float) {
            put_xor(sink, cell(histogram, i) ^ cell(before, i));
        } else if (order == ORDER_PLAIN) {
            put_bits(sink, cell(histogram, i), 64);
        } else {
            put_golomb(sink, grown(before, histogram, i), order);
        }
    }
}

size_t tsdb_histogram_bytes_max(const struct tsdb_histogram *histogram)
{
    size_t bits = XOR_BITS_MAX * ((size_t)cell_count(histogram) + 1);

    return 2 + VARINT_U64_BYTES_MAX + histogram_layout_bytes_max(histogram) + bits / 8 + 1;
}

size_t tsdb_histogram_encode(const struct tsdb_histogram *before,
                             const struct tsdb_histogram *histogram, uint8_t *ret_bytes)
{
    const bool is_same = is_after(before, histogram);
    const struct tsdb_histogram *base = is_same ? before : &nothing;
    const int64_t t_before = before == NULL ? 0 : before->t_ms;
    uint8_t *to = ret_bytes;

    Q_ASSERT(tsdb_histogram_is_sound(histogram));
    *to++ = (uint8_t)((is_same ? FLAG_SAME_LAYOUT : 0) | (histogram->is_float ? FLAG_FLOAT : 0) |
                      (uint32_t)histogram->reset_hint << HINT_SHIFT);
    uint64_t passed = (uint64_t)histogram->t_ms - (uint64_t)t_before;
    to += varint_put_u64(to, varint_zigzag((int64_t)passed));
    if (!is_same) {
        to = histogram_layout_put(histogram, to);
    }
    uint32_t order = histogram->is_float ? 0 : choose_order(base, histogram);
    *to++ = (uint8_t)order;
    struct sink sink = {.to = to};
    put_xor(&sink, histogram->sum_bits ^ base->sum_bits);
    put_cells(&sink, base, histogram, order);
    to = finish(&sink);
    Q_ASSERT((size_t)(to - ret_bytes) <= tsdb_histogram_bytes_max(histogram));
    return (size_t)(to - ret_bytes);
}

/* ---- reading -------------------------------------------------------------------------------- */

/* Bits of [bytes, bytes + byte_count), and zeros behind. */
struct bit_source {
    const uint8_t *bytes;
    size_t byte_count;
    size_t at;
    bool is_sound;
};

static uint64_t peek(const struct bit_source *source, size_t at)
{
    const size_t byte = at / 8;
    const uint32_t shift = at % 8;
    uint8_t copy[9] = {0};
    const uint8_t *from = copy;

    if (byte + sizeof copy <= source->byte_count) {
        from = source->bytes + byte;
    } else if (byte < source->byte_count) {
        memcpy(copy, source->bytes + byte, source->byte_count - byte);
    }
    return endian_load_le_u64(from) >> shift | ((uint64_t)from[8] << 1) << (63 - shift);
}

static uint64_t get_bits(struct bit_source *source, uint32_t count)
{
    uint64_t bits = tsdb_bits_low(peek(source, source->at), count);

    source->at += count;
    return bits;
}

static uint64_t get_golomb(struct bit_source *source, uint32_t order)
{
    uint32_t ones = bits_trailing_zeros_u64(~peek(source, source->at));

    if (Q_UNLIKELY(ones + order > 62)) {
        source->is_sound = false;
        return 0;
    }
    source->at += ones + 1;
    return get_bits(source, ones + order) + (bits_mask_u64(0, ones) << order);
}

static uint64_t get_xor(struct bit_source *source)
{
    if (get_bits(source, 1) == 0) {
        return 0;
    }
    uint32_t shift = (uint32_t)get_bits(source, 6);
    uint32_t width = (uint32_t)get_bits(source, 6) + 1;
    if (Q_UNLIKELY(shift + width > 64)) {
        source->is_sound = false;
        return 0;
    }
    return get_bits(source, width) << shift;
}

static uint64_t get_cell(struct bit_source *source, bool is_float, uint32_t order, uint64_t before)
{
    if (is_float) {
        return before ^ get_xor(source);
    }
    if (order == ORDER_PLAIN) {
        return get_bits(source, 64);
    }
    return before + (uint64_t)varint_unzigzag(get_golomb(source, order));
}

/* Reads the bits. `buckets`: where the histogram's are. Returns whether they were there. */
static bool get_cells(struct bit_source *source, const struct tsdb_histogram *base, uint32_t order,
                      struct tsdb_histogram *histogram, uint64_t *buckets)
{
    const uint32_t count = cell_count(histogram);
    const bool is_float = histogram->is_float;

    histogram->sum_bits = base->sum_bits ^ get_xor(source);
    histogram->count = get_cell(source, is_float, order, base->count);
    histogram->zero_count = get_cell(source, is_float, order, base->zero_count);
    for (uint32_t i = 2; i < count && source->is_sound; i++) {
        buckets[i - 2] = get_cell(source, is_float, order, cell(base, i));
        source->is_sound = source->is_sound && source->at <= 8 * source->byte_count;
    }
    return source->is_sound && source->at <= 8 * source->byte_count;
}

/* The layout of `before` with its arrays in `room`, buckets unset. */
static enum quarry_status same_layout(const struct tsdb_histogram *before,
                                      struct tsdb_histogram_room room,
                                      struct tsdb_histogram *ret_histogram)
{
    if (before == NULL) {
        return QUARRY_CORRUPT;
    }
    if (tsdb_histogram_words(before) > room.count) {
        return QUARRY_NO_MEMORY;
    }
    tsdb_histogram_copy(before, room, ret_histogram);
    return QUARRY_OK;
}

/* Flags, time and layout. `*at` moves behind them. */
static enum quarry_status get_head(const uint8_t **at, const uint8_t *end,
                                   const struct tsdb_histogram *before,
                                   struct tsdb_histogram_room room,
                                   struct tsdb_histogram *ret_histogram)
{
    uint64_t z;
    const uint8_t flags = **at;
    size_t time_bytes = varint_get_u64(*at + 1, end, &z);

    if (flags > FLAGS_MAX || time_bytes == 0) {
        return QUARRY_CORRUPT;
    }
    *at += 1 + time_bytes;
    enum quarry_status status = (flags & FLAG_SAME_LAYOUT) != 0
                                    ? same_layout(before, room, ret_histogram)
                                    : histogram_layout_get(at, end, room, ret_histogram);
    if (status != QUARRY_OK) {
        return status;
    }
    if ((flags & FLAG_SAME_LAYOUT) != 0 && before->is_float != ((flags & FLAG_FLOAT) != 0)) {
        return QUARRY_CORRUPT;
    }
    ret_histogram->is_float = (flags & FLAG_FLOAT) != 0;
    ret_histogram->reset_hint = (enum tsdb_reset_hint)(flags >> HINT_SHIFT);
    const int64_t t_before = before == NULL ? 0 : before->t_ms;
    ret_histogram->t_ms = (int64_t)((uint64_t)t_before + (uint64_t)varint_unzigzag(z));
    return QUARRY_OK;
}

enum quarry_status tsdb_histogram_decode(const uint8_t *bytes, size_t count,
                                         const struct tsdb_histogram *before,
                                         struct tsdb_histogram_room room,
                                         struct tsdb_histogram *ret_histogram, size_t *ret_consumed)
{
    const uint8_t *at = bytes, *end = bytes + count;
    struct tsdb_histogram histogram;

    if (count == 0) {
        return QUARRY_CORRUPT;
    }
    const bool is_same = (*bytes & FLAG_SAME_LAYOUT) != 0;
    enum quarry_status status = get_head(&at, end, before, room, &histogram);
    if (status != QUARRY_OK) {
        return status;
    }
    if (at == end || (*at > ORDER_LARGEST && *at != ORDER_PLAIN)) {
        return QUARRY_CORRUPT;
    }
    struct bit_source source = {at + 1, (size_t)(end - at) - 1, 0, true};
    const struct tsdb_histogram *base = is_same ? before : &nothing;
    if (!get_cells(&source, base, *at, &histogram, histogram_layout_place(room, &histogram))) {
        return QUARRY_CORRUPT;
    }
    *ret_consumed = (size_t)(at - bytes) + 1 + (source.at + 7) / 8;
    *ret_histogram = histogram;
    return QUARRY_OK;
}
