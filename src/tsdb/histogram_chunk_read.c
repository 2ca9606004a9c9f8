/*
 * Chunks of native histograms, read. histogram_chunk.c has the picture.
 *
 * Invariants:
 * 1. What is returned is sound (tsdb_histogram_is_sound), whatever the bytes were: spans and
 *    boundaries are counted against TSDB_HISTOGRAM_PARTS_MAX before they are read, so that a chunk
 *    of a few bytes cannot ask for much work.
 * 2. Bytes that end too early give zeros, and are found out once for each histogram.
 *
 * Memory: fields and arrays for the largest histogram, some 350 KiB, taken with the first chunk.
 * Readers of series without histograms never have them.
 */
#include <tsdb/histogram_chunk_parts.h>

#include <math.h>
#include <string.h>

#define HEADER_BYTES 3u

const uint8_t histogram_chunk_varbit_counts[9] = {0, 3, 6, 9, 12, 18, 25, 56, 64};

enum quarry_status histogram_chunk_room_take(struct tsdb_memory *memory,
                                             struct histogram_chunk_field **ret_fields,
                                             uint64_t **ret_words)
{
    struct histogram_chunk_field *fields =
        tsdb_memory_take_zero(memory, HISTOGRAM_CHUNK_FIELDS_MAX * sizeof(*fields));
    uint64_t *words = tsdb_memory_take_zero(memory, TSDB_HISTOGRAM_WORDS_MAX * sizeof(*words));

    if (fields == NULL || words == NULL) {
        tsdb_memory_give(memory, fields);
        tsdb_memory_give(memory, words);
        return QUARRY_NO_MEMORY;
    }
    *ret_fields = fields;
    *ret_words = words;
    return QUARRY_OK;
}

void histogram_chunk_iterator_init(struct histogram_chunk_iterator *iterator,
                                   struct tsdb_memory *memory)
{
    *iterator = (struct histogram_chunk_iterator){.memory = memory};
}

void histogram_chunk_iterator_fini(struct histogram_chunk_iterator *iterator)
{
    tsdb_memory_give(iterator->memory, iterator->fields);
    tsdb_memory_give(iterator->memory, iterator->words);
}

