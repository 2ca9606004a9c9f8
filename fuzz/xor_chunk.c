/*
 * Any bytes as a chunk of each encoding: read to an end or refused, nothing outside them; what was
 * read is written and read again, to the same. The first byte says which encoding.
 */
#include <string.h>

#include <tsdb/block_samples.h>

#include "block_rig.h"

/* Work for one input is bounded by it, but for what a bit may say. */
#define INPUT_BYTES_MAX 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again_floats(const uint8_t *data, size_t size)
{
    static uint8_t buffer[XOR_CHUNK_BYTES_MAX(XOR_CHUNK_SAMPLES_MAX)];
    struct xor_chunk_iterator first, second;
    struct xor_chunk_appender appender;
    struct tsdb_sample sample, same;

    if (xor_chunk_read(&first, data, size) != QUARRY_OK) {
        return;
    }
    xor_chunk_begin(&appender, buffer, sizeof buffer);
    while (xor_chunk_next(&first, &sample) == QUARRY_OK) {
        Q_ASSERT(xor_chunk_append(&appender, sample));
    }
    Q_ASSERT(xor_chunk_read(&first, data, size) == QUARRY_OK);
    Q_ASSERT(xor_chunk_read(&second, buffer, xor_chunk_byte_count(&appender)) == QUARRY_OK);
    while (xor_chunk_next(&second, &same) == QUARRY_OK) {
        Q_ASSERT(xor_chunk_next(&first, &sample) == QUARRY_OK);
        Q_ASSERT(sample.t_ms == same.t_ms && sample.bits == same.bits);
    }
    Q_ASSERT(second.index == appender.count);
}

static void same_buckets(const struct tsdb_buckets *a, const struct tsdb_buckets *b)
{
    Q_ASSERT(a->bucket_count == b->bucket_count && a->span_count == b->span_count);
    Q_ASSERT(a->bucket_count == 0 ||
             memcmp(a->buckets, b->buckets, a->bucket_count * sizeof(uint64_t)) == 0);
}

static void again_histograms(const uint8_t *data, size_t size, bool is_float)
{
    static struct histogram_chunk_iterator first, second;
    static struct histogram_chunk_appender appender;
    const struct tsdb_histogram *histogram = NULL, *same = NULL;
    enum histogram_chunk_header header;
    uint32_t count = 0;

    if (first.memory == NULL) {
        histogram_chunk_iterator_init(&first, block_fuzz_memory());
        histogram_chunk_iterator_init(&second, block_fuzz_memory());
        histogram_chunk_appender_init(&appender, block_fuzz_memory());
    }
    if (histogram_chunk_read(&first, data, size, is_float) != QUARRY_OK) {
        return;
    }
    histogram_chunk_reset(&appender);
    while (histogram_chunk_next(&first, &histogram) == QUARRY_OK) {
        if (count == 0) {
            (void)histogram_chunk_follows(&appender, histogram, &header);
            Q_ASSERT(histogram_chunk_begin(&appender, header) == QUARRY_OK);
        } else if (!histogram_chunk_follows(&appender, histogram, &header)) {
            break;
        }
        Q_ASSERT(histogram_chunk_append(&appender, histogram) == QUARRY_OK);
        count++;
    }
    if (count == 0) {
        return;
    }
    size_t byte_count = 0;
    const uint8_t *bytes = histogram_chunk_bytes(&appender, &byte_count);
    Q_ASSERT(histogram_chunk_read(&first, data, size, is_float) == QUARRY_OK);
    Q_ASSERT(histogram_chunk_read(&second, bytes, byte_count, is_float) == QUARRY_OK);
    while (histogram_chunk_next(&second, &same) == QUARRY_OK) {
        Q_ASSERT(histogram_chunk_next(&first, &histogram) == QUARRY_OK);
        Q_ASSERT(histogram->t_ms == same->t_ms && histogram->sum_bits == same->sum_bits);
        Q_ASSERT(histogram->sum_bits == TSDB_STALE_BITS || histogram->count == same->count);
        same_buckets(&histogram->positive, &same->positive);
        same_buckets(&histogram->negative, &same->negative);
    }
    Q_ASSERT(second.index == count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > INPUT_BYTES_MAX) {
        return 0;
    }
    if (data[0] % 3 == 1) {
        again_floats(data + 1, size - 1);
    } else {
        again_histograms(data + 1, size - 1, data[0] % 3 == 0);
    }
    return 0;
}
