/*
 * Any bytes as sealed columns: of values, times and histograms; and any values, sealed, which come
 * back bit for bit.
 *
 * The first byte chooses; the next two say how many values there are claimed to be.
 */
#include <stdlib.h>
#include <string.h>

#include <tsdb/histogram_column.h>
#include <tsdb/times.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define VALUES_MAX 2048u

static uint32_t read_column(const uint8_t *bytes, size_t size, uint32_t count, uint64_t *ret_bits)
{
    struct tsdb_column_reader reader;
    uint64_t block[TSDB_COLUMN_BLOCK];
    uint32_t read = 0, taken;

    if (tsdb_column_open(&reader, bytes, size, count) != QUARRY_OK) {
        return 0;
    }
    while ((taken = tsdb_column_take(&reader, block)) > 0) {
        Q_ASSERT(read + taken <= count);
        memcpy(ret_bits + read, block, taken * sizeof *block);
        read += taken;
    }
    Q_ASSERT(read == count || tsdb_column_status(&reader) == QUARRY_CORRUPT);
    return read;
}

static uint32_t read_times(const uint8_t *bytes, size_t size, uint32_t count, int64_t *ret_t_ms)
{
    struct tsdb_times_reader reader;
    int64_t block[TSDB_COLUMN_BLOCK];
    uint32_t read = 0, taken;

    if (tsdb_times_open(&reader, bytes, size, count) != QUARRY_OK) {
        return 0;
    }
    while ((taken = tsdb_times_take(&reader, block)) > 0) {
        Q_ASSERT(read + taken <= count);
        memcpy(ret_t_ms + read, block, taken * sizeof *block);
        read += taken;
    }
    Q_ASSERT(read == count || tsdb_times_status(&reader) == QUARRY_CORRUPT);
    return read;
}

static void read_histograms(const uint8_t *bytes, size_t size, uint32_t count)
{
    static uint64_t words[4 * TSDB_HISTOGRAM_WORDS_MAX];
    const struct tsdb_histogram_room room = {words, sizeof words / sizeof *words};
    struct tsdb_histogram got[TSDB_HISTOGRAMS_BLOCK];
    struct tsdb_histograms_reader reader;
    uint32_t taken;
    size_t wanted = 0;

    tsdb_histograms_open(&reader, bytes, size, count);
    for (;;) {
        enum quarry_status status = tsdb_histograms_take(&reader, room, got, &taken, &wanted);
        Q_ASSERT(status == QUARRY_OK || status == QUARRY_CORRUPT ||
                 (status == QUARRY_NO_MEMORY && wanted > room.count));
        if (status != QUARRY_OK || taken == 0) {
            break;
        }
        for (uint32_t i = 0; i < taken; i++) {
            Q_ASSERT(tsdb_histogram_is_sound(&got[i]));
        }
    }
}

/* The words of `data` as values, and as times. */
static void seal(const uint8_t *data, size_t size)
{
    static uint64_t bits[VALUES_MAX], back[VALUES_MAX];
    static int64_t scratch[VALUES_MAX], t_back[VALUES_MAX];
    uint32_t count = (uint32_t)size_min(size / 8, VALUES_MAX);

    if (count == 0) {
        return;
    }
    memcpy(bits, data, count * sizeof *bits);
    uint8_t *bytes = malloc(tsdb_column_bytes_max(count));
    Q_ASSERT(bytes != NULL);
    size_t byte_count = tsdb_column_encode(bits, count, scratch, bytes);
    Q_ASSERT(read_column(bytes, byte_count, count, back) == count);
    Q_ASSERT(memcmp(bits, back, count * sizeof *bits) == 0);
    byte_count = tsdb_times_encode((const int64_t *)bits, count, bytes);
    Q_ASSERT(read_times(bytes, byte_count, count, t_back) == count);
    Q_ASSERT(memcmp(bits, t_back, count * sizeof *bits) == 0);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint64_t bits[VALUES_MAX];
    static int64_t t_ms[VALUES_MAX];

    if (size < 3) {
        return 0;
    }
    const uint32_t count = 1 + endian_load_le_u16(data + 1) % VALUES_MAX;
    switch (data[0] % 4) {
    case 0:
        (void)read_column(data + 3, size - 3, count, bits);
        break;
    case 1:
        (void)read_times(data + 3, size - 3, count, t_ms);
        break;
    case 2:
        read_histograms(data + 3, size - 3, count);
        break;
    default:
        seal(data + 3, size - 3);
        break;
    }
    return 0;
}
