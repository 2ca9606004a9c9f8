/*
 * Any bytes as samples of an open window: as a chain of chunklets, as a stream of histograms, and
 * as samples that are appended and come back bit for bit.
 *
 * The first byte chooses.
 */
#include <stdlib.h>
#include <string.h>

#include <tsdb/head.h>
#include <tsdb/histogram.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHUNKLETS_MAX 64u
/* Samples of a chain that are read: constants are many in few bits. */
#define SAMPLES_MAX 4096u

static struct tsdb_chunklet pool[CHUNKLETS_MAX]; /* number n is pool[n - 1] */
static uint64_t words[2][TSDB_HISTOGRAM_WORDS_MAX];

/* Reads a chain from number 1 on. Returns how many samples; *ret_reader is at the end. */
static uint32_t read_chain(uint32_t chunklets, int64_t *t_ms, uint64_t *bits,
                           struct tsdb_reader *ret_reader)
{
    uint32_t number = 1, count = 0, taken, loads = 0;

    tsdb_reader_init(ret_reader);
    while (number != TSDB_CHUNKLET_NONE && number <= chunklets && loads++ < chunklets) {
        uint32_t next = tsdb_reader_load(ret_reader, &pool[number - 1], number);
        do {
            uint32_t wanted = SAMPLES_MAX - count < 100 ? SAMPLES_MAX - count : 100;
            taken = tsdb_reader_take(ret_reader, wanted, t_ms + count, bits + count);
            Q_ASSERT(taken <= wanted);
            count += taken;
        } while (taken > 0);
        if (ret_reader->left > 0) {
            break;
        }
        number = next;
    }
    return count;
}

static void fuzz_chain(const uint8_t *data, size_t size)
{
    static int64_t t_ms[SAMPLES_MAX];
    static uint64_t bits[SAMPLES_MAX];
    uint32_t count = (uint32_t)size_min(size / sizeof *pool, CHUNKLETS_MAX);
    struct tsdb_sample late[TSDB_CHUNKLET_LATE_MAX];
    struct tsdb_chunklet_view view;
    uint8_t bytes[TSDB_CHUNKLET_PAYLOAD_BYTES];
    struct tsdb_reader reader;
    uint32_t next;

    memcpy((void *)pool, data, count * sizeof *pool);
    if (count > 0) {
        (void)read_chain(count, t_ms, bits, &reader);
    }
    for (uint32_t i = 0; i < count; i++) {
        Q_ASSERT(tsdb_late_read(&pool[i], late, &next) <= TSDB_CHUNKLET_LATE_MAX);
        Q_ASSERT(tsdb_bytes_read(&pool[i], bytes, &view) <= TSDB_CHUNKLET_PAYLOAD_BYTES);
    }
}

/* Appends what is in `data`, 16 bytes a sample; a sample that begins with 0xff repeats the last. */
static void fuzz_samples(const uint8_t *data, size_t size)
{
    int64_t t_ms[256], t_back[SAMPLES_MAX];
    uint64_t bits[256], back[SAMPLES_MAX];
    struct tsdb_head head = {0};
    struct tsdb_reader reader;
    uint32_t count = (uint32_t)size_min(size / 16, 256), used = 0;

    for (uint32_t i = 0; i < count; i++) {
        bool is_repeat = i > 0 && data[16 * i] == 0xff;
        t_ms[i] = is_repeat ? (int64_t)((uint64_t)head.t_ms + head.step_ms)
                            : (int64_t)endian_load_le_u64(data + 16 * i);
        bits[i] = is_repeat ? head.bits : endian_load_le_u64(data + 16 * i + 8);
        struct tsdb_chunklet *tail = used == 0 ? NULL : &pool[used - 1];
        memset((void *)&pool[used], 0, sizeof *pool);
        used +=
            tsdb_head_append(&head, tail, (struct tsdb_sample){t_ms[i], bits[i]},
                             (struct tsdb_spare){&pool[used], used + 1}) == TSDB_APPENDED_ONWARDS;
    }
    Q_ASSERT(used < CHUNKLETS_MAX);
    if (count > 0) {
        Q_ASSERT(read_chain(used, t_back, back, &reader) == count);
        Q_ASSERT(tsdb_reader_status(&reader) == QUARRY_OK);
        Q_ASSERT(memcmp(t_ms, t_back, count * sizeof *t_ms) == 0);
        Q_ASSERT(memcmp(bits, back, count * sizeof *bits) == 0);
    }
}

static bool same_buckets(const struct tsdb_buckets *a, const struct tsdb_buckets *b)
{
    return a->bucket_count == 0 || memcmp(a->buckets, b->buckets, 8 * a->bucket_count) == 0;
}

/* What was decoded, encoded and decoded again, is the same. */
static void encode_again(const struct tsdb_histogram *before,
                         const struct tsdb_histogram *histogram)
{
    size_t bound = tsdb_histogram_bytes_max(histogram), consumed;
    uint64_t *room = malloc(8 * TSDB_HISTOGRAM_WORDS_MAX);
    uint8_t *bytes = malloc(bound);
    struct tsdb_histogram back;

    Q_ASSERT(bytes != NULL && room != NULL);
    size_t count = tsdb_histogram_encode(before, histogram, bytes);
    Q_ASSERT(tsdb_histogram_decode(bytes, count, before,
                                   (struct tsdb_histogram_room){room, TSDB_HISTOGRAM_WORDS_MAX},
                                   &back, &consumed) == QUARRY_OK);
    Q_ASSERT(consumed == count && tsdb_histogram_same_layout(histogram, &back));
    Q_ASSERT(same_buckets(&histogram->positive, &back.positive));
    Q_ASSERT(same_buckets(&histogram->negative, &back.negative));
    Q_ASSERT(histogram->sum_bits == back.sum_bits && histogram->count == back.count);
    free(bytes);
    free(room);
}

static void fuzz_histograms(const uint8_t *data, size_t size)
{
    struct tsdb_histogram histograms[2];
    const struct tsdb_histogram *before = NULL;
    size_t consumed;

    for (uint32_t turn = 0; size > 0; turn = 1 - turn) {
        const struct tsdb_histogram_room room = {words[turn], TSDB_HISTOGRAM_WORDS_MAX};
        enum quarry_status status =
            tsdb_histogram_decode(data, size, before, room, &histograms[turn], &consumed);
        if (status != QUARRY_OK) {
            Q_ASSERT(status == QUARRY_CORRUPT);
            return;
        }
        Q_ASSERT(consumed <= size && tsdb_histogram_is_sound(&histograms[turn]));
        encode_again(before, &histograms[turn]);
        before = &histograms[turn];
        data += consumed;
        size -= consumed;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    switch (data[0] % 3) {
    case 0:
        fuzz_chain(data + 1, size - 1);
        break;
    case 1:
        fuzz_samples(data + 1, size - 1);
        break;
    default:
        fuzz_histograms(data + 1, size - 1);
        break;
    }
    return 0;
}