enum quarry_status histogram_chunk_read(struct histogram_chunk_iterator *iterator,
                                        const uint8_t *bytes, size_t byte_count, bool is_float)
{
    if (byte_count < HEADER_BYTES) {
        return QUARRY_CORRUPT;
    }
    if (iterator->fields == NULL) {
        enum quarry_status status =
            histogram_chunk_room_take(iterator->memory, &iterator->fields, &iterator->words);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    iterator->now = (struct tsdb_histogram){.is_float = is_float};
    iterator->bits = chunk_bits_reader(bytes + HEADER_BYTES, byte_count - HEADER_BYTES);
    iterator->count = endian_load_be_u16(bytes);
    iterator->header = bytes[2] & 0xc0;
    iterator->index = 0;
    iterator->delta_ms = 0;
    return QUARRY_OK;
}

static uint32_t get_varbit(struct chunk_bit_reader *bits, uint64_t *ret_value)
{
    uint32_t kind = 0;

    while (kind < 8 && chunk_bits_get(bits, 1) != 0) {
        kind++;
    }
    *ret_value = chunk_bits_get(bits, histogram_chunk_varbit_counts[kind]);
    return histogram_chunk_varbit_counts[kind];
}

static int64_t get_signed(struct chunk_bit_reader *bits)
{
    uint64_t value;
    uint32_t count = get_varbit(bits, &value);

    return count == 0 ? 0 : chunk_bits_signed(value, count);
}

static uint64_t get_unsigned(struct chunk_bit_reader *bits)
{
    uint64_t value;

    (void)get_varbit(bits, &value);
    return value;
}

/* ---- the layout ----------------------------------------------------------------------------- */

static uint64_t get_threshold(struct chunk_bit_reader *bits)
{
    uint64_t byte = chunk_bits_get(bits, 8), threshold_bits = 0;

    if (byte == 255) {
        return chunk_bits_get(bits, 64);
    }
    if (byte != 0) {
        double threshold = ldexp(0.5, (int)byte - 243);
        memcpy(&threshold_bits, &threshold, sizeof threshold);
    }
    return threshold_bits;
}

/* `ret_buckets`: its spans are at `*words`, which moves behind them and the room of its buckets. */
static enum quarry_status get_spans(struct chunk_bit_reader *bits, uint64_t **words,
                                    struct tsdb_buckets *ret_buckets)
{
    Q_STATIC_ASSERT(sizeof(struct tsdb_span) == sizeof(uint64_t), "a span is a word");
    uint64_t count = get_unsigned(bits), bucket_count = 0;
    struct tsdb_span *spans = (struct tsdb_span *)*words;

    if (count > TSDB_HISTOGRAM_PARTS_MAX) {
        return QUARRY_TOO_LARGE;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t length = get_unsigned(bits);
        int64_t offset = get_signed(bits);

        if (offset < INT32_MIN || offset > INT32_MAX) {
            return QUARRY_CORRUPT;
        }
        if (length > TSDB_HISTOGRAM_PARTS_MAX - bucket_count) {
            return QUARRY_TOO_LARGE;
        }
        bucket_count += length;
        spans[i] = (struct tsdb_span){.offset = (int32_t)offset, .length = (uint32_t)length};
    }
    *words += count;
    *ret_buckets = (struct tsdb_buckets){.spans = spans,
                                         .buckets = *words,
                                         .span_count = (uint32_t)count,
                                         .bucket_count = (uint32_t)bucket_count};
    *words += bucket_count;
    return QUARRY_OK;
}

static uint64_t get_bound(struct chunk_bit_reader *bits)
{
    uint64_t bound_bits, thousandths = get_unsigned(bits);

    if (thousandths == 0) {
        return chunk_bits_get(bits, 64);
    }
    double bound = (double)(thousandths - 1) / 1000;
    memcpy(&bound_bits, &bound, sizeof bound);
    return bound_bits;
}

static enum quarry_status get_bounds(struct chunk_bit_reader *bits, uint64_t *words,
                                     struct tsdb_histogram *histogram)
{
    uint64_t count = get_unsigned(bits);

    if (count > TSDB_HISTOGRAM_PARTS_MAX) {
        return QUARRY_TOO_LARGE;
    }
    for (uint64_t i = 0; i < count; i++) {
        words[i] = get_bound(bits);
    }
    histogram->custom_bits = words;
    histogram->custom_count = (uint32_t)count;
    return QUARRY_OK;
}

static bool is_known_schema(int64_t schema)
{
    return schema == TSDB_HISTOGRAM_SCHEMA_CUSTOM ||
           (schema >= TSDB_HISTOGRAM_SCHEMA_MIN && schema <= TSDB_HISTOGRAM_SCHEMA_MAX);
}

static enum quarry_status get_layout(struct histogram_chunk_iterator *iterator)
{
    struct tsdb_histogram *now = &iterator->now;
    uint64_t *words = iterator->words;

    now->zero_threshold_bits = get_threshold(&iterator->bits);
    int64_t schema = get_signed(&iterator->bits);
    if (iterator->bits.is_short) {
        return QUARRY_CORRUPT;
    }
    if (!is_known_schema(schema)) {
        return QUARRY_UNSUPPORTED;
    }
    now->schema = (int32_t)schema;
    enum quarry_status status = get_spans(&iterator->bits, &words, &now->positive);
    if (status == QUARRY_OK) {
        status = get_spans(&iterator->bits, &words, &now->negative);
    }
    if (status == QUARRY_OK && schema == TSDB_HISTOGRAM_SCHEMA_CUSTOM) {
        status = get_bounds(&iterator->bits, words, now);
    }
    return status;
}

/* ---- histograms ----------------------------------------------------------------------------- */

static void get_xor(struct chunk_bit_reader *bits, struct histogram_chunk_field *field,
                    bool is_first)
{
    if (is_first) {
        *field = (struct histogram_chunk_field){.value = chunk_bits_get(bits, 64)};
    } else {
        field->value ^= chunk_xor_get(bits, &field->window);
    }
}

static void get_integer(struct chunk_bit_reader *bits, struct histogram_chunk_field *field,
                        bool is_first)
{
    if (is_first) {
        *field = (struct histogram_chunk_field){.value = (uint64_t)get_signed(bits)};
    } else {
        field->delta += (uint64_t)get_signed(bits);
        field->value += field->delta;
    }
}

static void get_count(struct chunk_bit_reader *bits, struct histogram_chunk_field *field,
                      bool is_first)
{
    if (is_first) {
        *field = (struct histogram_chunk_field){.value = get_unsigned(bits)};
    } else {
        get_integer(bits, field, false);
    }
}

static struct histogram_chunk_field *get_buckets(struct histogram_chunk_iterator *iterator,
                                                 struct histogram_chunk_field *field,
                                                 const struct tsdb_buckets *buckets, bool is_first)
{
    uint64_t *counts = iterator->words + (buckets->buckets - iterator->words), before = 0;

    for (uint32_t i = 0; i < buckets->bucket_count; i++, field++) {
        if (iterator->now.is_float) {
            get_xor(&iterator->bits, field, is_first);
            counts[i] = field->value;
        } else {
            get_integer(&iterator->bits, field, is_first);
            before += field->value;
            counts[i] = before;
        }
    }
    return field;
}

static void get_fields(struct histogram_chunk_iterator *iterator, bool is_first)
{
    struct histogram_chunk_field *fields = iterator->fields;
    struct chunk_bit_reader *bits = &iterator->bits;
    struct tsdb_histogram *now = &iterator->now;

    if (now->is_float) {
        get_xor(bits, &fields[0], is_first);
        get_xor(bits, &fields[1], is_first);
    } else {
        get_count(bits, &fields[0], is_first);
        get_count(bits, &fields[1], is_first);
    }
    get_xor(bits, &fields[2], is_first);
    now->count = fields[0].value;
    now->zero_count = fields[1].value;
    now->sum_bits = fields[2].value;
    if (now->sum_bits != TSDB_STALE_BITS) {
        fields =
            get_buckets(iterator, fields + HISTOGRAM_CHUNK_FIXED_FIELDS, &now->positive, is_first);
        (void)get_buckets(iterator, fields, &now->negative, is_first);
    }
}

/* What a histogram's place says of a reset before it: within a chunk there is none. */
static enum tsdb_reset_hint hint_of(const struct histogram_chunk_iterator *iterator, bool is_first)
{
    if (iterator->header == HISTOGRAM_CHUNK_GAUGE) {
        return TSDB_RESET_GAUGE;
    }
    if (!is_first) {
        return TSDB_RESET_NO;
    }
    return iterator->header == HISTOGRAM_CHUNK_RESET ? TSDB_RESET_YES : TSDB_RESET_UNKNOWN;
}

enum quarry_status histogram_chunk_next(struct histogram_chunk_iterator *iterator,
                                        const struct tsdb_histogram **ret_histogram)
{
    struct tsdb_histogram *now = &iterator->now;
    bool is_first = iterator->index == 0;
    enum quarry_status status = QUARRY_OK;

    if (iterator->index == iterator->count) {
        return QUARRY_NOT_FOUND;
    }
    if (is_first) {
        status = get_layout(iterator);
        now->t_ms = get_signed(&iterator->bits);
    } else {
        iterator->delta_ms += (uint64_t)get_signed(&iterator->bits);
        now->t_ms = (int64_t)((uint64_t)now->t_ms + iterator->delta_ms);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    get_fields(iterator, is_first);
    now->reset_hint = hint_of(iterator, is_first);
    iterator->stale = (struct tsdb_histogram){
        .t_ms = now->t_ms, .is_float = now->is_float, .sum_bits = now->sum_bits};
    if (iterator->bits.is_short || !tsdb_histogram_is_sound(now)) {
        return QUARRY_CORRUPT;
    }
    iterator->index++;
    *ret_histogram = now->sum_bits == TSDB_STALE_BITS ? &iterator->stale : now;
    return QUARRY_OK;
}
